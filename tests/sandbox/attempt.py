"""A program for any place and user: choose a cap, hold 96 MiB at a limit of 64 MiB, and print the result.

The argument is the name of a cap, or `auto`; a second one is another limit in bytes.
"""

from __future__ import annotations

import json
import os
import sys

from pytest_edgeload.base.errors import Refusal
from pytest_edgeload.devices.constraints import Constraints
from pytest_edgeload.sandbox.caps import choose
from pytest_edgeload.sandbox.command import Command, launch_command
from pytest_edgeload.sandbox.constraints import Limits
from pytest_edgeload.sandbox.enclosure import Enclosure
from pytest_edgeload.sandbox.owner import PREFIX, tag

HOLD = ("dd", "if=/dev/zero", "of=/dev/null", "bs=96M", "count=1", "status=none")


def attempt(cap_name: str, limit_bytes: int) -> dict[str, object]:
    """Return the cap that was taken and the outcome, or how it was refused."""
    command = Command.of(HOLD, os.environ, None, None, None, None)
    try:
        name, cap = choose(cap_name)
        enclosure = Enclosure(cap, f"{PREFIX}{tag(os.getpid())}-0", Limits(Constraints(limit_bytes)), 60.0)
        run = launch_command(command, 1, enclosure)
    except Refusal as refused:
        return {"refused": str(refused)}
    return {"cap": name, "outcome": run.outcome, "detail": run.detail}


if __name__ == "__main__":
    given = [*map(int, sys.argv[2:]), 64 << 20]
    sys.stdout.write(json.dumps(attempt(sys.argv[1], given[0])) + "\n")
