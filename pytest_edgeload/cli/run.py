"""`edgeload run`: commands measured under memory limits, without a test file."""

from __future__ import annotations

import argparse
import itertools
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pytest_edgeload.base.errors import Unsupported, UsageError
from pytest_edgeload.base.interrupts import Interrupts
from pytest_edgeload.base.units import Limit
from pytest_edgeload.cli import arguments, outputs, programs, sessions, terminal
from pytest_edgeload.cli.outputs import Outputs
from pytest_edgeload.cli.programs import NamedCommand
from pytest_edgeload.cli.sessions import ProgramSession
from pytest_edgeload.cli.subcommand import SEPARATOR, CommandResult, Subcommand
from pytest_edgeload.measuring.progress import RemainingTime, in_words
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
    parser.usage = f"%(prog)s [OPTIONS] {SEPARATOR} COMMAND [{SEPARATOR} COMMAND ...]"
    add = parser.add_argument
    add("misplaced", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    limits = "memory limits, comma-separated: 256M,512M,none (default: none, or the memory of the device)"
    add("--mem", type=arguments.limits, metavar="SIZES", help=limits)
    rounds = "runs of each command under each limit, interleaved (default: %(default)s)"
    add("--rounds", type=arguments.count, default=_ROUNDS, metavar="N", help=rounds)
    warmup = "runs of each command before the first round, under the largest limit, which do not count (default: 0)"
    add("--warmup", type=arguments.whole, default=0, metavar="N", help=warmup)
    programs.add_arguments(parser)
    outputs.add_arguments(parser)


def _run(args: argparse.Namespace) -> CommandResult:
    if args.misplaced:
        reason, hint = "not an option of edgeload run", f"write {SEPARATOR} before each command"
        raise UsageError(args.misplaced[0], reason, hint)
    commands, results = programs.commands_of(args), Outputs.of(args)
    programs.check_limits(args.mem or ())
    with sessions.set_up(args) as session:
        results.check(session.recording.empty)
        limits = session.limits(args.mem)
        try:
            _warm_up(session, commands, limits, args.warmup)
            _measure(session, _order(commands, limits, args.rounds))
        except BaseException:
            with Interrupts():  # nothing that was measured is lost
                terminal.write(_finish(session, results, is_whole=False).text)
            raise
        return _finish(session, results, is_whole=True)


def _finish(session: ProgramSession, results: Outputs, *, is_whole: bool) -> CommandResult:
    """Judge a whole session, write the files, and return the report on the measurements so far. Raises Unsupported."""
    terminal.show("")
    if not session.recording.entries:
        return CommandResult("")
    document = session.recording.document
    judgement = results.judge(document) if is_whole else Judgement()
    text = results.text(document, judgement)
    try:
        written = results.write(document, judgement, is_whole=is_whole)
    except Unsupported:
        terminal.write(text)
        raise
    session.recording.note_reported()
    has_success = any(entry.measurement.outcome == "ok" for entry in session.recording.entries)
    status = _FAILURE_STATUS if results.has_failed(judgement) or not has_success else 0
    return CommandResult("\n\n".join(filter(None, [text, written])), status)


def _order(commands: Sequence[NamedCommand], limits: Sequence[Limit | None], rounds: int) -> Iterator[CommandRun]:
    """Yield all runs round by round, so that a drift of the machine affects all commands and limits alike."""
    for number, limit, command in itertools.product(range(rounds), limits, commands):
        yield CommandRun(command, limit, number)


def _warm_up(
    session: ProgramSession, commands: Sequence[NamedCommand], limits: Sequence[Limit | None], count: int
) -> None:
    """Run each command under the largest limit, so that its program and libraries are in the page cache."""
    largest = max(limits, key=lambda limit: math.inf if limit is None else limit.size_bytes)
    for number, command in itertools.product(range(count), commands):
        terminal.show(f"edgeload: warm-up {number + 1} of {count}: {command.name}")
        session.try_out(command, largest)


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


SUBCOMMAND = Subcommand(
    "measure commands under memory limits",
    f"Each command is behind {SEPARATOR}: edgeload run --mem=512M,1G {SEPARATOR} ./a --fast {SEPARATOR} ./b. A command "
    f"whose own words contain {SEPARATOR} is written as one word in quotes.",
    _add_arguments,
    _run,
    takes_commands=True,
)
