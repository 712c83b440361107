"""Faults of a worker, under each cap: an outcome in one sentence, and nothing of it is left."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import pytest

from pytest_edgeload.base.errors import Unsupported
from pytest_edgeload.devices.constraints import Constraints
from pytest_edgeload.plugin.programs import pack_call
from pytest_edgeload.results.measurement import Measurement
from pytest_edgeload.sandbox.caps import Cap, Group, hierarchy
from pytest_edgeload.sandbox.caps.uncapped import Uncapped
from pytest_edgeload.sandbox.command import Command, launch_command
from pytest_edgeload.sandbox.constraints import Limits
from pytest_edgeload.sandbox.enclosure import Enclosure
from pytest_edgeload.sandbox.launch import launch_call
from tests.sandbox import witness
from tests.sandbox.child import MIB
from tests.sandbox.conftest import any_cap, any_cap_name, cap, cap_name, fresh, nothing_left, session

__all__ = ["any_cap", "any_cap_name", "cap", "cap_name", "fresh", "nothing_left", "session"]

Name = Callable[[], str]

MOST: Final = 40
OUTER: Final = 200
MARK: Final = "EDGELOAD_TEST"
BOMB: Final = """\
import os, time
end = time.monotonic() + 20  # should nobody hold it back
while time.monotonic() < end:
    try:
        os.fork()
    except OSError:
        pass
"""
COPES: Final = """\
import os, time
try:
    while os.fork():
        pass
    time.sleep(60)
except OSError:
    pass
"""
GONE: Final = "its group {} was removed by another program, so it had no limits"


def call(function: Callable[..., object], *args: object, within: Enclosure) -> Measurement:
    return launch_call(pack_call("it", function, args, {}, [sys.modules[__name__]]), 1, within)


def command(*argv: str, within: Enclosure) -> Measurement:
    return launch_command(Command.of(argv, os.environ, None, None, None, None), 1, within)


def bombed(way: str, within: Enclosure) -> Measurement:
    """Run the bomb as a function or as a program."""
    if way == "call":
        return call(exec, BOMB, {}, within=within)
    return command(sys.executable, "-c", BOMB, within=within)


@pytest.fixture
def marked(fresh: Name, monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[int]]:
    """Mark all processes that start from now on; return a function that returns the living ones, under any parent."""
    mark = f"{MARK}={fresh()}"
    monkeypatch.setenv(*mark.split("=", 1))

    def living() -> list[int]:
        found = []
        for pid in map(int, filter(str.isdecimal, os.listdir("/proc"))):  # noqa: PTH208
            with suppress(OSError):
                environment = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
                if mark.encode() in environment and witness.alive(pid):
                    found.append(pid)
        return found

    return living


@pytest.fixture
def contained() -> Iterator[None]:
    """Put this process into a group of few processes meanwhile, so that a bound that fails takes no machine down."""
    mount = hierarchy.mount_of("cgroup", "pids")
    if mount is None or not os.access(mount[0], os.W_OK):
        yield  # as in User-mode Linux, which nobody else uses
        return
    before = hierarchy.own_group(mount, "pids")
    outer = before / f"test-{os.getpid()}"
    outer.mkdir()
    (outer / "pids.max").write_text(str(OUTER))
    try:
        (outer / "cgroup.procs").write_text("0")
        yield
    finally:
        (before / "cgroup.procs").write_text("0")
        hierarchy.kill(outer)
        hierarchy.remove(outer)


@pytest.fixture(scope="module")
def a_start_s() -> float:
    """Return the longest time that a worker takes to start on this machine, if it is as busy as now."""
    begin_s = time.monotonic()
    call(len, "", within=Enclosure(Uncapped(), "it", Limits(), timeout_s=60))
    return time.monotonic() - begin_s


@contextmanager
def seen_meanwhile(name: str) -> Iterator[list[int]]:
    """Return how many processes the group was seen to have, its most first when the context has ended."""
    found = [0]
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(0.02):
            found[0] = max(found[0], len({*witness.members(name)}))

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield found
    finally:
        ended.set()
        thread.join()


@pytest.mark.usefixtures("contained")
@pytest.mark.parametrize("way", ["call", "command"])
def test_fork_bomb_reaches_its_limit(
    cap: Cap, fresh: Name, way: str, marked: Callable[[], list[int]], a_start_s: float
) -> None:
    """A fork bomb reaches its limit, which the outcome names; it is killed while it forks, and nothing survives."""
    name = fresh()
    within = Enclosure(cap, name, Limits(Constraints(256 * MIB), max_processes=MOST), timeout_s=1 + 3 * a_start_s)
    with seen_meanwhile(name) as found:
        seen = bombed(way, within)
    late = f"not done after {within.timeout_s:g} s; raise the timeout"
    assert (seen.outcome, seen.detail) == ("timeout", f"{late}; it reached its limit of {MOST} processes and threads")
    assert MOST // 2 < found[0] <= MOST
    assert marked() == []
    assert witness.groups(name) == []


def test_busy_program_has_not_reached_its_limit(cap: Cap, fresh: Name) -> None:
    """A program that is killed while it starts others, far from its limit, is not reported to have reached it."""
    busy = "for each in 1 2 3 4; do (while :; do /bin/true; done) & done; wait"
    seen = command("sh", "-c", busy, within=Enclosure(cap, fresh(), Limits(Constraints(256 * MIB)), timeout_s=0.3))
    assert (seen.outcome, seen.detail) == ("timeout", "not done after 0.3 s; raise the timeout")


@pytest.mark.usefixtures("contained")
def test_limit_is_half_of_that_of_pytest(cap: Cap, fresh: Name) -> None:
    """If pytest itself may have few processes, a run may have half of them; one that copes has a notice."""
    if hierarchy.mount_of("cgroup", "pids") is None:
        pytest.skip("version 2 has the test's group beside, not around the run's")
    within = Enclosure(cap, fresh(), Limits(), timeout_s=60)
    seen = command(sys.executable, "-c", COPES, within=within)
    assert (seen.outcome, seen.detail) == ("ok", "")
    assert seen.notices == (f"it reached its limit of {OUTER // 2} processes and threads",)


def test_memory_hog_gets_no_more_than_its_limit(cap: Cap, fresh: Name, marked: Callable[[], list[int]]) -> None:
    """A function that takes all memory gets no more than its limit, without swap, and is `oom`."""

    def hog() -> None:
        held = []
        while True:
            held.append(bytearray(MIB))

    seen = call(hog, within=Enclosure(cap, fresh(), Limits(Constraints(96 * MIB)), timeout_s=60))
    assert (seen.outcome, seen.detail) == ("oom", "killed by the kernel at its limit of 96M")
    assert seen.peak_bytes is not None
    assert seen.peak_bytes < 120 * MIB  # code that others have loaded is resident, and charged to them
    assert marked() == []


@pytest.mark.parametrize("stopped", ["kill -STOP $$", "sh -c 'kill -STOP $PPID $$'; true"], ids=["it", "child"])
def test_stopped_program_times_out(any_cap: Cap, fresh: Name, stopped: str, marked: Callable[[], list[int]]) -> None:
    """A stopped program and its child end as `timeout` under each cap, and neither is left."""
    name = fresh()
    seen = command("sh", "-c", stopped, within=Enclosure(any_cap, name, Limits(), timeout_s=0.5))
    assert (seen.outcome, seen.detail) == ("timeout", "not done after 0.5 s; raise the timeout")
    assert marked() == []
    assert witness.groups(name) == []


class Disturbed:
    """A cap whose groups are removed as soon as they were created; otherwise like the cap inside."""

    enforces = True

    def __init__(self, cap: Cap) -> None:
        self._cap = cap
        self.unavailable, self.outer, self.sweep = cap.unavailable, cap.outer, cap.sweep

    def open(self, name: str, limits: Limits) -> Group:
        """Make the group, and remove it."""
        group = self._cap.open(name, limits)
        for folder in witness.named(name):
            folder.rmdir()
        return group


@pytest.mark.parametrize("way", ["call", "command"])
def test_group_removed_before_the_start_is_named(cap: Cap, fresh: Name, way: str) -> None:
    """A group that is removed before the worker enters it is an outcome that names it."""
    name = fresh()
    within = Enclosure(Disturbed(cap), name, Limits(Constraints(64 * MIB)), timeout_s=60)
    seen = call(len, "", within=within) if way == "call" else command("true", within=within)
    assert (seen.outcome, seen.detail) == ("crashed", GONE.format(name))
    assert (seen.makespan_s, seen.peak_charged_bytes) == (None, None)


def test_group_removed_during_the_run_is_named(cap: Cap, fresh: Name, marked: Callable[[], list[int]]) -> None:
    """A group whose processes are killed, and that is then removed, is the same outcome."""
    name = fresh()

    def killed() -> bool:
        pids = witness.members(name)
        for pid in {*pids}:
            os.kill(pid, signal.SIGKILL)
        return bool(pids)

    def removed() -> bool:
        for folder in witness.named(name):
            with suppress(OSError):
                folder.rmdir()
        return witness.named(name) == []

    thread = threading.Thread(target=lambda: witness.until(killed) and witness.until(removed))
    thread.start()
    seen = command(
        "sh", "-c", "sleep 60 & sleep 60", within=Enclosure(cap, name, Limits(Constraints(64 * MIB)), timeout_s=60)
    )
    thread.join()
    # Who is quicker, his rmdir or our look at the group, decides whether more than the signal can be told.
    known = ("the program was ended by signal 9", GONE.format(name))
    assert (seen.outcome, seen.detail in known) == ("crashed", True), seen.detail
    assert seen.makespan_s is None
    assert marked() == []


@pytest.mark.parametrize("file", ["memory.stat", "pids.max"])
def test_removed_group_raises_nothing(cap: Cap, fresh: Name, file: str) -> None:
    """No method of a removed group raises an exception."""
    name = fresh()
    group = cap.open(name, Limits(Constraints(64 * MIB)))
    gone = [folder for folder in witness.named(name) if (folder / file).exists()]
    if not gone:
        pytest.skip(f"no {file} here")
    for folder in gone:
        folder.rmdir()
    assert group.totals(os.getpid()) == {}
    group.memory(os.getpid())
    group.kill()
    group.close()
    assert witness.groups(name) == []


def test_too_many_arguments_are_refused(any_cap: Cap, fresh: Name) -> None:
    """A program that the kernel does not start, for too many arguments, is refused in its words."""
    name = fresh()
    with pytest.raises(Unsupported, match="could not be started: Argument list too long"):
        command("true", "x" * (1 << 20), within=Enclosure(any_cap, name, Limits(), timeout_s=60))
    assert witness.groups(name) == []
