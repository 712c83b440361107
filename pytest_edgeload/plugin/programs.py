"""Functions and commands of `edge.call` and `edge.command`: checked, named, and packed for the worker."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path
from types import ModuleType
from typing import ClassVar

import pytest

from pytest_edgeload.base import arguments
from pytest_edgeload.base.arguments import BadArgument
from pytest_edgeload.base.errors import UsageError
from pytest_edgeload.base.pickling import Pickler, by_value
from pytest_edgeload.plugin import sources
from pytest_edgeload.results.case import PROGRAM_NAME, program_name
from pytest_edgeload.sandbox import command, launch, page_cache

_MAX_REPEAT = 10_000


@dataclass(frozen=True, slots=True)
class CallSpec:
    """The arguments of `edge.call`."""

    function: Callable[..., object]
    args: Sequence[object]
    kwargs: Mapping[str, object]
    name: str | None
    metrics: sources.Metrics = None
    repeat: int = 1
    method: ClassVar = "call"

    def build(self, item: pytest.Item, env: Mapping[str, str]) -> tuple[str, launch.Calling]:  # noqa: ARG002
        """Return the name of the row, and the function packed for the worker. Raises UsageError."""
        name = row_name(self.name, function_name(self.function))
        repeat, metrics = arguments.whole("repeat", self.repeat, 1, _MAX_REPEAT), sources.returned(self.metrics)
        packed = pack_call(name, self.function, self.args, self.kwargs, own_modules(item))
        return name, replace(packed, repeat=repeat, metrics=metrics)


@dataclass(frozen=True, slots=True)
class CommandSpec:
    """The arguments of `edge.command`. `env` is added to the environment that commands inherit."""

    argv: Sequence[str | bytes | float | PathLike[str]]
    name: str | None
    env: Mapping[str, str | bytes | float | PathLike[str]] | None
    cwd: str | PathLike[str] | None
    stdin: bytes | str | None
    ready: Callable[[], object] | str | None
    ask: Callable[[], object] | None
    metrics: sources.Metrics = None
    method: ClassVar = "command"

    def build(self, item: pytest.Item, env: Mapping[str, str]) -> tuple[str, command.Command]:  # noqa: ARG002
        """Return the name of the row, and the command, which inherits `env`. Raises UsageError."""
        whole = {**env, **to_env(self.env)}
        built = command.Command.of(self.argv, whole, self.cwd, self.stdin, self.ready, self.ask)
        return row_name(self.name, Path(built.argv[0]).name), replace(built, metrics=sources.sources_of(self.metrics))


def to_env(env: Mapping[str, object] | None) -> dict[str, str]:
    """Return variables of an environment, with numbers and paths written as text. Raises UsageError."""
    if env is None:
        return {}
    if not isinstance(env, Mapping):
        raise BadArgument.of("env", env, "not a mapping", "try {'NAME': 'value'}")
    variables = {arguments.word("env", name): arguments.word(f"env[{name!r}]", value) for name, value in env.items()}
    for name in variables:
        if not name or "=" in name:
            raise BadArgument.of("env", name, "not the name of a variable", "give one without =")
    return variables


def row_name(name: str | None, default: str) -> str:
    """Return `name`, or `default` reduced to the characters that a threshold can contain. Raises UsageError."""
    if name is None:
        return program_name(default)
    if not PROGRAM_NAME.fullmatch(arguments.text("name", name)):
        raise UsageError(f"name={name!r}", "a threshold could not contain it", "use letters, digits, and . _ -")
    return name


def function_name(function: Callable[..., object]) -> str:
    """Return the qualified name of a function, without the name of an enclosing function."""
    inner = getattr(function, "func", function)  # of functools.partial
    name: str = getattr(inner, "__qualname__", type(inner).__name__)
    return name.rpartition("<locals>.")[2]


def own_modules(item: pytest.Item) -> list[ModuleType]:
    """Return the modules that only pytest can import: the module of the test, and each conftest.py."""
    plugins = item.config.pluginmanager.get_plugins()
    modules = [getattr(item, "module", None), *(plugin for plugin in plugins if _is_conftest(plugin))]
    return [module for module in modules if isinstance(module, ModuleType)]


def _is_conftest(plugin: object) -> bool:
    return isinstance(plugin, ModuleType) and Path(getattr(plugin, "__file__", None) or "").name == "conftest.py"


def pack_call(
    name: str,
    function: Callable[..., object],
    args: Sequence[object],
    kwargs: Mapping[str, object],
    own: Iterable[ModuleType],
) -> launch.Calling:
    """Return a function and its arguments as they travel to a worker, which need not import the modules in `own`.

    Raises UsageError if they cannot be pickled.
    """
    if not callable(function):
        raise UsageError("edge.call", f"{function!r} is not a function", "give a function and its arguments")
    file = io.BytesIO()
    try:
        with by_value(own):
            Pickler(file).dump((function, tuple(args), dict(kwargs)))
    except Exception as error:
        reason = f"it cannot be sent to a worker: {' '.join(str(error).split())}"
        raise UsageError(f"edge.call of {name}", reason, "create such objects inside the function") from error
    return launch.Calling(file.getvalue(), page_cache.files_named([*args, *kwargs.values()], str(Path.cwd())))
