"""Large files on a host. Each arrives once, in pieces, and is kept under its digest; an interrupted one is continued.

    files/<digest>        a whole file
    files/<digest>.part   the first part of a file whose connection was lost
    files/<digest>.lock   held while the file arrives, so that two sessions do not write it at once; its modification
                          time is that of the last session that needed the file
    checkpoints/<key>/    links to files that are one checkpoint, by their names
    files.lock            held while a session notes which files it needs, removes others, or makes links

A session that needs large files first removes those that no session has needed for a month, and the links to them; the
locks stay.
The host asks for each piece, so that pieces never wait in the memory of a board whose disk is slow.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from pytest_edgeload.base import files
from pytest_edgeload.base.errors import Refusal, Unsupported
from pytest_edgeload.base.locks import hold, hold_if_free
from pytest_edgeload.base.units import format_size

NEEDS, READ, WAITS, REFUSED, DONE = "needs", "read", "waits", "refused", "done"
"""The first words of a host's messages: it needs more bytes, asks for a piece, waits for a process, and so on."""

_FILES = "files"
_CHECKPOINTS = "checkpoints"
_PART, _LOCK = ".part", ".lock"
_PIECE_BYTES = 1 << 18
_PIECES_AHEAD = 8  # on their way at once, so that a long way does not slow the copy
_SILENCE_S = 60.0
_KEPT_S = 30 * 86400.0
_READ_ONLY = 0o444
_WRITTEN_NS = 0  # the modification time of a whole file; another time means that someone has written to it
_HINT = "free some space there, or name another folder in the file of hosts"

_needed: set[str] = set()  # the digests of all files of this session, which needs them whatever the clock says


class Offer(NamedTuple):
    """A file that the other side has: its name, its size, and the SHA-256 of its content."""

    name: str
    size_bytes: int
    digest: str


class _Connection:
    """The channel of execnet to the controller. Its methods raise Unsupported if the controller is lost."""

    def __init__(self, channel: Any) -> None:
        self._channel = channel

    def send(self, *message: object) -> None:
        """Send a message."""
        self._do(lambda: self._channel.send(message))

    def receive(self, timeout_s: float | None = _SILENCE_S) -> Any:
        """Return the next answer."""
        return self._do(lambda: self._channel.receive(timeout_s))

    def _do(self, call: Callable[[], Any]) -> Any:
        try:
            return call()
        except (OSError, EOFError) as error:  # OSError: also execnet's error after a silence
            raise Unsupported("the connection to the controller", "lost", "start the session again") from error


def receive(channel: Any, cache: Path, folder: Path | None = None) -> list[Path]:
    """Return links to the files that the controller offers, in its order; fetch those that are not in `cache` yet.

    The links are in `folder`, or in a folder of their own in the cache. `channel` is one of execnet's. Raises Refusal,
    which the controller gets as well.
    """
    connection = _Connection(channel)
    try:
        offered = connection.receive(None)  # the controller may first have to compute digests
        if isinstance(offered, str):
            raise Unsupported(offered)
        offers = [Offer(*each) for each in offered]
        links = [(folder or cache / _CHECKPOINTS / _key(offers)) / each.name for each in offers]
        _receive(connection, cache / _FILES, offers, links)
    except Refusal as error:
        with suppress(Refusal):
            connection.send(REFUSED, str(error))
        raise
    connection.send(DONE)
    return links


def _key(offers: Sequence[Offer]) -> str:
    """Return a name for the folder of these files."""
    return hashlib.sha256(repr([(each.name, each.digest) for each in offers]).encode()).hexdigest()[:32]


def _link(link: Path, path: Path) -> None:
    try:
        files.make_folder(link.parent)
        with suppress(FileExistsError):  # of an earlier session, or of another one just now
            link.symlink_to(path)
    except OSError as error:
        raise Unsupported(str(link), error.strerror or "cannot be made", _HINT) from error


def _receive(connection: _Connection, folder: Path, offers: Sequence[Offer], links: Sequence[Path]) -> None:
    """Fetch the files that are not in `folder` yet, and link to all of them. Raises Unsupported."""

    def waits(holder: str) -> None:
        connection.send(WAITS, holder)

    try:
        files.make_folder(folder)
        with hold(folder.with_suffix(_LOCK), waits):
            _note(folder, {each.digest for each in offers})
            _prune(folder, time.time() - _KEPT_S)
        _check_room(connection, folder, offers)
        for index, each in enumerate(offers):
            lock = folder / f"{each.digest}{_LOCK}"
            with hold(lock, waits):
                lock.touch()
                if not _is_whole(folder, each):
                    _fetch(connection, folder, index, each)
        with hold(folder.with_suffix(_LOCK), waits):
            for link, each in zip(links, offers, strict=True):
                _link(link, folder / each.digest)
    except OSError as error:
        raise Unsupported(str(folder), error.strerror or "cannot be written", _HINT) from error


def _note(folder: Path, digests: Collection[str]) -> None:
    """Note that this session needs these files, so that no session removes one before it is reached. Raises OSError."""
    _needed.update(digests)
    for digest in digests:
        with suppress(FileNotFoundError):  # the file has never been here
            os.utime(folder / f"{digest}{_LOCK}")


def _prune(folder: Path, moment_s: float) -> None:
    """Remove the files that no session has needed since `moment_s`, in seconds since 1970, and links to nothing.

    Files that cannot be removed stay, and are no fault of this session.
    """
    for lock in folder.glob(f"*{_LOCK}"):
        with suppress(OSError):
            if lock.stem not in _needed and lock.stat().st_mtime < moment_s:
                with hold_if_free(lock) as is_held:
                    for path in (lock.with_suffix(""), lock.with_suffix(_PART)) if is_held else ():
                        path.unlink(missing_ok=True)
    for checkpoint in (folder.parent / _CHECKPOINTS).glob("*"):
        with suppress(OSError):
            for link in checkpoint.iterdir():
                if not link.exists():
                    link.unlink()
            checkpoint.rmdir()  # fails if it is not empty


def _check_room(connection: _Connection, folder: Path, offers: Sequence[Offer]) -> None:
    """Say how many bytes are needed. Raises Unsupported if the disk has no room for them."""
    missing = {each.digest: each for each in offers if not _is_whole(folder, each)}
    needed = sum(each.size_bytes - _begun(folder, each) for each in missing.values())
    free = shutil.disk_usage(folder).free
    if needed > free:
        names = ", ".join(sorted(each.name for each in missing.values())[:3])
        reason = f"{format_size(needed)} are needed for {names}, and {format_size(free)} are free"
        raise Unsupported(str(folder), reason, _HINT)
    if missing:
        connection.send(NEEDS, needed)


def _is_whole(folder: Path, file: Offer) -> bool:
    """Return whether a file is there, and has not been written to since."""
    with suppress(OSError):
        status = (folder / file.digest).stat()
        return (status.st_size, status.st_mtime_ns) == (file.size_bytes, _WRITTEN_NS)
    return False


def _begun(folder: Path, file: Offer) -> int:
    """Return the bytes of a file that arrived before the connection was lost."""
    with suppress(OSError):
        size = (folder / f"{file.digest}{_PART}").stat().st_size
        return size if size <= file.size_bytes else 0
    return 0


def _fetch(connection: _Connection, folder: Path, index: int, file: Offer) -> None:
    """Fetch the rest of a file; all of it if the first part is damaged. Raises Unsupported or OSError."""
    part, begun = folder / f"{file.digest}{_PART}", _begun(folder, file)
    digest = _write(part, begun, _pieces(connection, index, begun, file.size_bytes))
    if digest != file.digest and begun:
        connection.send(NEEDS, file.size_bytes)
        digest = _write(part, 0, _pieces(connection, index, 0, file.size_bytes))
    if digest != file.digest:
        part.unlink()
        raise Unsupported(file.name, "it changed while it was copied", "start the session again")
    os.utime(part, ns=(_WRITTEN_NS, _WRITTEN_NS))
    part.replace(folder / file.digest).chmod(_READ_ONLY)  # in this order: a read-only part could not be continued


def _write(part: Path, begun: int, pieces: Iterator[bytes]) -> str:
    """Write pieces to a file after its first `begun` bytes. Return the digest of the file. Raises OSError."""
    digest = hashlib.sha256()
    with files.naming(part), part.open("r+b" if begun else "wb", buffering=0) as output:
        while rest := begun - output.tell():
            digest.update(output.read(min(_PIECE_BYTES, rest)))
        for piece in pieces:
            digest.update(piece)
            output.write(piece)
        os.fsync(output.fileno())
    return digest.hexdigest()


def _pieces(connection: _Connection, index: int, begin: int, end: int) -> Iterator[bytes]:
    """Yield the bytes of a file, and ask for some pieces in advance.

    Raises Unsupported if they do not arrive, or if the controller cannot read them.
    """
    starts = range(begin, end, _PIECE_BYTES)

    def ask(starts: range) -> None:
        for start in starts:
            connection.send(READ, index, start, min(_PIECE_BYTES, end - start))

    ask(starts[:_PIECES_AHEAD])
    for number in range(len(starts)):
        piece = connection.receive()
        if isinstance(piece, str):
            raise Unsupported(piece)
        ask(starts[number + _PIECES_AHEAD : number + _PIECES_AHEAD + 1])
        yield piece
