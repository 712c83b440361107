"""Compares our figures with those of other tools and clocks."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from pytest_edgeload.sandbox.caps import Cap
from tests.accuracy.overhead import Row
from tests.accuracy.programs import MIB, Fresh, compute, digest, hold, measure, spike
from tests.accuracy.witness import ours, theirs

SPIKES = [(mib, length_ms) for mib in (8, 64) for length_ms in (0, 2, 5, 10, 20, 100)]


def spikes(cap: Cap, fresh: Fresh, rounds: int) -> Iterator[Row]:
    """Yield the share of a memory spike that samples see, for several heights and lengths.

    The kernel's own count is taken as the whole spike. It includes about 0.3 MiB that the kernel needs for the group.
    """
    for mib, length_ms in SPIKES:
        runs = [measure(spike(mib, length_ms / 1000), cap, fresh()) for _ in range(rounds)]
        unseen = [(run.peak_charged_bytes or 0) - max(run.timeline.anon_bytes) for run in runs]
        yield f"{mib} MiB held for {length_ms} ms", [100 * (1 - size / (mib * MIB)) for size in unseen], "%"


def clocks(cap: Cap, fresh: Fresh, rounds: int) -> Iterator[Row]:
    """Yield how much makespans exceed the program's own clock, and how much they are below its parent's."""
    inner, outer = [], []
    with tempfile.TemporaryDirectory() as folder:
        note = Path(folder) / "took"
        for _ in range(rounds):
            begin_s = time.monotonic()
            run = measure(compute(0.5, note), cap, fresh())
            whole_s, makespan_s = time.monotonic() - begin_s, run.makespan_s or 0.0
            inner.append(1000 * (makespan_s - float(note.read_text().split()[0])))
            outer.append(1000 * (whole_s - makespan_s))
    yield "more than the program's own clock around its work of 0.5 s", inner, "ms"
    yield "less than a clock around all of `edge.command`", outer, "ms"


def benchexec(cap: Cap, fresh: Fresh, rounds: int) -> Iterator[Row]:
    """Yield our figures divided by those of runexec, measured in turns, round by round."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "numbers"
        file.write_bytes(os.urandom(64 * MIB))
        os.sync()
        memory, cpu, wall = "memory_bytes", "cpu_s", "wall_s"
        programs = {
            "holds 200 MiB for 1 s": (hold(200, 1.0), (memory, wall)),
            "computes for 2 s": (compute(2.0), (cpu, wall)),
            "reads 64 MiB and computes for 1 s": (digest(file, 25), (memory, cpu, wall)),
        }
        for does, (argv, figures) in programs.items():
            pairs = [(ours(argv, cap, fresh()), theirs(argv)) for _ in range(rounds)]
            for figure in figures:
                ratios = [getattr(one, figure) / getattr(other, figure) for one, other in pairs]
                yield f"{does}: {figure}", ratios, ""
