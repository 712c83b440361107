"""Functions named as text, `module:function`: checked when they are registered, imported where they run."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

from pytest_edgeload.base.errors import UsageError


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
