"""The fixtures: what a test that measures is written with."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from os import PathLike
from typing import TYPE_CHECKING, Any, cast

import pytest

from pytest_edgeload.base.errors import Refusal, check_name
from pytest_edgeload.base.text import MOST
from pytest_edgeload.plugin.options import sent, spell

if TYPE_CHECKING:
    from pytest_edgeload.base.units import Limit
    from pytest_edgeload.plugin.hooks import Edgeload
    from pytest_edgeload.results.record import Measurement, Record
    from pytest_edgeload.workload import Mix

DEVICE, MEMORY, POLICY, PEER, ROUND = "edge_device", "edge_mem", "edge_policy", "edge_peer", "edge_round"
AXES = (DEVICE, MEMORY, "edge_reader", POLICY, PEER, ROUND)
"""The fixtures that the options give values to, the fastest varying last."""

_EDGELOAD = pytest.StashKey["Edgeload"]()


def start(config: pytest.Config) -> Edgeload:
    """Return the running plugin, started when first asked for."""
    if _EDGELOAD not in config.stash:
        from pytest_edgeload.plugin.hooks import Edgeload  # noqa: PLC0415  # heavy: not for every pytest start

        config.stash[_EDGELOAD] = Edgeload(config)
        config.pluginmanager.register(config.stash[_EDGELOAD], "edgeload-session")
    return config.stash[_EDGELOAD]


class Edge:
    """Runs workloads, functions and programs in capped workers: each is one worker process and one measurement."""

    def __init__(self, running: Edgeload) -> None:
        self._running = running

    @property
    def disabled(self) -> bool:
        """Whether --edge-disable is given: `run` then asks the first request alone, so assert nothing of the others."""
        return self._running.settings.disable

    def run(
        self,
        workload: Mix | Sequence[str],
        *,
        policy: str = "bulk",
        memory: Limit | str | None = None,
        reader: str = "read",
    ) -> Measurement:
        """Carry out `workload` once under `policy`, in a worker that may use `memory` bytes; return what was seen.

        `workload` is a `Mix`, or the names of networks to ask once each. `policy` may also name a peer. `memory` is a
        limit or its text (`"512M"`, `"base+256M"`); None is the device's memory, or without a device no limit. What
        happens to the worker (killed for memory, too slow, crashed, wrong) is the measurement's `outcome`. Raises
        UsageError for a name or a limit that makes no sense, or a workload that a peer cannot be asked, DamagedNetwork
        or PreparationFailed for a network that cannot be had, InvalidPlan for a policy that fails.
        """
        __tracebackhide__ = True
        try:
            return self._running.run(workload, policy=policy, memory=memory, reader=reader)
        except Refusal as error:  # the caller's own line says more than our frames
            raise error.spelled(spell).with_traceback(None) from None

    def call(
        self,
        function: Callable[..., object],
        *args: object,
        memory: Limit | str | None = None,
        name: str | None = None,
        **kwargs: object,
    ) -> Measurement:
        """Call `function` once in a worker without PyTorch that may use `memory` bytes; return what was seen.

        The makespan is that of the call: its imports and arguments come before. What it returns is `returned`, if JSON
        can hold it. An AssertionError is the outcome `wrong`, another exception `crashed`. `name` is what its row is
        called. Functions, classes and data of the test's own module travel to the worker; other modules are imported
        there. Raises UsageError for what cannot be pickled, or a limit that the worker itself exceeds.
        """
        __tracebackhide__ = True
        from pytest_edgeload.plugin.programs import Call  # noqa: PLC0415  # heavy: not for every pytest start

        try:
            return self._running.run_program(Call(function, args, kwargs, name), memory)
        except Refusal as error:
            raise error.spelled(spell).with_traceback(None) from None

    def command(
        self,
        argv: Sequence[str | PathLike[str]],
        *,
        memory: Limit | str | None = None,
        name: str | None = None,
        env: Mapping[str, str] | None = None,
        cwd: str | PathLike[str] | None = None,
        stdin: bytes | str | None = None,
        ready: Callable[[], object] | str | None = None,
        ask: Callable[[], object] | None = None,
    ) -> Measurement:
        """Run a program once, with what it starts, in a group that may use `memory` bytes; return what was seen.

        The makespan is from its start to its end; an exit status other than 0 is the outcome `crashed`. `env` is added
        to pytest's environment; `name` is what its row is called. A service is `ready` when a function returns true, or
        when `"tcp:HOST:PORT"` or `"http://..."` answers; then the makespan is that of `ask()`, which runs in pytest's
        process, and the service is ended by SIGTERM. Raises UsageError for a program that is not there, a limit
        relative to `base`, or a service that is ready before it has started.
        """
        __tracebackhide__ = True
        from pytest_edgeload.plugin.programs import Command  # noqa: PLC0415  # the same

        try:
            return self._running.run_program(Command(argv, name, env or {}, cwd, stdin, ready, ask), memory)
        except Refusal as error:
            raise error.spelled(spell).with_traceback(None) from None

    def service_s(self, workload: Mix | Sequence[str]) -> float:
        """Return the seconds that one batch of `workload` takes in the mean when it has the machine to itself.

        The sum over its requests of what their network takes alone, from a cold cache and with all memory; the session
        keeps to what it measured first. Arrival times relative to it make the same load on fast machines and slow ones.
        """
        __tracebackhide__ = True
        try:
            return self._running.service_s(as_mix(workload))
        except Refusal as error:
            raise error.spelled(spell).with_traceback(None) from None


def as_mix(workload: Mix | Sequence[str]) -> Mix:
    """Return `workload` as a mix; a sequence of names asks each network once and is called after them."""
    from pytest_edgeload.workload import Mix  # noqa: PLC0415  # heavy: not for every pytest start

    if isinstance(workload, Mix):
        return workload
    names = [workload] if isinstance(workload, str) else list(workload)
    for name in names:
        check_name("network", name)
    return Mix.of("+".join(names)[:MOST], names)


@pytest.fixture(scope="session")
def edge(request: pytest.FixtureRequest) -> Edge:
    """Run a workload in a capped worker process: `edge.run(workload, policy=..., memory=...)`.

    Or a function, `edge.call(function, *args, memory=...)`, or any program, `edge.command([...], memory=...)`.
    Session-scoped, so that tests under hypothesis' `@given` may use it.
    """
    return Edge(start(request.config))


@pytest.fixture(scope="session")
def edge_network(request: pytest.FixtureRequest) -> Iterator[Callable[..., str]]:
    """Make a network of a model at hand: `edge_network(name, model, *samples)` returns the name, for `edge.run`.

    The model is an `nn.Module`, a `torch.export.ExportedProgram` or the path of a .pt2 file; the last two bring the
    inputs that they were exported with, where no samples are given. A sample is a tuple of positional inputs, a dict of
    keyword inputs, or `pytest_edgeload.Inputs`. A model is exported again only when its
    weights or the samples have changed.
    """
    live = start(request.config).live

    def make(name: str, model: Any, *samples: Any) -> str:
        __tracebackhide__ = True
        try:
            return live.make(name, model, *samples)
        except Refusal as error:
            raise error.spelled(spell).with_traceback(None) from None

    yield make
    live.clear()


@pytest.fixture(scope="session")
def edge_policies(request: pytest.FixtureRequest) -> tuple[str, ...]:
    """Give the names of all policies that --edge-policy names, for a test that runs them itself."""
    return tuple(start(request.config).axes()[POLICY])


@pytest.fixture(scope="session")
def edge_examples(request: pytest.FixtureRequest) -> int:
    """Give how many workloads a test is to draw: --edge-examples."""
    return start(request.config).settings.examples


@pytest.fixture(scope="session")
def edge_seed(request: pytest.FixtureRequest) -> int:
    """Give the seed to draw workloads by: --edge-seed, or one that the whole session shares and prints."""
    return start(request.config).seed


@pytest.fixture
def edge_records(request: pytest.FixtureRequest) -> tuple[Record, ...]:
    """Give all that the session has measured so far; tests that use it run last, and are skipped under pytest-xdist."""
    if sent(request.config) is not None:
        pytest.skip("judges what the session measured; under pytest-xdist others may still be measuring")
    return start(request.config).measured()


@pytest.fixture(scope="session")
def edge_policy(request: pytest.FixtureRequest) -> str:
    """Give the name of a loading policy; the test runs once for each that --edge-policy names."""
    return cast("str", request.param)


@pytest.fixture(scope="session")
def edge_peer(request: pytest.FixtureRequest) -> str:
    """Give what --edge-policy names, and then each registered peer; the test runs once for each."""
    return cast("str", request.param)


@pytest.fixture(scope="session")
def edge_device(request: pytest.FixtureRequest) -> str | None:
    """Give the name of what stands for a board, or None; what uses `edge` runs once for each of --edge-device."""
    return cast("str | None", getattr(request, "param", None))


@pytest.fixture(scope="session")
def edge_mem(request: pytest.FixtureRequest) -> Limit | None:
    """Give the memory limit of the worker; the test runs once for each that --edge-mem names, or the device has."""
    return cast("Limit | None", request.param)


@pytest.fixture(scope="session")
def edge_reader(request: pytest.FixtureRequest) -> str:
    """Give the name of a reader; the test runs once for each that --edge-reader names."""
    return cast("str", request.param)


@pytest.fixture(scope="session")
def edge_round(request: pytest.FixtureRequest) -> int:
    """Give the number of the round, from 0; a test that uses `edge` runs once for each of --edge-rounds."""
    return cast("int", request.param)


def uses_ours(metafunc: pytest.Metafunc) -> bool:
    """Tell whether a test uses any of our fixtures."""
    return not {"edge", *AXES}.isdisjoint(metafunc.fixturenames)


def parametrize(
    metafunc: pytest.Metafunc, axes: Mapping[str, Sequence[Any]], memory: Mapping[str | None, Sequence[Limit | None]]
) -> None:
    """Give a test the values of `axes` for those of our fixtures that it uses and does not parametrize itself.

    `memory` are the limits under each device.
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
    # Without a device the fixture is None, and no part of the id.
    left = [axis for axis in AXES if axis in used and axis not in own and axis not in hidden - {ROUND}]
    if left[:2] == [DEVICE, MEMORY]:
        pairs = [(device, limit) for device in axes[DEVICE] for limit in memory[device]]
        _give(metafunc, (DEVICE, MEMORY), pairs)
        left = left[2:]
    for axis in left:
        _give(metafunc, (axis,), [(value,) for value in axes[axis]])


def _give(metafunc: pytest.Metafunc, names: tuple[str, ...], values: Sequence[tuple[Any, ...]]) -> None:
    ids = ["-".join(map(_id, names, value)) for value in values]
    # Scope "function" keeps pytest from regrouping the items by value; we order them ourselves.
    metafunc.parametrize(names, values, ids=ids, indirect=True, scope="function")


def _id(name: str, value: object) -> str:
    return f"round{value}" if name == ROUND else str(value or "none")
