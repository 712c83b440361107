"""The fixtures: what a test that measures is written with."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

import pytest

from pytest_edgeload.errors import Refusal

if TYPE_CHECKING:
    from pytest_edgeload.plugin.hooks import Edgeload
    from pytest_edgeload.results.record import Measurement
    from pytest_edgeload.units import Limit
    from pytest_edgeload.workload import Mix

POLICY, ROUND = "edge_policy", "edge_round"
AXES = ("edge_mem", "edge_reader", POLICY, ROUND)
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
    """Runs workloads in capped workers. One call is one worker process and one measurement."""

    def __init__(self, run: Callable[..., Measurement]) -> None:
        self._run = run

    def run(
        self,
        workload: Mix | Sequence[str],
        *,
        policy: str = "bulk",
        memory: Limit | str | None = None,
        reader: str = "read",
    ) -> Measurement:
        """Carry out `workload` once under `policy`, in a worker that may use `memory` bytes; return what was seen.

        `workload` is a `Mix`, or the names of networks to ask once each. `memory` is a limit or its text (`"512M"`,
        `"base+256M"`); None sets none. What happens to the worker (killed for memory, too slow, crashed, wrong) is
        the measurement's `outcome`. Raises UsageError for a name or a limit that makes no sense, DamagedNetwork or
        PreparationFailed for a network that cannot be had, InvalidPlan for a policy that fails.
        """
        __tracebackhide__ = True
        try:
            return self._run(workload, policy=policy, memory=memory, reader=reader)
        except Refusal as error:  # the caller's own line says more than our frames
            raise error.with_traceback(None) from None


@pytest.fixture(scope="session")
def edge(request: pytest.FixtureRequest) -> Edge:
    """Run a workload in a capped worker process: `edge.run(workload, policy=..., memory=...)`.

    Session-scoped, so that tests under hypothesis' `@given` may use it.
    """
    return Edge(start(request.config).run)


@pytest.fixture(scope="session")
def edge_policy(request: pytest.FixtureRequest) -> str:
    """Give the name of a loading policy; the test runs once for each that --edge-policy names."""
    return cast("str", request.param)


@pytest.fixture(scope="session")
def edge_mem(request: pytest.FixtureRequest) -> Limit | None:
    """Give the memory limit of the worker; the test runs once for each that --edge-mem names."""
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


def parametrize(metafunc: pytest.Metafunc, axes: Mapping[str, Sequence[Any]]) -> None:
    """Give a test the values of `axes` for those of our fixtures that it uses and does not parametrize itself."""
    own = {
        name.strip()
        for mark in metafunc.definition.iter_markers("parametrize")
        for names in [mark.args[0] if mark.args else mark.kwargs["argnames"]]
        for name in (names.split(",") if isinstance(names, str) else names)
    }
    if "edge" in metafunc.fixturenames and len(axes[ROUND]) > 1 and ROUND not in metafunc.fixturenames:
        metafunc.fixturenames.append(ROUND)
    for fixture in AXES:
        values = axes[fixture]
        if fixture in metafunc.fixturenames and fixture not in own:
            ids = [f"round{value}" if fixture == ROUND else str(value or "none") for value in values]
            # Scope "function" keeps pytest from regrouping the items by value; we order them ourselves.
            metafunc.parametrize(fixture, list(values), ids=ids, indirect=True, scope="function")
