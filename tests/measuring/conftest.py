"""A bench for the tests of measuring, with the same real caps, swap and networks as the tests of the sandbox."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator

import pytest

from pytest_edgeload.devices.constraints import Constraints
from pytest_edgeload.measuring.bench import Bench
from pytest_edgeload.measuring.launcher import Launcher
from pytest_edgeload.networks.registry import Registry
from pytest_edgeload.policies import POLICIES
from pytest_edgeload.results.case import Case
from pytest_edgeload.sandbox.caps import Cap
from pytest_edgeload.sandbox.swap import Swap
from tests.measuring.parts import TIGHT, CountingCap
from tests.sandbox.conftest import (
    any_cap,
    any_cap_name,
    cap,
    cap_name,
    fresh,
    nothing_left,
    opened,
    reads,
    registry,
    session,
    storage,
    swap,
    throttle,
)

__all__ = [
    "any_cap",
    "any_cap_name",
    "cap",
    "cap_name",
    "fresh",
    "nothing_left",
    "opened",
    "reads",
    "registry",
    "session",
    "storage",
    "swap",
    "throttle",
]


@pytest.fixture(scope="module")
def own_lock(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Use another host lock than other tests, because no timing is asserted here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tempfile, "tempdir", str(tmp_path_factory.mktemp("lock")))
        yield


@pytest.fixture(scope="module")
def counting(cap: Cap) -> CountingCap:
    """Return the cap, which counts."""
    return CountingCap(cap)


@pytest.fixture(scope="module")
def bench(
    own_lock: None,
    counting: CountingCap,
    swap: Swap,
    registry: Registry,
    session: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Bench:
    """Return a bench with the built-in policies and swap."""
    launcher = Launcher(counting, swap, session, timeout_s=60.0)
    return Bench(launcher, registry, POLICIES, tmp_path_factory.mktemp("session"), lambda *_: None)


@pytest.fixture
def case(cap_name: str) -> Case:
    """Return a case of bulk without a limit."""
    return Case(
        test="test",
        workload="workload",
        policy="bulk",
        reader="read",
        cap=cap_name,
        swap="512M",
        constraints=Constraints(threads=2),
    )


@pytest.fixture(scope="module")
def tight_bytes(bench: Bench) -> int:
    """Return the limit that the wide network does not fit under."""
    limit_bytes = bench.calibration.limit_bytes(TIGHT)
    assert limit_bytes is not None
    return limit_bytes
