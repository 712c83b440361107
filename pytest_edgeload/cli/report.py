"""`edgeload report`: files of records, merged, in any format."""

from __future__ import annotations

import argparse
import os
import re
from pathlib import Path

from pytest_edgeload.base import files
from pytest_edgeload.base.errors import Unsupported
from pytest_edgeload.cli import arguments, terminal
from pytest_edgeload.cli.command import Answer, Command
from pytest_edgeload.measuring.directories import SessionDirectories
from pytest_edgeload.report import FORMATS
from pytest_edgeload.report.columns import parse_columns, parse_group_by, parse_sort
from pytest_edgeload.report.view import View
from pytest_edgeload.results import baseline, journal
from pytest_edgeload.results.document import Document
from pytest_edgeload.results.merge import Part, merge

_LABELLED = re.compile(r"(?P<label>[\w. +-]+)=(?P<path>.+)", re.DOTALL)


def _add(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    words = "files of records, or folders of sessions; NAME=FILE calls the machine of a file NAME"
    add("files", nargs="+", metavar="FILES", help=words)
    add("--format", choices=tuple(FORMATS), default="terminal", help="default: %(default)s")
    shown = arguments.refusing(parse_columns)
    add("--columns", type=shown, default=(), metavar="NAMES", help="what to show, as a comma list: makespan, peak.max")
    add(
        "--sort", type=arguments.refusing(parse_sort), default="", metavar="NAME", help="the column to sort by, or name"
    )
    grouped = arguments.refusing(parse_group_by)
    add("--group-by", type=grouped, default=(), metavar="NAMES", help="what rows of one table share: workload,limit")
    add("--name", choices=("short", "long"), default="short", help="how tests are called (default: %(default)s)")
    add("-o", "--output", type=arguments.output, metavar="FILE", help="write to this file, not to standard output")


def _run(asked: argparse.Namespace) -> Answer:
    merged = merge([_part(given) for given in asked.files])
    is_shown = asked.output is None
    view = View(
        columns=asked.columns,
        sort=asked.sort,
        group_by=asked.group_by,
        name=asked.name,
        width=terminal.width() if is_shown else None,
        colour=is_shown and terminal.has_colour(),
    )
    text = FORMATS[asked.format](merged, (), view)
    if is_shown:
        return Answer(text)
    _write(asked.output, text)
    return Answer("")


def _part(given: str) -> Part:
    """Return the document of a file, and its label; a file that is called so goes before a label. Raises UsageError."""
    labelled = None if os.path.lexists(given) else _LABELLED.fullmatch(given)
    if labelled is None:
        return Part(_document(Path(given)))
    return Part(_document(Path(labelled["path"])), labelled["label"])


def _document(path: Path) -> Document:
    """Return what a file holds, or the folder of a session. Raises UsageError."""
    return journal.recovered(path, SessionDirectories.of(path).runs) if path.is_dir() else baseline.load(path)


def _write(path: Path, text: str) -> None:
    """Write `text`, whole or not at all. Raises Unsupported."""
    try:
        files.write(path, text.encode("utf-8", "backslashreplace"))
    except OSError as error:
        raise Unsupported(f"--output={path}: {error.strerror}; name a file elsewhere") from error


COMMAND = Command(
    "show files of records: tables, pages, traces",
    _add,
    _run,
    " FILES are what --edge-json wrote, baselines, or the folder of a session that was killed before it could report:"
    " the next one names it. Files of one kind of machine add up: equal cases are one row with"
    " the rounds of all. Of several machines, each case tells its device.",
)
