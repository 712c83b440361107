"""`edgeload compare`: two sessions next to each other, and optionally a gate on the second."""

from __future__ import annotations

import argparse
from pathlib import Path

from pytest_edgeload.base.errors import Setting, UsageError, suggestion
from pytest_edgeload.cli import arguments, terminal
from pytest_edgeload.cli.subcommand import CommandResult, Subcommand
from pytest_edgeload.report import FORMATS, comparison
from pytest_edgeload.report.view import View
from pytest_edgeload.results import baseline
from pytest_edgeload.results.comparison import strangers
from pytest_edgeload.results.document import Document, machine
from pytest_edgeload.results.gate import Gate
from pytest_edgeload.results.threshold import Threshold

_REGRESSION_STATUS = 1


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("before", metavar="A", help="the old session: a file of records, or the number or name of a baseline")
    add("after", metavar="B", help="the new session, named in the same way")
    add(
        "--fail", type=arguments.thresholds, action="extend", default=[], metavar="EXPR",
        help="fail if a figure became worse by more than this: makespan:10%%, makespan/bulk:10%%, peak:64M, "
        "makespan:10%%+0.2s; comma-separated or repeated; all of them apply",
    )  # fmt: skip
    add(
        "--strict",
        action="store_true",
        help="with --fail: also fail if a case cannot be judged, is new or is missing, or a threshold judged nothing",
    )
    add(
        "--format", choices=tuple(dict.fromkeys(["terminal", *FORMATS])), default="terminal",
        help="terminal: both sessions; any other format: a report on B with its verdicts (default: %(default)s)",
    )  # fmt: skip
    arguments.add_storage(parser)


def _run(args: argparse.Namespace) -> CommandResult:
    if args.strict and not args.fail:
        raise UsageError(
            Setting("strict"),
            "without a threshold nothing is judged",
            ("add one, such as ", Setting("fail", "makespan:10%")),
        )
    before, after = (_document(name, args.storage) for name in (args.before, args.after))
    _check_references(args.fail, after)
    gate = Gate(tuple(args.fail), before, strangers(before, after.machine, after.hosts), args.strict)
    judgement = gate.judge_all(after.records)
    has_failed = any(map(gate.fails, judgement.findings)) or (args.strict and judgement.idle)
    status = _REGRESSION_STATUS if has_failed else 0
    if args.format != "terminal":
        return CommandResult(FORMATS[args.format](after, judgement, View()), status)
    table = comparison.table(before.records, after.records, strangers=gate.strangers, width=terminal.width())
    notes = _notes(gate, after)
    shown = table or comparison.without_common_case(before.records, after.records)
    parts = [shown, notes, comparison.judged(judgement)]
    return CommandResult("\n\n".join(part for part in parts if part), status)


def _notes(gate: Gate, after: Document) -> str:
    """Return a sentence on the hosts that are different machines in the two sessions."""
    different = {record.case.host for record in after.records} & gate.strangers
    on = ", ".join(sorted(name for name in different if name is not None))
    words = f"two kinds of machine{on and f' on {on}'}: only ratios, bytes and counts are compared"
    return words if different else ""


def _document(name: str, storage: Path) -> Document:
    """Return the document of the file or baseline `name`. Raises UsageError."""
    path = baseline.find(storage, name, machine()) if name else None
    if path is None:
        raise UsageError(
            f"{name!r}",
            "not a file of records",
            f"name a file (.json), or a number or a name of a baseline in {storage}",
        )
    return baseline.load(path)


def _check_references(thresholds: list[Threshold], document: Document) -> None:
    """Raise UsageError if a threshold is relative to a policy that was not measured."""
    policies = list(dict.fromkeys(record.case.policy for record in document.records))
    for threshold in thresholds:
        reference = threshold.figure.reference
        if reference is not None and reference not in policies:
            raise UsageError(
                Setting("fail", threshold.text), f"{reference} was not measured", suggestion(reference, policies)
            )


SUBCOMMAND = Subcommand(
    "compare two sessions, optionally as a gate",
    "Without --fail, the command only shows both sessions. With it, the exit status is 1 after a regression, by the "
    "same rules as in pytest.",
    _add_arguments,
    _run,
)
