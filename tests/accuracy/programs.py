"""Programs that we and other tools measure, and the function that measures one of them."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from pytest_edgeload.devices.constraints import Constraints
from pytest_edgeload.results.measurement import Measurement
from pytest_edgeload.sandbox.caps import Cap
from pytest_edgeload.sandbox.command import Command, launch_command
from pytest_edgeload.sandbox.constraints import Limits
from pytest_edgeload.sandbox.enclosure import Enclosure

MIB = 1 << 20
LIMIT = 400 * MIB
Fresh = Callable[[], str]

# At its end each program writes its own figures to the file in its last argument.
_HOLD = """
import sys, time
held = b"1" * (int(sys.argv[1]) << 20)
time.sleep(float(sys.argv[2]))
open(sys.argv[3], "w").write(open("/proc/self/status").read())
"""
_SPIKE = """
import mmap, sys, time
time.sleep(0.05)
held = mmap.mmap(-1, int(sys.argv[1]) << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | mmap.MAP_POPULATE)
time.sleep(float(sys.argv[2]))
held.close()
time.sleep(0.05)
"""
_COMPUTE = """
import sys, time
begin = time.monotonic()
end = time.process_time() + float(sys.argv[1])
while time.process_time() < end:
    sum(range(10_000))
open(sys.argv[2], "w").write(f"{time.monotonic() - begin} {time.process_time()}")
"""
_READ = """
import hashlib, sys
whole = open(sys.argv[1], "rb").read()
for _ in range(int(sys.argv[2])):
    hashlib.sha256(whole)
"""
_SWAP = """
import mmap, sys
held = mmap.mmap(-1, int(sys.argv[1]) << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
for _ in range(2):
    for page in range(0, len(held), mmap.PAGESIZE):
        held[page] = 1
"""


def _python(script: str, *words: object) -> tuple[str, ...]:
    return (sys.executable, "-I", "-S", "-c", script, *map(str, words))


def hold(mib: int, seconds: float, note: Path | str = os.devnull) -> tuple[str, ...]:
    """Return a program that fills and holds `mib` MiB for `seconds`, then writes its /proc/self/status to `note`."""
    return _python(_HOLD, mib, seconds, note)


def spike(mib: int, seconds: float) -> tuple[str, ...]:
    """Return a program that allocates `mib` MiB, holds them for `seconds`, and frees them."""
    return _python(_SPIKE, mib, seconds)


def compute(seconds: float, note: Path | str = os.devnull) -> tuple[str, ...]:
    """Return a program that uses `seconds` of processor time, and writes its wall and processor time to `note`."""
    return _python(_COMPUTE, seconds, note)


def touch_twice(mib: int) -> tuple[str, ...]:
    """Return a program that writes to each page of `mib` MiB, twice."""
    return _python(_SWAP, mib)


def digest(file: Path, times: int) -> tuple[str, ...]:
    """Return a program that reads a file into memory and computes its hash `times` times."""
    return _python(_READ, file, times)


def measure(argv: Sequence[str], cap: Cap, name: str, limits: Limits | None = None) -> Measurement:
    """Return our measurement of the program; it may not swap unless `limits` allow it."""
    command = Command.of(argv, os.environ, None, None, None, None)
    run = launch_command(command, 1, Enclosure(cap, name, limits or Limits(Constraints(LIMIT)), 60.0))
    assert run.outcome == "ok", run.detail
    return run
