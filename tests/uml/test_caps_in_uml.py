"""The cap that only another kernel has: the sandbox's own tests, run under cgroup v2 in User-mode Linux."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.network_cache import copy_networks
from tests.sandbox.conftest import FACTORIES
from tests.uml import guest, kernel

pytestmark = [
    pytest.mark.skipif(kernel.available() is not None, reason=kernel.available() or ""),
    pytest.mark.xdist_group("cgroup2 in User-mode Linux"),
]

CONFORMANCE = "tests/sandbox/test_caps.py"
HELD = "tests/sandbox/test_hold.py"
OTHERS = [
    "tests/measuring/test_bench.py::test_throttled_run[cgroup2]",
    "tests/sandbox/test_call.py::test_oom[cgroup2]",
    "tests/sandbox/test_command.py::test_oom[cgroup2]",
    "tests/sandbox/test_user.py::test_rights[cgroup2]",
    "tests/sandbox/test_user.py::test_rights_from_outside[cgroup2]",
    "tests/sandbox/test_user.py::test_reads[cgroup2]",
    "tests/sandbox/test_user.py::test_may_not[cgroup2]",
    "tests/faults/test_worker_faults.py::test_fork_bomb[cgroup2-command]",
    "tests/faults/test_worker_faults.py::test_memory_hog[cgroup2]",
    "tests/faults/test_worker_faults.py::test_group_gone_before[cgroup2-command]",
    "tests/accuracy/test_peaks.py::test_sampled_peak",
    "tests/accuracy/test_swap_traffic.py::test_swap_traffic",
]


@pytest.fixture(scope="module")
def prepared(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a cache folder with the network of a whole run: this kernel makes it in a tenth of the time."""
    folder = tmp_path_factory.mktemp("prepared")
    (folder / "networks_for_tests.py").write_text(FACTORIES)
    return copy_networks(shared, folder / "cache", folder, "networks_for_tests", "wide")


@pytest.fixture(scope="module")
def outcomes(prepared: Path) -> dict[str, str]:
    """Tell how each test ended in there: the conformance of the caps, a whole run that swaps, and figures."""
    environment = {"EDGELOAD_TESTS_PREPARED": str(prepared)}
    # What is not capped needs no other kernel; a group that throttles is a plain one and more.
    return guest.outcomes(CONFORMANCE, HELD, *OTHERS, chosen="not none and not plain", environment=environment)


def test_conformance(outcomes: dict[str, str]) -> None:
    """Version 2 keeps what the table of caps promises: each test of a cap has passed there for it and for no other."""
    cases = {test for test in outcomes if test.startswith(CONFORMANCE) and "[" in test}
    assert len({test.partition("[")[0] for test in cases}) >= 15
    assert [test for test in cases if "[cgroup2" not in test] == []
    assert {f"{CONFORMANCE}::test_reads_are_throttled[cgroup2-{way}]" for way in ("read", "direct", "again")} <= cases


def test_held(outcomes: dict[str, str]) -> None:
    """Version 2 holds processor time, writes and swap there, and says that it cannot hold cores."""
    names = ("test_processor_time", "test_cores", "test_writes", "test_sweep")
    assert {f"{HELD}::{name}[cgroup2]" for name in names} <= {*outcomes}


@pytest.mark.parametrize("test", OTHERS)
def test_measured(outcomes: dict[str, str], test: str) -> None:
    """Runs are measured there as here, root's rights are given up, and fork bombs, hogs and lost groups contained."""
    assert test in outcomes
