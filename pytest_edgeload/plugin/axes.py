"""The parametrized fixtures: their names, and the values that a test gets for them. Every pytest start imports this."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pytest_edgeload.base.units import Limit

DEVICE, MEMORY, READER = "edge_device", "edge_mem", "edge_reader"
POLICY, PEER, ROUND = "edge_policy", "edge_peer", "edge_round"
AXES = (DEVICE, MEMORY, READER, POLICY, PEER, ROUND)
"""The fixtures that the options parametrize. The last one varies fastest."""


def uses_ours(metafunc: pytest.Metafunc) -> bool:
    """Return whether a test uses `edge` or a parametrized fixture."""
    return not {"edge", *AXES}.isdisjoint(metafunc.fixturenames)


def parametrize(
    metafunc: pytest.Metafunc, axes: Mapping[str, Sequence[Any]], memory: Mapping[str | None, Sequence[Limit | None]]
) -> None:
    """Give a test the values of `axes` for each of our fixtures that it uses and does not parametrize itself.

    `memory` has the limits of each device.
    """
    own = {
        name.strip()
        for mark in metafunc.definition.iter_markers("parametrize")
        for names in [mark.args[0] if mark.args else mark.kwargs["argnames"]]
        for name in (names.split(",") if isinstance(names, str) else names)
    }
    used = metafunc.fixturenames
    hidden = {axis for axis, alone in ((DEVICE, None), (ROUND, 0)) if list(axes[axis]) == [alone]}
    if "edge" in used:
        used += [axis for axis in (DEVICE, ROUND) if axis not in {*used, *hidden}]
    # Without a device, the fixture is None and not a part of the id.
    left = [axis for axis in AXES if axis in used and axis not in own and axis not in hidden - {ROUND}]
    if left[:2] == [DEVICE, MEMORY]:
        pairs = [(device, limit) for device in axes[DEVICE] for limit in memory[device]]
        _give(metafunc, (DEVICE, MEMORY), pairs)
        left = left[2:]
    for axis in left:
        _give(metafunc, (axis,), [(value,) for value in axes[axis]])


def _give(metafunc: pytest.Metafunc, names: tuple[str, ...], values: Sequence[tuple[Any, ...]]) -> None:
    ids = ["-".join(map(_id, names, value)) for value in values]
    # With another scope, pytest would group the items by value. `ordering` orders them instead.
    metafunc.parametrize(names, values, ids=ids, indirect=True, scope="function")


def _id(name: str, value: object) -> str:
    return f"round{value}" if name == ROUND else str(value or "none")
