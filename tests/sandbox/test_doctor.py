"""What the doctor finds on this machine, as whoever runs it, and in trees of files that say what others would."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest

from pytest_edgeload.sandbox import swap
from pytest_edgeload.sandbox.caps import CAPS, choose
from pytest_edgeload.sandbox.doctor import Row, examine, machine
from pytest_edgeload.sandbox.doctor.storage import rows as rows_of
from tests.sandbox import witness

SHM = Path("/dev/shm")


def by_name(rows: Sequence[Row]) -> dict[str, Row]:
    """Return the rows by what they are about; no two are about the same."""
    found = {row.what: row for row in rows}
    assert len(found) == len(rows)
    return found


def tree(root: Path, files: dict[str, str]) -> Path:
    """Make files."""
    for path, text in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    return root


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Row]:
    """Give what is found here, for a cache folder that is not there yet."""
    return by_name(examine(tmp_path_factory.mktemp("doctor") / "not" / "there"))


def test_every_row(found: dict[str, Row]) -> None:
    """Every row says what was found, and whatever says no also says how to get it."""
    assert all(row.found for row in found.values())
    assert [row.what for row in found.values() if not row.ok and not row.way_out] == []
    assert all("\n" not in row.found + row.way_out for row in found.values())


def test_explained(found: dict[str, Row]) -> None:
    """The page on the doctor shows every row."""
    page = (Path(__file__).parents[2] / "docs/doctor.md").read_text()
    assert [what for what in found if f" {what}  " not in page] == []


def test_caps(found: dict[str, Row]) -> None:
    """A cap that is available holds a limit, one that is not is told with its reason; `auto` is what sessions take."""
    for name, cap in CAPS.items():
        if cap.enforces:
            reason = cap.unavailable()
            assert found[f"cap {name}"].ok == (reason is None)
            assert reason is None or reason.startswith(found[f"cap {name}"].found)
    name, cap = choose("auto")
    assert (found["--edge-cap=auto"].found, found["--edge-cap=auto"].ok) == (name, cap.enforces)


@pytest.mark.skipif(os.geteuid() != 0 or CAPS["cgroup1"].unavailable() is not None, reason="for root and cgroup1")
def test_version_1(found: dict[str, Row]) -> None:
    """Root with version 1 has its controllers, but neither swap traffic nor stall time of a group."""
    assert [found[f"{name} controller"].ok for name in ("memory", "cpu", "cpuset", "io", "pids")] == [True] * 5
    assert found["peak of a group"].ok
    assert not found["swap traffic of a group"].ok
    assert not found["stall time of a group"].ok


def test_nothing_left(tmp_path: Path, session: str) -> None:
    """No group, swap, file or folder is left."""
    examine(tmp_path / "cache")
    assert witness.groups(f"{session}-doctor") == []
    assert session not in witness.swaps()
    assert list(tmp_path.iterdir()) == []


def test_cache_on_storage(storage: Path) -> None:
    """In a folder on storage a file can be dropped from the page cache."""
    row = by_name(rows_of(storage))["cold page cache"]
    assert row.ok, row.found


@pytest.mark.skipif(not os.access(SHM, os.W_OK) or not witness.in_memory(SHM), reason="no memory file system here")
def test_cache_in_memory() -> None:
    """In a folder in memory nothing is ever cold, and no disk can be throttled; another folder is named as way out."""
    rows = by_name(rows_of(SHM))
    for what in ("cold page cache", "reads can be throttled"):
        assert not rows[what].ok
        assert "--cache-dir" in rows[what].way_out


def test_no_cache_folder() -> None:
    """Where no folder can be made, that is required, and told with its reason."""
    row = by_name(rows_of(Path("/proc/self/edgeload")))["cache folder"]
    assert (row.ok, row.weight) == (False, "required")
    assert row.found.startswith("/proc/self: ")


@pytest.mark.skipif(os.geteuid() != 0 or shutil.which("swapon", path=swap._PATH) is None, reason="only root may swapon")
def test_swap_can_be_made(storage: Path) -> None:
    """Root gets a swap file where the storage can hold one, or is told why not."""
    row = by_name(rows_of(storage))["swap can be made"]
    assert row.ok or "swap" in row.way_out


def test_container(tmp_path: Path) -> None:
    """A container is told by its file or its variables, with the flags that let limits be set."""
    rows = by_name(machine.rights(tree(tmp_path, {".dockerenv": ""}), {"KUBERNETES_SERVICE_HOST": "10.0.0.1"}))
    assert (rows["no container"].ok, rows["no container"].found) == (False, "docker, kubernetes")
    assert "--privileged --cgroupns=host" in rows["no container"].way_out
    assert by_name(machine.rights(tmp_path / "none", {}))["no container"].ok


def test_rights(tmp_path: Path) -> None:
    """Capabilities are read as the kernel writes them, and so is a user namespace."""
    files = {"proc/self/status": "Name:\tx\nCapEff:\t0000000001000000\n", "proc/self/uid_map": "0 1000 1\n"}
    rows = by_name(machine.rights(tree(tmp_path, files), {}))
    assert rows["CAP_SYS_RESOURCE"].ok
    assert not rows["CAP_SYS_ADMIN"].ok
    assert rows["user namespace"].found == "ids are mapped: 0 1000 1"
    assert by_name(machine.rights())["user namespace"].ok == (
        Path("/proc/self/uid_map").read_text().split() == ["0", "0", "4294967295"]
    )


def test_restless_processors(tmp_path: Path) -> None:
    """A governor that saves, a turbo that is on, no huge pages and a slow clock are told; so is their absence."""
    cpu, clock = "sys/devices/system/cpu", "sys/devices/system/clocksource/clocksource0/current_clocksource"
    files = {
        f"{cpu}/cpu0/cpufreq/scaling_governor": "powersave\n",
        f"{cpu}/cpu1/cpufreq/scaling_governor": "performance\n",
        f"{cpu}/intel_pstate/no_turbo": "0\n",
        "sys/kernel/mm/transparent_hugepage/enabled": "always madvise [never]\n",
        clock: "hpet\n",
    }
    rows = by_name([*machine.processors(tree(tmp_path, files)), *machine.clock(tmp_path)])
    told = {what: rows[what].found for what in ("governor", "no turbo", "transparent huge pages", "clock source")}
    assert list(told.values()) == ["performance, powersave", "on", "always madvise [never]", "hpet"]
    assert not any(rows[what].ok for what in told)
    tree(tmp_path, {f"{cpu}/cpu0/cpufreq/scaling_governor": "performance", f"{cpu}/intel_pstate/no_turbo": "1"})
    rows = by_name(machine.processors(tmp_path))
    assert rows["governor"].ok
    assert rows["no turbo"].ok


def test_pressure(tmp_path: Path) -> None:
    """A kernel without pressure files is told with the parameter that brings them."""
    row = by_name(machine.software(tmp_path))["pressure (PSI)"]
    assert (row.ok, row.way_out) == (False, "boot with the kernel parameter psi=1")
