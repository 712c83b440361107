"""The type of a subcommand: its description, its arguments, and the function that carries it out."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from typing import NamedTuple

ERROR_STATUS = 2
"""The exit status after an error, as in argparse."""

SEPARATOR = "--"

Words = tuple[str, ...]


class CommandResult(NamedTuple):
    """The text for standard output, and the exit status."""

    text: str
    status: int = 0


class Subcommand(NamedTuple):
    """A row of the table of subcommands.

    `summary` is a phrase for the list of subcommands; `details` are more sentences for the subcommand's own help. `run`
    raises Refusal for an error. If it `takes_commands`, the words behind `--` are the commands to measure; see
    `split_commands`.
    """

    summary: str
    details: str
    add_arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], CommandResult]
    takes_commands: bool = False


def split_commands(words: Sequence[str]) -> tuple[list[str], tuple[Words, ...]]:
    """Return the words before the first `--`, and the commands behind it, which further `--` separate."""
    parts: list[list[str]] = [[]]
    for word in words:
        if word == SEPARATOR:
            parts.append([])
        else:
            parts[-1].append(word)
    return parts[0], tuple(map(tuple, parts[1:]))
