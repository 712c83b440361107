"""The command `edgeload`: what there is to do without pytest. Never imports torch, nor anything that knows pytest.

A command is one file and one line in `COMMANDS`.
"""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Mapping, Sequence
from functools import partial

from pytest_edgeload.base.errors import Refusal, Setting
from pytest_edgeload.base.interrupts import ended_alike
from pytest_edgeload.cli import compare, doctor, history, minmem, noise, plan, report, terminal
from pytest_edgeload.cli.command import REFUSED, Command

COMMANDS: Mapping[str, Command] = {
    "report": report.COMMAND,
    "compare": compare.COMMAND,
    "history": history.COMMAND,
    "noise": noise.COMMAND,
    "minmem": minmem.COMMAND,
    "plan": plan.COMMAND,
    "doctor": doctor.COMMAND,
}
"""All commands, in the order in which `edgeload --help` lists them."""

_WORDS = "Loading policies for several networks in little memory."
_STATUS = (
    "exit status: 0; 1 for a gate that does not hold, or a machine that can enforce no limit; 2 for what cannot be "
    "done, with one sentence on standard error"
)


_SETTINGS = {"cache-dir": "cache folder", "read-bw": "read bandwidth"}
"""What the settings that not every command has are called in words, if not by their own names."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Carry out the command that `arguments` (those of the process) name; return the exit status."""
    asked = main_parser().parse_args(arguments)
    command: Command = COMMANDS[asked.command]
    try:
        try:
            with ended_alike():
                answer = command.run(asked)
        finally:
            terminal.show("")
        return terminal.write(answer.text) or answer.status
    except Refusal as error:
        sys.stderr.write(f"edgeload: {error.spelled(partial(_spell, asked))}\n")
        return REFUSED
    except KeyboardInterrupt as error:  # SIGTERM and SIGHUP say that it was them
        return 128 + (signal.Signals[str(error)] if str(error) else signal.SIGINT)


def _spell(asked: argparse.Namespace, setting: Setting) -> str:
    """Return a setting as an option of the command, or in words if the command does not have that option."""
    if hasattr(asked, setting.name.replace("-", "_")):
        return f"--{setting}"
    name = _SETTINGS.get(setting.name, setting.name)
    return f"{name} {setting.value}" if setting.value else name


def main_parser() -> argparse.ArgumentParser:
    """Return the parser of the command and of all its subcommands."""
    parser = argparse.ArgumentParser(prog="edgeload", description=_WORDS, epilog=_STATUS)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, command in COMMANDS.items():
        words = command.words
        command.add(commands.add_parser(name, help=words, description=f"{words[0].upper()}{words[1:]}.{command.more}"))
    return parser
