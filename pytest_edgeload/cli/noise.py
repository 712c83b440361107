"""`edgeload noise`: by how much identical code differs on this machine, and which gate would hold."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import msgspec

from pytest_edgeload.base.errors import Unsupported, UsageError
from pytest_edgeload.base.units import Limit
from pytest_edgeload.cli import arguments, measuring, terminal
from pytest_edgeload.cli.command import Answer, Command
from pytest_edgeload.cli.measuring import Setup
from pytest_edgeload.report import noise as words
from pytest_edgeload.results.noise import floor, splits, tightest
from pytest_edgeload.results.record import REFERENCE, Entry, Record, collect
from pytest_edgeload.results.threshold import Figure

_LEAST_ROUNDS = 2
_BYTES = ("peak_bytes", "swap_in_bytes", "read_bytes")
_HONEST = """\
All {rounds} rounds ran one after the other, here and now; they were split into two sides in {ways} ways, the first of
which takes every other round. The tightest gate raised no alarm in any of these comparisons, either way round, but
may have been inconclusive. With --edge-strict that is an alarm, too, so it has to allow all that the noise may hide.
Another hour may be noisier: leave some room."""


def _add(parser: argparse.ArgumentParser) -> None:
    measuring.add(parser)
    add = parser.add_argument
    policy = f"loading policies, as a comma list; ratios are to {REFERENCE} or else to the first (default: {REFERENCE})"
    add("--policy", type=arguments.names, default=(REFERENCE,), metavar="NAMES", help=policy)
    add("--mem", type=arguments.limit, metavar="SIZE", help="memory limit: 512M, 1G, base+256M or none (default: none)")
    rounds = "rounds that a session to be gated has; twice as many are run (default: %(default)s)"
    add("--rounds", type=arguments.count, default=5, metavar="N", help=rounds)
    comparisons = "ways to split the rounds into two sides (default: %(default)s)"
    add("--comparisons", type=arguments.count, default=10, metavar="N", help=comparisons)


def _run(asked: argparse.Namespace) -> Answer:
    if asked.rounds < _LEAST_ROUNDS:
        raise UsageError(f"--rounds={asked.rounds}: a single round has no spread; try 5")
    with measuring.set_up(asked, asked.policy) as setup:
        records = _measured(setup, asked.policy, asked.mem, 2 * asked.rounds)
    return Answer(_text(records, asked.rounds, asked.comparisons))


def _measured(setup: Setup, policies: Sequence[str], limit: Limit | None, rounds: int) -> tuple[Record, ...]:
    """Return the records of so many rounds, A B C, A B C. Raises Unsupported where one is not ok."""
    entries = []
    cases = [setup.case(policy, limit) for policy in policies]
    for number in range(rounds):
        for case in cases:
            terminal.show(f"edgeload: round {number + 1} of {rounds}: {case.policy}")
            found = setup.measure(case)
            if found.outcome != "ok":
                raise Unsupported(f"{case.policy}, {case.workload} at {case.limit}: {found.outcome}: {found.detail}")
            entries.append(Entry(case, msgspec.structs.replace(found, round=number)))
    return collect(entries)


def _text(records: Sequence[Record], rounds: int, comparisons: int) -> str:
    """Return what is printed."""
    terminal.show("edgeload: comparing")
    case, sides = records[0].case, splits(records, comparisons)
    found = {
        (figure, record.case.policy): measured
        for figure in _figures(records)
        for record in records
        if record.case.policy != figure.reference
        and (measured := floor(records, record.case.policy, figure, sides)) is not None
    }
    gates = {
        figure: (tightest(figure, sides, is_strict=False), tightest(figure, sides, is_strict=True))
        for figure in dict.fromkeys(figure for figure, _ in found)
    }
    where = f"cap {case.cap}, swap {case.swap}, reader {case.reader}, {case.threads} threads"
    return "\n\n".join(
        [
            f"noise of {case.workload} {case.place}: identical code, {rounds} rounds per side\n{where}",
            words.floors(found),
            words.gates(gates),
            _HONEST.format(rounds=2 * rounds, ways=len(sides)),
        ]
    )


def _figures(records: Sequence[Record]) -> list[Figure]:
    """Return what is looked at: the main metric, its ratio to a reference where there is one, bytes."""
    main, policies = records[0].case.main_metric, [record.case.policy for record in records]
    reference = REFERENCE if REFERENCE in policies else policies[0]
    ratio = [Figure(main, reference=reference)] if len(policies) > 1 else []
    return [Figure(main), *ratio, *map(Figure, _BYTES)]


COMMAND = Command(
    "measure identical code against itself: this machine's noise, and the tightest gate that would hold",
    _add,
    _run,
    " Runs twice as many rounds as a session to be gated would, interleaved over the policies.",
)
