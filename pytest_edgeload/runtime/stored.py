"""The networks that a runtime opens: folders, or functions that make them when they are not stored yet."""

from __future__ import annotations

import os
from pathlib import Path

from platformdirs import user_cache_path

from pytest_edgeload.base import arguments
from pytest_edgeload.networks.registry import Registry
from pytest_edgeload.networks.store import Store


def find_network(name: str, source: str | os.PathLike[str]) -> Path:
    """Return the folder of a network: `source` itself, or the one that the function `module:function` makes.

    A function is called in a process of its own, unless the cache has its network. Raises UsageError,
    PreparationFailed, DamagedNetwork or BadCheckpoint.
    """
    text = arguments.path(f"networks[{name!r}]", source)
    if os.path.isdir(text) or ":" not in text:  # noqa: PTH112  # it never raises
        return Path(text)
    registry = Registry(Store(user_cache_path("edgeload")))
    registry.register(name, text)
    folder, _ = registry.get(name, lambda *_: None)
    return folder
