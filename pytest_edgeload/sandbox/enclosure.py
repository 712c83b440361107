"""The command of a worker and its surroundings: the cap, the limits, the time and the user."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import IO

from pytest_edgeload.sandbox.board.monitor import Board
from pytest_edgeload.sandbox.caps import Cap
from pytest_edgeload.sandbox.constraints import Limits
from pytest_edgeload.sandbox.environment import inherited
from pytest_edgeload.sandbox.scratch import Scratch
from pytest_edgeload.sandbox.user import User, ourselves


@dataclass(frozen=True, slots=True)
class Enclosure:
    """The surroundings of a worker: the cap, the name of its group, its limits, its time, and its user.

    `expected_bytes` is how much memory the run will take from the system unless it is limited. `env` is the environment
    that it inherits from this process, and `scratch` the folder for its temporary files, if it has one of its own.
    `behind` is a command prefix for the group's processes, as from `visible.shown`. `board` has the sensors that are
    read during the run.
    """

    cap: Cap
    name: str
    limits: Limits
    timeout_s: float
    expected_bytes: int = 0
    user: User = field(default_factory=ourselves)
    env: Mapping[str, str] = field(default_factory=inherited)
    scratch: Scratch | None = None
    behind: tuple[str, ...] = ()
    board: Board = field(default_factory=Board)

    @property
    def max_bytes(self) -> int:
        """The memory that the run can take from the system."""
        return min(self.expected_bytes, self.limits.constraints.memory_bytes or self.expected_bytes)


@dataclass(frozen=True, slots=True)
class Start:
    """A command to start, its environment and its folder. `stdin` and `stdout` are as for `subprocess`."""

    command: Sequence[str]
    env: Mapping[str, str]
    cwd: str | None = None
    stdin: int | IO[bytes] = subprocess.PIPE
    stdout: int = subprocess.PIPE
