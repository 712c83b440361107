"""The measured speeds of a machine, which give the durations of tasks in virtual time. Pure data.

`edgeload calibrate` measures them. Without a measurement, the default values describe an imagined device with the
nominal `Speeds`.
"""

from __future__ import annotations

import math
import statistics
from bisect import bisect_left
from collections.abc import Hashable, Iterable, Mapping
from functools import cached_property
from typing import NamedTuple, TypeVar

import msgspec

from pytest_edgeload.base.decoding import Count, Duration
from pytest_edgeload.devices.constraints import Constraints
from pytest_edgeload.networks.layer import Layer
from pytest_edgeload.planning.plan import Speeds

_NOMINAL = Speeds()
_CACHE_BYTES_PER_S = 5e9

_T = TypeVar("_T")
_Key = TypeVar("_Key", bound=Hashable)


class ReadSpeed(msgspec.Struct, frozen=True, omit_defaults=True):
    """The speed of loads of `size_bytes` by one reader, in `lanes` lanes at once.

    `bytes_per_s` is the sum of all lanes, into memory that is resident already. With `is_cached`, the page cache has
    the bytes: `read` copies them, and `mmap` only maps their pages. Without it, they come from the disk.
    """

    reader: str
    size_bytes: Count
    lanes: int
    bytes_per_s: float
    is_cached: bool = False


class SwapSpeed(msgspec.Struct, frozen=True):
    """The speed of swap, measured in a process that touches more private memory than its limit.

    `out_bytes_per_s` is the speed of writing fresh memory while the kernel swaps out as much, `in_bytes_per_s` that of
    touching swapped memory in order, each with nothing else running, in small pages. `kind` is `file` or `zram`.
    """

    out_bytes_per_s: float
    in_bytes_per_s: float
    kind: str = "file"


class LayerSize(NamedTuple):
    """Everything that the time of a layer depends on, as far as the calibration knows it."""

    kind: str
    ops: int
    flops: int
    weight_bytes: int
    activation_bytes: int

    @classmethod
    def of(cls, layer: Layer) -> LayerSize:
        """Return the size of a layer, as it is in later steps; see `Layer.in_first_step`."""
        return cls(layer.kind, len(layer.ops), layer.flops, layer.weight_bytes, layer.activation_bytes)


class LayerTime(msgspec.Struct, frozen=True):
    """The measured time of layers of one size, with `threads` threads of an operator and nothing else running.

    `first_s` is the time of the first execution of such a layer in a process, which creates the operators, and
    `later_s` that of all later ones.
    """

    size: LayerSize
    threads: int
    first_s: Duration
    later_s: Duration


class ComputeSpeed(msgspec.Struct, frozen=True):
    """The time of a layer that was not measured itself, as a sum over its size, for `threads` threads of an operator.

    It is fitted to the measured layers of this kind, or to all of them if `kind` is empty. `first_s` is the addition
    for the first execution of a layer of its size in a process. Operators without weights count as ops and activations.
    """

    kind: str
    threads: int
    s_per_op: float
    s_per_flop: float
    s_per_weight_byte: float
    s_per_activation_byte: float
    first_s: Duration = 0.0

    def seconds(self, size: LayerSize) -> float:
        """Return the time of an execution that is not the first one."""
        return (
            size.ops * self.s_per_op
            + size.flops * self.s_per_flop
            + size.weight_bytes * self.s_per_weight_byte
            + size.activation_bytes * self.s_per_activation_byte
        )


class Contention(msgspec.Struct, frozen=True):
    """How much longer work takes, as a factor of at least 1, while other lanes work, with all threads.

    Reading and computing are measured alone and together, with loads by `direct`. A load into new memory needs the
    processor for it; one into the arena, which is resident, hardly does, so it has factors of its own.
    `computing_beside_computing` is the factor of each of two layers that are computed at once.
    """

    reading_beside_computing: float = 1.0
    computing_beside_reading: float = 1.0
    computing_beside_computing: float = 2.0
    arena_reading_beside_computing: float = 1.0
    computing_beside_arena_reading: float = 1.0


HUGE_BYTES = 2 << 20
"""Bytes of a huge page."""


class WorkerCost(msgspec.Struct, frozen=True):
    """The cost of a worker besides its loads and executions.

    `start_s` is the time until it is ready for its first task. `task_s` is the time between two tasks of a lane, and
    `request_s` that of an init, which reads the inputs. `load_s` is the time of a load besides reading its bytes, and
    `small_page_s_per_byte` that of each of its first bytes, up to `HUGE_BYTES`: small pages are slower than huge ones.
    `idle_bytes` is the resident memory of an idle worker.
    """

    start_s: Duration = 1.0
    task_s: Duration = 1e-4
    request_s: Duration = 1e-3
    load_s: Duration = 0.0
    small_page_s_per_byte: float = 0.0
    idle_bytes: Count = 200 << 20


class MachineSpeeds(msgspec.Struct, frozen=True, dict=True):
    """The speeds of a machine, or of a device that is emulated on it.

    `reads` has a row for each reader, size and number of lanes. `fresh_s_per_page` is the time of the first write to a
    page of memory that was never used, allocated as weights are. A load into such memory takes it in addition,
    with the reader `read` only for bytes in the page cache: the kernel reads others ahead meanwhile.
    `free_s_per_page` is the time of giving a page back. `swap` is None on machines without swap. `layers` are the
    measured layers, and `computing` the sums for all others.
    """

    reads: tuple[ReadSpeed, ...] = (
        ReadSpeed("direct", 1 << 20, 1, _NOMINAL.read_bytes_per_s),
        ReadSpeed("read", 1 << 20, 1, _NOMINAL.read_bytes_per_s),
        ReadSpeed("mmap", 1 << 20, 1, _NOMINAL.read_bytes_per_s),
        ReadSpeed("read", 1 << 20, 1, _CACHE_BYTES_PER_S, is_cached=True),
        ReadSpeed("mmap", 1 << 20, 1, 4 * _CACHE_BYTES_PER_S, is_cached=True),
    )
    write_bytes_per_s: float = _NOMINAL.read_bytes_per_s
    swap: SwapSpeed | None = SwapSpeed(_NOMINAL.read_bytes_per_s, _NOMINAL.read_bytes_per_s)
    fresh_s_per_page: Duration = 0.0
    free_s_per_page: Duration = 0.0
    layers: tuple[LayerTime, ...] = ()
    computing: tuple[ComputeSpeed, ...] = (ComputeSpeed("", 1, 0.0, 1 / _NOMINAL.flops_per_s, 0.0, 0.0),)
    contention: Contention = Contention()
    worker: WorkerCost = WorkerCost()

    def read_s(self, reader: str, size_bytes: int, lanes: int = 1, *, is_cached: bool = False) -> float:
        """Return the seconds of one load of `size_bytes` by `reader` while `lanes` lanes load, each as much.

        The time between two measured sizes lies on a line; beyond them the speed of the nearest one counts. More lanes
        than were measured share the speed of the most. With `is_cached`, the page cache has the bytes; `direct` finds
        nothing there.
        """
        curves = self._curves.get((reader, is_cached)) or self._curves.get((reader, False)) or self._curves["", False]
        measured = max((each for each in curves if each <= lanes), default=min(curves))
        seconds = _on_curve(curves[measured], size_bytes)
        return seconds * max(1.0, lanes / measured)

    def lanes_slowed(self, reader: str, lanes: int) -> float:
        """Return how many times as long a load takes in so many lanes at once: the median over sizes, at least 1."""
        sizes = {row.size_bytes for row in self.reads if row.reader == reader and not row.is_cached} or {1 << 20}
        return max(
            1.0, statistics.median(self.read_s(reader, size, lanes) / self.read_s(reader, size) for size in sizes)
        )

    def exec_s(self, layer: Layer, threads: int | None = None, *, is_first: bool = False) -> float:
        """Return the seconds that `layer` takes with `threads` threads of an operator, by default the most measured.

        It is the measured time of layers of the same size, or else a sum, see `ComputeSpeed`. `is_first`: no layer of
        this size was executed in the process before. A tile takes its share.
        """
        size = LayerSize.of(layer)
        measured = self._layers.get(size, {})
        if measured:
            time = _nearest(measured, threads)
            return time.first_s if is_first else time.later_s
        sums = self._sums.get(size.kind) or self._sums.get("") or {}
        if not sums:
            return size.flops / _NOMINAL.flops_per_s
        speed = _nearest(sums, threads)
        return speed.seconds(size) + (speed.first_s if is_first else 0.0)

    def held_to(self, constraints: Constraints) -> MachineSpeeds:
        """Return the speeds under the throttles of `constraints`; its other fields do not count."""
        read_bps, write_bps = constraints.read_bps or math.inf, constraints.write_bps or math.inf
        swap = self.swap
        if swap is not None and swap.kind != "zram":  # which is memory
            out_bytes_per_s, in_bytes_per_s = min(swap.out_bytes_per_s, write_bps), min(swap.in_bytes_per_s, read_bps)
            swap = msgspec.structs.replace(swap, out_bytes_per_s=out_bytes_per_s, in_bytes_per_s=in_bytes_per_s)
        return msgspec.structs.replace(
            self,
            reads=tuple(
                row if row.is_cached else msgspec.structs.replace(row, bytes_per_s=min(row.bytes_per_s, read_bps))
                for row in self.reads
            ),
            write_bytes_per_s=min(self.write_bytes_per_s, write_bps),
            swap=swap,
        )

    @cached_property
    def _curves(self) -> Mapping[tuple[str, bool], Mapping[int, list[tuple[int, float]]]]:
        """The sizes and times of loads, by reader and cache and then by lanes; the name "" has the first reader's."""
        curves: dict[tuple[str, bool], dict[int, list[tuple[int, float]]]] = {}
        for row in self.reads:
            points = curves.setdefault((row.reader, row.is_cached), {}).setdefault(row.lanes, [])
            points.append((row.size_bytes, row.size_bytes * row.lanes / row.bytes_per_s))
        for by_lanes in curves.values():
            for points in by_lanes.values():
                points.sort()
        nominal = {1: [(1 << 20, (1 << 20) / _NOMINAL.read_bytes_per_s)]}
        return {("", False): next(iter(curves.values()), nominal), **curves}

    @cached_property
    def _layers(self) -> Mapping[LayerSize, Mapping[int, LayerTime]]:
        return _by_threads((time.size, time.threads, time) for time in self.layers)

    @cached_property
    def _sums(self) -> Mapping[str, Mapping[int, ComputeSpeed]]:
        return _by_threads((speed.kind, speed.threads, speed) for speed in self.computing)


def _by_threads(entries: Iterable[tuple[_Key, int, _T]]) -> dict[_Key, dict[int, _T]]:
    """Return values by key and number of threads."""
    found: dict[_Key, dict[int, _T]] = {}
    for key, threads, value in entries:
        found.setdefault(key, {})[threads] = value
    return found


def _nearest(by_threads: Mapping[int, _T], threads: int | None) -> _T:
    """Return the value for as many threads, or for the nearest number; for the most if `threads` is None."""
    return by_threads[max(by_threads) if threads is None else _closest(by_threads, threads)]


def _closest(numbers: Iterable[int], wanted: int) -> int:
    return min(numbers, key=lambda number: (abs(number - wanted), -number))


def _on_curve(points: list[tuple[int, float]], size_bytes: int) -> float:
    """Return the time of a load of this size, on the lines between the sizes and times of `points`, in order."""
    i = bisect_left(points, (size_bytes, 0.0))
    if i in (0, len(points)):
        nearest_bytes, nearest_s = points[min(i, len(points) - 1)]
        return size_bytes * nearest_s / nearest_bytes
    (low_bytes, low_s), (high_bytes, high_s) = points[i - 1], points[i]
    return low_s + (high_s - low_s) * (size_bytes - low_bytes) / (high_bytes - low_bytes)
