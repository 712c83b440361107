"""Large files on their way to hosts: offered by their digests, and sent piece by piece."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from pytest_edgeload.base import files
from pytest_edgeload.base.errors import Refusal, Unsupported
from pytest_edgeload.hosts.check import Examined
from pytest_edgeload.hosts.incoming import DONE, NEEDS, READ, REFUSED, WAITS, Offer
from pytest_edgeload.hosts.project import LOST, cache_of, large_files, reason_of, receive_large
from pytest_edgeload.networks.checkpoint import GGUF_SUFFIX, checkpoint_files
from pytest_edgeload.networks.edgenet import SUFFIX

_DIGEST_CHARACTERS = 64

Show = Callable[[int, int, str], None]
"""Shows the bytes that a host has got, those that it needs, and the process that it waits for, if it waits."""

BeginCopy = Callable[[str], Show]
"""Returns the function that shows a copy of files, which it gets in words."""

_WEIGHTS = (".safetensors", GGUF_SUFFIX, ".pt2", SUFFIX)
_AGAIN = "start the session again; it continues the copy"


class Digests:
    """The digests of files of this machine, kept in a folder, because to compute one means to read a large file."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()  # several hosts ask for the same file

    def of(self, path: Path) -> str:
        """Return the SHA-256 of a file. Raises OSError."""
        status = path.stat()
        stamp = f"{path.absolute()} {status.st_size} {status.st_mtime_ns} {status.st_ctime_ns}"
        note = self._folder / hashlib.sha256(stamp.encode(errors="surrogateescape")).hexdigest()[:32]
        with self._lock:
            with suppress(OSError, ValueError):
                return files.read(note, _DIGEST_CHARACTERS).decode("ascii")
            with files.open_file(path) as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            with suppress(OSError):  # a full disk only costs the time to compute it again
                files.make_folder(self._folder)
                files.write(note, digest.encode(), files.OURS)
        return digest


def offers(paths: Mapping[str, Path], digests: Digests) -> list[Offer]:
    """Return the files at `paths`, which have their names, as a host gets them offered. Raises Unsupported."""
    try:
        return [Offer(name, path.stat().st_size, digests.of(path)) for name, path in paths.items()]
    except OSError as error:
        raise Unsupported(str(error.filename), error.strerror or "cannot be read") from error


def send_large(
    gateway: Any, examined: Examined, project: Path, folder: str, digests: Digests, begin: BeginCopy
) -> None:
    """Copy the large files of `project` into the cache of a host, with links in its copy in `folder`.

    Raises Unsupported.
    """
    paths = large_files(project)
    if not paths:
        return
    offered = offers(paths, digests)
    try:
        channel = gateway.remote_exec(receive_large, cache=cache_of(examined), folder=folder)
    except LOST as error:
        raise Unsupported(examined.host.name, reason_of(error), _AGAIN) from error
    what = next(iter(paths)) if len(paths) == 1 else f"{len(paths)} files"
    send(channel, examined.host.name, offered, paths, begin(what))


def send_checkpoint(channel: Any, host: str, path: Path, digests: Digests, begin: BeginCopy) -> None:
    """Send the files of a checkpoint or of a saved network to a host, or the reason why it cannot have them.

    A host gets files of weights, and no others. Raises Unsupported.
    """
    try:
        found = checkpoint_files(path)
        main, *shards = found
        if main.suffix not in _WEIGHTS and not shards:  # a file with shards was read, so it is an index
            raise Unsupported(str(main), "not a file of weights", f"their names end with {', '.join(_WEIGHTS)}")
        paths = {each.name: each for each in found}
        offered = offers(paths, digests)
    except Refusal as error:
        with suppress(OSError):
            channel.send(str(error))
    else:
        send(channel, host, offered, paths, begin(path.name))


def send(channel: Any, host: str, offered: Sequence[Offer], paths: Mapping[str, Path], show: Show) -> None:
    """Offer files to a host, and send the pieces that it asks for until it has all. Raises Unsupported.

    `channel` is one of execnet's, at whose other end the host receives; see `incoming.receive`.
    """
    sent = needed = 0
    try:
        channel.send([tuple(each) for each in offered])
        for word, *values in channel:
            if word == READ:
                index, begin, size = values
                try:
                    piece = _piece(paths[offered[index].name], begin, size)
                except Unsupported as error:
                    with suppress(OSError):
                        channel.send(str(error))
                    raise
                channel.send(piece)
                sent += size
            elif word == NEEDS:
                needed += values[0]
            elif word == REFUSED:
                raise Unsupported(host, *values)
            elif word == DONE:
                return
            show(sent, needed, values[0] if word == WAITS else "")
    except LOST as error:
        raise Unsupported(host, reason_of(error), _AGAIN) from error
    raise Unsupported(host, "lost while files were copied to it", _AGAIN)


def _piece(path: Path, begin: int, size: int) -> bytes:
    """Return some bytes of a file. Raises Unsupported."""
    try:
        with files.open_file(path) as file:
            return os.pread(file.fileno(), size, begin)
    except OSError as error:
        raise Unsupported(str(path), error.strerror or "cannot be read") from error
