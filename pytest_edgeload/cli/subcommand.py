"""The type of a subcommand: its description, its arguments, and the function that carries it out."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import NamedTuple

ERROR_STATUS = 2
"""The exit status after an error, as in argparse."""


class CommandResult(NamedTuple):
    """The text for standard output, and the exit status."""

    text: str
    status: int = 0


class Subcommand(NamedTuple):
    """A row of the table of subcommands.

    `summary` is a phrase for the list of subcommands; `details` are more sentences for the subcommand's own help. `run`
    raises Refusal for an error. If it `takes_commands`, the words behind `--` are the commands to measure; see
    `programs.split`.
    """

    summary: str
    details: str
    add_arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], CommandResult]
    takes_commands: bool = False
