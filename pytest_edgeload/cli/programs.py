"""Programs on the command line: the arguments of the subcommands that measure them, and the commands behind `--`."""

from __future__ import annotations

import argparse
import os
import shlex
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from pytest_edgeload.base.errors import Setting, UsageError
from pytest_edgeload.base.text import bounded
from pytest_edgeload.base.units import Limit
from pytest_edgeload.cli import machine, shell
from pytest_edgeload.cli.subcommand import SEPARATOR, Words
from pytest_edgeload.results.case import HOST, PROGRAM_NAME, VIEWS, program_name
from pytest_edgeload.results.source import MetricSource, parse_metric
from pytest_edgeload.sandbox.command import MIN_BYTES, Command
from pytest_edgeload.sandbox.environment import inherited
from pytest_edgeload.sandbox.readiness import probe_of

_OPERATORS = {"|", "||", "&", "&&", ";", "<", ">", ">>"}
_MAX_DEFAULT_NAME = 60


@dataclass(frozen=True, slots=True)
class NamedCommand:
    """A command and the name of its row."""

    name: str
    command: Command


NETWORKS_OR_COMMAND = f"%(prog)s [OPTIONS] {{NETWORKS | {SEPARATOR} COMMAND}}"
"""The usage of a subcommand that measures networks or a command."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of every subcommand that measures programs."""
    add = parser.add_argument
    names = "name of the row, once for each command (default: the name of its program)"
    add("--name", action="append", default=[], metavar="NAME", help=names)
    device = "device to emulate: rpi4-1g, rpi3, ..., or one of edge-devices.toml in this folder"
    add("--device", metavar="NAME", help=device)
    view = "memory that a command sees in /proc/meminfo and its cgroup files: host or limit (default: %(default)s)"
    add("--view", choices=VIEWS, default=HOST, metavar="VIEW", help=view)
    cold = "also drop this file from the page cache before each run; files that a command names always are"
    add("--cold", action="append", default=[], metavar="FILE", help=cold)
    prepare = "shell command to run before each run, outside the limit and the clock"
    add("--prepare", metavar="CMD", help=prepare)
    ready = "the command is a service, which is ready when this address answers: tcp:HOST:PORT or a URL"
    add("--ready", metavar="ADDRESS", help=ready)
    ask = "shell command that asks the service, outside the limit; the clock stops at its end"
    add("--ask", metavar="CMD", help=ask)
    metric = "a number that the command reports, as NAME=SOURCE: $.path in JSON on its output, file.json:$.path, or "
    metric += "/expression/ with a group (?P<value>...); NAME:UNIT:higher=SOURCE adds a unit and a direction"
    add("--metric", action="append", default=[], metavar="NAME=SOURCE", help=metric)
    machine.add_arguments(parser)


def commands_of(args: argparse.Namespace) -> tuple[NamedCommand, ...]:
    """Return the commands that the arguments name, checked as far as possible without running them.

    Raises UsageError.
    """
    every_words = [_words(words) for words in args.commands]
    if not every_words or not all(words and words[0] for words in every_words):
        subject = "an empty command" if every_words else "no command"
        hint = f"write each behind {SEPARATOR}, as in: edgeload {args.subcommand} {SEPARATOR} ./program --its-option"
        raise UsageError(subject, "there is nothing to measure", hint)
    if args.ask is not None and args.ready is None:
        missing = ("add ", Setting("ready"), ", which says when to ask it")
        raise UsageError(Setting("ask", args.ask), "only a service can be asked", missing)
    made = [_command(args, words) for words in every_words]
    return tuple(map(NamedCommand, _names(args.name, every_words), made))


def check_limits(limits: Iterable[Limit | None]) -> None:
    """Raise UsageError for a limit that no command can have."""
    for limit in filter(None, limits):
        if limit.above_base:
            hint = "give a size such as 512M"
            raise UsageError(Setting("mem", str(limit)), "a command has no idle worker to be above", hint)
        if limit.size_bytes < MIN_BYTES:
            raise UsageError(Setting("mem", str(limit)), "no process fits into so little memory", "try 64M")


def _words(given: Words) -> list[str]:
    """Return the words of a command. One word with spaces is split at them, as a shell does. Raises UsageError."""
    if len(given) != 1 or not any(map(str.isspace, given[0])) or Path(given[0]).is_file():
        return [*given]
    (text,) = given
    try:
        lexer = shlex.shlex(text, posix=True, punctuation_chars=True)
        lexer.whitespace_split = True
        operators = _OPERATORS.intersection(lexer)
        words = shlex.split(text)
    except ValueError as error:
        raise UsageError(f"command {text}", str(error).lower(), "close the quotation") from error
    if operators:
        hint = f"try {SEPARATOR} sh -c {shlex.quote(text)}"
        raise UsageError(f"command {text}", f"no shell reads it, so {min(operators)} has no effect", hint)
    return words


def _names(given: Sequence[str], every_words: Sequence[Sequence[str]]) -> list[str]:
    """Return the name of each command's row. Raises UsageError."""
    if not given:
        return _default_names(every_words)
    if len(given) != len(every_words):
        reason = f"the number of names is {len(given)}, and that of commands is {len(every_words)}"
        raise UsageError(Setting("name", given[-1]), reason, "give one for each command, in their order")
    for name in given:
        if not PROGRAM_NAME.fullmatch(name):
            hint = "use letters, digits, and . _ -"
            raise UsageError(Setting("name", name), "a threshold could not contain it", hint)
    twice = [name for name, count in Counter(given).items() if count > 1]
    if twice:
        raise UsageError(Setting("name", twice[0]), "two commands have this name", "give them different names")
    return [*given]


def _default_names(every_words: Sequence[Sequence[str]]) -> list[str]:
    """Return the name of each program, with the other words if two programs have the same. Raises UsageError."""
    names = [program_name(Path(words[0]).name) for words in every_words]
    if len({*names}) < len(names):
        texts = [" ".join([Path(words[0]).name, *words[1:]]) for words in every_words]
        names = [program_name(bounded(text, _MAX_DEFAULT_NAME).replace("~", "-")) for text in texts]
    for name, words in zip(names, every_words, strict=True):
        if names.count(name) > 1:
            hint = ("give each command a ", Setting("name"))
            raise UsageError(f"command {shlex.join(words)}", "two commands would have the same name", hint)
    return names


def _command(args: argparse.Namespace, words: Sequence[str]) -> Command:
    try:
        ready = None if args.ready is None else probe_of(args.ready)
    except UsageError as error:
        raise error.about(Setting("ready", args.ready), "try tcp:127.0.0.1:8000 or http://127.0.0.1:8000/") from None
    ask = None if args.ask is None else partial(shell.ask, args.ask, args.timeout)
    made = Command.of(words, inherited(), None, None, ready, ask)
    prepare = None if args.prepare is None else partial(shell.prepare, args.prepare)
    return replace(made, prepare=prepare, cold=tuple(map(_cold, args.cold)), metrics=_metrics(args.metric))


def _metrics(texts: Sequence[str]) -> dict[str, MetricSource]:
    """Return the sources of metrics by name. Raises UsageError."""
    sources: dict[str, MetricSource] = {}
    for text in texts:
        try:
            name, source = parse_metric(text)
        except UsageError as error:
            raise error.about(Setting("metric", text)) from None
        if name in sources:
            raise UsageError(Setting("metric", text), f"{name} has another source already", "give it another name")
        sources[name] = source
    return sources


def _cold(name: str) -> Path:
    """Return the file to drop from the page cache. Raises UsageError."""
    path = Path(name).absolute()
    if not path.is_file() or not os.access(path, os.R_OK):
        missing = "not a file" if path.exists() else "no such file"
        reason = missing if not path.is_file() else "this user may not read it"
        raise UsageError(Setting("cold", name), reason, "name a file that can be read")
    return path
