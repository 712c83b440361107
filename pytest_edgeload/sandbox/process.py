"""Starts a process whose high-water mark of memory does not begin with the size of this one; see `spawner`."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import chain
from typing import IO

from pytest_edgeload.sandbox import spawner

_SPAWNER = (sys.executable, "-I", "-S", spawner.__file__)


@dataclass(frozen=True, slots=True)
class ChildProcess:
    """A child of this process, which began at `began_s` on the monotonic clock.

    A high-water mark of at most `inherited_bytes` may be that of this process; 0 if the machine can separate them.
    """

    pid: int
    inherited_bytes: int
    began_s: float
    stdin: IO[bytes] | None
    stdout: IO[bytes] | None


def spawn(
    command: Sequence[str],
    env: Mapping[str, str],
    *,
    stdin: int | IO[bytes],
    stdout: int,
    stderr: int,
    cwd: str | None = None,
) -> ChildProcess:
    """Start `command` in a session of its own. `stdin`, `stdout` and `stderr` are as for `subprocess`. Raises OSError.

    The caller waits for the process, by its id.
    """
    program = shutil.which(command[0], path=env.get("PATH", os.defpath)) or command[0]
    with ExitStack() as files:
        task = os.memfd_create("edgeload command")
        files.callback(os.close, task)
        os.write(task, _joined(program, str(len(command)), *command, *chain.from_iterable(env.items())))
        os.lseek(task, 0, os.SEEK_SET)
        heard, answer = os.pipe()
        told = files.enter_context(open(heard, "rb"))  # noqa: PTH123  # an open descriptor
        with open(answer, "wb"):  # noqa: PTH123  # only the new processes have it open then
            launcher = subprocess.Popen(
                [*_SPAWNER, str(task), str(answer)],
                stdin=stdin,
                stdout=stdout,
                stderr=stderr,
                cwd=cwd,
                start_new_session=True,
                pass_fds=(task, answer),
            )
        lines = [[*map(int, line.split())] for line in told.read().splitlines()]  # until the command runs
    (pid, inherited_kib, began_ns), *failure = lines or [[launcher.pid, 0, 0], [errno.ECHILD]]
    if pid != launcher.pid:
        launcher.wait()
    launcher.returncode = 0  # otherwise its destructor could wait for a command that took its place
    if failure:
        os.waitpid(pid, 0)
        _close(launcher.stdin, launcher.stdout)
        raise OSError(failure[0][0], os.strerror(failure[0][0]))
    return ChildProcess(pid, inherited_kib * 1024, began_ns / 1e9, launcher.stdin, launcher.stdout)


def _close(*pipes: IO[bytes] | None) -> None:
    for pipe in filter(None, pipes):
        pipe.close()


def _joined(*words: str) -> bytes:
    """Return the words separated by null characters. Raises OSError if one contains such a character."""
    if any("\0" in word for word in words):
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
    return b"\0".join(map(os.fsencode, words))
