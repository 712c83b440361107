"""Ctrl-C while a machine is prepared or restored: nothing is left, at any moment and any number of times."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType

import pytest

from pytest_edgeload.base.interrupts import SIGNALS, Interrupts, ended_alike
from pytest_edgeload.measuring.directories import SessionDirectories
from pytest_edgeload.measuring.machine import prepared
from pytest_edgeload.sandbox.caps import choose
from pytest_edgeload.sandbox.owner import PREFIX, tag
from tests.sandbox import witness

SWAPPING = """\
import sys
from pathlib import Path
from pytest_edgeload.measuring.machine import prepared
from pytest_edgeload.measuring.directories import SessionDirectories
directories = SessionDirectories.new(Path(sys.argv[1]))
print("ready", flush=True)
with prepared(directories, "512M", print):
    sys.stdin.read()
"""
OTHERS = """\
import os, signal
from pytest_edgeload.base.interrupts import ended_alike
signal.signal(signal.SIGTERM, lambda *_: print("theirs", flush=True))
signal.signal(signal.SIGHUP, signal.SIG_IGN)
with ended_alike():
    os.kill(os.getpid(), signal.SIGTERM)
    os.kill(os.getpid(), signal.SIGHUP)
print("end")
"""
SWAP = "256M" if os.geteuid() == 0 else "off"


@pytest.fixture
def directories(tmp_path: Path) -> Iterator[SessionDirectories]:
    """Yield the directories of a session, and switch its swap off afterwards."""
    found = SessionDirectories.new(tmp_path)
    yield found
    for area in (line.split()[0] for line in witness.swaps().splitlines()[1:] if str(tmp_path) in line):
        subprocess.run(["/sbin/swapoff", area], check=True)


def interrupt(*delays_s: float) -> threading.Thread:
    """Send this process Ctrl-C after each of these delays, one after the other."""

    def strike() -> None:
        for delay_s in delays_s:
            time.sleep(delay_s)
            os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=strike)
    thread.start()
    return thread


def attempt(directories: SessionDirectories) -> None:
    with prepared(directories, SWAP, lambda _line: None):
        time.sleep(0.002)


def interrupt_attempt(_number: int, frame: FrameType | None) -> None:
    """Raise where Ctrl-C comes while `attempt` runs; elsewhere it would end the test."""
    while frame is not None:
        if frame.f_code is attempt.__code__:
            raise KeyboardInterrupt
        frame = frame.f_back


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Have Ctrl-C interrupt nothing but attempts."""
    before = signal.signal(signal.SIGINT, interrupt_attempt)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
def test_ctrl_c_at_any_moment_leaves_nothing(directories: SessionDirectories) -> None:
    """Ctrl-C at any moment of preparing and cleaning up, and again in the cleanup, leaves neither swap nor file."""
    interrupted = 0
    for delay_ms in range(0, 60, 4):
        thread = interrupt(delay_ms / 1000, 0.003, 0.003)
        try:
            attempt(directories)
        except KeyboardInterrupt:
            interrupted += 1
        thread.join()
        assert str(directories.swaps) not in witness.swaps()
        assert not directories.swaps.exists() or list(directories.swaps.iterdir()) == []
        assert witness.groups(directories.session) == []
    assert interrupted


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to switch swap on")
def test_swap_of_a_killed_session_is_removed(tmp_path: Path) -> None:
    """A session killed while it creates its swap, partial or on, leaves it, and the next one removes it."""
    said: list[str] = []
    for delay_ms in (0, 5, 15, 30, 45, 90):
        pipe = subprocess.PIPE
        with subprocess.Popen([sys.executable, "-c", SWAPPING, tmp_path], stdin=pipe, stdout=pipe) as killed:
            assert killed.stdout is not None
            killed.stdout.readline()
            name = f"{PREFIX}{tag(killed.pid)}.swap"
            assert witness.until((tmp_path / "swap" / name).exists)
            time.sleep(delay_ms / 1000)
            killed.kill()
        was_there, was_on = (tmp_path / "swap" / name).exists(), name in witness.swaps()
        with prepared(SessionDirectories.new(tmp_path), "off", said.append):
            assert not (tmp_path / "swap" / name).exists()
            assert name not in witness.swaps()
        was_told = f"edgeload: removed {name}, a leftover of a dead session" in said
        assert was_told or not was_there or was_on  # what is on any session of the machine may remove
    assert said, "none was killed in time"


def test_groups_of_all_controllers_are_removed(tmp_path: Path) -> None:
    """Groups of each controller of a killed session, and a process in them, are removed and named."""
    name, cap = choose("auto")
    if not cap.enforces:
        pytest.skip("no cap here makes groups")
    code = (
        "import os, subprocess, sys; from pytest_edgeload.sandbox.caps import CAPS\n"
        "from pytest_edgeload.devices.constraints import Constraints\n"
        "from pytest_edgeload.sandbox.constraints import Limits\n"
        "from pytest_edgeload.sandbox.owner import PREFIX, tag\n"
        "limits = Limits(Constraints(64 << 20, cpus=0.5))\n"
        f"group = CAPS[{name!r}].open(f'{{PREFIX}}{{tag(os.getpid())}}-0', limits)\n"
        "it = subprocess.Popen([*group.enter, 'sleep', '600'], start_new_session=True)\n"
        "print(it.pid, flush=True); sys.stdin.read()"
    )
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", code], stdin=pipe, stdout=pipe, text=True) as killed:
        assert killed.stdout is not None
        living = int(killed.stdout.readline())
        left = f"{PREFIX}{tag(killed.pid)}-0"
        assert witness.until(lambda: living in witness.members(left))
        assert witness.groups(left)  # any session may remove them afterwards
        killed.kill()
    said: list[str] = []
    with prepared(SessionDirectories.new(tmp_path), "off", said.append):
        assert witness.until(lambda: witness.groups(left) == [] and not witness.alive(living))
    assert said.count(f"edgeload: removed {left}, a leftover of a dead session") <= 1  # another may have been quicker


@pytest.mark.parametrize("number", SIGNALS)
def test_signal_waits_until_it_is_allowed(number: signal.Signals) -> None:
    """Each of the signals waits in the context, is let through in an allowed part, and is as before afterwards."""
    before = {each: signal.getsignal(each) for each in SIGNALS}
    moments = itertools.count()

    def held(strike: Callable[[], None]) -> None:
        with Interrupts() as interrupts:
            strike()
            next(moments)
            with interrupts.allowed():
                next(moments)

    with ended_alike():
        with pytest.raises(KeyboardInterrupt):
            held(lambda: os.kill(os.getpid(), number))
        assert next(moments) == 1  # held in the first part, let through before the second
        held(lambda: None)
        assert next(moments) == 4
    assert {each: signal.getsignal(each) for each in SIGNALS} == before


def test_second_signal_does_not_interrupt_the_cleanup() -> None:
    """After one was let through, the next waits: the second Ctrl-C does not interrupt a cleanup."""
    cleaned = False

    def held() -> None:
        nonlocal cleaned
        with Interrupts() as interrupts:
            try:
                with interrupts.allowed():
                    try:
                        os.kill(os.getpid(), signal.SIGINT)
                    finally:
                        os.kill(os.getpid(), signal.SIGINT)
                        cleaned = True
            finally:
                os.kill(os.getpid(), signal.SIGINT)
                assert cleaned

    with pytest.raises(KeyboardInterrupt):
        held()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_other_handlers_stay() -> None:
    """A handler of SIGTERM, and an ignored SIGHUP as under nohup, stay."""
    done = subprocess.run([sys.executable, "-c", OTHERS], check=True, capture_output=True, text=True)
    assert done.stdout.split() == ["theirs", "end"]
