"""The cap that needs another kernel: the sandbox's own tests, run under cgroup v2 in User-mode Linux."""

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
CONSTRAINTS = "tests/sandbox/test_constraints.py"
OTHERS = [
    "tests/measuring/test_bench.py::test_throttle_limits_reads_including_swap[cgroup2]",
    "tests/sandbox/test_call.py::test_function_is_killed_at_its_limit[cgroup2]",
    "tests/sandbox/test_command.py::test_program_is_killed_at_its_limit[cgroup2]",
    "tests/sandbox/test_command.py::test_processes_count_together[cgroup2-service]",
    "tests/sandbox/test_leftovers.py::test_every_round_starts_without_the_files_of_the_last[cgroup2]",
    "tests/sandbox/test_user.py::test_function_has_the_right_to_read_alone[cgroup2]",
    "tests/sandbox/test_user.py::test_service_has_no_more_rights[cgroup2]",
    "tests/sandbox/test_user.py::test_worker_reads_files_of_root[cgroup2]",
    "tests/sandbox/test_user.py::test_worker_cannot_change_anything_of_root[cgroup2]",
    "tests/sandbox/test_visible.py::test_psutil_and_free_show_the_limit[cgroup2]",
    "tests/sandbox/test_visible.py::test_files_show_the_limit_to_the_user_of_runs[cgroup2]",
    "tests/faults/test_worker_faults.py::test_fork_bomb_reaches_its_limit[cgroup2-command]",
    "tests/faults/test_worker_faults.py::test_memory_hog_gets_no_more_than_its_limit[cgroup2]",
    "tests/faults/test_worker_faults.py::test_group_removed_before_the_start_is_named[cgroup2-command]",
    "tests/accuracy/test_peaks.py::test_sampled_peak_is_near_the_kernels",
    "tests/accuracy/test_swap_traffic.py::test_swap_traffic_agrees_with_vmstat",
]


@pytest.fixture(scope="module")
def prepared(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a cache folder with the network of a whole run: this kernel makes it in a tenth of the time."""
    folder = tmp_path_factory.mktemp("prepared")
    (folder / "networks_for_tests.py").write_text(FACTORIES)
    return copy_networks(shared, folder / "cache", folder, "networks_for_tests", "wide")


@pytest.fixture(scope="module")
def outcomes(prepared: Path) -> dict[str, str]:
    """Return the outcome of each test there: the conformance of the caps, a whole run that swaps, and figures."""
    environment = {"EDGELOAD_TESTS_PREPARED": str(prepared)}
    # What is not capped needs no other kernel; a group that throttles is a plain one and more.
    return guest.outcomes(CONFORMANCE, CONSTRAINTS, *OTHERS, chosen="not none and not plain", environment=environment)


def test_version_2_keeps_the_promises_of_the_table(outcomes: dict[str, str]) -> None:
    """Version 2 keeps the promises of the table of caps: each test of a cap has passed for it, and for no other."""
    cases = {test for test in outcomes if test.startswith(CONFORMANCE) and "[" in test}
    assert len({test.partition("[")[0] for test in cases}) >= 15
    assert [test for test in cases if "[cgroup2" not in test] == []
    assert {f"{CONFORMANCE}::test_reads_are_throttled[cgroup2-{way}]" for way in ("read", "direct", "again")} <= cases


def test_version_2_enforces_constraints(outcomes: dict[str, str]) -> None:
    """Version 2 enforces processor time, writes and swap, and has cores as a shortfall."""
    names = (
        "test_process_gets_its_processor_time",
        "test_process_runs_on_its_cores",
        "test_writes_are_throttled",
        "test_group_with_all_constraints_is_swept",
    )
    assert {f"{CONSTRAINTS}::{name}[cgroup2]" for name in names} <= {*outcomes}


@pytest.mark.parametrize("test", OTHERS)
def test_version_2_measures_as_here(outcomes: dict[str, str], test: str) -> None:
    """Runs are measured as here, root's rights are dropped; fork bombs, memory hogs and lost groups are contained."""
    assert test in outcomes
