"""`edgeload run`: commands measured under memory limits, without a test file."""

from __future__ import annotations

import argparse
import itertools
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pytest_edgeload.base.errors import Setting, UsageError
from pytest_edgeload.base.interrupts import Interrupts
from pytest_edgeload.base.units import Limit
from pytest_edgeload.cli import arguments, programs, sessions, terminal
from pytest_edgeload.cli.programs import SEPARATOR, NamedCommand
from pytest_edgeload.cli.sessions import ProgramSession
from pytest_edgeload.cli.subcommand import CommandResult, Subcommand
from pytest_edgeload.measuring.progress import RemainingTime, in_words
from pytest_edgeload.report import terminal as tables
from pytest_edgeload.report.view import View
from pytest_edgeload.results.finding import Judgement

_FAILURE_STATUS = 1
_ROUNDS = 3


@dataclass(frozen=True, slots=True)
class CommandRun:
    """One run to do: the command, its limit, and its round."""

    program: NamedCommand
    limit: Limit | None
    round: int

    def __str__(self) -> str:
        return f"{self.program.name} at {self.limit or 'no limit'}"


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("misplaced", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    limits = "memory limits, comma-separated: 256M,512M,none (default: none, or the memory of the device)"
    add("--mem", type=arguments.limits, metavar="SIZES", help=limits)
    rounds = "runs of each command under each limit, interleaved (default: %(default)s)"
    add("--rounds", type=arguments.count, default=_ROUNDS, metavar="N", help=rounds)
    programs.add_arguments(parser)


def _run(args: argparse.Namespace) -> CommandResult:
    if args.misplaced:
        reason, hint = "not an option of edgeload run", f"write {SEPARATOR} before each command"
        raise UsageError(args.misplaced[0], reason, hint)
    commands = programs.commands_of(args)
    with sessions.set_up(args) as session:
        limits = args.mem or (None if session.device is None else session.device.memory,)
        for limit in limits:
            _check(limit)
        try:
            _measure(session, _order(commands, limits, args.rounds))
        except BaseException:
            with Interrupts():  # nothing that was measured is lost
                terminal.show("")
                terminal.write(_text(session))
                session.note_reported()
            raise
        has_succeeded = any(entry.measurement.outcome == "ok" for entry in session.entries)
        session.note_reported()
        return CommandResult(_text(session), 0 if has_succeeded else _FAILURE_STATUS)


def _check(limit: Limit | None) -> None:
    if limit is not None and limit.above_base:
        reason, hint = "a command has no idle worker to be above", "give a size such as 512M"
        raise UsageError(Setting("mem", str(limit)), reason, hint)


def _order(commands: Sequence[NamedCommand], limits: Sequence[Limit | None], rounds: int) -> Iterator[CommandRun]:
    """Yield all runs round by round, so that a drift of the machine affects all commands and limits alike."""
    for number, limit, command in itertools.product(range(rounds), limits, commands):
        yield CommandRun(command, limit, number)


def _measure(session: ProgramSession, order: Iterator[CommandRun]) -> None:
    runs = list(order)
    remaining = RemainingTime(map(str, runs))
    for number, run in enumerate(runs, 1):
        seconds = remaining.seconds
        left = "" if seconds is None else f", about {in_words(seconds)} left"
        terminal.show(f"edgeload: run {number} of {len(runs)}: {run}{left}")
        begin = time.monotonic()
        session.measure(run.program, run.limit, run.round)
        remaining.end(str(run), time.monotonic() - begin)
    terminal.show("")


def _text(session: ProgramSession) -> str:
    """Return the tables of all measurements so far."""
    view = View(width=terminal.width(), colour=terminal.has_colour())
    return tables.render(session.document, Judgement(), view) if session.entries else ""


SUBCOMMAND = Subcommand(
    "measure commands under memory limits",
    f"Each command is behind {SEPARATOR}: edgeload run --mem=512M,1G {SEPARATOR} ./a --fast {SEPARATOR} ./b. A command "
    f"whose own words contain {SEPARATOR} is written as one word in quotes.",
    _add_arguments,
    _run,
    takes_commands=True,
)
