"""`edgeload compare`: then and now, and with a gate whether that fails."""

from __future__ import annotations

import argparse
from pathlib import Path

from pytest_edgeload.base.errors import UsageError, suggestion
from pytest_edgeload.cli import arguments, terminal
from pytest_edgeload.cli.command import Answer, Command
from pytest_edgeload.report import FORMATS, comparison
from pytest_edgeload.report.view import View
from pytest_edgeload.results import baseline
from pytest_edgeload.results.document import Document, machine
from pytest_edgeload.results.gate import Gate
from pytest_edgeload.results.threshold import Threshold

_REGRESSED = 1


def _add(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("before", metavar="A", help="what was: a file of records, or the number or name of a baseline")
    add("after", metavar="B", help="what is, named in the same way")
    add(
        "--fail", type=arguments.thresholds, action="extend", default=[], metavar="EXPR",
        help="fail what became worse by more than this: makespan:10%%, makespan/bulk:10%%, peak:64M, "
        "makespan:10%%+0.2s; a comma list, every one applies",
    )  # fmt: skip
    add("--strict", action="store_true", help="with --fail: fail also what cannot be judged, is new or missing")
    add(
        "--format", choices=tuple(dict.fromkeys(["terminal", *FORMATS])), default="terminal",
        help="terminal: then and now; any other: a report on B, with its verdicts (default: %(default)s)",
    )  # fmt: skip
    arguments.add_storage(parser)


def _run(asked: argparse.Namespace) -> Answer:
    if asked.strict and not asked.fail:
        raise UsageError("--strict: nothing is judged without a threshold; add one, as in --fail=makespan:10%")
    before, after = (_document(name, asked.storage) for name in (asked.before, asked.after))
    _check_references(asked.fail, after)
    gate = Gate(tuple(asked.fail), before, before.machine.key == after.machine.key, asked.strict)
    findings = gate.judge_all(after.records)
    status = _REGRESSED if any(map(gate.fails, findings)) else 0
    if asked.format != "terminal":
        return Answer(FORMATS[asked.format](after, findings, View()), status)
    table = comparison.table(before.records, after.records, is_alike=gate.is_alike, width=terminal.width())
    notes = "" if gate.is_alike else "of two kinds of machine: only ratios, bytes and counts are compared"
    parts = [table or "no case is in both", notes, comparison.judged(findings)]
    return Answer("\n\n".join(part for part in parts if part), status)


def _document(name: str, storage: Path) -> Document:
    """Return the document that `name` means. Raises UsageError."""
    path = baseline.find(storage, name, machine()) if name else None
    if path is None:
        raise UsageError(f"{name!r} names no records; name a file (.json), or a number or name of those in {storage}")
    return baseline.load(path)


def _check_references(thresholds: list[Threshold], document: Document) -> None:
    """Raise UsageError for a threshold relative to a policy that was not measured."""
    policies = list(dict.fromkeys(record.case.policy for record in document.records))
    for threshold in thresholds:
        reference = threshold.figure.reference
        if reference is not None and reference not in policies:
            raise UsageError(
                f"--fail={threshold.text}: {reference} was not measured; {suggestion(reference, policies)}"
            )


COMMAND = Command(
    "compare two sessions, and fail where one became worse",
    _add,
    _run,
    " Without --fail it only shows. With it, status 1 tells of a regression, by the same rules as in pytest.",
)
