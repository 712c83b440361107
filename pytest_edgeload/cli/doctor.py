"""`edgeload doctor`: the limits that this machine can enforce, and the metrics that it can measure."""

from __future__ import annotations

import argparse

from pytest_edgeload.base.errors import Setting
from pytest_edgeload.cli import arguments
from pytest_edgeload.cli.subcommand import CommandResult, Subcommand
from pytest_edgeload.report import doctor as texts
from pytest_edgeload.sandbox.doctor import examine

_UNFIT_STATUS = 1


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--strict", action="store_true", help="also fail if something desirable is missing")
    add("--json", action="store_true", help="write all checks as JSON")
    arguments.add_cache(parser)


def _run(args: argparse.Namespace) -> CommandResult:
    checks = examine(args.cache_dir or arguments.cache())
    is_unfit = texts.failures(checks) or (args.strict and texts.failures(checks, "desirable"))
    show = texts.json if args.json else texts.text
    return CommandResult(show(checks, _spell), _UNFIT_STATUS if is_unfit else 0)


def _spell(setting: Setting) -> str:
    """Return a setting as an option of pytest, because the doctor examines the machine for pytest."""
    return f"--edge-{setting}"


SUBCOMMAND = Subcommand(
    "check which limits this machine can enforce and which metrics it can measure, and how to get the others",
    "Every check is a trial, which leaves nothing behind. The exit status is 1 if no memory limit can be enforced and "
    "measured here.",
    _add_arguments,
    _run,
)
