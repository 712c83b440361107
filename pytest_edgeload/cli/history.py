"""`edgeload history`: a figure over the saved sessions of this kind of machine."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from pytest_edgeload.base.errors import Setting, UsageError, suggestion
from pytest_edgeload.cli import arguments, terminal
from pytest_edgeload.cli.subcommand import CommandResult, Subcommand
from pytest_edgeload.report import history as texts
from pytest_edgeload.results import baseline
from pytest_edgeload.results.case import Case
from pytest_edgeload.results.document import machine
from pytest_edgeload.results.history import Saved, known_in, series
from pytest_edgeload.results.own import optional_metrics, unreported
from pytest_edgeload.results.threshold import Figure

_COORDINATES = ("policy", "workload", "limit", "reader", "test")


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("figure", type=arguments.figure, metavar="METRIC",
        help="METRIC[.STAT][/REFERENCE] as in a threshold: makespan, makespan/bulk, peak, response.p90")  # fmt: skip
    for name in _COORDINATES:
        add(f"--{name}", type=arguments.names, metavar="NAMES", help=f"only cases with this {name}; comma-separated")
    add("--last", type=arguments.count, metavar="N", help="only the newest N saved sessions (default: all)")
    add("-v", "--verbose", action="store_true", help="also show a row for each saved session")
    arguments.add_storage(parser)


def _run(args: argparse.Namespace) -> CommandResult:
    here = machine()
    paths = baseline.saved(args.storage, here)[-(args.last or 0) :]
    if not paths:
        raise UsageError(
            str(args.storage / here.key), "no saved session", "save one with pytest --edge-save or --edge-autosave"
        )
    sessions, unreadable = _load(paths)
    _check_coordinates(args, sessions)
    figure = known_in(sessions, args.figure)
    lines = series(sessions, figure, lambda case: _is_selected(args, case))
    levels = texts.BLOCKS if terminal.can_show(texts.BLOCKS) else texts.ASCII
    parts = [
        f"{figure} over {len(sessions)} saved session{'s' if len(sessions) > 1 else ''} of {here.key}",
        texts.lines(lines, figure, levels) or _none(sessions, figure),
        texts.details(lines, figure) if args.verbose else "",
        texts.left_out(lines, unreadable),
    ]
    return CommandResult("\n\n".join(part for part in parts if part))


def _none(sessions: Sequence[Saved], figure: Figure) -> str:
    """Return a sentence on a figure that no case has."""
    reported = optional_metrics(record for saved in sessions for record in saved.document.records)
    return unreported(figure, reported) or f"no case has {figure}"


def _load(paths: Sequence[Path]) -> tuple[list[Saved], list[str]]:
    """Return the sessions that can be read, and an error message for each of the others."""
    sessions, unreadable = [], []
    for path in paths:
        try:
            sessions.append(Saved(baseline.title(path), baseline.load(path)))
        except UsageError as error:
            unreadable.append(str(error))
    return sessions, unreadable


def _is_selected(args: argparse.Namespace, case: Case) -> bool:
    return all(getattr(args, name) is None or _coordinate(case, name) in getattr(args, name) for name in _COORDINATES)


def _check_coordinates(args: argparse.Namespace, sessions: Sequence[Saved]) -> None:
    """Raise UsageError for a coordinate that no saved case has."""
    cases = [record.case for saved in sessions for record in saved.document.records]
    for name in _COORDINATES:
        known = list(dict.fromkeys(_coordinate(case, name) for case in cases))
        for value in getattr(args, name) or ():
            if value not in known:
                raise UsageError(Setting(name, value), f"no saved case has this {name}", suggestion(value, known))


def _coordinate(case: Case, name: str) -> str:
    return getattr(case, name) or "none"


SUBCOMMAND = Subcommand(
    "show a figure over the saved sessions",
    "Each case has a line with a drawing, the first and the last value, and the change. Sessions that cannot be "
    "compared with the newest one are left out and named.",
    _add_arguments,
    _run,
)
