"""Functions named as text, `module:function`: checked when they are registered, imported where they run."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable
from typing import Any

from pytest_edgeload.base.errors import UsageError

SearchPath = tuple[bytes, ...]
"""The folders that modules are imported from, as the file system spells them: their names need not be Unicode."""


def check_function(what: str, function: str) -> None:
    """Raise UsageError, naming `what`, unless `function` is written as `module:function`."""
    module, _, name = function.partition(":")
    if not (module and name.isidentifier()):
        raise UsageError(f"{what} {function!r} is not of the form 'module:function'")


def imported(function: str) -> Callable[..., Any]:
    """Return the function that is written as `module:function`."""
    module, _, name = function.partition(":")
    found: Callable[..., Any] = getattr(importlib.import_module(module), name)
    return found


def search_path() -> SearchPath:
    """Return the folders that this process imports modules from."""
    return tuple(map(os.fsencode, sys.path))


def import_from(path: SearchPath) -> None:
    """Have this process import modules from these folders."""
    sys.path[:] = map(os.fsdecode, path)
