"""What `edge.call` and `edge.command` are given, made ready to be measured."""

from __future__ import annotations

import io
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

import cloudpickle
import pytest

from pytest_edgeload.base.errors import UsageError
from pytest_edgeload.base.text import MOST
from pytest_edgeload.engine.lazy_module import LazyModule
from pytest_edgeload.results.record import PROGRAM
from pytest_edgeload.sandbox import command, launch, page_cache

_REWRITTEN = "_pytest.assertion.rewrite"
_NAME = re.compile(r"[\w.-]{1,1000}")


@dataclass(frozen=True, slots=True)
class Call:
    """What `edge.call` is asked."""

    function: Callable[..., object]
    args: Sequence[object]
    kwargs: Mapping[str, object]
    name: str | None
    word: ClassVar = "call"

    def made(self, item: pytest.Item) -> tuple[str, launch.Calling]:
        """Return what its row is called, and what runs. Raises UsageError."""
        name = name_of(self.name, function_name(self.function))
        return name, calling(name, self.function, self.args, self.kwargs, own_modules(item))


@dataclass(frozen=True, slots=True)
class Command:
    """What `edge.command` is asked; `env` is what is added to pytest's environment."""

    argv: Sequence[str | PathLike[str]]
    name: str | None
    env: Mapping[str, str]
    cwd: str | PathLike[str] | None
    stdin: bytes | str | None
    ready: Callable[[], object] | str | None
    ask: Callable[[], object] | None
    word: ClassVar = "command"

    def made(self, item: pytest.Item) -> tuple[str, command.Command]:  # noqa: ARG002  # both alike
        """Return what its row is called, and what runs. Raises UsageError."""
        env = {**os.environ, **self.env}
        made = command.Command.of(self.argv, env, self.cwd, self.stdin, self.ready, self.ask)
        return name_of(self.name, Path(self.argv[0]).name), made


def name_of(name: str | None, made: str) -> str:
    """Return `name`, or one of what it is `made` of, in the letters that a threshold can say. Raises UsageError."""
    if name is None:
        return re.sub(r"[^\w.-]+", "-", made).strip("-")[:MOST] or PROGRAM
    if not _NAME.fullmatch(name):
        raise UsageError(f"name={name!r} could stand in no threshold; try letters, digits, and . _ - between them")
    return name


def function_name(function: Callable[..., object]) -> str:
    """Return the qualified name of a function, without that of the function it is made in."""
    inner = getattr(function, "func", function)  # of functools.partial
    name: str = getattr(inner, "__qualname__", type(inner).__name__)
    return name.rpartition("<locals>.")[2]


def own_modules(item: pytest.Item) -> list[ModuleType]:
    """Return the modules that pytest alone can import, or should: that of a test, and each conftest.py."""
    plugins = item.config.pluginmanager.get_plugins()
    found = [getattr(item, "module", None), *(each for each in plugins if _is_conftest(each))]
    return [module for module in found if isinstance(module, ModuleType)]


def _is_conftest(plugin: object) -> bool:
    return isinstance(plugin, ModuleType) and Path(getattr(plugin, "__file__", None) or "").name == "conftest.py"


def calling(
    name: str,
    function: Callable[..., object],
    args: Sequence[object],
    kwargs: Mapping[str, object],
    own: Iterable[ModuleType],
) -> launch.Calling:
    """Return a function with its arguments as they travel to a worker, which need not import the modules in `own`.

    Raises UsageError where they cannot.
    """
    if not callable(function):
        raise UsageError(f"edge.call takes a function and its arguments, and {function!r} is none")
    file = io.BytesIO()
    try:
        with _by_value(own):
            _Pickler(file).dump((function, tuple(args), dict(kwargs)))
    except Exception as error:
        reason = " ".join(str(error).split())
        way_out = "have it make by itself what cannot be pickled"
        raise UsageError(f"edge.call of {name}: it cannot be sent to a worker: {reason}; {way_out}") from error
    return launch.Calling(file.getvalue(), page_cache.named([*args, *kwargs.values()], str(Path.cwd())))


class _Pickler(cloudpickle.Pickler):  # type: ignore[misc]  # cloudpickle tells no types
    """Leaves pytest out of a function whose assertions pytest has rewritten; it is imported when one fails."""

    def reducer_override(self, obj: object) -> Any:
        if isinstance(obj, ModuleType) and obj.__name__ == _REWRITTEN:
            return LazyModule, (_REWRITTEN,)
        return super().reducer_override(obj)


@contextmanager
def _by_value(modules: Iterable[ModuleType]) -> Iterator[None]:
    """Have what these modules define pickled whole instead of by name."""
    known = cloudpickle.list_registry_pickle_by_value()
    # By name, as they are registered: several folders may have a conftest.
    new = {module.__name__: module for module in modules if module.__name__ not in known}
    for module in new.values():
        cloudpickle.register_pickle_by_value(module)
    try:
        yield
    finally:
        for module in new.values():
            cloudpickle.unregister_pickle_by_value(module)
