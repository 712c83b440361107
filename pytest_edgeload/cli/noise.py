"""`edgeload noise`: the differences between runs of identical code on this machine, and the gate that would hold."""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial

import msgspec

from pytest_edgeload.base.errors import Setting, Unsupported, UsageError
from pytest_edgeload.cli import arguments, measuring, programs, sessions, subjects, terminal
from pytest_edgeload.cli.subcommand import SEPARATOR, CommandResult, Subcommand
from pytest_edgeload.report import noise as texts
from pytest_edgeload.results.case import REFERENCE, Case
from pytest_edgeload.results.measurement import Measurement
from pytest_edgeload.results.noise import floor, splits, tightest
from pytest_edgeload.results.own import own_figures
from pytest_edgeload.results.record import Entry, Record, collect
from pytest_edgeload.results.threshold import Figure

_MIN_ROUNDS = 2
_LIMITS = """\
All {rounds} rounds ran one after the other. They were split into two sides in {splits} ways; the first takes every
other round. The tightest gate raised no alarm in any of these comparisons, in either direction, but may have been
inconclusive. In strict mode that is an alarm as well, so the gate must allow for everything that the noise can hide.
The machine may be noisier at another time: leave a margin."""

_Rows = Mapping[Case, Callable[[], Measurement]]
"""The cases to measure, and the function that measures each of them once."""


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.usage = programs.NETWORKS_OR_COMMAND
    measuring.add_workload(parser, is_optional=True)
    add = parser.add_argument
    policy = f"loading policies, comma-separated; ratios are to {REFERENCE}, else to the first (default: {REFERENCE})"
    add("--policy", type=arguments.names, metavar="NAMES", help=policy)
    mem = "memory limit: 512M, 1G, none, for networks also base+256M (default: none, or the memory of the device)"
    add("--mem", type=arguments.limits, metavar="SIZE", help=mem)
    rounds = "rounds of a session with a gate; twice as many are run (default: %(default)s)"
    add("--rounds", type=arguments.count, default=5, metavar="N", help=rounds)
    comparisons = "ways to split the rounds into two sides (default: %(default)s)"
    add("--comparisons", type=arguments.count, default=10, metavar="N", help=comparisons)
    programs.add_arguments(parser)


def _run(args: argparse.Namespace) -> CommandResult:
    args.networks = subjects.networks_of(args)
    if args.rounds < _MIN_ROUNDS:
        raise UsageError(Setting("rounds", str(args.rounds)), "a single round has no spread", "try 5")
    if args.mem is not None and len(args.mem) > 1:
        raise UsageError(Setting("mem", str(args.mem[1])), "a second limit", "measure the noise at each by itself")
    with (_programs if args.networks is None else _networks)(args) as rows:
        records = _measure(rows, 2 * args.rounds)
    return CommandResult(_text(records, args.rounds, args.comparisons))


@contextmanager
def _networks(args: argparse.Namespace) -> Iterator[_Rows]:
    """Prepare the machine for networks under policies. Raises Refusal."""
    policies, [limit] = args.policy or (REFERENCE,), args.mem or (None,)
    with measuring.set_up(args, policies) as setup:
        cases = [setup.case(policy, limit) for policy in policies]
        yield {case: partial(setup.measure, case) for case in cases}


@contextmanager
def _programs(args: argparse.Namespace) -> Iterator[_Rows]:
    """Prepare the machine for commands. Raises Refusal."""
    commands = programs.commands_of(args)
    programs.check_limits(args.mem or ())
    with sessions.set_up(args) as session:
        [limit] = session.limits(args.mem)
        yield {session.case(one.name, limit): partial(session.try_out, one, limit) for one in commands}


def _measure(rows: _Rows, rounds: int) -> tuple[Record, ...]:
    """Measure `rounds` rounds in the order A B C, A B C; return the records. Raises Unsupported if a run is not ok."""
    entries = []
    for number, (case, measure) in itertools.product(range(rounds), rows.items()):
        terminal.show(f"edgeload: round {number + 1} of {rounds}: {case.policy}")
        run = measure()
        if run.outcome != "ok":
            raise Unsupported(f"{case.policy}, {case.workload} {case.place}", f"{run.outcome}: {run.detail}")
        entries.append(Entry(case, msgspec.structs.replace(run, round=number)))
    return collect(entries)


def _text(records: Sequence[Record], rounds: int, comparisons: int) -> str:
    """Return the report."""
    terminal.show("edgeload: comparing")
    case, sides = records[0].case, splits(records, comparisons)
    floors = {
        (figure, record.case.policy): measured
        for figure in _figures(records)
        for record in records
        if record.case.policy != figure.reference
        and (measured := floor(records, record.case.policy, figure, sides)) is not None
    }
    gates = {
        figure: (tightest(figure, sides, is_strict=False), tightest(figure, sides, is_strict=True))
        for figure in dict.fromkeys(figure for figure, _ in floors)
    }
    subject = ", ".join(record.case.policy for record in records) if case.is_program else case.workload
    readers = " or ".join(dict.fromkeys(record.case.reader for record in records))
    conditions = f"cap {case.cap}, swap {case.swap}, reader {readers}, {case.threads} threads"
    return "\n\n".join(
        [
            f"noise of {subject} {case.place}: identical code, {rounds} rounds per side\n{conditions}",
            texts.floors(floors, "program" if case.is_program else "policy"),
            texts.gates(gates),
            _LIMITS.format(rounds=2 * rounds, splits=len(sides)),
        ]
    )


def _figures(records: Sequence[Record]) -> list[Figure]:
    """Return the main metric, its ratio to the reference if there are several policies, and the metrics in bytes.

    If programs reported metrics, these are included.
    """
    case, policies = records[0].case, [record.case.policy for record in records]
    main, in_bytes = case.main_metric, (case.memory_metric, "swap_in_bytes", "read_bytes")
    reference = REFERENCE if REFERENCE in policies else policies[0]
    ratio = [Figure(main, reference=reference)] if len(policies) > 1 else []
    return [Figure(main), *ratio, *own_figures(records), *map(Figure, in_bytes)]


SUBCOMMAND = Subcommand(
    "measure identical code against itself, and find the tightest gate that holds under this machine's noise",
    "The command runs twice as many rounds as a session with a gate would, interleaved over the policies, or over the "
    f"commands, each behind {SEPARATOR}.",
    _add_arguments,
    _run,
    takes_commands=True,
)
