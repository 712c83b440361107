"""Every cap of the table keeps its promises. Runs for the caps of this machine; see also tests/uml."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_edgeload.base.errors import Unsupported, UsageError
from pytest_edgeload.devices.constraints import Constraints
from pytest_edgeload.sandbox import counters, page_cache
from pytest_edgeload.sandbox.caps import CAPS, Cap, choose, hierarchy
from pytest_edgeload.sandbox.constraints import Limits, disks_of
from pytest_edgeload.sandbox.owner import PREFIX, is_abandoned, tag
from pytest_edgeload.sandbox.swap import Swap
from pytest_edgeload.sandbox.swap_area import active
from tests.sandbox import witness
from tests.sandbox.child import MIB, Child
from tests.sandbox.conftest import FREE, within

if TYPE_CHECKING:
    from tests.sandbox.conftest import Opened

LIMIT, MORE = 64 * MIB, 112 * MIB
NEAR = 4 * MIB
BPS = 90 * MIB


# A session with a worker under its limit; it says the worker's id, and is then killed.
SESSION = """
import os, subprocess, sys
from pytest_edgeload.devices.constraints import Constraints
from pytest_edgeload.sandbox.caps import CAPS
from pytest_edgeload.sandbox.constraints import Limits
from pytest_edgeload.sandbox.owner import PREFIX, tag
name = f"{PREFIX}{tag(os.getpid())}-0"
group = CAPS[sys.argv[1]].open(name, Limits(Constraints(64 << 20)))
subprocess.run([*group.enter, "sh", "-c", f"echo {name} $$ && exec sleep 600"])
"""


def session_group(owner: Child) -> str:
    """Return a name for a group of `owner`'s: any session that starts sweeps it, once `owner` is gone."""
    return f"{PREFIX}{tag(owner.pid)}-0"


def test_process_is_killed_at_its_limit(opened: Opened, swap: Swap) -> None:
    """A process that needs more than its limit and may not swap is killed; its group counts that."""
    group = opened(LIMIT)
    with Child(*group.enter) as child:
        assert child.do("touch", MORE) == ""
        assert child.end() == -signal.SIGKILL
    assert group.totals(child.pid)["oom_kills"] >= 1


def test_process_swaps_beyond_its_limit(opened: Opened, swap: Swap) -> None:
    """The same process finishes if it may swap: the rest is in swap, and nothing is lost."""
    group = opened(LIMIT, swap=True)
    with Child(*group.enter) as child:
        assert child.do("touch", MORE) == "touched"
        memory, seen = group.memory(child.pid), counters.resident(counters.status(child.pid))
        assert memory is not None
        assert seen is not None
        assert memory.anon <= LIMIT
        assert memory.swap >= MORE - LIMIT - NEAR
        assert seen.memory.swap >= MORE - LIMIT - NEAR
        assert child.do("again") == "intact"
        assert child.end() == 0
    totals = group.totals(child.pid)
    assert totals["oom_kills"] == 0
    assert totals["refaults"] > 0
    assert totals.get("peak_charged_bytes", LIMIT) <= LIMIT  # swap is not charged as memory


def test_process_without_limit_is_not_killed(any_cap: Cap, fresh: Callable[[], str]) -> None:
    """Without a limit, and by a cap that does not enforce, no process is killed."""
    group = any_cap.open(fresh(), Limits(Constraints(None if any_cap.enforces else LIMIT)))
    try:
        with Child(*group.enter) as child:
            assert child.do("touch", MORE) == "touched"
            assert child.end() == 0
        assert not group.totals(child.pid).get("oom_kills")
    finally:
        group.close()


def test_process_is_in_its_group_from_the_start(
    opened: Opened, fresh: Callable[[], str], cap_name: str, reads: Limits
) -> None:
    """The very first program is in the group already, and is the process that was started.

    The group is one folder, but for others where version 1 throttles reads, and counts processes.
    """
    name = fresh()
    command = [*opened(name=name, reads=reads).enter, "cat", "/proc/self/cgroup", "/proc/self/stat"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        told, _ = process.communicate()
    *places, stat = told.splitlines()
    folders = witness.named(name)
    assert len([place for place in places if place.endswith(f"/{name}")]) == len(folders)
    others = [bool(reads.disks), hierarchy.mount_of("cgroup", "pids") is not None] if cap_name == "cgroup1" else []
    assert len(folders) == 1 + sum(others)
    assert stat.startswith(f"{process.pid} (cat) ")


def test_memory_separates_anonymous_from_page_cache(opened: Opened, storage: Path) -> None:
    """memory() separates anonymous memory from page cache, each near to what the process took and freed."""
    file = storage / "read"
    file.write_bytes(os.urandom(24 * MIB))
    os.sync()
    page_cache.drop([file])
    group = opened()

    def near(anon: int, file: int) -> bool:
        now = group.memory(child.pid)
        assert now is not None
        return abs(now.anon - anon) < NEAR and abs(now.file - file) < NEAR

    with Child(*group.enter) as child:
        assert child.do("again") == "intact"
        start = group.memory(child.pid)
        assert start is not None
        assert child.do("touch", 40 * MIB) == "touched"
        # The kernel adds up what its processors have counted when that is much, or every two seconds.
        assert witness.until(lambda: near(start.anon + 40 * MIB, start.file))
        assert child.do("read", file) == "read"
        assert witness.until(lambda: near(start.anon + 40 * MIB, start.file + 24 * MIB))
        assert child.do("free") == "freed"
        assert witness.until(lambda: near(start.anon, start.file + 24 * MIB))


def test_dead_process_has_readable_totals(any_cap: Cap, fresh: Callable[[], str]) -> None:
    """memory() and totals() raise nothing after the process has ended."""
    group = any_cap.open(fresh(), Limits(Constraints(LIMIT)))
    try:
        with Child(*group.enter) as child:
            child.end()
            found = group.memory(child.pid)
        assert found is None or found.anon < NEAR
        assert min(map(float, map(str, group.totals(child.pid).values())), default=0) >= 0
    finally:
        group.close()


def test_kill_ends_the_whole_tree(opened: Opened, fresh: Callable[[], str], reads: Limits) -> None:
    """kill() ends a whole tree of processes that left their session and ignore signals, and no other."""
    name = fresh()
    group = opened(name=name, reads=reads)
    with Child(*group.enter) as child, Child() as other:
        pids = [int(pid) for pid in child.do("fork", 3).split()]
        assert len({*pids}) == 6
        assert {*witness.members(name)} == {child.pid, *pids}
        group.kill()
        assert child.end() == -signal.SIGKILL
        assert witness.until(lambda: not any(map(witness.alive, pids)))
        assert witness.alive(other.pid)


def test_close_removes_the_group(cap: Cap, fresh: Callable[[], str], reads: Limits) -> None:
    """close() leaves no folder, even if the killed process was not waited for."""
    name = fresh()
    group = cap.open(name, within(LIMIT, reads))
    with Child(*group.enter) as child:
        assert child.do("touch", 8 * MIB) == "touched"
        assert witness.groups(name)
        group.kill()
        group.close()
        assert witness.groups(name) == []


def test_taken_name_is_refused(cap: Cap, opened: Opened, fresh: Callable[[], str], reads: Limits) -> None:
    """A name of an existing group is refused, and that group stays as it is."""
    name = fresh()
    with Child(*opened(name=name, reads=reads).enter) as child:
        assert child.do("again") == "intact"
        with pytest.raises(Unsupported, match=f"{name}: could not be set up: (File exists|.* already loaded)"):
            cap.open(name, within(LIMIT, reads))
        assert {*witness.members(name)} == {child.pid}


def test_unknown_disk_is_refused(cap: Cap, fresh: Callable[[], str], throttle: Limits) -> None:
    """A throttle that the kernel refuses is reported in its words, and leaves no group."""
    name, nowhere = fresh(), replace(throttle, disks=("0:0",))
    with pytest.raises(Unsupported, match=f"{name}: could not be set up: No such device"):
        cap.open(name, within(LIMIT, nowhere))
    assert witness.groups(name) == []


@pytest.mark.parametrize("way", ["read", "direct", "again"])
def test_reads_are_throttled(
    opened: Opened, storage: Path, throttle: Limits, way: str, request: pytest.FixtureRequest
) -> None:
    """A process reads at the throttled rate, and no faster: through the page cache, past it, and from swap.

    Where it may read a tenth of what it reads when free, it reads less than a third: the kernel counts in tenths of a
    second, and so lets pass up to a tenth of a second's bytes before it holds back.
    """
    swaps = way == "again" and bool(request.getfixturevalue("swap"))
    file = storage / way
    file.write_bytes(os.urandom(32 * MIB))
    os.sync()

    def bps(reads: Limits) -> float:
        with Child(*opened(12 * MIB if swaps else LIMIT, swap=True, reads=reads).enter) as child:
            assert child.do("touch", 16 * MIB if swaps else MIB) == "touched"
            page_cache.drop([file])
            before, start_s = counters.process(child.pid)["read_bytes"], time.monotonic()
            assert child.do(way, file) in {"read", "intact"}
            return (counters.process(child.pid)["read_bytes"] - before) / (time.monotonic() - start_s)

    free_bps = bps(FREE)
    rate = int(min(free_bps / 10, 32 * MIB))
    slow = Constraints(read_bps=rate)
    areas = [path for path, _ in active() if path.exists()] if swaps else []  # other tests switch theirs off
    held_bps = bps(Limits(slow, disks=disks_of(slow, [storage], areas)))
    assert 0 < held_bps < min(free_bps / 3, 1.5 * rate)


def test_sweep_removes_groups_of_dead_sessions(
    cap: Cap, opened: Opened, fresh: Callable[[], str], reads: Limits
) -> None:
    """sweep(None) ends and removes groups of dead sessions; living sessions and foreign names stay."""
    with Child() as owner:
        gone, living, foreign = session_group(owner), fresh(), f"{PREFIX}of-somebody-else-{fresh()}"
        groups = [opened(name=name, reads=reads) for name in (gone, living, foreign)]
        with Child(*groups[0].enter) as left, Child(*groups[1].enter) as ours, Child(*groups[2].enter) as theirs:
            assert [child.do("again") for child in (left, ours, theirs)] == ["intact"] * 3
            owner.end()
            assert all(map(is_abandoned, cap.sweep(None)))  # another session may be quicker to sweep this one
            assert left.end() == -signal.SIGKILL
            assert witness.until(lambda: witness.groups(gone) == [])  # systemd removes its own in its own time
            assert {*witness.members(living)} == {ours.pid}
            assert {*witness.members(foreign)} == {theirs.pid}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give a group away")
def test_sweep_keeps_groups_of_other_users(cap: Cap, opened: Opened) -> None:
    """A group that another user created stays, even with a name of a dead session."""
    with Child() as owner:
        planted = session_group(owner)
        enter = opened(name=planted).enter
        for folder in witness.named(planted):
            os.chown(folder, 65534, 65534)
    with Child(*enter) as child:
        assert child.do("again") == "intact"
        assert planted not in cap.sweep(None)
        assert {*witness.members(planted)} == {child.pid}
        assert child.do("again") == "intact"


def test_sweep_of_a_session_removes_only_its_groups(cap: Cap, opened: Opened, session: str, reads: Limits) -> None:
    """sweep(session) ends and removes the session's groups, and not those of a similar tag."""
    own, similar = f"{PREFIX}{session}-own", f"{PREFIX}{session}0-similar"
    groups = [opened(name=name, reads=reads) for name in (own, similar)]
    with Child(*groups[0].enter) as ours, Child(*groups[1].enter) as theirs:
        assert [child.do("again") for child in (ours, theirs)] == ["intact"] * 2
        assert cap.sweep(session) == [own]
        assert ours.end() == -signal.SIGKILL
        assert witness.until(lambda: witness.groups(own) == [])
        assert {*witness.members(similar)} == {theirs.pid}


def test_killed_session_is_swept(cap_name: str, cap: Cap) -> None:
    """The worker and the group of a killed session are swept by the next."""
    command = [sys.executable, "-c", SESSION, cap_name]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as session:
        assert session.stdout is not None  # it is a pipe
        name, worker = session.stdout.readline().split()
        assert witness.groups(name)
        session.kill()
    cap.sweep(None)  # unless another session was quicker
    assert witness.until(lambda: not witness.alive(int(worker)))
    assert witness.until(lambda: witness.groups(name) == [])


@pytest.mark.parametrize("asked", ["", "throttles=True"])
def test_user_without_rights_gets_a_hint(cap_name: str, asked: str) -> None:
    """A user without rights is told in one sentence why no group can be created, with a hint."""
    told = witness.as_nobody(
        "from pytest_edgeload.sandbox.caps import CAPS", f"CAPS[{cap_name!r}].unavailable({asked})"
    )
    assert ("log in as" if cap_name == "systemd" else "run as root") in told
    assert "\n" not in told


def test_only_none_does_not_enforce() -> None:
    """Only `none` does not enforce, and it is available everywhere."""
    assert [name for name, cap in CAPS.items() if not cap.enforces] == ["none"]
    assert CAPS["none"].unavailable() is None


def test_auto_is_the_first_that_works() -> None:
    """`auto` is the first cap that works here; a name is that cap, or refused with its reason and a hint."""
    reasons = {name: cap.unavailable() for name, cap in CAPS.items()}
    first = next(name for name, reason in reasons.items() if reason is None)
    assert choose("auto") == (first, CAPS[first])
    for name, reason in reasons.items():
        if reason is None:
            assert choose(name) == (name, CAPS[name])
        else:
            with pytest.raises(UsageError) as refused:
                choose(name)
            assert str(refused.value) == f"cap={name}: {reason}; try cap=auto"


def test_auto_is_the_first_that_can_throttle() -> None:
    """With throttled reads `auto` is the first cap that can; one that cannot is refused with its reason."""
    reasons = {name: cap.unavailable(throttles=True) for name, cap in CAPS.items()}
    assert str(reasons["none"]) == "it watches the worker and throttles no reads"
    for name, reason in reasons.items():
        if reason is None:
            assert choose(name, BPS) == (name, CAPS[name])
        else:
            with pytest.raises(UsageError) as refused:
                choose(name, BPS)
            hint = "try cap=auto, or leave read-bw out"
            assert str(refused.value) == f"cap={name}: {reason}; {hint}"
    able = [name for name, reason in reasons.items() if reason is None]
    if able:
        assert choose("auto", BPS) == (able[0], CAPS[able[0]])


def test_no_cap_that_throttles_is_refused() -> None:
    """If no cap can throttle, `auto` is refused with the rate, a hint, and the reason of each cap."""
    told = witness.as_nobody("from pytest_edgeload.sandbox.caps import choose", f"choose('auto', {BPS})")
    assert told.startswith("UsageError: read-bw=90M: no cap can throttle reads here; leave it out, or make a ")
    assert [name for name in CAPS if f"{name}: " in told] == ["cgroup2", "cgroup1", "systemd"]
    assert "\n" not in told


def test_unavailable_cap_cannot_be_opened(fresh: Callable[[], str], session: str) -> None:
    """A cap that this machine lacks cannot be opened, for the same reason, and has nothing to sweep."""
    lacking = {str(cap.unavailable()): cap for cap in CAPS.values() if cap.unavailable()}
    for reason, cap in lacking.items():
        with pytest.raises(Unsupported) as refused:
            cap.open(fresh(), Limits(Constraints(LIMIT)))
        assert str(refused.value) == reason
        assert cap.sweep(session) == []


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("unshare"), reason="needs root and unshare (util-linux)")
def test_mount_whose_name_is_not_text_hides_no_hierarchy(tmp_path: Path) -> None:
    """The hierarchies are found on a machine with a mount whose name is not UTF-8."""
    folder = os.fsencode(tmp_path) + b"/\xff"
    os.mkdir(folder)  # noqa: PTH102  # bytes
    mount = 'mount --bind "$1" "$1" && exec "$2" -c "$3"'
    program = "from pytest_edgeload.sandbox.caps import choose; print(choose('auto')[0])"
    command: list[str | bytes] = ["unshare", "--mount", "sh", "-c", mount, "sh", folder, sys.executable, program]
    assert subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip() == choose("auto")[0]
