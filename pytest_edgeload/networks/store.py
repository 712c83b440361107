"""The cache of networks: the folder of each network, and the recipe that it was made by. Never imports torch.

    networks/<digest>/   a network, see `networks.folder`
    recipes/<key>        the digest of the network, and what its factory imported; the key covers the factory, its
                         source, versions

A folder is written under a temporary name and renamed when it is complete, under the lock of its recipe.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec
from filelock import FileLock, Timeout

from pytest_edgeload.base import decoding, files
from pytest_edgeload.base.errors import Refusal
from pytest_edgeload.base.locks import hold, silent
from pytest_edgeload.networks.dependencies import Dependencies
from pytest_edgeload.networks.source import code_digest

_MAX_RECIPE_BYTES = 1 << 20  # the paths of all modules that a factory imports
_DIGEST = re.compile(r"\w+", re.ASCII)  # never a path


class Unwritable(Refusal):
    """The store cannot be written, for instance because its disk is full; the message names the folder."""


class Store:
    """The cache folder: the network of each recipe."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def find(self, key: str) -> Path | None:
        """Return the folder of the network of recipe `key`, or None if it is not in the store.

        A network made by other code than today's is not found either. Raises Unwritable if the store is not a folder.
        """
        try:
            digest, _, imported = files.read(self.root / "recipes" / key, _MAX_RECIPE_BYTES).decode().partition("\n")
            dependencies = decoding.decode(imported or "{}", Dependencies)
        except NotADirectoryError as error:
            raise self._unwritable(error) from error
        except (OSError, ValueError):
            return None
        folder = self.root / "networks" / digest
        is_there = _DIGEST.fullmatch(digest) and os.path.isdir(folder)  # noqa: PTH112  # it never raises
        if not (is_there and dependencies.are_current()):
            return None
        with suppress(OSError):  # another user's, or on a disk that is read-only
            os.utime(self.root / "recipes" / key)  # the last use, for whoever prunes
        return folder

    @contextmanager
    def making(self, key: str, on_wait: Callable[[str], None] = silent) -> Iterator[Path]:
        """Hold the lock of recipe `key`, and yield an empty folder to write the network into.

        The caller moves the folder away with `keep`. Otherwise it is removed in the end, and so are the folders of
        makers that were killed. `on_wait` is called with the holder of the lock if it is not free soon. Raises
        Unwritable.
        """
        folder = self.root / "networks" / f".making-{key}"
        try:
            for name in ("recipes", "networks"):
                files.make_folder(self.root / name)
            with hold(self.root / "recipes" / f"{key}.lock", on_wait):
                self._remove_leftovers()
                shutil.rmtree(folder, ignore_errors=True)
                try:
                    folder.mkdir(mode=0o755)
                    yield folder
                finally:
                    shutil.rmtree(folder, ignore_errors=True)
        except OSError as error:
            if not self._is_ours(error):
                raise
            raise self._unwritable(error) from error

    def _unwritable(self, error: OSError) -> Unwritable:
        return Unwritable(str(self.root), error.strerror or "cannot be written", files.cache_hint(error))

    def _is_ours(self, error: OSError) -> bool:
        """Return whether an error is about a file of the store, rather than one of the code that makes the network."""
        return isinstance(error.filename, str) and Path(error.filename).is_relative_to(self.root)

    def _remove_leftovers(self) -> None:
        """Remove the folders of makers that were killed; a living maker holds its lock."""
        for leftover in (self.root / "networks").glob(".making-*"):
            key = leftover.name.removeprefix(".making-")
            lock = FileLock(self.root / "recipes" / f"{key}.lock", blocking=False, mode=files.OURS)
            with suppress(Timeout), lock:
                shutil.rmtree(leftover, ignore_errors=True)

    def keep(self, key: str, folder: Path, digest: str, dependencies: Dependencies = Dependencies()) -> Path:  # noqa: B008  # immutable
        """Rename the complete `folder` to its digest, record it as the network of recipe `key`, and return it."""
        final = self.root / "networks" / digest
        try:
            folder.rename(final)
        except OSError:  # another recipe has made the same network, perhaps just now
            if not final.is_dir():
                raise
        note = digest.encode() + b"\n" + msgspec.json.encode(dependencies)
        files.write(self.root / "recipes" / key, note, files.OURS)
        return final


def recipes(root: Path) -> Iterator[tuple[Path, str, float]]:
    """Yield the recipes of the store `root`: file, digest of the network, and last use in seconds since 1970."""
    for path in sorted((root / "recipes").glob("[!.]*")):
        with suppress(OSError, ValueError):
            if not path.name.endswith(".lock"):
                digest, _, _ = files.read(path, _MAX_RECIPE_BYTES).decode().partition("\n")
                yield path, digest, path.stat().st_mtime


def recipe_key(factory: str, sources: Iterable[Path], versions: Iterable[str]) -> str:
    """Return a key that changes with the name of `factory`, the code of its `sources`, and `versions`.

    Comments, layout and docstrings of the sources do not matter.
    """
    digest = hashlib.sha256(factory.encode())
    for version in versions:
        digest.update(b"\0" + version.encode())
    for source in sorted(sources):
        digest.update(b"\0" + source.name.encode() + b"\0" + code_digest(source).encode())
    return digest.hexdigest()[:32]
