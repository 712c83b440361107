"""Collection: the parameters, order, skips and thresholds of the tests that measure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import pytest

from pytest_edgeload.base.errors import UsageError
from pytest_edgeload.peers import PEERS, missing
from pytest_edgeload.plugin import axes, thresholds
from pytest_edgeload.plugin.items import comparison_group, measures, parameters_of, round_of, runs_networks
from pytest_edgeload.plugin.options import as_pytest_errors
from pytest_edgeload.plugin.ordering import ItemOrder, interleave
from pytest_edgeload.plugin.registrations import policy_names
from pytest_edgeload.plugin.setup import Setup

_WITHOUT_RUNNING = ("collectonly", "showfixtures", "show_fixtures_per_test", "setupplan")
"""The destinations of pytest's options that collect tests and run none."""


class Prepare(Protocol):
    """Prepares the session for tests that will measure."""

    def __call__(self, measuring: Sequence[str], /, *, must_fit_networks: bool) -> None:
        """Take their ids, and whether every limit must be large enough for a worker with PyTorch."""


class Collection:
    """The hooks of collection. `prepare` is called before the first test that measures runs."""

    def __init__(self, config: pytest.Config, setup: Setup, prepare: Prepare) -> None:
        self._config = config
        self._setup = setup
        self.prepare = prepare

    def parametrize(self, metafunc: pytest.Metafunc, parameters: axes.Parameters) -> None:
        """Give a test the values of our fixtures that it uses and does not parametrize itself.

        Raises pytest.UsageError.
        """
        with as_pytest_errors():
            values = self._setup.axes(metafunc.definition.ihook)
        axes.parametrize(metafunc, parameters, values, self._setup.devices.memory)

    def only_value(self, axis: str) -> Any:
        """Return the value of a parametrized fixture for a test without parameters. Raises UsageError for several."""
        memory = {limit: None for limits in self._setup.devices.memory.values() for limit in limits}
        values = [*memory] if axis == axes.MEMORY else self._setup.axes(self._config.hook)[axis]
        if len(values) != 1:
            reason = f"{len(values)} values, but pytest runs this test only once"
            hint = "make it an argument of a test function (pytest cannot parametrize a unittest.TestCase)"
            raise UsageError(axis, reason, hint)
        return values[0]

    def policies(self, node: pytest.Collector) -> tuple[str, ...]:
        """Return the names of --edge-policy and --edge-peer; `all` means those that the tests in `node` see.

        Leaves out peers whose package is not installed.
        """
        names = policy_names(self._setup.settings, node.ihook)
        return tuple(name for name in names if missing(name) is None)

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
        given = parameters_of(item)
        for refusal in (missing(given[axis]) for axis in (axes.POLICY, axes.PEER) if axis in given):
            if refusal is not None:
                item.add_marker(pytest.mark.skip(reason=str(refusal)))
        if (reason := _unreadable(given)) and measures(item):
            item.add_marker(pytest.mark.skip(reason=reason))
        if settings.skip and measures(item):
            item.add_marker(pytest.mark.skip(reason="measures, and --edge-skip is given"))
        if settings.only and not (measures(item) or _judges(item)):
            item.add_marker(pytest.mark.skip(reason="does not measure, and --edge-only is given"))

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Prepare the session if any test will measure."""
        settings, option = self._setup.settings, self._config.option
        measuring = [item for item in session.items if measures(item)]
        if settings.skip or settings.disable or any(getattr(option, name, False) for name in _WITHOUT_RUNNING):
            return
        if measuring:
            # In other sessions, only the tests that run networks are refused, each when it runs.
            self.prepare([item.nodeid for item in measuring], must_fit_networks=all(map(runs_networks, measuring)))


def _unreadable(given: Mapping[str, object]) -> str:
    """Return the reason why a test with these parameters cannot read compressed weights; empty if it can."""
    if given.get(axes.STORE) != "compressed":
        return ""
    if given.get(axes.READER) == "mmap":
        return "compressed weights cannot be mapped"
    names = {given.get(axes.POLICY), given.get(axes.PEER)}
    return "a peer reads files of its own, which are not compressed" if names & PEERS.keys() else ""


def _judges(item: pytest.Item) -> bool:
    """Return whether the item judges the measurements of the other tests, so that it runs last."""
    return "edge_records" in getattr(item, "fixturenames", ())


def _order(item: pytest.Item, position: int) -> ItemOrder:
    group = comparison_group(item) if measures(item) else None
    return ItemOrder(group, round_of(item), position, is_last=_judges(item))
