"""The parametrized fixtures: their names, and the values that a test gets for them. Every pytest start imports this."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

if TYPE_CHECKING:
    from pytest_edgeload.base.units import Limit

HOST, DEVICE, MEMORY, READER, STORE = "edge_host", "edge_device", "edge_mem", "edge_reader", "edge_store"
POLICY, PEER, ROUND = "edge_policy", "edge_peer", "edge_round"
AXES = (HOST, DEVICE, MEMORY, READER, STORE, POLICY, PEER, ROUND)
"""The fixtures that the options parametrize. The last one varies fastest."""

_SCOPES = ("function", "class", "module", "package", "session")


class Turn(NamedTuple):
    """The device and the round that an `edge` measures for."""

    device: str | None = None
    round: int = 0


class Parameters(NamedTuple):
    """The parameters of a test function: the names that each call of `metafunc.parametrize` gave, in order.

    `scope` is the widest scope of its fixtures that use `edge`. Their measurements last that long.
    """

    calls: list[tuple[str, ...]]
    scope: str = "function"


PARAMETERS = pytest.StashKey[dict[str, Parameters]]()
"""The parameters of each test function by name, in the stash of its module or class."""


def uses_ours(metafunc: pytest.Metafunc) -> bool:
    """Return whether a test uses `edge` or a parametrized fixture."""
    return not {"edge", *AXES}.isdisjoint(metafunc.fixturenames)


def watch(metafunc: pytest.Metafunc) -> Parameters:
    """Return the parameters of a test function, noted as the hooks of pytest and of the project give them.

    Our fixtures among them become indirect, and last as long as the fixtures that use `edge`: a fixture of wider scope
    can only depend on an indirect parameter, and is set up again when its value changes.
    """
    parameters = Parameters([], scope_of(metafunc.definition._fixtureinfo.name2fixturedefs))  # noqa: SLF001  # no public way
    give = metafunc.parametrize

    def parametrize(*args: Any, **kwargs: Any) -> None:
        given = inspect.signature(give).bind(*args, **kwargs).arguments
        names = given["argnames"]
        names = [name.strip() for name in names.split(",") if name.strip()] if isinstance(names, str) else list(names)
        ours = [name for name in names if name in AXES]
        if ours and given.get("indirect") is not True:
            given["indirect"] = list(dict.fromkeys([*(given.get("indirect") or ()), *ours]))
        if ours == names and given.get("scope") is None:
            given["scope"] = parameters.scope
        give(**given)
        parameters.calls.append(tuple(names))

    metafunc.parametrize = parametrize  # type: ignore[method-assign]
    collector = metafunc.definition.parent
    assert collector is not None  # a function is in a module or class
    collector.stash.setdefault(PARAMETERS, {})[metafunc.definition.name] = parameters
    return parameters


def scope_of(fixtures: Mapping[str, Sequence[pytest.FixtureDef[Any]]]) -> str:
    """Return the widest scope of the fixtures that use `edge`; `function` without such a fixture."""
    users = {"edge"}
    while more := {name for name in fixtures if name not in users and _uses(fixtures[name], users)}:
        users |= more
    scopes = [fixture.scope for name in users - {"edge"} for fixture in fixtures[name]]
    return max(scopes, key=_SCOPES.index, default="function")


def _uses(fixtures: Sequence[pytest.FixtureDef[Any]], names: set[str]) -> bool:
    return any(not names.isdisjoint(fixture.argnames) for fixture in fixtures)


def parametrize(
    metafunc: pytest.Metafunc,
    parameters: Parameters,
    axes: Mapping[str, Sequence[Any]],
    memory: Mapping[str | None, Sequence[Limit | None]],
) -> None:
    """Give a test the values of `axes` for each of our fixtures that it uses and that is not in `parameters`.

    `memory` has the limits of each device.
    """
    own = {name for names in parameters.calls for name in names}
    # Without hosts, without a device, with plain weights and with one round, the fixture has its only value and is
    # not in the id.
    hidden = {
        axis
        for axis, alone in ((HOST, None), (DEVICE, None), (STORE, "plain"), (ROUND, 0))
        if list(axes[axis]) == [alone]
    }
    left = [axis for axis in AXES if axis in metafunc.fixturenames and axis not in own | hidden]
    if left[:1] == [HOST]:
        _give(metafunc, (HOST,), [(value,) for value in axes[HOST]])
        left = left[1:]
    if left[:2] == [DEVICE, MEMORY]:
        pairs = [(device, limit) for device in axes[DEVICE] for limit in memory[device]]
        _give(metafunc, (DEVICE, MEMORY), pairs)
        left = left[2:]
    for axis in left:
        _give(metafunc, (axis,), [(value,) for value in axes[axis]])


def _give(metafunc: pytest.Metafunc, names: tuple[str, ...], values: Sequence[tuple[Any, ...]]) -> None:
    ids = ["-".join(map(_id, names, value)) for value in values]
    metafunc.parametrize(names, values, ids=ids, indirect=True)


def _id(name: str, value: object) -> str:
    return f"round{value}" if name == ROUND else str(value or "none")
