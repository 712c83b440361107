"""What a test item says of itself: whether it measures, its round, device, name and parameters. No hook, no effect."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_edgeload.base.text import printable
from pytest_edgeload.plugin.fixtures import AXES, DEVICE, ROUND
from pytest_edgeload.results.record import Case


def measures(item: pytest.Item) -> bool:
    """Tell whether the item measures: it names `edge` in its arguments."""
    return "edge" in getattr(item, "fixturenames", ())


def round_of(item: pytest.Item) -> int:
    """Return the round that the item is, from 0 on."""
    number: int = parameters_of(item).get(ROUND, 0)
    return number


def device_of(item: pytest.Item) -> str | None:
    """Return the name of the device the item is to be measured on, if any."""
    name: str | None = parameters_of(item).get(DEVICE)
    return name


def parameters_of(item: pytest.Item) -> dict[str, Any]:
    """Return all parameters of the item, ours too; none where it is not parametrized."""
    callspec = getattr(item, "callspec", None)
    return dict(callspec.params) if callspec is not None else {}


def is_of(case: Case, item: pytest.Item) -> bool:
    """Tell whether `case` is in the comparison group of `item`."""
    given = {name: str(value) for name, value in parameters_of(item).items() if value is not None}
    limit, reader = given.get("edge_mem", case.limit), given.get("edge_reader", case.reader)
    place = (test_name(item), given.get(DEVICE), limit, reader)
    return (case.test, case.device, case.limit, case.reader) == place


def test_name(item: pytest.Item) -> str:
    """Return the item's id with its own parameters, without ours: `suites/test_networks.py::test_network[age_net]`."""
    own = own_of(item).values()
    return printable(item.nodeid.partition("[")[0]) + (f"[{'-'.join(own)}]" if own else "")


def own_of(item: pytest.Item) -> dict[str, str]:
    """Return the item's own parameters, without ours, in words."""
    return {name: _label(item, name, value) for name, value in parameters_of(item).items() if name not in AXES}


def _label(item: pytest.Item, parameter: str, value: object) -> str:
    """Return a word for a parameter's value that is the same in every session."""
    if value is None or isinstance(value, str | int | float):
        return printable(str(value))
    name = getattr(value, "name", None)
    return printable(name) if isinstance(name, str) else f"{parameter}{getattr(item, 'callspec').indices[parameter]}"  # noqa: B009
