"""A module that is imported at its first use, so that a worker of `edge.call` starts without it."""

from __future__ import annotations

import importlib
from typing import Any


class LazyModule:
    """A stand-in for the module called `name`."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, attribute: str) -> Any:
        if attribute.startswith("__"):
            raise AttributeError(attribute)
        return getattr(importlib.import_module(self._name), attribute)
