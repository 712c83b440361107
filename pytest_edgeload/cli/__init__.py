"""The command `edgeload`: everything that works without pytest. Imports neither torch nor pytest.

A subcommand is one file and one line in `_NAMES`.
"""

from __future__ import annotations

import argparse
import importlib
import signal
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial

from pytest_edgeload.base.errors import Refusal, Setting, notes
from pytest_edgeload.base.interrupts import ended_alike
from pytest_edgeload.cli import terminal
from pytest_edgeload.cli.subcommand import ERROR_STATUS, Subcommand, split_commands

_NAMES = (
    "run",
    "report",
    "compare",
    "history",
    "noise",
    "minmem",
    "recommend",
    "search",
    "plan",
    "calibrate",
    "store",
    "cache",
    "doctor",
    "hosts",
)
"""All subcommands, in the order of `edgeload --help`."""


class _Subcommands(Mapping[str, Subcommand]):
    """The subcommands by name; the file of a subcommand, and all that it needs, is imported when it is used."""

    def __getitem__(self, name: str) -> Subcommand:
        if name not in _NAMES:
            raise KeyError(name)
        subcommand: Subcommand = importlib.import_module(f"{__package__}.{name}").SUBCOMMAND
        return subcommand

    def __iter__(self) -> Iterator[str]:
        return iter(_NAMES)

    def __len__(self) -> int:
        return len(_NAMES)


SUBCOMMANDS = _Subcommands()

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
    name = arguments[0] if arguments else ""
    if name not in _NAMES:
        return main_parser().parse_args(arguments)
    parser = main_parser([name])
    if not SUBCOMMANDS[name].takes_commands:
        return parser.parse_args(arguments)
    words, commands = split_commands(arguments)
    return parser.parse_args(words, argparse.Namespace(commands=commands))


def main_parser(names: Iterable[str] = _NAMES) -> argparse.ArgumentParser:
    """Return the parser of the command and of these subcommands."""
    parser = argparse.ArgumentParser(prog="edgeload", description=_SUMMARY, epilog=_STATUS)
    subparsers = parser.add_subparsers(dest="subcommand", metavar="COMMAND", required=True)
    for name in names:
        subcommand = SUBCOMMANDS[name]
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
