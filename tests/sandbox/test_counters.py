"""The figures from /proc agree with the actions of processes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pytest_edgeload.base import kernel_text
from pytest_edgeload.sandbox import counters, page_cache
from pytest_edgeload.sandbox.counters import Live, Resident, process, resident, status
from tests.sandbox.child import MIB, Child

NEAR = 2 * MIB


@pytest.mark.parametrize(("text", "size"), [("33554432\n", 32 * MIB), ("", 2 * MIB), (None, 2 * MIB)])
def test_size_of_huge_pages_is_the_kernels(tmp_path: Path, text: str | None, size: int) -> None:
    """The kernel says how large its huge pages are; if it does not, they have 2 MiB."""
    file = tmp_path / "hpage_pmd_size"
    if text is not None:
        file.write_text(text)
    assert counters.huge_page_bytes(file) == size


@pytest.fixture
def file(storage: Path, tmp_path: Path) -> Path:
    """Return a file of 16 MiB, none of it in the page cache."""
    path = storage / tmp_path.name
    path.write_bytes(os.urandom(16 * MIB))
    with path.open("rb") as written:
        os.fsync(written.fileno())
    page_cache.drop([path])
    return path


def resident_of(child: Child) -> Resident:
    found = resident(status(child.pid))
    assert found is not None
    return found


def test_resident_memory_follows_a_process() -> None:
    """Resident memory follows the memory a process takes and frees; its peak stays; it is anonymous."""
    with Child() as child:
        child.do("again")
        before = resident_of(child)
        child.do("touch", 64 * MIB)
        held = resident_of(child)
        child.do("free")
        after = resident_of(child)
    assert held.now - before.now == pytest.approx(64 * MIB, abs=NEAR)
    assert held.memory.anon - before.memory.anon == pytest.approx(64 * MIB, abs=NEAR)
    assert held.memory.file == pytest.approx(before.memory.file, abs=NEAR)
    assert after.now == pytest.approx(before.now, abs=NEAR)
    assert after.highest >= held.now - NEAR  # processors count by themselves for a while
    assert held.now == pytest.approx(held.memory.anon + held.memory.file, abs=NEAR)


def test_process_with_any_bytes_as_its_name_is_read() -> None:
    """The fields of a process are read under any name that the process gives itself."""
    rename = "open('/proc/self/comm', 'wb').write(b'a) Z \\xff'); print(flush=True); input()"
    command = [sys.executable, "-I", "-S", "-c", rename]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None  # a pipe
        process.stdout.readline()
        stat = counters.stat(process.pid)
    assert stat.state in {"R", "S"}
    assert stat.session == os.getsid(0)


def test_first_touch_is_a_minor_fault() -> None:
    """The first touch of each page is a minor fault."""
    with Child() as child:
        child.do("again")
        before = process(child.pid)
        child.do("touch", 64 * MIB)
        after = process(child.pid)
    pages = 64 * MIB // counters.PAGE_BYTES
    assert pages <= after["minor_faults"] - before["minor_faults"] <= pages + 500
    assert after["read_bytes"] - before["read_bytes"] < MIB  # pages of a library, at most


def test_file_is_read_from_storage_once(file: Path) -> None:
    """A file outside the page cache counts once as read from storage, and a second read does not count."""
    with Child() as child:
        child.do("again")
        totals = [process(child.pid) for _ in range(3) if child.do("read", file)]
        start = process(os.getpid())
        file.read_bytes()
        warm = process(os.getpid())
    assert totals[0]["read_bytes"] >= 16 * MIB
    again = totals[2]["read_bytes"] - totals[0]["read_bytes"]
    assert again < MIB  # the kernel may have to read a few pages of a library again, but not the file
    assert warm["read_bytes"] - start["read_bytes"] < MIB


def test_fetched_page_is_a_major_fault(file: Path) -> None:
    """A page of a mapped file that has to be fetched is a major fault."""
    with Child() as child:
        child.do("again")
        before = process(child.pid)
        assert int(child.do("look", file)) > 0
        after = process(child.pid)
    assert after["major_faults"] - before["major_faults"] >= 100
    assert after["read_bytes"] - before["read_bytes"] >= 100 * counters.PAGE_BYTES


def test_processor_time_excludes_waiting() -> None:
    """Processor time is the time that the process spent, without waiting."""
    with Child() as child:
        child.do("again")
        before = process(child.pid)
        child.do("burn", 0.3)
        after = process(child.pid)
    assert after["cpu_s"] - before["cpu_s"] == pytest.approx(0.3, abs=0.05)


def test_odd_command_shifts_no_figure(tmp_path: Path) -> None:
    """A command with brackets and blanks shifts no figure."""
    odd = tmp_path / "a) 1 2 (b"
    odd.symlink_to(sys.executable)
    with Child(program=str(odd)) as child:
        child.do("burn", 0.3)
        assert process(child.pid)["cpu_s"] == pytest.approx(0.3, abs=0.2)


def test_exited_process_has_no_figures() -> None:
    """An exited process has no resident memory; once it is waited for, it has no figures at all."""
    with Child() as child:
        live = Live(Path(f"/proc/{child.pid}/status"))
        assert resident(live.read()) is not None
        child.process.kill()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert resident(status(child.pid)) is None
        assert resident(live.read()) is None
        assert "cpu_s" in process(child.pid)
    assert (status(child.pid), live.read(), process(child.pid)) == (b"", b"", {})
    live.close()


def test_open_file_has_the_present_content() -> None:
    """A file that stays open has the present content at each read."""
    with Child() as child:
        child.do("again")
        live = Live(Path(f"/proc/{child.pid}/status"))
        before = resident(live.read())
        child.do("touch", 32 * MIB)
        after = resident(live.read())
        live.close()
    assert before is not None
    assert after is not None
    assert after.now - before.now == pytest.approx(32 * MIB, abs=NEAR)


def test_machine_has_the_kernels_totals() -> None:
    """The machine's totals are the kernel's own, in bytes and seconds, and never run backwards."""
    vmstat = kernel_text.entries(Path("/proc/vmstat"))
    found, later = counters.machine(), counters.machine()
    assert found["swap_out_bytes"] >= vmstat["pswpout"] * 4096
    assert counters.growth(found, later).keys() == found.keys()
    assert ("stall_s" in found) == Path("/proc/pressure/memory").exists()


def test_busy_processors_include_each_process() -> None:
    """The processors are busy for at least as long as a process that computes, but not while they wait."""
    with Child() as child:
        child.do("again")
        machine, own = counters.machine(), process(child.pid)
        child.do("burn", 0.3)
        own = counters.growth(own, process(child.pid))
        machine = counters.growth(machine, counters.machine())
    assert machine["machine_cpu_s"] >= own["cpu_s"] - 0.05  # in steps of 10 ms on each processor
    assert counters.busy("cpu  100 20 3 9999 9999 40 5 600 7 7\ncpu0 1 1\n") == {
        "machine_cpu_s": 768 / os.sysconf("SC_CLK_TCK")
    }
    assert counters.busy("cpu  100 20 3 9999\n") == counters.busy("") == {}


def test_pressure_file_has_stall_seconds(tmp_path: Path) -> None:
    """A pressure file has the seconds in which some task stalled; without the file there are none."""
    pressure = tmp_path / "memory.pressure"
    pressure.write_text(
        "some avg10=0.00 avg60=0.00 avg300=0.69 total=16101493\nfull avg10=0.00 avg60=0.00 avg300=0.65 total=15248573\n"
    )
    assert counters.stall(pressure) == {"stall_s": 16.101493}
    assert counters.stall(tmp_path / "none") == {}
