"""What BenchExec's runexec measures of a program under the same limit, without containers and without swap."""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pytest_edgeload.sandbox import page_cache
from pytest_edgeload.sandbox.caps import Cap
from tests.accuracy.programs import LIMIT, measure

_FIGURE = re.compile(r"^(memory|cputime|walltime|returnvalue)=([\d.]+)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Seen:
    """What was measured of one run: the most that its group was charged, processor time, and time."""

    memory_bytes: float
    cpu_s: float
    wall_s: float


def theirs(argv: Sequence[str]) -> Seen:
    """Return what runexec tells of a program; the files that it names are cold, as they are for us."""
    page_cache.drop(page_cache.named(argv, "/"))
    with tempfile.TemporaryDirectory() as folder:
        options = ["--no-container", "--quiet", f"--memlimit={LIMIT}", f"--output={Path(folder) / 'output'}"]
        command = [sys.executable, "-m", "benchexec.runexecutor", *options, "--", *argv]
        told = subprocess.run(command, check=True, capture_output=True, text=True, cwd=folder)
    found = {name: float(value) for name, value in _FIGURE.findall(told.stdout)}
    assert found["returnvalue"] == 0, told
    return Seen(found["memory"], found["cputime"], found["walltime"])


def ours(argv: Sequence[str], cap: Cap, name: str) -> Seen:
    """Return the same of a measurement of ours."""
    run = measure(argv, cap, name)
    assert run.peak_charged_bytes is not None
    assert run.cpu_s is not None
    assert run.makespan_s is not None
    return Seen(run.peak_charged_bytes, run.cpu_s, run.makespan_s)
