"""The cache of networks: the folder of each network, and the recipe that it was made by. Never imports torch.

    networks/<digest>/   a network, see `networks.folder`
    recipes/<key>        the digest of the network; the key covers the factory, its source, versions

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

from filelock import FileLock, Timeout

from pytest_edgeload.base import files
from pytest_edgeload.base.errors import Refusal
from pytest_edgeload.base.locks import hold, silent

_MAX_RECIPE_BYTES = 1 << 10
_DIGEST = re.compile(r"\w+", re.ASCII)  # never a path


class Unwritable(Refusal):
    """The store cannot be written, for instance because its disk is full; the message names the folder."""


class Store:
    """The cache folder: the network of each recipe."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def find(self, key: str) -> Path | None:
        """Return the folder of the network of recipe `key`, or None if it is not in the store.

        Raises Unwritable if the store is not a folder.
        """
        try:
            digest = files.read(self.root / "recipes" / key, _MAX_RECIPE_BYTES).decode().strip()
        except NotADirectoryError as error:
            raise self._unwritable(error) from error
        except (OSError, UnicodeDecodeError):
            return None
        folder = self.root / "networks" / digest
        return folder if _DIGEST.fullmatch(digest) and os.path.isdir(folder) else None  # noqa: PTH112  # it never raises

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

    def keep(self, key: str, folder: Path, digest: str) -> Path:
        """Rename the complete `folder` to its digest, record it as the network of recipe `key`, and return it."""
        final = self.root / "networks" / digest
        try:
            folder.rename(final)
        except OSError:  # another recipe has made the same network, perhaps just now
            if not final.is_dir():
                raise
        files.write(self.root / "recipes" / key, digest.encode(), files.OURS)
        return final


def recipe_key(factory: str, sources: Iterable[Path], versions: Iterable[str]) -> str:
    """Return a key that changes with the name of `factory`, the text of its `sources`, and `versions`."""
    digest = hashlib.sha256(factory.encode())
    for version in versions:
        digest.update(b"\0" + version.encode())
    for source in sorted(sources):
        digest.update(b"\0" + source.name.encode() + b"\0" + source.read_bytes())
    return digest.hexdigest()[:32]
