"""The options as pytest gives them: declared, read from three sources, parsed, and spelled in messages.

A value comes from the command line, else the environment, else the ini file, else the default in `settings`. Every
pytest start imports this file, so it imports little.
"""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from pytest_edgeload.base.errors import Setting, Unsupported, UsageError, nearest
from pytest_edgeload.base.text import printable
from pytest_edgeload.plugin.settings import OPTIONS, Settings


class Given(NamedTuple):
    """The text of an option, the flag, environment variable or ini key that gives it, and the folder of its paths."""

    text: str
    source: str
    folder: str = ""

    @property
    def is_in_ini(self) -> bool:
        """Whether the ini file gives the option."""
        return self.source.startswith("edge_")


SENT = "edgeload"
"""The key under which xdist's controller sends its workers the given options and the directories of the session."""


def add(parser: pytest.Parser) -> None:
    """Declare all options and ini keys."""
    group = parser.getgroup("edgeload", "measure loading policies under a memory limit")
    for name, option in OPTIONS.items():
        dest, words = ini_key(name), option.help.replace("%", "%%")  # argparse formats the help
        if option.is_switch:
            group.addoption(flag(name), dest=dest, action="store_const", const="true", default=None, help=words)
        else:
            action = "append" if option.is_list else "store"
            bare = {"nargs": "?", "const": option.bare} if option.bare else {}
            group.addoption(
                flag(name), dest=dest, action=action, default=None, metavar=option.metavar, help=words, **bare
            )
        parser.addini(dest, f"{option.help} (as {flag(name)})", type="string", default="")


def sent(config: pytest.Config) -> dict[str, Any] | None:
    """Return the message of xdist's controller; None if this process is not a worker of xdist."""
    text = getattr(config, "workerinput", {}).get(SENT)
    return None if text is None else dict(json.loads(text))


def read(config: pytest.Config) -> dict[str, Given]:
    """Return the options that the command line, the environment or the ini file gives."""
    received = sent(config)
    if received is not None:
        return {name: Given(*given) for name, given in received["given"].items()}
    return {name: given for name in OPTIONS if (given := _given(config, name)) is not None}


def unknown_variables(environ: Iterable[str]) -> list[str]:
    """Return a sentence on each variable that is named like ours and sets no option."""
    known, prefix, sentences = {variable(name) for name in OPTIONS}, variable(""), []
    for strange in sorted(name for name in environ if name.startswith(prefix) and name not in known):
        near = nearest(strange.removeprefix(prefix), (name.removeprefix(prefix) for name in known))
        hint = "unset it" if near is None else f"did you mean {prefix}{near}?"
        sentences.append(printable(f"{strange}: no option of edgeload has this variable; {hint}"))
    return sentences


def parse(given: Mapping[str, Given], rootdir: Path) -> Settings:
    """Return the settings, with the default of each option that is not given. Raises UsageError."""
    values: dict[str, Any] = {}
    for name, option in OPTIONS.items():
        text = given[name].text if name in given else option.default
        try:
            folder = Path(given[name].folder) if name in given else rootdir
            values[name] = option.parse(text, folder) if option.is_path else option.parse(text)
        except ValueError as error:
            raise UsageError(f"{source(name, given)}={text}", str(error)) from error
    if values["compare-fail"] and not values["compare"]:
        values["compare"] = Settings.compare.bare
    values["disable"] = values["disable"] and not values["enable"]
    settings = Settings(values)
    _check(settings, given)
    return settings


def _check(settings: Settings, given: Mapping[str, Given]) -> None:
    """Raise UsageError for options that contradict each other."""
    if settings.only and settings.skip:
        both = f"{given['only'].source} and {given['skip'].source}"
        raise UsageError(both, "nothing is left to run", "give only one of them")
    if settings.precision is not None and settings.rounds.min == settings.rounds.max:
        subject = f"{given['precision'].source}={given['precision'].text}"
        raise UsageError(
            subject, f"the number of rounds is fixed at {settings.rounds}", ("try ", Setting("rounds", "3-15"))
        )
    paths = [file.path for file in settings.files]
    for path in paths:
        if paths.count(path) > 1:
            raise UsageError(
                str(path), "two reports would be written to this file", "name another file for one of them"
            )


def _given(config: pytest.Config, name: str) -> Given | None:
    here = config.invocation_params.dir
    beside_ini = here if config.inipath is None else config.inipath.parent
    value = config.getoption(ini_key(name))
    if value is not None:
        folder = beside_ini if _is_in_addopts(config, flag(name)) else here
        return Given(",".join(value) if isinstance(value, list) else value, flag(name), str(folder))
    if text := os.environ.get(variable(name)):
        return Given(text, variable(name), str(here))
    if text := str(config.getini(ini_key(name))).strip():
        return Given(text, ini_key(name), str(beside_ini))
    return None


def _is_in_addopts(config: pytest.Config, option: str) -> bool:
    """Return whether `addopts` of the ini file gives an option, and neither command line nor environment do."""
    typed = [*config.invocation_params.args, *shlex.split(os.environ.get("PYTEST_ADDOPTS", ""))]
    in_ini, in_typed = (
        any(str(arg).partition("=")[0] == option for arg in args) for args in (config.getini("addopts"), typed)
    )
    return in_ini and not in_typed


def source(name: str, given: Mapping[str, Given]) -> str:
    """Return the flag, environment variable or ini key that gives an option, or the flag if nothing gives it."""
    return given[name].source if name in given else flag(name)


def flag(name: str) -> str:
    """Return the flag of an option."""
    return f"--edge-{name}"


def ini_key(name: str) -> str:
    """Return the ini key of an option."""
    return f"edge_{name.replace('-', '_')}"


def variable(name: str) -> str:
    """Return the environment variable of an option."""
    return f"PYTEST_{ini_key(name).upper()}"


def spell(setting: Setting) -> str:
    """Return an option as it is written on pytest's command line."""
    return f"{flag(setting.name)}={setting.value}" if setting.value else flag(setting.name)


@contextmanager
def as_pytest_errors() -> Iterator[None]:
    """Turn UsageError and Unsupported into pytest.UsageError, which ends pytest with its message and exit status 4."""
    try:
        yield
    except (UsageError, Unsupported) as error:
        raise pytest.UsageError(str(error.spelled(spell))) from error
