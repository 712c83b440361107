"""Functions named by text, `module:function`: checked when they are registered, imported when they run."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable
from typing import Any

from pytest_edgeload.base.errors import UsageError

SearchPath = tuple[bytes, ...]
"""The folders that modules are imported from, as the file system spells them: their names need not be Unicode."""


def check_function(subject: str, function: str) -> None:
    """Raise UsageError about `subject` unless `function` is written as `module:function`."""
    if not isinstance(function, str):
        raise UsageError(
            subject, f"{function!r} is not text", "write it as 'module:function'; a new process imports it"
        )
    module, _, name = function.partition(":")
    if not (module and name.isidentifier()):
        raise UsageError(f"{subject} {function!r}", "not of the form 'module:function'")


def import_function(function: str) -> Callable[..., Any]:
    """Import and return the function that is written as `module:function`."""
    module, _, name = function.partition(":")
    value: Callable[..., Any] = getattr(importlib.import_module(module), name)
    return value


def search_path() -> SearchPath:
    """Return the folders that this process imports modules from."""
    return tuple(map(os.fsencode, sys.path))


def import_from(path: SearchPath) -> None:
    """Let this process import modules from these folders."""
    sys.path[:] = map(os.fsdecode, path)
