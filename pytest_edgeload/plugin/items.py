"""The facts about a test item: whether it measures, its round, device, group, name and parameters. Pure functions."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_edgeload.base.text import printable
from pytest_edgeload.plugin.axes import AXES, DEVICE, MEMORY, PEER, POLICY, READER, ROUND
from pytest_edgeload.results.record import Case


def measures(item: pytest.Item) -> bool:
    """Return whether the item measures, which means that it uses the fixture `edge`."""
    return "edge" in getattr(item, "fixturenames", ())


def runs_networks(item: pytest.Item) -> bool:
    """Return whether the item uses a fixture that only tests of networks need."""
    return not {POLICY, PEER, READER, "edge_network"}.isdisjoint(getattr(item, "fixturenames", ()))


def round_of(item: pytest.Item) -> int:
    """Return the round of the item, from 0."""
    number: int = parameters_of(item).get(ROUND, 0)
    return number


def device_of(item: pytest.Item) -> str | None:
    """Return the name of the item's device, if it has one."""
    name: str | None = parameters_of(item).get(DEVICE)
    return name


def parameters_of(item: pytest.Item) -> dict[str, Any]:
    """Return all parameters of the item, including ours."""
    callspec = getattr(item, "callspec", None)
    return dict(callspec.params) if callspec is not None else {}


def comparison_group(item: pytest.Item) -> object:
    """Return the comparison group of the item: its test, and its parameters except policy, peer and round."""
    rest = ((name, str(value)) for name, value in parameters_of(item).items() if name not in {POLICY, PEER, ROUND})
    return (item.nodeid.partition("[")[0], *sorted(rest))


def is_of(case: Case, item: pytest.Item) -> bool:
    """Return whether `case` is in the comparison group of `item`."""
    given = {name: str(value) for name, value in parameters_of(item).items() if value is not None}
    limit, reader = given.get(MEMORY, case.limit), given.get(READER, case.reader)
    return (case.test, case.device, case.limit, case.reader) == (test_name(item), given.get(DEVICE), limit, reader)


def test_name(item: pytest.Item) -> str:
    """Return the item's id with its own parameters, without ours: `suites/test_networks.py::test_network[age_net]`."""
    own = own_parameters(item).values()
    return printable(item.nodeid.partition("[")[0]) + (f"[{'-'.join(own)}]" if own else "")


def own_parameters(item: pytest.Item) -> dict[str, str]:
    """Return the item's own parameters, without ours, as texts."""
    return {name: _label(item, name, value) for name, value in parameters_of(item).items() if name not in AXES}


def _label(item: pytest.Item, parameter: str, value: object) -> str:
    """Return a text for a parameter's value that is the same in every session."""
    if value is None or isinstance(value, str | int | float):
        return printable(str(value))
    name = getattr(value, "name", None)
    if isinstance(name, str):
        return printable(name)
    callspec: Any = getattr(item, "callspec", None)  # not in pytest's type of an item
    return f"{parameter}{callspec.indices[parameter]}"


def function_of(nodeid: str) -> str:
    """Return the id of a test function, without parameters."""
    return nodeid.partition("[")[0]
