"""A spawned process is a child like any other, but its high-water mark is its own."""

from __future__ import annotations

import errno
import os
import re
import resource
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import psutil
import pytest

from pytest_edgeload.sandbox.process import spawn
from tests.sandbox.child import MIB

HOLD = "import sys; bytearray(int(sys.argv[1]))"


def finish(*command: str, env: Mapping[str, str] = os.environ) -> tuple[bytes, int, resource.struct_rusage, int]:
    """Spawn a command; return its output, its status, its resources, and the mark it inherited."""
    process = spawn(command, env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert process.stdout is not None  # a pipe
    with process.stdout as file:
        output = file.read()
    _, status, usage = os.wait4(process.pid, 0)
    return output, status, usage, process.inherited_bytes


def test_high_water_mark_is_the_process_own() -> None:
    """The mark of a process is its own, and at least that of the small program that starts it; this one is larger."""
    ballast = b"1" * (96 * MIB)
    _, _, small, inherited_bytes = finish("true")
    _, _, larger, _ = finish(sys.executable, "-I", "-S", "-c", HOLD, str(24 * MIB))
    assert inherited_bytes == 0
    assert small.ru_maxrss * 1024 < 12 * MIB
    assert 24 * MIB <= larger.ru_maxrss * 1024 < 40 * MIB < len(ballast)


def test_process_is_a_child_in_a_session_of_its_own() -> None:
    """A process is a child of this one, leads a session, and ignores no signal, though this one does.

    It keeps the C library's own signals, which no program can set.
    """
    before = signal.signal(signal.SIGUSR2, signal.SIG_IGN)
    try:
        output, status, _, _ = finish("cat", "/proc/self/stat", "/proc/self/status")
    finally:
        signal.signal(signal.SIGUSR2, before)
    fields = output.partition(b")")[2].split()
    pid = int(output.split()[0])
    assert (status, int(fields[1]), int(fields[2]), int(fields[3])) == (0, os.getpid(), pid, pid)
    (ignored,) = re.findall(rb"SigIgn:\t(\w+)", output)
    assert [number for number in signal.valid_signals() if int(ignored, 16) >> (number - 1) & 1] == []
    assert not psutil.pid_exists(pid)


def test_command_and_environment_arrive_as_they_are() -> None:
    """Arguments and variables of any bytes arrive, and no others; no file but the usual three is open."""
    word = os.fsdecode(b"\xff \n$x")
    output, _, _, _ = finish("sh", "-c", 'printf %s "$0$WORD"; ls /proc/self/fd | wc -w', word, env={"WORD": word})
    assert output == 2 * os.fsencode(word) + b"4\n"  # the fourth is the folder that ls lists


@pytest.mark.parametrize(
    ("command", "number"),
    [("/no/such", errno.ENOENT), (__file__, errno.EACCES), ("true", errno.E2BIG), ("\0", errno.EINVAL)],
)
def test_command_that_cannot_start_is_an_error(command: str, number: int) -> None:
    """A command that the kernel refuses is an OSError with its number, and leaves no process and no file open."""

    def held() -> tuple[int, int]:
        return len(psutil.Process().children()), len([*Path("/proc/self/fd").iterdir()])

    before = held()
    with pytest.raises(OSError, match=os.strerror(number)):
        finish(command, "x" * (1 << 20) if number == errno.E2BIG else "")
    assert held() == before
