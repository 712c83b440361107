"""The facts about a test item: whether it measures, its round, device, group, name and parameters. Pure functions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from pytest_edgeload.base.text import bounded, printable
from pytest_edgeload.base.units import Limit
from pytest_edgeload.plugin.axes import (
    AXES,
    DEVICE,
    MEMORY,
    PARAMETERS,
    PEER,
    POLICY,
    READER,
    ROUND,
    STORE,
    Parameters,
    Turn,
)
from pytest_edgeload.plugin.labels import label
from pytest_edgeload.results.case import Case

_MAX_ID_CHARACTERS = 200
_FIELDS = {MEMORY: "limit", POLICY: "policy", PEER: "policy", READER: "given_reader", STORE: "store"}
"""The parameters that a test passes to `edge` itself, and the fields of the case that then have them."""
_SCOPES: dict[str, Any] = {
    "class": pytest.Class,
    "module": pytest.Module,
    "package": (pytest.Package, pytest.Session),
    "session": pytest.Session,
}


def measures(item: pytest.Item) -> bool:
    """Return whether the item measures, which means that it uses the fixture `edge`."""
    return "edge" in getattr(item, "fixturenames", ())


def runs_networks(item: pytest.Item) -> bool:
    """Return whether the item uses a fixture that only tests of networks need."""
    return not {POLICY, PEER, READER, STORE, "edge_network"}.isdisjoint(getattr(item, "fixturenames", ()))


def round_of(item: pytest.Item) -> int:
    """Return the round of the item, from 0."""
    number: int = parameters_of(item).get(ROUND, 0)
    return number


def is_turn_of(turn: Turn, item: pytest.Item) -> bool:
    """Return whether the item runs for this device and round. An item without these parameters runs for any."""
    given = parameters_of(item)
    return all(given.get(axis, value) == value for axis, value in ((DEVICE, turn.device), (ROUND, turn.round)))


def parameters_of(item: pytest.Item) -> dict[str, Any]:
    """Return all parameters of the item, including ours."""
    callspec = getattr(item, "callspec", None)
    return dict(callspec.params) if callspec is not None else {}


def comparison_group(item: pytest.Item) -> object:
    """Return the group of the item: all items whose rounds are interleaved.

    It is the test with all parameters except policy, peer and round. But tests that share measurements, because a
    fixture of wider scope makes them, are one group: in each round they are made once, for all of these tests.
    """
    scope = _parameters(item).scope
    node = item.getparent(_SCOPES[scope]) if scope in _SCOPES else None
    if node is not None:
        return scope, node.nodeid
    given = parameters_of(item)
    return test_name(item), own_parameters(item), *(str(given.get(axis)) for axis in (DEVICE, MEMORY, READER, STORE))


def is_of(case: Case, item: pytest.Item) -> bool:
    """Return whether `case` is in the comparison group of `item`."""
    given = {name: str(value) for name, value in parameters_of(item).items() if name in AXES and value is not None}
    limit, reader = given.get(MEMORY, case.limit), given.get(READER, case.given_reader)
    own = (test_name(item), own_parameters(item), given.get(DEVICE), limit, reader, given.get(STORE, case.store))
    return (case.test, case.parameters, case.device, case.limit, case.given_reader, case.store) == own


def unused_parameters(item: pytest.Item, cases: Sequence[Case]) -> list[str]:
    """Return those of our parameters that no case of the item has, like `edge_mem=512M`; none without a case."""
    given = {name: value for name, value in parameters_of(item).items() if name in _FIELDS and cases}
    texts = {name: None if value is None else str(value) for name, value in given.items()}
    if texts.get(MEMORY) is not None:
        texts[MEMORY] = str(Limit.parse(str(texts[MEMORY])))  # a test may write 1024M instead of 1G
    return [
        f"{name}={text or 'none'}"
        for name, text in texts.items()
        if text not in {getattr(case, _FIELDS[name]) for case in cases}
    ]


def test_name(item: pytest.Item) -> str:
    """Return the item's id without our parameters: `suites/test_networks.py::test_network[age_net]`."""
    own = "-".join(text for names, text in _own_calls(item) if names)
    return printable(function_of(item.nodeid)) + (f"[{bounded(printable(own), _MAX_ID_CHARACTERS)}]" if own else "")


def own_parameters(item: pytest.Item) -> tuple[tuple[str, str], ...]:
    """Return the names of the item's own parameters, without ours, and texts for their values."""
    values = parameters_of(item)
    return tuple(
        (name, label(values[name]) or bounded(printable(text), _MAX_ID_CHARACTERS))
        for names, text in _own_calls(item)
        for name in names
    )


def _own_calls(item: pytest.Item) -> Iterator[tuple[tuple[str, ...], str]]:
    """Yield the own parameters of each call of `metafunc.parametrize`, and pytest's id for their values.

    pytest's id is for all parameters of a call. If some of these are ours, the id is made of the own ones.
    """
    callspec: Any = getattr(item, "callspec", None)  # not in pytest's type of an item
    if callspec is None:
        return
    calls, ids = _parameters(item).calls, callspec._idlist  # noqa: SLF001  # no public way
    if len(calls) != len(ids):  # a project can hide the id of a call, and plugins can change parameters
        calls, ids = [(name,) for name in callspec.params], [""] * len(callspec.params)
    for names, text in zip(calls, ids, strict=True):
        own = tuple(name for name in names if name not in AXES)
        labels = (label(callspec.params[name]) or f"{name}{callspec.indices[name]}" for name in own)
        yield own, text if text and len(own) == len(names) else "-".join(labels)


def _parameters(item: pytest.Item) -> Parameters:
    known = item.parent.stash.get(PARAMETERS, {}) if item.parent is not None else {}
    return known.get(getattr(item, "originalname", ""), Parameters([]))


def function_of(nodeid: str) -> str:
    """Return the id of a test function, without parameters. A folder in it may have brackets in its name."""
    path, colons, rest = nodeid.partition("::")
    return path + colons + rest.partition("[")[0]
