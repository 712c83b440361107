"""A virtual machine with measured speeds, and a worker's memory under a limit. Pure."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import NamedTuple

from pytest_edgeload.networks.layer import Network
from pytest_edgeload.networks.tile import PAGE, share, span_bytes
from pytest_edgeload.planning.machine_speeds import HUGE_BYTES, Contention, LayerSize, MachineSpeeds
from pytest_edgeload.planning.plan import Plan, Task, WeightKey
from pytest_edgeload.planning.reader_names import DIRECT, MAPPING, THROUGH_CACHE
from pytest_edgeload.planning.virtual_machine import DISK, PROCESSOR, RECLAIM, Work
from pytest_edgeload.planning.virtual_memory import PIECE_BYTES, Traffic, VirtualMemory
from pytest_edgeload.workload import Workload

_BESIDE_RECLAIM = 10.0  # times as long as alone: tasks that map and unmap memory while the kernel reclaims for another
_PRIVATE_SHARE = 0.58  # of the resident memory of an idle worker; the rest are files that others have mapped as well
_COLD_SHARE = 0.85  # of that private memory, which it no longer needs
_KERNEL_BYTES = 4 << 20  # that the kernel counts against the limit as well
_SCRATCH_BYTES, _CONVOLUTION_SCRATCH_BYTES = 8 << 20, 16 << 20  # of the operators, besides activations
_BYTES_PER_CONVOLUTION = 400 << 10  # in addition, for each size of a convolution
_TILED_SCRATCH_BYTES = 24 << 20  # in addition, if convolutions are executed tile by tile
_RESTORED_BYTES_PER_S = 1e9  # by one core, from compressed weights


class WorkerSetup(NamedTuple):
    """The setup of a worker: its reader, memory limit, swap, and threads of an operator.

    `swap_bytes` None: as much swap as it needs. `threads` None: the most that were measured. `stored_share` is the
    share of the bytes of weights that is stored, if they are compressed.
    """

    reader: str = DIRECT
    memory_bytes: int | None = None
    swap_bytes: int | None = None
    threads: int | None = None
    stored_share: float = 1.0


_Block = tuple[Hashable, int]
"""A part of the memory: its key, and its bytes."""


class _Slowed(NamedTuple):
    """How much longer a load takes beside execs, an exec beside loads, and each of a pair of execs."""

    reading: float
    computing: float
    pair: float


class CalibratedMachine:
    """A worker on a machine with these speeds, which carries out `plan` once."""

    def __init__(self, plan: Plan, workload: Workload, speeds: MachineSpeeds, setup: WorkerSetup) -> None:
        self._networks = [request.network for request in workload.requests]
        self.speeds, self._setup, self._arena_bytes = speeds, setup, plan.arena_bytes
        private_bytes = round(_PRIVATE_SHARE * speeds.worker.idle_bytes)
        self._cold_bytes = cold_bytes = round(_COLD_SHARE * private_bytes)  # of the idle worker, which it may swap out
        scratch_bytes = _scratch_bytes(self._networks, is_tiled=plan.arena_bytes > 0)
        fixed_bytes = private_bytes - cold_bytes + scratch_bytes + _KERNEL_BYTES
        self.memory = VirtualMemory(setup.memory_bytes, setup.swap_bytes, fixed_bytes)
        self._mapped_bytes = speeds.worker.idle_bytes - private_bytes - _KERNEL_BYTES
        self._blocks: dict[WeightKey, list[_Block]] = {}
        self._places: set[Hashable] = set()  # parts of the arena that were written
        self._read_into_arena: set[Hashable] = set()
        self._executed: set[LayerSize] = set()
        self._exec_s: dict[tuple[int, int, bool, bool], float] = {}
        self._paces: dict[tuple[int, int, int], tuple[float, float, float]] = {}
        self._slowed = _slowed_beside(speeds.contention, is_arena=plan.arena_bytes > 0)

    @property
    def peak_bytes(self) -> int:
        """The most resident memory so far, with the files that the worker has mapped."""
        is_mapping = self._setup.reader == MAPPING
        return self._mapped_bytes + (self.memory.peak_held_bytes if is_mapping else self.memory.peak_private_bytes)

    def begin(self, task: Task, step: int, read_bytes: int, activation_bytes: int) -> Work:
        """Yield the parts of a task, each with the traffic that its memory causes then. Raises OutOfMemory."""
        before, task_s = self.memory.traffic, self.speeds.worker.task_s
        self.memory.write("idle", self._cold_bytes)  # only once, before the first task
        self._cold_bytes = 0
        self.memory.hold_activations(activation_bytes)
        yield from self._moving(before)
        if task.layer is None:
            yield PROCESSOR, self.speeds.worker.request_s + task_s
        elif task.kind == "load":
            yield from self._load(task, task.layer, read_bytes)
        elif task.kind == "exec":
            yield from self._touch(task.weights)
            yield PROCESSOR, self._executing_s(task, task.layer, step) + task_s
        else:
            yield PROCESSOR, self._free(task.weights) / PAGE * self.speeds.free_s_per_page + task_s

    def end(self, task: Task, activation_bytes: int) -> None:  # noqa: ARG002
        """Let the activations that are no longer needed go."""
        self.memory.hold_activations(activation_bytes)

    # ---- time --------------------------------------------------------------------------------------------------

    def paces(self, on_disk: int, on_processor: int, in_reclaim: int) -> tuple[float, float, float]:
        """Return the paces of loads and of execs, as measured alone, with each other, and beside the other kind.

        All of them need memory, so they wait for a reclaim.
        """
        key = on_disk, on_processor, in_reclaim
        if key not in self._paces:
            slowed = self._loads_slowed(on_disk, on_processor), self._execs_slowed(on_disk, on_processor)
            waiting = _BESIDE_RECLAIM if in_reclaim else 1.0
            self._paces[key] = 1 / (slowed[0] * waiting), 1 / (slowed[1] * waiting), 1 / max(1, in_reclaim)
        return self._paces[key]

    def _loads_slowed(self, on_disk: int, on_processor: int) -> float:
        if not on_disk:
            return 1.0
        together = self.speeds.lanes_slowed(self._setup.reader, on_disk)
        return together * (self._slowed.reading if on_processor else 1.0)

    def _execs_slowed(self, on_disk: int, on_processor: int) -> float:
        together = 1 + (self._slowed.pair - 1) * max(0, on_processor - 1)
        return together * (self._slowed.computing if on_disk else 1.0)

    def _executing_s(self, task: Task, i: int, step: int) -> float:
        network = self._networks[task.request]
        layer = network.layers[i]
        in_step = layer.in_first_step if step == 0 else layer
        size = LayerSize.of(in_step)
        is_first = size not in self._executed
        self._executed.add(size)
        key = id(network), i, step == 0, is_first
        if key not in self._exec_s:
            self._exec_s[key] = self.speeds.exec_s(in_step, self._setup.threads, is_first=is_first)
        return self._exec_s[key] * share(layer, task.tile)

    def _reading_s(self, size_bytes: int, *, is_cached: bool = False) -> float:
        """Return the seconds to read weights of this size, in the form in which they are stored."""
        if not size_bytes:
            return 0.0
        stored_bytes = round(size_bytes * self._setup.stored_share)
        seconds = self.speeds.read_s(self._setup.reader, stored_bytes, is_cached=is_cached)
        return seconds + (size_bytes / _RESTORED_BYTES_PER_S if self._setup.stored_share < 1 else 0.0)

    def _moving(self, before: Traffic) -> Work:
        """Yield the work of the traffic to and from swap since `before`."""
        if self.memory.traffic == before:
            return
        moved, swap = self.memory.traffic.since(before), self.speeds.swap
        yield RECLAIM, moved.out_bytes / (swap.out_bytes_per_s if swap else self.speeds.write_bytes_per_s)
        yield DISK, moved.in_bytes / (swap.in_bytes_per_s if swap else self.speeds.write_bytes_per_s)

    # ---- memory ------------------------------------------------------------------------------------------------

    def _load(self, task: Task, i: int, read_bytes: int) -> Work:
        """Bring the weights of a load into memory, which it takes at once: the kernel pins all of it to read there."""
        reader, worker, network = self._setup.reader, self.speeds.worker, self._networks[task.request]
        file, before = (network.name, i, task.tile), self.memory.traffic
        blocks = self._room(task, file, span_bytes(network.layers[i], task.tile), read_bytes)
        self._blocks[task.weights] = blocks
        found = self._fetch(file, read_bytes) / read_bytes if read_bytes else 0.0
        fresh_bytes = 0 if reader == MAPPING else self._write(blocks, is_placed=task.place is not None)
        if task.place is not None and reader == THROUGH_CACHE:
            self._forget_repeated(file, read_bytes)
        yield from self._moving(before)
        small_bytes = min(read_bytes, HUGE_BYTES) if task.place is None and reader != MAPPING else 0
        touching_s = small_bytes * worker.small_page_s_per_byte + fresh_bytes / PAGE * self.speeds.fresh_s_per_page
        if reader == THROUGH_CACHE:  # the kernel reads ahead from the disk while memory is written
            touching_s *= found
        cached_s = found * self._reading_s(read_bytes, is_cached=True) if found else 0.0
        yield DISK, cached_s + (1 - found) * self._reading_s(read_bytes) + touching_s + worker.load_s + worker.task_s

    def _room(self, task: Task, file: Hashable, span: int, read_bytes: int) -> list[_Block]:
        """Return the memory of a load: pieces of the arena, or all in one."""
        if task.place is None or self._setup.reader == MAPPING:
            return [(file if self._setup.reader == MAPPING else task.weights, read_bytes)]
        pieces = range(task.place // PIECE_BYTES, -(-(task.place + span) // PIECE_BYTES))
        return [(("arena", p), min(PIECE_BYTES, self._arena_bytes - p * PIECE_BYTES)) for p in pieces]

    def _fetch(self, file: Hashable, size_bytes: int) -> int:
        """Read from a file; return the bytes that the page cache has."""
        if self._setup.reader not in {MAPPING, THROUGH_CACHE}:
            self.memory.read_past_cache(size_bytes)
            return 0
        before = self.memory.traffic
        self.memory.fetch(file, size_bytes)
        return size_bytes - self.memory.traffic.since(before).file_bytes

    def _write(self, blocks: Iterable[_Block], *, is_placed: bool) -> int:
        """Write weights; return the bytes of memory that are written for the first time."""
        fresh_bytes = 0
        for key, size_bytes in blocks:
            self.memory.write(key, size_bytes)
            fresh_bytes += 0 if key in self._places else size_bytes
            if is_placed:
                self._places.add(key)
        return fresh_bytes

    def _forget_repeated(self, file: Hashable, size_bytes: int) -> None:
        """Drop a file that is read into a place from the page cache, which keeps it only once."""
        if file in self._read_into_arena:
            self.memory.drop(file, size_bytes)
        self._read_into_arena.add(file)

    def _touch(self, weights: WeightKey) -> Work:
        """Use weights; yield the time to bring back those that are not in memory."""
        blocks, access = self._blocks.get(weights, ()), self.memory.read
        if self._setup.reader == MAPPING:
            access = self.memory.fetch
        elif self._setup.memory_bytes is not None:
            for block in blocks:
                self.memory.keep(*block)  # the threads of an operator use a layer in several places at once
        for block in blocks:
            before = self.memory.traffic
            access(*block)
            yield from self._moving(before)
            yield DISK, self._reading_s(self.memory.traffic.since(before).file_bytes)

    def _free(self, weights: WeightKey) -> int:
        """Give the memory of weights back, unless it is in the arena; return its bytes."""
        release = self.memory.drop if self._setup.reader == MAPPING else self.memory.free
        blocks = [block for block in self._blocks.pop(weights, ()) if block[0] not in self._places]
        for block in blocks:
            release(*block)
        return sum(size_bytes for _, size_bytes in blocks)


def _slowed_beside(contention: Contention, *, is_arena: bool) -> _Slowed:
    """Return the factors of a plan: those of loads into the arena if it has one, and so nearly all loads a place."""
    pair = contention.computing_beside_computing
    if is_arena:
        return _Slowed(contention.arena_reading_beside_computing, contention.computing_beside_arena_reading, pair)
    return _Slowed(contention.reading_beside_computing, contention.computing_beside_reading, pair)


def _scratch_bytes(networks: Iterable[Network], *, is_tiled: bool) -> int:
    """Return the memory of the operators of these networks besides activations, which grows with their number."""
    distinct = {network.name: network for network in networks}.values()
    convolutions = {LayerSize.of(layer) for network in distinct for layer in network.layers if layer.is_convolution}
    if not convolutions:
        return _SCRATCH_BYTES
    own_bytes = _CONVOLUTION_SCRATCH_BYTES + len(convolutions) * _BYTES_PER_CONVOLUTION
    return own_bytes + (_TILED_SCRATCH_BYTES if is_tiled else 0)
