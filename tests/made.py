"""Networks that several processes of xdist need: made once where all see them, which takes seconds, and copied."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from pytest_edgeload.networks.registry import Registry
from pytest_edgeload.networks.store import Store


def copied(shared: Path, cache: Path, source: Path, module: str, *names: str) -> Path:
    """Have functions of a module in the folder `source` make networks; return `cache`, into which they are copied."""
    registry = Registry(Store(shared / module))
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(source)
        for name in names:
            registry.register(name, f"{module}:{name}")
            registry.get(name, lambda *_: None)
    copy(shared / module, cache)
    return cache


def copy(store: Path, cache: Path) -> None:
    """Copy what is finished in a store, which others may be adding to, into a folder that is not there or empty."""
    shutil.copytree(store, cache, ignore=shutil.ignore_patterns("*.lock", ".*"), dirs_exist_ok=True)
    os.sync()  # what is not on the disk yet cannot be dropped from the page cache
