"""Measured runs of one user on one host take turns, or overlap on cores of their own, across sessions and processes.

`queue.lock` gives turns in the order in which processes ask, `run.lock` is held by a run that has the machine for
itself, and by a run that overlaps only until it has its cores: then it holds a `core-N.lock` for each of them. The
kernel releases a lock when its holder dies, so no state is stale: a note next to a lock counts only while that is held.
"""

from __future__ import annotations

import fcntl
import math
import os
import stat
import tempfile
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec
import psutil

from pytest_edgeload.base import decoding, files, kernel_text
from pytest_edgeload.base.errors import Unsupported
from pytest_edgeload.base.locks import QUIET_S, hold, holder, silent
from pytest_edgeload.sandbox.sharing import NO_CORE, UNKNOWN, MachinePart, SharedMachine

_OTHERS = stat.S_IWGRP | stat.S_IWOTH
_HINT = "set TMPDIR to a folder of your own"
_POLL_S = 0.05
_MAX_NOTE_BYTES = 1 << 20


@contextmanager
def host_lock(say: Callable[[str], None] = silent, quiet_s: float = QUIET_S) -> Iterator[float]:
    """Hold the lock of measured runs, and yield the seconds that it took to get it. No other run is next to it.

    If that is more than `quiet_s`, `say` gets a line that names the process this one waits for.
    The kernel releases the lock when its holder dies. Processes get it in the order in which they ask, so a waiting
    one comes before the holder's next run. Raises Unsupported if the lock could be another user's.
    """
    with _next_turn(say, quiet_s) as turn:
        with _repairable(turn.folder):
            for file in sorted(turn.folder.glob("core-*.lock")):
                with hold(file, turn.on_wait, quiet_s):
                    pass
        yield turn.waited_s


class Seat:
    """The cores that a run has for itself, held until the end of the context that made it.

    `waited_s` is the time that it waited for them, and `reason` why, unless only cores were missing.
    """

    def __init__(self, folder: Path, cores: tuple[int, ...], waited_s: float, reason: str) -> None:
        self.cores = cores
        self.waited_s = waited_s
        self.reason = reason
        self._folder = folder

    def neighbours(self, since: float = math.inf) -> int:
        """Return the number of runs that are next to it now, and were so before the Unix time `since`.

        0 if the folder of the locks cannot be read, so that no measurement is lost.
        """
        try:
            parts = _parts(self._folder, self.cores)
        except OSError:
            return 0
        return sum(
            part.memory_bytes > 0 and _written(_note(self._folder, core)) < since for core, part in parts.items()
        )


@contextmanager
def shared_turn(
    part: MachinePart, room: SharedMachine, say: Callable[[str], None] = silent, quiet_s: float = QUIET_S
) -> Iterator[Seat]:
    """Wait until a run with this part of the machine fits next to the others, and hold its cores.

    See `host_lock` for `say`, `quiet_s`, the order and the errors.
    """
    with ExitStack() as seat:
        with _next_turn(say, quiet_s) as turn, _repairable(turn.folder):
            cores, reason = _wait_for_cores(part, room, turn)
            for core, own in zip(cores, [part, *[MachinePart(0)] * part.cores], strict=False):
                files.write(_note(turn.folder, core), msgspec.json.encode(own), files.OURS)
                seat.enter_context(hold(_lock(turn.folder, core)))
            waited_s = turn.waited_s
        yield Seat(turn.folder, cores, waited_s, reason)


@dataclass(frozen=True, slots=True)
class _Wait:
    folder: Path
    asked_s: float
    quiet_s: float
    say: Callable[[str], None]

    @property
    def waited_s(self) -> float:
        return time.monotonic() - self.asked_s

    def on_wait(self, who: str, why: str = "measured runs on one host take turns") -> None:
        self.say(f"edgeload: waits for {who}, because {why}")


@contextmanager
def _next_turn(say: Callable[[str], None], quiet_s: float) -> Iterator[_Wait]:
    """Hold the lock of a run that has the machine for itself, after those who asked before. Raises Unsupported."""
    folder = _folder()
    queue, run = folder / "queue.lock", folder / "run.lock"

    turn = _Wait(folder, time.monotonic(), quiet_s, say)
    with ExitStack() as stack:
        with _repairable(folder), hold(queue, lambda _next: turn.on_wait(holder(run)), quiet_s):
            stack.enter_context(hold(run, turn.on_wait, quiet_s))
        yield turn


@contextmanager
def _repairable(folder: Path) -> Iterator[None]:
    """Turn an OSError into Unsupported: somebody changed the folder of the locks."""
    try:
        yield
    except OSError as error:
        raise Unsupported(str(folder), error.strerror or "", f"repair it, or {_HINT}") from error


def _wait_for_cores(part: MachinePart, room: SharedMachine, turn: _Wait) -> tuple[tuple[int, ...], str]:
    """Wait until the part fits. Return its cores, and the last reason to wait other than a lack of cores."""
    reason, has_said = "", False
    while True:
        taken = _parts(turn.folder)
        found = room.cores_for(part, taken, psutil.virtual_memory().available)
        if not isinstance(found, str):
            return found, reason
        if found != NO_CORE:
            reason = found
        if taken and not has_said and turn.waited_s > turn.quiet_s:
            turn.on_wait(holder(_lock(turn.folder, min(taken))), found)
            has_said = True
        time.sleep(_POLL_S)


def _parts(folder: Path, own: Collection[int] = ()) -> dict[int, MachinePart]:
    """Return the parts of the runs that hold cores other than `own`, by core."""
    parts = {}
    for file in folder.glob("core-*.lock"):
        core = kernel_text.number(file.stem.partition("-")[2])
        if core is not None and core not in own and _is_held(file):
            parts[core] = _read(_note(folder, core))
    return parts


def _is_held(file: Path) -> bool:
    """Return whether a process holds this lock. Two processes that ask at once do not see each other."""
    fd = os.open(file, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)  # which releases it
    return False


def _read(note: Path) -> MachinePart:
    try:
        return decoding.decode(files.read(note, _MAX_NOTE_BYTES), MachinePart)
    except (OSError, ValueError):
        return UNKNOWN


def _written(note: Path) -> float:
    try:
        return note.stat().st_mtime
    except OSError:  # it was removed
        return math.inf


def _lock(folder: Path, core: int) -> Path:
    return folder / f"core-{core}.lock"


def _note(folder: Path, core: int) -> Path:
    return folder / f"core-{core}.json"


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
