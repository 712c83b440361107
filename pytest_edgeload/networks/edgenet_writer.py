"""Writes a stored network, with the weights of its checkpoint, as one .edgenet file. Never imports torch."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

from pytest_edgeload.base import files
from pytest_edgeload.base.errors import Setting, UsageError
from pytest_edgeload.networks.compressed import COMPRESSED, PLAIN, StoreForm, edgenet_form
from pytest_edgeload.networks.edgenet import SUFFIX, is_edgenet
from pytest_edgeload.networks.edgenet_content import CompressedContent, PlainContent, TensorSources
from pytest_edgeload.networks.folder import read_graph

_NO_DIGEST = "0" * 64  # until the data are written; as long as a SHA-256


def check_output(path: Path, *, is_replaced: bool) -> None:
    """Raise UsageError if no .edgenet file can be written at `path`."""
    try:
        _check_output(path, is_replaced=is_replaced)
    except OSError as error:
        raise UsageError(str(path), error.strerror or "cannot be written", "name another file") from error


def _check_output(path: Path, *, is_replaced: bool) -> None:
    """Do as `check_output`. Raises OSError as well, if a name is too long or a folder cannot be entered."""
    if not is_edgenet(path):
        raise UsageError(str(path), f"the name of a stored network ends in {SUFFIX}", f"try {path.name}{SUFFIX}")
    if not path.parent.is_dir():
        raise UsageError(str(path), f"there is no folder {path.parent}", "create it, or name another one")
    if _is_there(path) and not (is_replaced and path.is_file()):
        reason = "exists already" if path.is_file() else "exists already, and is not a file"
        hint = (
            ("replace it with ", Setting("force"), ", or name another file") if path.is_file() else "name another file"
        )
        raise UsageError(str(path), reason, hint)


def _is_there(path: Path) -> bool:
    """Return whether a file or a link has this name. Raises OSError if no file can have it."""
    try:
        path.lstat()
    except FileNotFoundError:
        return False
    return True


def write_edgenet(
    path: Path,
    stored: Path,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
    form: StoreForm = PLAIN,
) -> None:
    """Write the network in the folder or file `stored` as the file `path`, whole or not at all.

    `form` is the form of its weights there. `progress` is called with the bytes written, and the total if nothing
    shrinks. Raises UsageError if the file cannot be written or `stored` is a file with compressed weights, and
    DamagedNetwork or OSError if `stored` cannot be read.
    """
    if is_edgenet(stored) and edgenet_form(stored) == COMPRESSED:
        raise UsageError(str(stored), "its weights are compressed already", "copy the file, or store the network again")
    network = read_graph(stored)
    content = (CompressedContent if form == COMPRESSED else PlainContent)(network, TensorSources.of(network, stored))
    digest, done_bytes = hashlib.sha256(), 0
    try:
        with files.replacing(path) as file:
            file.write(content.head(_NO_DIGEST))
            for piece in content.data():
                file.write(piece)
                digest.update(piece)
                done_bytes += len(piece)
                progress(done_bytes, content.max_bytes)
            file.seek(0)
            file.write(content.head(digest.hexdigest()))
            file.flush()
            os.fsync(file.fileno())  # dirty pages could not be dropped from the page cache before a run
    except OSError as error:
        if error.filename not in {None, str(path)}:
            raise  # a file of the network
        hint = "free some space, or name a file on another disk" if error.errno in files.FULL else "name another file"
        raise UsageError(str(path), error.strerror or "cannot be written", hint) from error
