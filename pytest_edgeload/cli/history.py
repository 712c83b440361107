"""`edgeload history`: a figure over the saved sessions of this kind of machine."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from pytest_edgeload.base.errors import UsageError, suggestion
from pytest_edgeload.cli import arguments, terminal
from pytest_edgeload.cli.command import Answer, Command
from pytest_edgeload.report import history as words
from pytest_edgeload.results import baseline
from pytest_edgeload.results.document import machine
from pytest_edgeload.results.history import Saved, series
from pytest_edgeload.results.record import Case

_COORDINATES = ("policy", "workload", "limit", "reader", "test")


def _add(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("figure", type=arguments.figure, metavar="METRIC",
        help="METRIC[.STAT][/REFERENCE] as in a threshold: makespan, makespan/bulk, peak, response.p90")  # fmt: skip
    for name in _COORDINATES:
        add(f"--{name}", type=arguments.names, metavar="NAMES", help=f"only cases of this {name}; a comma list")
    add("--last", type=arguments.count, metavar="N", help="only the newest N saved sessions (default: all)")
    add("-v", "--verbose", action="store_true", help="a row for each saved session, too")
    arguments.add_storage(parser)


def _run(asked: argparse.Namespace) -> Answer:
    here = machine()
    paths = baseline.saved(asked.storage, here)[-(asked.last or 0) :]
    if not paths:
        raise UsageError(
            f"nothing is saved in {asked.storage / here.key}; save a session by --edge-save or --edge-autosave"
        )
    sessions, unreadable = _read(paths)
    _check(asked, sessions)
    found = series(sessions, asked.figure, lambda case: _is_wanted(asked, case))
    levels = words.BLOCKS if terminal.can_show(words.BLOCKS) else words.ASCII
    parts = [
        f"{asked.figure} over {len(sessions)} saved session{'s' if len(sessions) > 1 else ''} of {here.key}",
        words.lines(found, asked.figure, levels) or f"no case has {asked.figure}",
        words.details(found, asked.figure) if asked.verbose else "",
        words.left_out(found, unreadable),
    ]
    return Answer("\n\n".join(part for part in parts if part))


def _read(paths: Sequence[Path]) -> tuple[list[Saved], list[str]]:
    """Return the sessions that can be read, and a sentence on each that cannot."""
    sessions, unreadable = [], []
    for path in paths:
        try:
            sessions.append(Saved(baseline.title(path), baseline.load(path)))
        except UsageError as error:
            unreadable.append(str(error))
    return sessions, unreadable


def _is_wanted(asked: argparse.Namespace, case: Case) -> bool:
    return all(getattr(asked, name) is None or _value(case, name) in getattr(asked, name) for name in _COORDINATES)


def _check(asked: argparse.Namespace, sessions: Sequence[Saved]) -> None:
    """Raise UsageError for a coordinate that no saved case has."""
    cases = [record.case for saved in sessions for record in saved.document.records]
    for name in _COORDINATES:
        known = list(dict.fromkeys(_value(case, name) for case in cases))
        for value in getattr(asked, name) or ():
            if value not in known:
                raise UsageError(f"--{name}={value}: no saved case has it; {suggestion(value, known)}")


def _value(case: Case, name: str) -> str:
    return getattr(case, name) or "none"


COMMAND = Command(
    "show a figure over the saved sessions",
    _add,
    _run,
    " Each case has a line: a drawing, the first and the last value, and the change. Only what can be compared with the"
    " newest session is shown; the rest is named.",
)
