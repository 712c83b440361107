"""What a command is: words for its help, its arguments, and what it answers."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import NamedTuple

REFUSED = 2
"""The exit status of what cannot be done; argparse uses it, too."""


class Answer(NamedTuple):
    """What a command prints on standard output, and its exit status."""

    text: str
    status: int = 0


class Command(NamedTuple):
    """One row of the table. `words` say in a line what it does, `more` what else its own help says.

    `run` raises Refusal where that cannot be done.
    """

    words: str
    add: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], Answer]
    more: str = ""
