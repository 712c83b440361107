"""`edgeload doctor`: what this machine can enforce and measure."""

from __future__ import annotations

import argparse

from pytest_edgeload.base.errors import Setting
from pytest_edgeload.cli import arguments
from pytest_edgeload.cli.command import Answer, Command
from pytest_edgeload.report import doctor as report
from pytest_edgeload.sandbox.doctor import examine

_UNFIT = 1


def _add(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--strict", action="store_true", help="fail also where something is missing that would be better to have")
    add("--json", action="store_true", help="write all rows as JSON")
    arguments.add_cache(parser)


def _run(asked: argparse.Namespace) -> Answer:
    checks = examine(asked.cache_dir or arguments.cache())
    is_unfit = report.failures(checks) or (asked.strict and report.failures(checks, "desirable"))
    show = report.json if asked.json else report.text
    return Answer(show(checks, _spell), _UNFIT if is_unfit else 0)


def _spell(setting: Setting) -> str:
    """Return a setting as an option of pytest, because the doctor examines the machine for pytest."""
    return f"--edge-{setting}"


COMMAND = Command(
    "tell what this machine can enforce and measure, and how to get what it cannot",
    _add,
    _run,
    " Everything is tried, and removed again. Status 1 tells that no memory limit can be enforced and measured here.",
)
