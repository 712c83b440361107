"""How near figures of ours come to those of others."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from pytest_edgeload.sandbox.caps import Cap
from tests.accuracy.overhead import Row
from tests.accuracy.programs import MIB, Fresh, compute, digest, hold, measure, spike
from tests.accuracy.witness import ours, theirs

SPIKE_MIB = 64
SPIKES_MS = (0, 1, 2, 5, 10, 20, 50, 100, 200)


def spikes(cap: Cap, fresh: Fresh, rounds: int) -> Iterator[Row]:
    """Yield how much of a spike of that length is seen by samples, next to what the kernel counted."""
    for length_ms in SPIKES_MS:
        runs = [measure(spike(SPIKE_MIB, length_ms / 1000), cap, fresh()) for _ in range(rounds)]
        seen = [100 * (run.peak_anon_bytes or 0) / (run.peak_charged_bytes or 1) for run in runs]
        yield f"{SPIKE_MIB} MiB held for {length_ms} ms", seen, "%"


def clocks(cap: Cap, fresh: Fresh, rounds: int) -> Iterator[Row]:
    """Yield what makespans have more than the program's own clock, and less than its parent's."""
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
    """Yield figures of ours over those of runexec, in turns, round by round."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "numbers"
        file.write_bytes(os.urandom(64 * MIB))
        os.sync()
        programs = {
            "holds 200 MiB for 1 s": hold(200, 1.0),
            "computes for 2 s": compute(2.0),
            "reads 64 MiB, computes for 1 s": digest(file, 25),
        }
        for does, argv in programs.items():
            yield from _ratios(does, argv, cap, fresh, rounds)


def _ratios(does: str, argv: Sequence[str], cap: Cap, fresh: Fresh, rounds: int) -> Iterator[Row]:
    pairs = [(ours(argv, cap, fresh()), theirs(argv)) for _ in range(rounds)]
    for figure in ("memory_bytes", "cpu_s", "wall_s"):
        yield f"{does}: {figure}", [getattr(one, figure) / getattr(other, figure) for one, other in pairs], ""
