"""The doctor's checks of this machine, and of trees of files that imitate other machines."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest

from pytest_edgeload.base.errors import joined
from pytest_edgeload.sandbox import swap_area
from pytest_edgeload.sandbox.board.sensors import Sensors
from pytest_edgeload.sandbox.caps import CAPS, choose
from pytest_edgeload.sandbox.doctor import Check, examine, machine, sensors
from pytest_edgeload.sandbox.doctor.storage import checks as storage_checks
from tests.sandbox import witness

SHM = Path("/dev/shm")


def by_name(checks: Sequence[Check]) -> dict[str, Check]:
    """Return the checks by their names, which are unique."""
    found = {check.what: check for check in checks}
    assert len(found) == len(checks)
    return found


def tree(root: Path, files: dict[str, str]) -> Path:
    """Create files below `root` and return it."""
    for path, text in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    return root


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Check]:
    """Return the checks of this machine by name, for a cache folder that does not exist."""
    return by_name(examine(tmp_path_factory.mktemp("doctor") / "not" / "there"))


def test_sensors_of_a_board_are_listed() -> None:
    """The row of sensors lists the kinds of metrics that they give."""
    board = Sensors(zones=(Path("temp"),), pi_command="/usr/bin/vcgencmd")
    [some], [none] = sensors.checks(board), sensors.checks(Sensors())
    assert (some.ok, some.found) == (True, "temperature, throttling")
    assert (none.ok, none.found) == (False, "none")


def test_every_failed_check_has_a_hint(found: dict[str, Check]) -> None:
    """Every check has a finding, and every failed check a hint, on one line each."""
    assert all(check.found for check in found.values())
    assert [check.what for check in found.values() if not check.ok and not check.hint] == []
    assert all("\n" not in joined(check.found) + joined(check.hint) for check in found.values())


def test_page_shows_every_check(found: dict[str, Check]) -> None:
    """The page on the doctor shows every check."""
    page = (Path(__file__).parents[2] / "docs/doctor.md").read_text()
    assert [what for what in found if f" {what}  " not in page] == []


def test_caps_are_as_sessions_find_them(found: dict[str, Check]) -> None:
    """An available cap enforces a limit, another one has its reason; `auto` is the cap that sessions choose."""
    for name, cap in CAPS.items():
        if cap.enforces:
            reason = cap.unavailable()
            assert found[f"cap {name}"].ok == (reason is None)
            assert reason is None or reason.statement == found[f"cap {name}"].found
    name, cap = choose("auto")
    assert (found["cap auto"].found, found["cap auto"].ok) == (name, cap.enforces)


@pytest.mark.skipif(os.geteuid() != 0 or CAPS["cgroup1"].unavailable() is not None, reason="for root and cgroup1")
def test_version_1_counts_neither_swap_traffic_nor_stalls(found: dict[str, Check]) -> None:
    """Root with version 1 has all controllers, but no counts of a group's swap traffic and stall time."""
    assert [found[f"{name} controller"].ok for name in ("memory", "cpu", "cpuset", "io", "pids")] == [True] * 5
    assert found["peak of a group"].ok
    assert not found["swap traffic of a group"].ok
    assert not found["stall time of a group"].ok


def test_doctor_leaves_nothing(tmp_path: Path, session: str) -> None:
    """The doctor leaves no group, swap, file or folder behind."""
    examine(tmp_path / "cache")
    assert witness.groups(f"{session}-doctor") == []
    assert session not in witness.swaps()
    assert list(tmp_path.iterdir()) == []


def test_page_cache_is_dropped_on_storage(storage: Path) -> None:
    """In a folder on storage a file can be dropped from the page cache."""
    check = by_name(storage_checks(storage))["cold page cache"]
    assert check.ok, joined(check.found)


@pytest.mark.skipif(not os.access(SHM, os.W_OK) or not witness.in_memory(SHM), reason="no memory file system here")
def test_cache_in_memory_is_never_cold() -> None:
    """In a folder in memory no file is ever cold and no disk can be throttled; the hint is another folder."""
    checks = by_name(storage_checks(SHM))
    for what in ("cold page cache", "reads can be throttled"):
        assert not checks[what].ok
        assert "cache-dir" in joined(checks[what].hint)


def test_impossible_cache_folder_is_a_required_check() -> None:
    """If the cache folder cannot be created, a required check fails with the reason."""
    check = by_name(storage_checks(Path("/proc/self/edgeload")))["cache folder"]
    assert (check.ok, check.weight) == (False, "required")
    assert joined(check.found).startswith("/proc/self: ")


NEEDS_ROOT = "only root may swapon"


@pytest.mark.skipif(os.geteuid() != 0 or shutil.which("swapon", path=swap_area.PATH) is None, reason=NEEDS_ROOT)
def test_root_gets_a_swap_file(storage: Path) -> None:
    """Root gets a swap file, or the reason why the storage cannot hold one."""
    check = by_name(storage_checks(storage))["swap can be created"]
    assert check.ok or "swap" in joined(check.hint)


def test_container_is_recognized(tmp_path: Path) -> None:
    """A container is recognized by its file or its variables; the hint has the flags that allow limits."""
    checks = by_name(machine.rights(tree(tmp_path, {".dockerenv": ""}), {"KUBERNETES_SERVICE_HOST": "10.0.0.1"}))
    assert (checks["no container"].ok, checks["no container"].found) == (False, "docker, kubernetes")
    assert "--privileged --cgroupns=host" in joined(checks["no container"].hint)
    assert by_name(machine.rights(tmp_path / "none", {}))["no container"].ok


def test_capabilities_and_user_namespace_are_read(tmp_path: Path) -> None:
    """Capabilities and the user namespace are read from the kernel's files."""
    files = {"proc/self/status": "Name:\tx\nCapEff:\t0000000001000000\n", "proc/self/uid_map": "0 1000 1\n"}
    checks = by_name(machine.rights(tree(tmp_path, files), {}))
    assert checks["CAP_SYS_RESOURCE"].ok
    assert not checks["CAP_SYS_ADMIN"].ok
    assert checks["user namespace"].found == "ids are mapped: 0 1000 1"
    assert by_name(machine.rights())["user namespace"].ok == (
        Path("/proc/self/uid_map").read_text().split() == ["0", "0", "4294967295"]
    )


def test_unsteady_processors_fail(tmp_path: Path) -> None:
    """A saving governor, a turbo, missing huge pages and a slow clock fail; fixed, they pass."""
    cpu, clock = "sys/devices/system/cpu", "sys/devices/system/clocksource/clocksource0/current_clocksource"
    files = {
        f"{cpu}/cpu0/cpufreq/scaling_governor": "powersave\n",
        f"{cpu}/cpu1/cpufreq/scaling_governor": "performance\n",
        f"{cpu}/intel_pstate/no_turbo": "0\n",
        "sys/kernel/mm/transparent_hugepage/enabled": "always madvise [never]\n",
        clock: "hpet\n",
    }
    checks = by_name([*machine.processors(tree(tmp_path, files)), *machine.clock(tmp_path)])
    found = {what: checks[what].found for what in ("governor", "no turbo", "transparent huge pages", "clock source")}
    assert list(found.values()) == ["performance, powersave", "on", "always madvise [never]", "hpet"]
    assert not any(checks[what].ok for what in found)
    tree(tmp_path, {f"{cpu}/cpu0/cpufreq/scaling_governor": "performance", f"{cpu}/intel_pstate/no_turbo": "1"})
    checks = by_name(machine.processors(tmp_path))
    assert checks["governor"].ok
    assert checks["no turbo"].ok


def test_missing_pressure_names_the_parameter(tmp_path: Path) -> None:
    """Without pressure files the hint is the kernel parameter that adds them."""
    check = by_name(machine.software(tmp_path))["pressure (PSI)"]
    assert (check.ok, check.hint) == (False, "boot with the kernel parameter psi=1")
