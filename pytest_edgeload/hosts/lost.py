"""The measurements that a host made for a session that lost it: they are in its cache until this machine has them.

A process on a host notes its origin, the session here, in its own session's folder. The note is removed when
everything is here.
"""

from __future__ import annotations

import hashlib
import io
import os
import platform
import re
import shlex
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from pytest_edgeload.base import decoding, files
from pytest_edgeload.base.errors import Unsupported
from pytest_edgeload.hosts.check import Examined, LostSession
from pytest_edgeload.hosts.connection import ask
from pytest_edgeload.hosts.facts import ORIGIN
from pytest_edgeload.hosts.project import cache_of
from pytest_edgeload.results import journal
from pytest_edgeload.results.record import Entry
from pytest_edgeload.sandbox.owner import is_abandoned

_RUNS = "runs"
_PATIENCE_S = 3600.0  # time lines are large, and boards may be far
_SESSION = re.compile(r"\d{6,}\.(?P<tag>edgeload-[\d-]+)", re.ASCII)


class Fetched(NamedTuple):
    """Runs of a lost session, and the folder of that session, which they are in now."""

    host: str
    folder: Path
    found: int

    @property
    def runs(self) -> str:
        """The number of runs, in words."""
        return f"{self.found} run" if self.found == 1 else f"{self.found} runs"

    def __str__(self) -> str:
        command = f"edgeload report {shlex.quote(str(self.folder))}"
        return f"{self.host}: fetched {self.runs} of an earlier session; see: {command}"


def origin_of(session: Path) -> str:
    """Return the note for the hosts of the session with this folder: a digest of the machine, and the folder's name."""
    return f"{_digest(session.parent)} {session.name}"


def note(session: Path, origin: str) -> None:
    """Note the origin in the folder of a session on a host. Raises OSError."""
    files.write(session / ORIGIN, origin.encode(), files.OURS)


def has_ended(session: Path) -> bool:
    """Return whether the process of a session here has ended."""
    match = _SESSION.fullmatch(session.name)
    return match is not None and is_abandoned(match["tag"])


def fetch(examined: Examined, sessions: Path, is_wanted: Callable[[Path], bool] = has_ended) -> Iterator[Fetched]:
    """Write the runs of lost sessions that are on a host into the folders of these sessions here.

    `sessions` is the folder of all sessions here, and `is_wanted` chooses among them. Runs that are here already stay.
    Yields the sessions with new runs. Raises Unsupported, also if this disk is full.
    """
    for lost in examined.facts.lost:
        digest, _, name = lost.origin.partition(" ")
        session = sessions / name
        if digest == _digest(sessions) and _SESSION.fullmatch(name) and is_wanted(session):
            count = _fetch(examined, lost, session)
            if not lost.is_running:
                note_there = shlex.quote(os.path.join(_folder(examined, lost), ORIGIN))
                ask(examined.host, f"rm -f {note_there}")
            if count:
                yield Fetched(examined.host.name, session, count)


def _fetch(examined: Examined, lost: LostSession, session: Path) -> int:
    """Write the runs of a lost session into its folder here. Return their number."""
    there = shlex.quote(_folder(examined, lost))
    # tar's status 1 says that a folder changed while it was read: the session may still run. A part of an archive is
    # an error below.
    packed = ask(examined.host, f"tar -cf - -C {there} {journal.HEAD} {_RUNS} || [ $? = 1 ]", timeout_s=_PATIENCE_S)
    runs, count = session / _RUNS, 0
    try:
        members = dict(_members(packed))
        for text in (text for name, text in members.items() if name.parent.name == _RUNS):
            entry = journal.brought_home(runs, decoding.decode(text, Entry))
            if not os.path.lexists(entry.file):
                journal.write(entry)
                count += 1
        if count and not (session / journal.HEAD).exists():  # it was removed here
            files.write(session / journal.HEAD, members[PurePosixPath(journal.HEAD)], files.OURS)
    except (tarfile.TarError, ValueError, KeyError) as error:
        raise Unsupported(examined.host.name, f"the runs of a lost session cannot be read ({error})") from error
    except OSError as error:
        raise Unsupported(str(session), error.strerror or str(error), "free some space") from error
    return count


def _members(packed: bytes) -> Iterator[tuple[PurePosixPath, bytes]]:
    """Yield the names and contents of the JSON files in an archive."""
    with tarfile.open(fileobj=io.BytesIO(packed), mode="r:") as archive:
        for member in archive:
            file = archive.extractfile(member) if member.isreg() and member.name.endswith(".json") else None
            if file is not None:
                yield PurePosixPath(member.name), file.read()


def _folder(examined: Examined, lost: LostSession) -> str:
    return os.path.join(cache_of(examined), "sessions", lost.session)


def _digest(sessions: Path) -> str:
    """Return a short digest of this machine and its folder of sessions."""
    return hashlib.sha256(
        f"{platform.node()}:{os.path.realpath(sessions)}".encode(errors="surrogateescape")
    ).hexdigest()[:12]
