"""What the cache of networks contains: the size and the last use of each network, and which to remove. No torch."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import msgspec

from pytest_edgeload.base import files
from pytest_edgeload.base.errors import UsageError
from pytest_edgeload.networks.compressed import weights_share
from pytest_edgeload.networks.folder import GRAPH, MAX_GRAPH_BYTES
from pytest_edgeload.networks.store import recipes
from pytest_edgeload.networks.tensor_file import DamagedNetwork

_UNREADABLE = "(unreadable)"


class _Name(msgspec.Struct):
    name: str


class StoredFolder(NamedTuple):
    """A network in the store: its folder, its name, the bytes of its files, and its last use in seconds since 1970.

    If it has a compressed copy, `compressed_share` is the share of the weights' bytes that the copy has.
    """

    folder: Path
    name: str
    size_bytes: int
    used_s: float
    compressed_share: float | None = None


def stored_folders(root: Path) -> list[StoredFolder]:
    """Return the networks in the store `root`, the one that was used longest ago first."""
    used = {digest: used_s for _, digest, used_s in sorted(recipes(root), key=lambda recipe: recipe[2])}
    found = []
    with suppress(FileNotFoundError, NotADirectoryError):
        for folder in (root / "networks").iterdir():
            if folder.is_dir() and not folder.name.startswith("."):
                used_s = used.get(folder.name, folder.stat().st_mtime)
                found.append(StoredFolder(folder, _name(folder), _size_bytes(folder), used_s, _share(folder)))
    return sorted(found, key=lambda stored: stored.used_s)


def unused_since(stored: Iterable[StoredFolder], moment_s: float) -> list[StoredFolder]:
    """Return the networks that were not used since `moment_s`, in seconds since 1970."""
    return [one for one in stored if one.used_s < moment_s]


def beyond(stored: Sequence[StoredFolder], size_bytes: int) -> list[StoredFolder]:
    """Return the networks to remove so that the others have at most `size_bytes`, those used longest ago first."""
    excess = sum(one.size_bytes for one in stored) - size_bytes
    removed: list[StoredFolder] = []
    for one in sorted(stored, key=lambda stored: stored.used_s):
        if excess <= 0:
            break
        removed.append(one)
        excess -= one.size_bytes
    return removed


def remove(root: Path, removed: Iterable[StoredFolder]) -> None:
    """Remove networks and their recipes. Raises UsageError if a file cannot be removed."""
    gone = set[str]()
    try:
        for one in removed:
            shutil.rmtree(one.folder)
            gone.add(one.folder.name)
        for path, digest, _ in recipes(root):
            if digest in gone:
                path.unlink(missing_ok=True)
    except OSError as error:
        raise UsageError(str(error.filename or root), error.strerror or "cannot be removed") from error


def _name(folder: Path) -> str:
    try:
        return msgspec.json.decode(files.read(folder / GRAPH, MAX_GRAPH_BYTES), type=_Name).name
    except (OSError, ValueError):
        return _UNREADABLE


def _share(folder: Path) -> float | None:
    try:
        return weights_share(folder)
    except DamagedNetwork:
        return None


def _size_bytes(folder: Path) -> int:
    """Return the bytes that the files in `folder` take on the disk; a file that another process removes has none."""
    total = 0
    for path, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):
                total += (Path(path) / name).lstat().st_blocks * 512
    return total
