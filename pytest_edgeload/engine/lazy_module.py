"""A module that is imported when it is first asked for something, so that a worker need not start with it."""

from __future__ import annotations

import importlib
from typing import Any


class LazyModule:
    """Stands for the module called `name`."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, attribute: str) -> Any:
        if attribute.startswith("__"):
            raise AttributeError(attribute)
        return getattr(importlib.import_module(self._name), attribute)
