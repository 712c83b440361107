"""Runs the functions of `engine.speed_probes` in capped workers, and returns their figures."""

from __future__ import annotations

import os
import pickle
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

from pytest_edgeload.base.errors import Unsupported
from pytest_edgeload.base.files import noting
from pytest_edgeload.devices.constraints import Constraints
from pytest_edgeload.engine import speed_probes
from pytest_edgeload.engine.speed_probes import ReadProbe
from pytest_edgeload.measuring.calibration import measure_idle_call_bytes
from pytest_edgeload.measuring.launcher import Launcher
from pytest_edgeload.planning.machine_speeds import ReadSpeed, SwapSpeed
from pytest_edgeload.sandbox.constraints import Limits
from pytest_edgeload.sandbox.launch import Calling, launch_call

_FREE = Constraints()

SIZES = tuple(size << 10 for size in (64, 256, 1024, 4096, 16384))
LANES = (1, 2, 3)

_MAX_FILE_BYTES, _MIN_FILE_BYTES = 512 << 20, 64 << 20  # a slow disk gets a smaller file
_PIECE_BYTES = 4 << 20
_MAX_WRITE_S = 5.0
_READ_S, _CACHED_S = 0.15, 0.05  # of one probe
_ROOM_BYTES, _SWAPPED_BYTES = 64 << 20, 320 << 20  # of the worker that swaps: its room, and the bytes that it writes


class ScratchFile(NamedTuple):
    """A file for reading, and the bytes per second at which it was written, until they were on the disk."""

    path: Path
    write_bytes_per_s: float


@contextmanager
def scratch_file(path: Path) -> Iterator[ScratchFile]:
    """Write a file, yield it, and remove it. Raises UsageError if the disk is full."""
    piece = os.urandom(_PIECE_BYTES)
    begin_s, written_bytes = time.perf_counter(), 0
    try:
        with noting(path.parent), path.open("xb", buffering=0) as file:
            while written_bytes < _MAX_FILE_BYTES:
                written_bytes += file.write(piece)
                os.fdatasync(file.fileno())
                if written_bytes >= _MIN_FILE_BYTES and time.perf_counter() - begin_s > _MAX_WRITE_S:
                    break
        yield ScratchFile(path, written_bytes / (time.perf_counter() - begin_s))
    finally:
        path.unlink(missing_ok=True)


@dataclass(frozen=True)
class Probes:
    """The launcher of the workers, and the constraints that they are held to, without memory and throttles."""

    launcher: Launcher
    constraints: Constraints

    def reads(self, file: Path) -> tuple[ReadSpeed, ...]:
        """Return the speeds of all readers, sizes and lanes. Raises Unsupported."""
        cold = [ReadProbe(*each, is_cached=False) for each in product(("direct", "read", "mmap"), SIZES, LANES)]
        cached = [ReadProbe(*each, is_cached=True) for each in product(("read", "mmap"), SIZES, LANES)]
        found = []
        for probes, max_s in ((cold, _READ_S), (cached, _CACHED_S)):
            speeds = self._call(speed_probes.read_speeds, str(file), probes, max_s, files=[file])
            found += [
                ReadSpeed(probe.reader, probe.size_bytes, probe.lanes, bytes_per_s, probe.is_cached)
                for probe, bytes_per_s in zip(probes, speeds, strict=True)
            ]
        return tuple(found)

    def fresh_s_per_page(self) -> float:
        """Return the seconds of the first write to a page. Raises Unsupported."""
        return float(self._call(speed_probes.fresh_s_per_page))

    def swap(self) -> SwapSpeed:
        """Return the speed of swap. Raises Unsupported if there is no swap, or no limit that makes a worker use it."""
        swap = self.launcher.swap
        if not swap.usable or not swap.size_bytes:
            raise Unsupported("swap", "this machine has none")
        if not self.launcher.cap.enforces:
            raise Unsupported("swap", "no memory limit is enforced here, so no worker swaps")
        with self.launcher.turn():
            idle_bytes = measure_idle_call_bytes(self.launcher.enclosure(Limits(may_swap=True)))
        limit = Constraints(memory_bytes=idle_bytes + _ROOM_BYTES)
        figures = self._call(speed_probes.swap_speed, _SWAPPED_BYTES, constraints=limit)
        out_bytes_per_s, in_bytes_per_s = map(float, figures)
        return SwapSpeed(out_bytes_per_s, in_bytes_per_s, swap.kind or "file")

    def _call(
        self,
        function: Callable[..., Any],
        *args: object,
        files: list[Path] | None = None,
        constraints: Constraints = _FREE,
    ) -> Any:
        """Return the result of a function in a worker of its own. Raises Unsupported."""
        held = self.constraints | constraints
        calling = Calling(pickle.dumps((function, args, {})), files or [])
        start = partial(launch_call, calling, held.threads or 1)
        run = self.launcher.launch_with(start, files or [], held, _SWAPPED_BYTES)
        if run.outcome != "ok":
            raise Unsupported(function.__name__, f"cannot be measured: {run.detail}")
        return run.returned
