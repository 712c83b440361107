"""`edgeload hosts`: the hosts of a file, examined or set up."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from pytest_edgeload.base.errors import Refusal, UsageError
from pytest_edgeload.base.text import as_path, printable
from pytest_edgeload.base.units import format_size
from pytest_edgeload.cli import arguments, terminal
from pytest_edgeload.cli.subcommand import CommandResult, Subcommand
from pytest_edgeload.hosts.check import Examined, Problem, examine, mismatches, shortages
from pytest_edgeload.hosts.connection import on_each
from pytest_edgeload.hosts.doctor import faults
from pytest_edgeload.hosts.file import Host, load
from pytest_edgeload.hosts.install import install
from pytest_edgeload.hosts.lost import fetch
from pytest_edgeload.report.grid import text_table

_UNFIT_STATUS = 1
_COLUMNS = ("host", "fit", "processor", "memory", "Python", "pytest-edgeload", "free disk", "clock")


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("action", choices=("check", "install", "fetch"),
        help="examine the hosts, make their environments, or fetch the runs of sessions that lost them")  # fmt: skip
    add("file", metavar="FILE", type=as_path, help="TOML file of hosts")
    add("names", metavar="NAME", nargs="*", help="names or tags of hosts (default: all of the file)")
    wheel = "wheel of pytest-edgeload for install, as pip wheel --no-deps writes it"
    add("--wheel", type=as_path, metavar="FILE", help=wheel)
    pip = "further arguments of pip on the hosts, such as '--extra-index-url URL'"
    add("--pip", default="", metavar="ARGS", help=pip)
    arguments.add_cache(parser)


def _run(args: argparse.Namespace) -> CommandResult:
    hosts = load(args.file, args.names)
    if args.action == "fetch":
        return _fetch(hosts, args.cache_dir or arguments.cache())
    return _check(hosts) if args.action == "check" else _install(hosts, args)


def _check(hosts: tuple[Host, ...]) -> CommandResult:
    terminal.show(f"edgeload: examining {len(hosts)} hosts")
    found = on_each(hosts, partial(examine, with_doctor=True))
    problems = [_problems(each) for each in found]
    rows = [[*_row(host, each, own)] for host, each, own in zip(hosts, found, problems, strict=True)]
    lines = [f"  {', '.join(names)}: {problem}" for problem, names in _by_problem(hosts, problems).items()]
    are_unfit = any(each.is_fatal for own in problems for each in own)
    parts = [text_table(_COLUMNS, rows, range(len(_COLUMNS)))]
    if lines:
        parts.append("\n".join(["missing, and what helps:", *lines]))
    return CommandResult("\n\n".join(parts), _UNFIT_STATUS if are_unfit else 0)


def _by_problem(hosts: Sequence[Host], problems: Sequence[Sequence[Problem]]) -> dict[Problem, list[str]]:
    """Return the names of the hosts with each problem."""
    names: dict[Problem, list[str]] = {}
    for host, own in zip(hosts, problems, strict=True):
        for problem in own:
            names.setdefault(problem, []).append(host.name)
    return names


def _problems(found: Examined | Refusal) -> list[Problem]:
    if isinstance(found, Refusal):
        _, reason, hint = found.args
        return [Problem(str(reason), str(hint))]
    return [*mismatches(found), *shortages(found), *faults(found)]


def _row(host: Host, found: Examined | Refusal, problems: list[Problem]) -> Iterator[str]:
    yield host.name
    yield "NO" if any(problem.is_fatal for problem in problems) else "yes"
    if isinstance(found, Refusal):
        yield from ["-"] * (len(_COLUMNS) - 2)
        return
    known = found.facts
    yield printable(f"{known.processors} x {known.processor or known.architecture}")
    yield format_size(known.memory_bytes)
    yield known.python
    yield known.versions.get("pytest-edgeload", "-")
    yield format_size(known.free_bytes)
    yield f"{found.ahead_s:+.1f} s"


def _install(hosts: tuple[Host, ...], args: argparse.Namespace) -> CommandResult:
    if args.wheel is None:
        raise UsageError("install", "no wheel is given", "add --wheel=FILE, which pip wheel --no-deps writes")
    if args.wheel.suffix != ".whl" or not args.wheel.is_file():
        raise UsageError(f"--wheel={args.wheel}", "not a wheel", "write one with pip wheel --no-deps pytest-edgeload")
    terminal.show(f"edgeload: installing on {len(hosts)} hosts, which takes minutes")
    done = on_each(hosts, lambda host: install(host, args.wheel, args.pip))
    lines = [
        str(each) if isinstance(each, Refusal) else f"{host.name}: installed, PyTorch {each}"
        for host, each in zip(hosts, done, strict=True)
    ]
    return CommandResult("\n".join(lines), _UNFIT_STATUS if any(isinstance(each, Refusal) for each in done) else 0)


def _fetch(hosts: tuple[Host, ...], cache: Path) -> CommandResult:
    found = on_each(hosts, lambda host: list(fetch(examine(host), cache / "sessions")))
    lines: list[str] = []
    for host, each in zip(hosts, found, strict=True):
        lines += [str(each)] if isinstance(each, Refusal) else map(str, each)
        lines += [] if each else [f"{host.name}: nothing to fetch"]
    return CommandResult("\n".join(lines), _UNFIT_STATUS if any(isinstance(each, Refusal) for each in found) else 0)


SUBCOMMAND = Subcommand(
    "examine the hosts that sessions measure on, or set them up",
    "`check` connects to each host by ssh and names everything that is missing, with the command that helps; the exit "
    "status is 1 if a host cannot measure. `install` copies a wheel to each host and makes an environment there, with "
    "the versions of this machine. pip runs on the host, with the host's own settings. `fetch` brings the runs home "
    "that a host made for a session that lost it.",
    _add_arguments,
    _run,
)
