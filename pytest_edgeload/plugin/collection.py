"""Collection: the parameters, order, skips and thresholds of the tests that measure."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from pytest_edgeload.plugin import axes, thresholds
from pytest_edgeload.plugin.items import comparison_group, measures, parameters_of
from pytest_edgeload.plugin.options import as_pytest_errors
from pytest_edgeload.plugin.ordering import ItemOrder, interleave
from pytest_edgeload.plugin.registrations import peers
from pytest_edgeload.plugin.setup import Setup


class Collection:
    """The hooks of collection. `prepare` gets the ids of all tests that will measure, before the first one runs."""

    def __init__(self, config: pytest.Config, setup: Setup, prepare: Callable[[Sequence[str]], None]) -> None:
        self._config = config
        self._setup = setup
        self.prepare = prepare

    def parametrize(self, metafunc: pytest.Metafunc) -> None:
        """Give a test the values of our fixtures that it uses. Raises pytest.UsageError."""
        with as_pytest_errors():
            values = self._setup.axes(tuple(peers(self._config)))
        axes.parametrize(metafunc, values, self._setup.devices.memory)

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Interleave the rounds of each comparison group (A B C, A B C), mark skips, and attach thresholds."""
        with as_pytest_errors():
            common = thresholds.table(self._config)
            for item in filter(measures, items):
                texts = thresholds.of_item(item, common)
                if texts:
                    item.user_properties.append((thresholds.PROPERTY, thresholds.pack(texts)))
        for item in items:
            self._mark_skips(item)
        items[:] = [items[index] for index in interleave([_order(item, i) for i, item in enumerate(items)])]

    def _mark_skips(self, item: pytest.Item) -> None:
        settings = self._setup.settings
        if settings.skip and measures(item):
            item.add_marker(pytest.mark.skip(reason="measures, and --edge-skip is given"))
        if settings.only and not (measures(item) or _judges(item)):
            item.add_marker(pytest.mark.skip(reason="does not measure, and --edge-only is given"))

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Prepare the session if any test will measure."""
        settings = self._setup.settings
        measuring = [item.nodeid for item in session.items if measures(item)]
        if measuring and not (self._config.option.collectonly or settings.skip or settings.disable):
            self.prepare(measuring)


def _judges(item: pytest.Item) -> bool:
    """Return whether the item judges the measurements of the other tests, so that it runs last."""
    return "edge_records" in getattr(item, "fixturenames", ())


def _order(item: pytest.Item, position: int) -> ItemOrder:
    group = comparison_group(item) if measures(item) else None
    return ItemOrder(group, parameters_of(item).get(axes.ROUND, 0), position, is_last=_judges(item))
