"""Measures a program with BenchExec's runexec under the same limit, without containers and swap."""

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
class RunFigures:
    """The figures of one run: the peak that its group was charged, processor time, and wall time."""

    memory_bytes: float
    cpu_s: float
    wall_s: float


def theirs(argv: Sequence[str]) -> RunFigures:
    """Return runexec's figures for a program; files in its arguments are dropped from the page cache, as ours are."""
    page_cache.drop(page_cache.files_named(argv, "/"))
    with tempfile.TemporaryDirectory() as folder:
        options = ["--no-container", "--quiet", f"--memlimit={LIMIT}", f"--output={Path(folder) / 'output'}"]
        command = [sys.executable, "-m", "benchexec.runexecutor", *options, "--", *argv]
        process = subprocess.run(command, check=True, capture_output=True, text=True, cwd=folder)
    figures = {name: float(value) for name, value in _FIGURE.findall(process.stdout)}
    assert figures["returnvalue"] == 0, process
    return RunFigures(figures["memory"], figures["cputime"], figures["walltime"])


def ours(argv: Sequence[str], cap: Cap, name: str) -> RunFigures:
    """Return our figures for a program."""
    run = measure(argv, cap, name)
    assert run.peak_charged_bytes is not None
    assert run.cpu_s is not None
    assert run.makespan_s is not None
    return RunFigures(run.peak_charged_bytes, run.cpu_s, run.makespan_s)
