"""The command `edgeload`: everything that works without pytest. Imports neither torch nor pytest.

A subcommand is one file and one line in `SUBCOMMANDS`.
"""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Mapping, Sequence
from functools import partial

from pytest_edgeload.base.errors import Refusal, Setting, notes
from pytest_edgeload.base.interrupts import ended_alike
from pytest_edgeload.cli import (
    cache,
    calibrate,
    compare,
    doctor,
    history,
    hosts,
    minmem,
    noise,
    plan,
    programs,
    recommend,
    report,
    run,
    search,
    store,
    terminal,
)
from pytest_edgeload.cli.subcommand import ERROR_STATUS, Subcommand

SUBCOMMANDS: Mapping[str, Subcommand] = {
    "run": run.SUBCOMMAND,
    "report": report.SUBCOMMAND,
    "compare": compare.SUBCOMMAND,
    "history": history.SUBCOMMAND,
    "noise": noise.SUBCOMMAND,
    "minmem": minmem.SUBCOMMAND,
    "recommend": recommend.SUBCOMMAND,
    "search": search.SUBCOMMAND,
    "plan": plan.SUBCOMMAND,
    "calibrate": calibrate.SUBCOMMAND,
    "store": store.SUBCOMMAND,
    "cache": cache.SUBCOMMAND,
    "doctor": doctor.SUBCOMMAND,
    "hosts": hosts.SUBCOMMAND,
}
"""All subcommands, in the order of `edgeload --help`."""

_SUMMARY = "Measure model loading policies under memory limits, and work with the results."
_STATUS = (
    "exit status: 0 on success; 1 if a gate fails, if no measured run is ok, or if this machine cannot enforce a "
    "memory limit; 2 after an error, with one sentence on standard error, followed by the lines of your own code if "
    "that failed"
)

_SETTING_NAMES = {"cache-dir": "cache folder", "read-bw": "read bandwidth"}
"""The names in words of settings that not every subcommand has, unless the setting's own name will do."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the subcommand in `arguments`, by default those of the process; return the exit status."""
    args = parse(sys.argv[1:] if arguments is None else arguments)
    subcommand: Subcommand = SUBCOMMANDS[args.subcommand]
    try:
        try:
            terminal.check()
            with ended_alike():
                answer = subcommand.run(args)
        finally:
            terminal.show("")
        return terminal.write(answer.text) or answer.status
    except Refusal as error:
        lines = (f"edgeload: {error.spelled(partial(_spell, args))}", *notes(error))
        sys.stderr.write("\n".join(lines) + "\n")
        return ERROR_STATUS
    except KeyboardInterrupt as error:  # its text is the name of the signal, unless that was SIGINT
        return 128 + (signal.Signals[str(error)] if str(error) else signal.SIGINT)


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Return the arguments, parsed; `commands` are those behind `--` if the subcommand takes commands."""
    subcommand = SUBCOMMANDS.get(arguments[0]) if arguments else None
    if subcommand is None or not subcommand.takes_commands:
        return main_parser().parse_args(arguments)
    words, commands = programs.split(arguments)
    return main_parser().parse_args(words, argparse.Namespace(commands=commands))


def main_parser() -> argparse.ArgumentParser:
    """Return the parser of the command and of all its subcommands."""
    parser = argparse.ArgumentParser(prog="edgeload", description=_SUMMARY, epilog=_STATUS)
    subparsers = parser.add_subparsers(dest="subcommand", metavar="COMMAND", required=True)
    for name, subcommand in SUBCOMMANDS.items():
        summary = subcommand.summary
        description = f"{summary[0].upper()}{summary[1:]}. {subcommand.details}"
        subcommand.add_arguments(subparsers.add_parser(name, help=summary, description=description))
    return parser


def _spell(args: argparse.Namespace, setting: Setting) -> str:
    """Return a setting as an option of the subcommand, or in words if the subcommand has no such option."""
    if hasattr(args, setting.name.replace("-", "_")):
        return f"--{setting}"
    name = _SETTING_NAMES.get(setting.name, setting.name)
    return f"{name} {setting.value}" if setting.value else name
