"""A virtual machine with measured speeds, and a worker's memory under a limit. Pure."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import NamedTuple

from pytest_edgeload.networks.layer import Network
from pytest_edgeload.networks.tile import PAGE, share, span_bytes
from pytest_edgeload.planning.machine_speeds import HUGE_BYTES, Contention, LayerSize, MachineSpeeds
from pytest_edgeload.planning.plan import Plan, Task, WeightKey
from pytest_edgeload.planning.reader_names import DIRECT, MAPPING, THROUGH_CACHE
from pytest_edgeload.planning.virtual_machine import DISK, PROCESSOR, Resource, Work
from pytest_edgeload.planning.virtual_memory import PIECE_BYTES, VirtualMemory
from pytest_edgeload.workload import Workload

_TYPICAL_BYTES = 4 << 20  # of a load, for the pace of several at once

_PRIVATE_SHARE = 0.58  # of the resident memory of an idle worker; the rest are files that others have mapped as well
_COLD_SHARE = 0.8  # of that private memory, what it does not need any more
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
        self._paces: dict[tuple[int, int], tuple[float, float]] = {}
        self._slowed = _slowed_beside(speeds.contention, is_arena=plan.arena_bytes > 0)

    @property
    def peak_bytes(self) -> int:
        """The most resident memory so far, with the files that the worker has mapped."""
        is_mapping = self._setup.reader == MAPPING
        return self._mapped_bytes + (self.memory.peak_held_bytes if is_mapping else self.memory.peak_private_bytes)

    def begin(self, task: Task, step: int, read_bytes: int, activation_bytes: int) -> Work:
        """Return the work of a task, and of the traffic that its memory causes. Raises OutOfMemory."""
        self.memory.write("idle", self._cold_bytes)  # only once, before the first task
        self._cold_bytes = 0
        before, worker = self.memory.traffic, self.speeds.worker
        loading_s = computing_s = 0.0
        self.memory.hold_activations(activation_bytes)
        if task.layer is None:
            computing_s = worker.request_s
        elif task.kind == "load":
            loading_s = self._load(task, task.layer, read_bytes)
        elif task.kind == "exec":
            self._touch(task.weights)
            computing_s = self._executing_s(task, task.layer, step)
        else:
            computing_s = self._free(task.weights) / PAGE * self.speeds.free_s_per_page
        moved = self.memory.traffic.since(before)
        loading_s += self._swapping_s(moved.out_bytes, moved.in_bytes)
        if task.kind == "exec" and moved.file_bytes:
            loading_s += self._reading_s(moved.file_bytes)
        last: Resource = DISK if task.kind == "load" else PROCESSOR
        return (DISK, loading_s), (PROCESSOR, computing_s), (last, worker.task_s)

    def end(self, task: Task, activation_bytes: int) -> None:  # noqa: ARG002
        """Let the activations that are no longer needed go."""
        self.memory.hold_activations(activation_bytes)

    # ---- time --------------------------------------------------------------------------------------------------

    def paces(self, on_disk: int, on_processor: int) -> tuple[float, float]:
        """Return the paces of loads and of execs, as measured alone, with each other, and beside the other kind."""
        key = on_disk, on_processor
        if key not in self._paces:
            self._paces[key] = 1 / self._loads_slowed(*key), 1 / self._execs_slowed(*key)
        return self._paces[key]

    def _loads_slowed(self, on_disk: int, on_processor: int) -> float:
        if not on_disk:
            return 1.0
        reader = self._setup.reader
        alone_s, together_s = (self.speeds.read_s(reader, _TYPICAL_BYTES, lanes) for lanes in (1, on_disk))
        return max(1.0, together_s / alone_s) * (self._slowed.reading if on_processor else 1.0)

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

    def _swapping_s(self, out_bytes: int, in_bytes: int) -> float:
        swap = self.speeds.swap
        if swap is None:
            return (out_bytes + in_bytes) / self.speeds.write_bytes_per_s
        return out_bytes / swap.out_bytes_per_s + in_bytes / swap.in_bytes_per_s

    # ---- memory ------------------------------------------------------------------------------------------------

    def _load(self, task: Task, i: int, read_bytes: int) -> float:
        """Bring the weights of a load into memory; return its seconds, without those for swap."""
        network, before = self._networks[task.request], self.memory.traffic
        file = (network.name, i, task.tile)
        found_bytes = 0
        if self._setup.reader in {MAPPING, THROUGH_CACHE}:
            self.memory.fetch(file, read_bytes)
            found_bytes = read_bytes - self.memory.traffic.since(before).file_bytes
        else:
            self.memory.read_past_cache(read_bytes)
        fresh_bytes = small_bytes = 0
        if self._setup.reader == MAPPING:
            self._blocks[task.weights] = [(file, read_bytes)]
        elif task.place is not None:
            fresh_bytes = self._load_into_arena(task, network, i, file, read_bytes)
        else:
            fresh_bytes, small_bytes = read_bytes, min(read_bytes, HUGE_BYTES)
            self._blocks[task.weights] = [(task.weights, read_bytes)]
            self.memory.write(task.weights, read_bytes)
        seconds = self._reading_s(read_bytes - found_bytes) + self._reading_s(found_bytes, is_cached=True)
        seconds += self.speeds.worker.load_s + small_bytes * self.speeds.worker.small_page_s_per_byte
        return seconds + fresh_bytes / PAGE * self.speeds.fresh_s_per_page

    def _load_into_arena(self, task: Task, network: Network, i: int, file: Hashable, read_bytes: int) -> int:
        """Write weights to their place in the arena; return the bytes of it that are written for the first time."""
        assert task.place is not None  # the caller has asked
        end = task.place + span_bytes(network.layers[i], task.tile)
        pieces = range(task.place // PIECE_BYTES, -(-end // PIECE_BYTES))
        blocks: list[_Block] = [(("arena", p), min(PIECE_BYTES, self._arena_bytes - p * PIECE_BYTES)) for p in pieces]
        for block in blocks:
            self.memory.write(*block)
        if self._setup.reader == THROUGH_CACHE:  # which keeps what it reads into a place in the cache only once
            if file in self._read_into_arena:
                self.memory.drop(file, read_bytes)
            self._read_into_arena.add(file)
        fresh_bytes = sum(size_bytes for key, size_bytes in blocks if key not in self._places)
        self._places.update(key for key, _ in blocks)
        self._blocks[task.weights] = blocks
        return fresh_bytes

    def _touch(self, weights: WeightKey) -> None:
        access = self.memory.fetch if self._setup.reader == MAPPING else self.memory.read
        for block in self._blocks.get(weights, ()):
            access(*block)

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
