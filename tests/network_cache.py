"""Networks for several processes of xdist: created once in a shared folder, which takes seconds, and then copied."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from pytest_edgeload.networks.registry import Registry
from pytest_edgeload.networks.store import Store


def copy_networks(shared: Path, cache: Path, source: Path, module: str, *names: str) -> Path:
    """Create networks with functions of a module in `source`, copy them to `cache`, and return `cache`."""
    registry = Registry(Store(shared / module))
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(source)
        for name in names:
            registry.register(name, f"{module}:{name}")
            registry.get(name, lambda *_: None)
    copy_store(shared / module, cache)
    return cache


def copy_store(store: Path, cache: Path) -> None:
    """Copy the complete networks of a store, to which others may be adding, to a folder that is missing or empty."""
    shutil.copytree(store, cache, ignore=shutil.ignore_patterns("*.lock", ".*"), dirs_exist_ok=True)
    os.sync()  # data that is not on the disk yet cannot be dropped from the page cache
