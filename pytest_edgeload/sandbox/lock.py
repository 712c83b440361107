"""Measured runs of one user on one host take turns, whichever pytest process or session starts them."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from filelock import FileLock

from pytest_edgeload.errors import Unsupported


def host_lock() -> FileLock:
    """Return the lock to hold during a measured run; the kernel lets go of it when its holder dies."""
    folder = Path(tempfile.gettempdir()) / f"edgeload-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.lstat().st_uid != os.getuid() or folder.is_symlink():
        raise Unsupported(f"{folder} belongs to another user; remove it, or set TMPDIR to a folder of your own")
    return FileLock(folder / "run.lock")
