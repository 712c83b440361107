"""Measured runs of one user on one host take turns, whichever pytest process or session starts them."""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from pytest_edgeload.base.errors import Unsupported
from pytest_edgeload.base.locks import held, holder, silent

_OTHERS = stat.S_IWGRP | stat.S_IWOTH


@contextmanager
def host_lock(say: Callable[[str], None] = silent) -> Iterator[None]:
    """Hold the lock that goes with a measured run; `say` is told, in a line, whom this has to wait for.

    The kernel lets go of it when its holder dies. Who comes first is next, and has its turn before the holder's next
    one. Raises Unsupported where the lock could be another user's.
    """
    folder = _folder()
    queue, run = folder / "queue.lock", folder / "run.lock"

    def waits(who: str) -> None:
        say(f"edgeload: waits for {who}, for measured runs on one host take turns")

    with ExitStack() as turn:
        try:
            with held(queue, lambda _next: waits(holder(run))):
                turn.enter_context(held(run, waits))
        except OSError as error:
            raise Unsupported(f"{folder}: {error.strerror}; mend that, or set TMPDIR to another folder") from error
        yield


def _folder() -> Path:
    """Return the folder of the locks, nobody's but this user's. Raises Unsupported."""
    folder = Path(tempfile.gettempdir()) / f"edgeload-{os.getuid()}"
    try:
        if not os.path.lexists(folder):
            folder.mkdir(mode=0o700, exist_ok=True)
        status = folder.lstat()
    except OSError as error:
        raise Unsupported(f"{folder}: {error.strerror}; set TMPDIR to a folder of your own") from error
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid():
        raise Unsupported(f"{folder} is no folder of yours; remove it, or set TMPDIR to a folder of your own")
    if status.st_mode & _OTHERS:
        raise Unsupported(f"{folder} can be written by others; remove it, or set TMPDIR to a folder of your own")
    return folder
