"""`edgeload noise`: the differences between runs of identical code on this machine, and the gate that would hold."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import msgspec

from pytest_edgeload.base.errors import Setting, Unsupported, UsageError
from pytest_edgeload.base.units import Limit
from pytest_edgeload.cli import arguments, measuring, terminal
from pytest_edgeload.cli.measuring import PreparedWorkload
from pytest_edgeload.cli.subcommand import CommandResult, Subcommand
from pytest_edgeload.report import noise as texts
from pytest_edgeload.results.case import REFERENCE
from pytest_edgeload.results.noise import floor, splits, tightest
from pytest_edgeload.results.own import own_figures
from pytest_edgeload.results.record import Entry, Record, collect
from pytest_edgeload.results.threshold import Figure

_MIN_ROUNDS = 2
_BYTE_METRICS = ("peak_bytes", "swap_in_bytes", "read_bytes")
_LIMITS = """\
All {rounds} rounds ran one after the other. They were split into two sides in {splits} ways; the first takes every
other round. The tightest gate raised no alarm in any of these comparisons, in either direction, but may have been
inconclusive. In strict mode that is an alarm as well, so the gate must allow for everything that the noise can hide.
The machine may be noisier at another time: leave a margin."""


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    measuring.add_arguments(parser)
    add = parser.add_argument
    policy = f"loading policies, comma-separated; ratios are to {REFERENCE}, else to the first (default: {REFERENCE})"
    add("--policy", type=arguments.names, default=(REFERENCE,), metavar="NAMES", help=policy)
    add("--mem", type=arguments.limit, metavar="SIZE", help="memory limit: 512M, 1G, base+256M or none (default: none)")
    rounds = "rounds of a session with a gate; twice as many are run (default: %(default)s)"
    add("--rounds", type=arguments.count, default=5, metavar="N", help=rounds)
    comparisons = "ways to split the rounds into two sides (default: %(default)s)"
    add("--comparisons", type=arguments.count, default=10, metavar="N", help=comparisons)


def _run(args: argparse.Namespace) -> CommandResult:
    if args.rounds < _MIN_ROUNDS:
        raise UsageError(Setting("rounds", str(args.rounds)), "a single round has no spread", "try 5")
    with measuring.set_up(args, args.policy) as setup:
        records = _measure(setup, args.policy, args.mem, 2 * args.rounds)
    return CommandResult(_text(records, args.rounds, args.comparisons))


def _measure(setup: PreparedWorkload, policies: Sequence[str], limit: Limit | None, rounds: int) -> tuple[Record, ...]:
    """Measure `rounds` rounds in the order A B C, A B C; return the records. Raises Unsupported if a run is not ok."""
    entries = []
    cases = [setup.case(policy, limit) for policy in policies]
    for number in range(rounds):
        for case in cases:
            terminal.show(f"edgeload: round {number + 1} of {rounds}: {case.policy}")
            run = setup.measure(case)
            if run.outcome != "ok":
                raise Unsupported(
                    f"{case.policy}, {case.workload} at {case.limit or 'no limit'}", f"{run.outcome}: {run.detail}"
                )
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
    conditions = f"cap {case.cap}, swap {case.swap}, reader {case.reader}, {case.threads} threads"
    return "\n\n".join(
        [
            f"noise of {case.workload} {case.place}: identical code, {rounds} rounds per side\n{conditions}",
            texts.floors(floors),
            texts.gates(gates),
            _LIMITS.format(rounds=2 * rounds, splits=len(sides)),
        ]
    )


def _figures(records: Sequence[Record]) -> list[Figure]:
    """Return the main metric, its ratio to the reference if there are several policies, and the metrics in bytes.

    If programs reported metrics, these are included.
    """
    main, policies = records[0].case.main_metric, [record.case.policy for record in records]
    reference = REFERENCE if REFERENCE in policies else policies[0]
    ratio = [Figure(main, reference=reference)] if len(policies) > 1 else []
    return [Figure(main), *ratio, *own_figures(records), *map(Figure, _BYTE_METRICS)]


SUBCOMMAND = Subcommand(
    "measure identical code against itself, and find the tightest gate that holds under this machine's noise",
    "The command runs twice as many rounds as a session with a gate would, interleaved over the policies.",
    _add_arguments,
    _run,
)
