"""`edgeload minmem`: the smallest memory limit at which a program or a network works, and at which it is as good."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from pytest_edgeload.base.errors import Setting, UsageError
from pytest_edgeload.base.interrupts import Interrupts
from pytest_edgeload.base.units import Limit, format_size
from pytest_edgeload.cli import arguments, machine, measuring, outputs, programs, subjects, terminal
from pytest_edgeload.cli.finder import Demands, Finder
from pytest_edgeload.cli.outputs import Outputs
from pytest_edgeload.cli.subcommand import CommandResult, Subcommand
from pytest_edgeload.cli.subjects import Subject
from pytest_edgeload.report import minmem as texts
from pytest_edgeload.results.case import REFERENCE
from pytest_edgeload.results.finding import Judgement
from pytest_edgeload.results.minmem import KEEPS_IN_MEMORY, WORKS, Smallest
from pytest_edgeload.results.threshold import Figure

_GATE_STATUS = 1
_CURVE_RUNS = 16


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.usage = programs.NETWORKS_OR_COMMAND
    measuring.add_workload(parser, is_optional=True)
    add = parser.add_argument
    add("--policy", metavar="NAME", help=f"loading policy of networks (default: {REFERENCE})")
    keep = (
        "also find the smallest limit at which a figure is at most this much worse than with plenty of memory: "
        "makespan:20%%, tokens_per_s:10%%; comma-separated or repeated"
    )
    add("--keep", type=arguments.thresholds, action="extend", default=[], metavar="EXPR", help=keep)
    add("--curve", action="store_true", help="also run at other limits, and draw time and swap over the limit")
    by = "figure of the curve instead of the time: tokens_per_s, response.p90"
    add("--by", type=arguments.figure, metavar="FIGURE", help=by)
    runs = "maximum number of runs for the curve alone (default: %(default)s)"
    add("--curve-runs", type=arguments.count, default=_CURVE_RUNS, metavar="N", help=runs)
    step = "the limits tried are multiples of this size (default: 1 to 2 %% of the memory charged with plenty)"
    add("--step", type=arguments.size, metavar="SIZE", help=step)
    rounds = "runs at each limit; all must succeed (default: %(default)s)"
    add("--rounds", type=arguments.count, default=1, metavar="N", help=rounds)
    at_most = (
        "a gate: exit with status 1 if more than this is needed to work, or with --keep to stay within each margin, "
        "such as 300M or base+64M"
    )
    add("--at-most", type=arguments.refusing(Limit.parse), metavar="SIZE", help=at_most)
    add("--format", choices=tuple(texts.FORMATS), default="text", help="output format (default: %(default)s)")
    outputs.add_export(parser)
    programs.add_arguments(parser)
    parser.set_defaults(timeout=None)


def _run(args: argparse.Namespace) -> CommandResult:
    args.networks = subjects.networks_of(args)
    _check(args)
    results, timeout_s = Outputs.of_exports(args), args.timeout
    args.timeout = timeout_s or machine.TIMEOUT_S
    with subjects.set_up(args) as subject:
        results.check(subject.recording.empty)
        by = args.by or (Figure(subject.case.main_metric) if args.curve else None)
        finder = Finder(subject, Demands(args.keep, by, args.curve_runs, args.rounds, args.step), timeout_s)
        try:
            finder.run()
        except BaseException:
            with Interrupts():  # nothing that was found is lost
                terminal.write(_finish(subject, finder.result, results, args.format))
            raise
        result = finder.result
        text = _finish(subject, result, results, args.format)
    assert result is not None  # the search has run
    excess = _excess(result, [threshold.text for threshold in args.keep], args.at_most)
    if excess:
        terminal.say(f"edgeload: {excess}")
    is_found = all(limit is not None for name, limit in result.found.items() if name != KEEPS_IN_MEMORY)
    return CommandResult(text, 0 if is_found and not excess else _GATE_STATUS)


def _finish(subject: Subject, result: Smallest | None, results: Outputs, form: str) -> str:
    """Write the files; return the limits that are known as text. Raises Unsupported."""
    terminal.show("")
    if subject.recording.entries:
        for line in results.write(subject.recording.document, Judgement(), is_whole=True).splitlines():
            terminal.say(line)
    subject.recording.note_reported()
    return "" if result is None else texts.FORMATS[form](result)


def _excess(result: Smallest, margins: Sequence[str], at_most: Limit | None) -> str:
    """Return words for the limit that is needed if it exceeds `at_most`: for the margins, or without any, to work."""
    if at_most is None:
        return ""
    needs = {f" for {name}": result.found[name] for name in margins} or {"": result.found[WORKS]}
    for purpose, need in needs.items():
        if need is not None and need > at_most.resolve(result.idle_bytes or 0):
            return f"{format_size(need)} is needed{purpose}, more than --at-most={at_most}"
    return ""


def _check(args: argparse.Namespace) -> None:
    """Raise UsageError if the arguments contradict each other."""
    if args.commands and args.at_most is not None and args.at_most.above_base:
        raise UsageError(Setting("at-most", str(args.at_most)), "a command has no idle worker", "try 300M")
    for threshold in args.keep:
        if threshold.figure.reference is not None:
            reason = f"nothing is compared with {threshold.figure.reference} here, only with plenty of memory"
            raise UsageError(Setting("keep", threshold.text), reason, "try makespan:20%")


SUBCOMMAND = Subcommand(
    "find the smallest memory limit at which a program or a network works, does not swap, or is as quick",
    "The command bisects the limit, and each result must succeed twice. Each run is a line on standard error.",
    _add_arguments,
    _run,
    takes_commands=True,
)
