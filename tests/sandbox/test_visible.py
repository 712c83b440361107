"""The view `limit`: programs see their limit, nothing outlives them, and their peaks stay as they are."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_edgeload.base.errors import Refusal, UsageError
from pytest_edgeload.devices.constraints import Constraints
from pytest_edgeload.results.case import HOST, LIMIT, Visible
from pytest_edgeload.results.measurement import Measurement
from pytest_edgeload.sandbox import visible
from pytest_edgeload.sandbox.caps import Cap
from pytest_edgeload.sandbox.command import Command, launch_command
from pytest_edgeload.sandbox.constraints import Limits
from pytest_edgeload.sandbox.enclosure import Enclosure
from pytest_edgeload.sandbox.owner import tag
from pytest_edgeload.sandbox.user import choose
from tests.cases import CASE
from tests.sandbox.child import MIB

MEMORY = 200 * MIB
Seen = Callable[..., tuple[Measurement, str]]

LOOK = """
import json, psutil, subprocess
memory, swap = psutil.virtual_memory(), psutil.swap_memory()
print(json.dumps({
    "psutil": [memory.total, memory.available, memory.used, swap.total],
    "free": subprocess.run(["free", "-b"], check=True, capture_output=True, text=True).stdout.split(),
}))
"""
FILES = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


def _why_not() -> str:
    try:
        visible.check(LIMIT, is_enforced=True)
    except Refusal as error:
        return str(error)
    return ""


shows_sum = visible.source() == "LXCFS" and Path(FILES[1]).exists()
"""Whether swap is shown as the sum of memory and swap, as LXCFS does with version 1."""

needs_view = pytest.mark.skipif(_why_not() != "", reason=_why_not())


@pytest.fixture
def seen(cap: Cap, fresh: Callable[[], str], tmp_path: Path) -> Seen:
    """Return a function that runs a program under 200 MiB in a view, and returns its measurement and its output."""
    output = tmp_path / "output"

    def run(*argv: str, view: Visible = LIMIT, swap_bytes: int = 0) -> tuple[Measurement, str]:
        output.write_text("")
        output.chmod(0o666)
        tmp_path.chmod(0o755)
        words = ["/bin/sh", "-c", 'output=$1; shift; exec "$@" >"$output"', "sh", str(output), *argv]
        limits = Limits(Constraints(MEMORY, swap_bytes=swap_bytes), may_swap=swap_bytes > 0)
        with visible.shown(view, limits) as behind:
            enclosure = Enclosure(cap, fresh(), limits, 60.0, user=choose("auto"), behind=behind)
            measurement = launch_command(Command.of(words, os.environ, None, None, None, None), 1, enclosure)
        assert measurement.outcome == "ok", measurement.detail
        return measurement, output.read_text()

    return run


@needs_view
def test_psutil_and_free_show_the_limit(seen: Seen) -> None:
    """A program in Python and its children see their limit in /proc/meminfo."""
    found: dict[str, Any] = json.loads(seen(sys.executable, "-c", LOOK)[1])
    total, available, used, swap = found["psutil"]
    assert total == MEMORY
    assert 0 <= used <= MEMORY / 2 <= available <= MEMORY
    assert found["free"][found["free"].index("Mem:") + 1] == str(MEMORY)
    assert shows_sum or swap == int(found["free"][found["free"].index("Swap:") + 1]) == 0


@needs_view
def test_files_show_the_limit_to_the_user_of_runs(seen: Seen) -> None:
    """The user of runs finds the limit in /proc/meminfo and in the group, which is the root of each hierarchy."""
    _, text = seen(
        "/bin/sh", "-c", f"id -u; id -g; cat {' '.join(FILES)} /proc/self/cgroup /proc/meminfo 2>/dev/null || :"
    )
    *ids, limit = map(int, text.split()[:3])
    assert ids == list(choose("auto").ids or (os.getuid(), os.getgid()))
    assert limit == MEMORY
    assert f"MemTotal: {MEMORY // 1024:>14} kB\n" in text
    assert {line.rpartition(":")[2] for line in re.findall(r"^\d+:.*", text, re.MULTILINE)} == {"/"}


@needs_view
@pytest.mark.skipif(shutil.which("node") is None, reason="no node on this host (Debian package nodejs)")
def test_node_plans_for_the_limit(seen: Seen) -> None:
    """Node.js has the limit as its memory, and V8 a heap that is smaller."""
    script = "[os.totalmem(), process.constrainedMemory?.(), v8.getHeapStatistics().heap_size_limit].join(' ')"
    total, constrained, heap = seen("node", "-p", script)[1].split()
    assert (int(total), constrained) == (MEMORY, str(MEMORY))
    assert int(heap) < 1.5 * MEMORY


@needs_view
@pytest.mark.skipif(shutil.which("java") is None, reason="no java on this host (Debian package default-jre-headless)")
def test_java_plans_for_the_limit(seen: Seen) -> None:
    """Java finds its group in the namespaces, and its heap is at most half of the limit."""
    text = seen("java", "-XX:+PrintFlagsFinal", "-XX:TieredStopAtLevel=1", "-version")[1]
    [heap] = re.findall(r"\bMaxHeapSize += (\d+)", text)
    assert 0 < int(heap) <= MEMORY / 2 + MIB


@needs_view
def test_nothing_of_the_view_outlives_the_run(seen: Seen) -> None:
    """The mounts of a run are its own, and after it neither a mount nor a folder of the view is left."""
    before = Path("/proc/self/mountinfo").read_text()
    _, inside = seen("cat", "/proc/self/mountinfo")
    folders = {*re.findall(r"\S*/edgeload-[\d-]+-view-\w+", inside)}
    assert len(folders) >= 1
    assert Path("/proc/self/mountinfo").read_text() == before
    assert not any(Path(folder).exists() for folder in folders)


@needs_view
def test_peaks_are_those_of_the_other_view(seen: Seen) -> None:
    """A program holds the same memory in both views: what prepares the view ends before it, and takes less."""
    script = 'held = b"1" * (32 << 20)'
    (host, _), (limit, _) = (seen(sys.executable, "-I", "-S", "-c", script, view=view) for view in (HOST, LIMIT))
    assert limit.peak_bytes == pytest.approx(host.peak_bytes, abs=MIB)
    assert limit.peak_anon_bytes == pytest.approx(host.peak_anon_bytes, abs=MIB)


@needs_view
@pytest.mark.skipif(shows_sum, reason="LXCFS shows the sum of memory and swap with version 1")
@pytest.mark.usefixtures("swap")
def test_swap_of_the_run_is_shown(seen: Seen) -> None:
    """A run that may use a part of the machine's swap sees that part."""
    _, text = seen("cat", "/proc/meminfo", "/proc/swaps", swap_bytes=64 * MIB)
    assert re.findall(r"(?:SwapTotal|SwapFree): +(\d+) kB", text) == ["65536", "65536"]
    assert text.splitlines()[-1].split() == ["none", "virtual", "65536", "0", "0"]


def test_folders_of_dead_views_are_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder that a process left when it was killed is removed by the next view; that of a living one is not."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with subprocess.Popen(["sleep", "60"]) as process:
        dead, living = (tmp_path / f"edgeload-{tag(pid)}-view-x" for pid in (process.pid, os.getpid()))
        process.kill()
    for folder in (dead, living):
        folder.mkdir()
    with visible.shown(LIMIT, Limits(Constraints(MEMORY))):
        assert (dead.exists(), living.exists()) == (False, True)


def test_view_without_a_limit_is_that_of_the_host() -> None:
    """Without a limit there is nothing to show, and a case without one says that it saw the host."""
    with visible.shown(LIMIT, Limits()) as behind:
        assert behind == ()
    assert CASE.seen_as(LIMIT).view == LIMIT
    assert CASE.seen_as(HOST).view == HOST
    unlimited = msgspec.structs.replace(CASE, constraints=Constraints())
    assert unlimited.seen_as(LIMIT).view == HOST


def test_view_is_refused_without_an_enforced_limit() -> None:
    """If nothing enforces the limit, the view is refused in one sentence."""
    with pytest.raises(UsageError) as refused:
        visible.check(LIMIT, is_enforced=False)
    assert str(refused.value) == (
        "view=limit: no limit is enforced that programs could see; leave it out, or change cap"
    )
    visible.check(HOST, is_enforced=False)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give up the right to mount")
def test_view_is_refused_where_nothing_can_be_mounted() -> None:
    """Without the right to mount, the view is refused with the words of the kernel and a hint."""
    program = (
        "from pytest_edgeload.sandbox import visible\n"
        "try: visible.check('limit', is_enforced=True)\n"
        "except Exception as error: print(type(error).__name__, error)"
    )
    without = ("setpriv", "--bounding-set=-sys_admin", "--inh-caps=-sys_admin", sys.executable, "-c", program)
    done = subprocess.run(without, check=True, capture_output=True, text=True)
    assert re.fullmatch(
        r"Unsupported view=limit: its namespaces cannot be created: .*Operation not permitted; "
        r"in a container: docker run --privileged \.\.\.\n",
        done.stdout,
    ), done


MEMINFO = """\
MemTotal:       24684092 kB
MemFree:        16986112 kB
MemAvailable:   23148516 kB
Cached:          6120320 kB
SwapTotal:       1048572 kB
SwapFree:        1048572 kB
CommitLimit:    13390616 kB
VmallocTotal:   34359738367 kB
HugePages_Total:       3
Hugepagesize:       2048 kB
"""


def test_meminfo_has_the_fields_of_the_host() -> None:
    """The fields, their order, units and columns are the host's; the machine is as large as the limit, and empty."""
    assert visible.meminfo(MEMINFO, 204800, 1024) == (
        "MemTotal:         204800 kB\n"
        "MemFree:          204800 kB\n"
        "MemAvailable:     204800 kB\n"
        "Cached:                0 kB\n"
        "SwapTotal:          1024 kB\n"
        "SwapFree:           1024 kB\n"
        "CommitLimit:      205824 kB\n"
        "VmallocTotal:   34359738367 kB\n"
        "HugePages_Total:       0\n"
        "Hugepagesize:       2048 kB\n"
    )
    assert visible.swaps(0).count("\n") == 1
    assert visible.swaps(1024).splitlines()[1].split() == ["none", "virtual", "1024", "0", "0"]


@given(st.text())
def test_any_meminfo_gives_lines(host: str) -> None:
    """Text of any form never fails: what is not a field is left out."""
    assert all(re.fullmatch(r".+:\s+\d+( kB)?", line) for line in visible.meminfo(host, 1, 1).split("\n")[:-1])


def test_hierarchies_are_those_of_the_process() -> None:
    """Each hierarchy has the options that mount it again, and those that are not mounted are left out."""
    mountinfo = (
        "32 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu,cpuacct\n"
        "35 31 0:32 /a /sys/fs/cgroup/my\\040memory rw - cgroup cgroup rw,memory\n"
        "40 31 0:37 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd\n"
        "41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n"
    )
    groups = "5:name=systemd:/\n4:memory:/a\n3:freezer:/\n1:cpu,cpuacct:/\n0::/\n"
    assert visible.hierarchies(mountinfo, groups) == [
        ("cgroup", "name=systemd", Path("/sys/fs/cgroup/systemd")),
        ("cgroup", "memory", Path("/sys/fs/cgroup/my memory")),
        ("cgroup", "cpu,cpuacct", Path("/sys/fs/cgroup/cpu")),
        ("cgroup2", "defaults", Path("/sys/fs/cgroup/unified")),
    ]
