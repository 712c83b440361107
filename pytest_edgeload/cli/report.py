"""`edgeload report`: files of records, merged, in any format."""

from __future__ import annotations

import argparse
import os
import re
from pathlib import Path

from pytest_edgeload.base import files
from pytest_edgeload.base.errors import Setting
from pytest_edgeload.cli import arguments, terminal
from pytest_edgeload.cli.subcommand import CommandResult, Subcommand
from pytest_edgeload.measuring.directories import SessionDirectories
from pytest_edgeload.report import FORMATS
from pytest_edgeload.report.view import View
from pytest_edgeload.results import baseline, journal
from pytest_edgeload.results.document import Document
from pytest_edgeload.results.finding import Judgement
from pytest_edgeload.results.merge import Part, merge

_LABELLED = re.compile(r"(?P<label>[\w. +-]+)=(?P<path>.+)", re.DOTALL)


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    paths = "files of records, or folders of sessions; NAME=FILE sets the name of the machine of a file"
    add("files", nargs="+", metavar="FILES", help=paths)
    add("--format", choices=tuple(FORMATS), default="terminal", help="output format (default: %(default)s)")
    arguments.add_layout(parser)
    add("--name", choices=("short", "long"), default="short", help="form of test names (default: %(default)s)")
    output = "write to this file instead of standard output"
    add("-o", "--output", type=arguments.output, metavar="FILE", help=output)


def _run(args: argparse.Namespace) -> CommandResult:
    merged = merge([_part(argument) for argument in args.files])
    is_shown = args.output is None
    view = View(
        columns=args.columns,
        sort=args.sort,
        group_by=args.group_by,
        name=args.name,
        width=terminal.width() if is_shown else None,
        colour=is_shown and terminal.has_colour(),
    )
    text = FORMATS[args.format](merged, Judgement(), view)
    if is_shown:
        return CommandResult(text)
    _write(args.output, text)
    return CommandResult("")


def _part(argument: str) -> Part:
    """Return the document of a FILE or NAME=FILE, and its name. Raises UsageError.

    An existing file whose name contains `=` is a FILE.
    """
    labelled = None if os.path.lexists(argument) else _LABELLED.fullmatch(argument)
    if labelled is None:
        return Part(_document(Path(argument)))
    return Part(_document(Path(labelled["path"])), labelled["label"])


def _document(path: Path) -> Document:
    """Return the document of a file or of a session's folder. Raises UsageError."""
    return journal.recovered(path, SessionDirectories.of(path).runs) if path.is_dir() else baseline.load(path)


def _write(path: Path, text: str) -> None:
    """Write `text`, whole or not at all. Raises Unsupported."""
    with files.named_by(Setting("output", str(path))):
        files.write(path, text.encode("utf-8", "backslashreplace"))


SUBCOMMAND = Subcommand(
    "show files of records as tables, pages or traces",
    "FILES are files from pytest --edge-json, baselines, or the folder of a session that was killed before it could "
    "report; the next session names that folder. Within one kind of machine, equal cases become one row with the "
    "rounds of all files. With several machines, each case has its machine as its device.",
    _add_arguments,
    _run,
)
