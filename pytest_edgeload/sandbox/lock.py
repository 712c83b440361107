"""Measured runs of one user on one host take turns, across all sessions and processes."""

from __future__ import annotations

import os
import stat
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from pytest_edgeload.base.errors import Unsupported
from pytest_edgeload.base.locks import QUIET_S, hold, holder, silent

_OTHERS = stat.S_IWGRP | stat.S_IWOTH
_HINT = "set TMPDIR to a folder of your own"


@contextmanager
def host_lock(say: Callable[[str], None] = silent, quiet_s: float = QUIET_S) -> Iterator[float]:
    """Hold the lock of measured runs, and yield the seconds that it took to get it.

    If that is more than `quiet_s`, `say` gets a line that names the process this one waits for.

    The kernel releases the lock when its holder dies. Processes get it in the order in which they ask, so a waiting
    one comes before the holder's next run. Raises Unsupported if the lock could be another user's.
    """
    folder = _folder()
    queue, run = folder / "queue.lock", folder / "run.lock"

    def on_wait(who: str) -> None:
        say(f"edgeload: waits for {who}, because measured runs on one host take turns")

    asked_s = time.monotonic()
    with ExitStack() as turn:
        try:
            with hold(queue, lambda _next: on_wait(holder(run)), quiet_s):
                turn.enter_context(hold(run, on_wait, quiet_s))
        except OSError as error:
            raise Unsupported(str(folder), error.strerror or "", f"repair it, or {_HINT}") from error
        yield time.monotonic() - asked_s


def _folder() -> Path:
    """Return the folder of the locks, which belongs to this user alone. Raises Unsupported."""
    folder = Path(tempfile.gettempdir()) / f"edgeload-{os.getuid()}"
    try:
        if not os.path.lexists(folder):
            folder.mkdir(mode=0o700, exist_ok=True)
        status = folder.lstat()
    except OSError as error:
        raise Unsupported(str(folder), error.strerror or "", _HINT) from error
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid():
        raise Unsupported(str(folder), "not a folder of this user", f"remove it, or {_HINT}")
    if status.st_mode & _OTHERS:
        raise Unsupported(str(folder), "other users can write to it", f"remove it, or {_HINT}")
    return folder
