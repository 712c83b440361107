"""The fixtures of tests that measure. Every pytest start imports this file, so it imports little."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from os import PathLike
from typing import TYPE_CHECKING, Any, cast

import pytest

from pytest_edgeload.base.errors import Refusal
from pytest_edgeload.plugin.axes import DEVICE, HOST, MEMORY, PEER, POLICY, READER, ROUND, STORE, Turn
from pytest_edgeload.plugin.options import sent, spell
from pytest_edgeload.plugin.start import start

if TYPE_CHECKING:
    from pytest_edgeload.base.units import Limit
    from pytest_edgeload.plugin.running import Running
    from pytest_edgeload.results.measurement import Measurement
    from pytest_edgeload.results.record import Record
    from pytest_edgeload.results.source import MetricSource
    from pytest_edgeload.workload import Mix


class _ShortRefusals:
    """Spells the options of a refusal, and leaves out our frames, because the caller's own line says more.

    A class, because pytest would show the frames of `contextlib`.
    """

    def __enter__(self) -> None:
        pass

    def __exit__(self, _type: object, error: BaseException | None, _traceback: object) -> None:
        __tracebackhide__ = True
        if isinstance(error, Refusal):
            raise error.spelled(spell).with_traceback(None) from None


class Edge:
    """Measures workloads, functions and commands. Each call is one worker process and one measurement."""

    def __init__(self, running: Running, turn: Turn) -> None:
        self._running = running
        self._turn = turn

    @property
    def disabled(self) -> bool:
        """Whether --edge-disable is given. Then `run` only asks the first request, so do not assert on the others."""
        return self._running.setup.settings.disable

    def run(
        self,
        workload: Mix | Sequence[str],
        *,
        policy: str = "bulk",
        memory: Limit | str | int | None = None,
        reader: str = "auto",
        store: str = "plain",
    ) -> Measurement:
        """Carry out `workload` once under `policy`, in a worker with the limit `memory`, and return the measurement.

        `workload` is a `Mix`, or the names of networks to ask once each. `policy` may also name a peer. `memory` is a
        limit, its text (`"512M"`, `"base+256M"`) or a number of bytes; None means the memory of the device, or no limit
        without a device. `reader` is the name of a reader: `"read"`, `"mmap"`, `"direct"`, or `"auto"` for the best
        one. `store` is the form in which weights are stored, `"plain"` or `"compressed"`. If the worker is killed,
        takes too long, crashes or computes wrong outputs, the `outcome` of the measurement says so. Raises UsageError
        for an unknown name, a limit that an idle worker exceeds, or a workload that a peer cannot answer;
        DamagedNetwork or PreparationFailed if a network cannot be loaded or made; and InvalidPlan if the policy fails.
        """
        __tracebackhide__ = True
        with _ShortRefusals():
            return self._running.run(self._turn, workload, policy=policy, memory=memory, reader=reader, store=store)

    def call(
        self,
        function: Callable[..., object],
        *args: object,
        memory: Limit | str | int | None = None,
        name: str | None = None,
        metrics: Mapping[str, MetricSource | str] | Sequence[str] | None = None,
        repeat: int = 1,
        workload: Mix | Sequence[str] | None = None,
        reader: str = "auto",
        **kwargs: object,
    ) -> Measurement:
        """Call `function` once, in a worker without PyTorch with the limit `memory`, and return the measurement.

        The function gets the arguments `args` and `kwargs`. The makespan is the time of the call; imports and arguments
        are loaded before it. The result is in `returned` if JSON can represent it. An AssertionError is the outcome
        `wrong`, any other exception `crashed`. `name` names the row. `metrics` are keys of the mapping that it returns,
        or paths by name of the metric: `{"tokens_per_s": "$.timings.predicted"}`. It is called `repeat` times in one
        worker; if that is more than once, the seconds of each repetition, the memory after it, and the `leak` are
        metrics. A function that answers `workload`, like `edge.run`, has its row among those of the policies with the
        same `reader`; only its outputs are not compared. The worker gets the functions, classes and data of the test's
        own module by value, and imports all other modules. Raises UsageError for arguments that cannot be pickled, or a
        limit that the worker itself exceeds.
        """
        __tracebackhide__ = True
        from pytest_edgeload.plugin.programs import CallSpec  # noqa: PLC0415  # see the first lines

        with _ShortRefusals():
            spec = CallSpec(function, args, kwargs, name, metrics, repeat)
            return self._running.run_program(self._turn, spec, memory, workload, reader)

    def command(
        self,
        argv: Sequence[str | bytes | float | PathLike[str]],
        *,
        memory: Limit | str | int | None = None,
        name: str | None = None,
        env: Mapping[str, str | bytes | float | PathLike[str]] | None = None,
        cwd: str | PathLike[str] | None = None,
        stdin: bytes | str | None = None,
        ready: Callable[[], object] | str | None = None,
        ask: Callable[[], object] | None = None,
        metrics: Mapping[str, MetricSource | str] | Sequence[str] | None = None,
    ) -> Measurement:
        """Run a command and its child processes once, with the limit `memory`, and return the measurement.

        `argv` is the program and its arguments, `cwd` its working directory, and `stdin` its input. The makespan is the
        time from its start to its end. An exit status other than 0 is the outcome `crashed`. `env` is added to pytest's
        environment, of which instruments are left out, and `name` names the row. A service is `ready` when a function
        returns true, or when `"tcp:HOST:PORT"` or `"http://..."` answers; then the makespan is the time of `ask`, a
        function that runs in pytest's process, and SIGTERM ends the service. `metrics` are the sources of its own
        metrics by name: `$.path` in JSON that it prints or that `ask` returns, `file.json:$.path`, or `/expression/`
        for its output, with a group `value`. Raises UsageError for a command that does
        not exist, a limit relative to `base`, or a service that is ready before it has started.
        """
        __tracebackhide__ = True
        from pytest_edgeload.plugin.programs import CommandSpec  # noqa: PLC0415  # see the first lines

        with _ShortRefusals():
            spec = CommandSpec(argv, name, env, cwd, stdin, ready, ask, metrics)
            return self._running.run_program(self._turn, spec, memory)

    def service_s(self, workload: Mix | Sequence[str]) -> float:
        """Return the mean time in seconds of one batch of `workload` that has the machine to itself.

        It is the sum over the requests of the time of their network alone, from a cold cache and with all memory. It is
        measured once per session. For arrivals and deadlines relative to it, use `Mix.in_service_times`: its case is
        the same in every session, so the gate can judge it.
        """
        __tracebackhide__ = True
        with _ShortRefusals():
            return self._running.service_s(self._turn, workload)


def _value(request: pytest.FixtureRequest, axis: str) -> Any:
    """Return the value that the test has for a parametrized fixture, or its only value if the test has none.

    Raises UsageError if there are several values, because the test does not run for each of them.
    """
    __tracebackhide__ = True
    if hasattr(request, "param"):
        return request.param
    with _ShortRefusals():
        return start(request.config).collection.only_value(axis)


@pytest.fixture(scope="session")
def edge(request: pytest.FixtureRequest, edge_host: str | None, edge_device: str | None, edge_round: int) -> Edge:
    """Measure a workload in a worker process with a memory limit: `edge.run(workload, policy=..., memory=...)`.

    `edge.call(function, *args, memory=...)` measures a function, and `edge.command([...], memory=...)` any program. The
    fixture is session-scoped, so tests with hypothesis' `@given` and fixtures of any scope can use it. A fixture that
    uses it is set up again for each device and round.
    """
    del edge_host  # it makes the name of the host a part of the id of the test
    return Edge(start(request.config).running, Turn(edge_device, edge_round))


@pytest.fixture(scope="session")
def edge_network(request: pytest.FixtureRequest) -> Iterator[Callable[..., str]]:
    """Turn a model into a network: `edge_network(name, model, *samples)` returns its name, for `edge.run`.

    The model is an `nn.Module`, a `torch.export.ExportedProgram` or the path of a .pt2 file. The last two have the
    inputs of their export, which are used if no samples are given. It may also be an .edgenet file, which has its own
    samples. A sample is a tuple of positional inputs, a dict of
    keyword inputs, or `pytest_edgeload.Inputs`. A model is exported again only if its weights, its computation or the
    samples change. `tolerance=` is the largest difference from plain PyTorch's outputs, relative to the largest value.
    """
    running = start(request.config).running

    def make(name: str, model: Any, *samples: Any, tolerance: float | None = None) -> str:
        __tracebackhide__ = True
        with _ShortRefusals():
            return running.make_network(name, model, *samples, tolerance=tolerance)

    yield make
    running.live.clear()


@pytest.fixture(scope="module")
def edge_policies(request: pytest.FixtureRequest) -> tuple[str, ...]:
    """Return the names of --edge-policy and --edge-peer, for a test that loops over them itself."""
    return start(request.config).collection.policies(request.node)


@pytest.fixture(scope="session")
def edge_examples(request: pytest.FixtureRequest) -> int:
    """Return the number of workloads that a test should draw: --edge-examples."""
    return start(request.config).running.setup.settings.examples


@pytest.fixture(scope="session")
def edge_seed(request: pytest.FixtureRequest) -> int:
    """Return the seed of drawn workloads: --edge-seed, or a new seed that the session prints."""
    return start(request.config).running.setup.seed


@pytest.fixture
def edge_records(request: pytest.FixtureRequest) -> tuple[Record, ...]:
    """Return the records of the session so far. Tests that use it run last, and are skipped under pytest-xdist."""
    if sent(request.config) is not None:
        pytest.skip("judges the records of the session; under pytest-xdist, others may still be measuring")
    return start(request.config).running.records()


@pytest.fixture(scope="session")
def edge_policy(request: pytest.FixtureRequest) -> str:
    """Return the name of a policy. The test runs once for each name of --edge-policy and --edge-peer."""
    return cast("str", _value(request, POLICY))


@pytest.fixture(scope="session")
def edge_peer(request: pytest.FixtureRequest) -> str:
    """Return the name of a policy or peer. The test runs once for each of --edge-policy, and of --edge-peer or all."""
    return cast("str", _value(request, PEER))


@pytest.fixture(scope="session")
def edge_host(request: pytest.FixtureRequest) -> str | None:
    """Return the name of the host, or None. A test that uses `edge` runs on each host of --edge-hosts."""
    return cast("str | None", _value(request, HOST))


@pytest.fixture(scope="session")
def edge_device(request: pytest.FixtureRequest) -> str | None:
    """Return the name of the device, or None. A test that uses `edge` runs once for each device of --edge-device."""
    return cast("str | None", _value(request, DEVICE))


@pytest.fixture(scope="session")
def edge_mem(request: pytest.FixtureRequest) -> Limit | None:
    """Return a memory limit. The test runs once for each limit of --edge-mem, or with the limit of the device."""
    return cast("Limit | None", _value(request, MEMORY))


@pytest.fixture(scope="session")
def edge_reader(request: pytest.FixtureRequest) -> str:
    """Return the name of a reader. The test runs once for each reader of --edge-reader."""
    return cast("str", _value(request, READER))


@pytest.fixture(scope="session")
def edge_store(request: pytest.FixtureRequest) -> str:
    """Return the form in which weights are stored. The test runs once for each form of --edge-store."""
    return cast("str", _value(request, STORE))


@pytest.fixture(scope="session")
def edge_round(request: pytest.FixtureRequest) -> int:
    """Return the number of the round, from 0. A test that uses `edge` runs once for each round of --edge-rounds."""
    return cast("int", _value(request, ROUND))
