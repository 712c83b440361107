"""Runs side by side: the part of the machine that each run has for itself, and whether the parts fit. Pure.

Runs overlap only if the sum of their limits fits in memory and if each has cores of its own. Two runs of the same file
exclude each other, unless both read past the page cache: one would warm the cache for the other and be charged for it,
and each drops the file from the cache before it begins.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec

from pytest_edgeload.base.decoding import Count
from pytest_edgeload.devices.constraints import Constraints

_RESERVE_DIVISOR, _MIN_RESERVE_BYTES = 8, 256 << 20  # for the kernel, pytest's processes, and everything else

NO_CORE = "no core was free"
SAME_FILES = "a run next to it read the same files, one of the two through the page cache"
MEMORY = "their limits together exceed the available memory of the machine"
SWAP = "the swap that they may use exceeds that of the machine"
THROTTLE = "only one of them has a read or write throttle"


class MachinePart(msgspec.Struct, frozen=True, omit_defaults=True):
    """The part of the machine that a run has for itself: memory and swap as limits, a number of cores, and files.

    The files, named by device and inode, are those that it reads; `is_direct` if all reads pass the page cache.
    """

    memory_bytes: Count
    swap_bytes: Count = 0
    cores: Count = 1
    files: frozenset[str] = frozenset()
    is_throttled: bool = False
    is_direct: bool = False


UNKNOWN = MachinePart(1 << 62)
"""The part of a run whose note cannot be read: nothing fits next to it."""


@dataclass(frozen=True, slots=True)
class SharedMachine:
    """The machine as runs share it: memory without a reserve, swap, and the numbers of its cores.

    `by_cpuset`: whether the kernel can hold a group to its cores. If not, a run inherits an affinity, which a program
    can change. Compressed swap is memory.
    """

    memory_bytes: int
    swap_bytes: int
    cores: tuple[int, ...]
    by_cpuset: bool = True
    swap_is_memory: bool = False

    def part(
        self, constraints: Constraints, files: frozenset[str] = frozenset(), *, is_direct: bool = False
    ) -> MachinePart | str:
        """Return the part of a run with these constraints, or the reason why it cannot share the machine.

        It reads these files, past the page cache if `is_direct`. A run without a limit of swap gets the share of its
        cores.
        """
        if constraints.memory_bytes is None:
            return "a run has no memory limit"
        cores = constraints.cores or constraints.threads or 1
        if 2 * cores > len(self.cores):
            return f"two runs of {cores} cores need more than the {len(self.cores)} of the machine"
        swap_bytes = self.swap_bytes * cores // len(self.cores)
        if constraints.swap_bytes is not None:
            swap_bytes = min(constraints.swap_bytes, self.swap_bytes)
        is_throttled = constraints.read_bps is not None or constraints.write_bps is not None
        memory_bytes = constraints.memory_bytes + (swap_bytes if self.swap_is_memory else 0)
        if 2 * memory_bytes > self.memory_bytes:
            return "two runs of this limit do not fit in the available memory of the machine"
        return MachinePart(memory_bytes, swap_bytes, cores, files, is_throttled, is_direct)

    def cores_for(
        self, part: MachinePart, taken: Mapping[int, MachinePart], available_bytes: int
    ) -> tuple[int, ...] | str:
        """Return the cores for a run, or why it has to wait. `taken` has the parts of other runs, by core.

        A run of several cores has its part at the first of them, and an empty part at the others. `available_bytes` is
        the memory that is available now.
        """
        others = taken.values()
        if any(part.files & other.files and not (part.is_direct and other.is_direct) for other in others):
            return SAME_FILES
        if any(part.is_throttled != other.is_throttled for other in others if other.memory_bytes):
            return THROTTLE
        taken_bytes = sum(other.memory_bytes for other in others)
        if taken_bytes + part.memory_bytes > self.memory_bytes or (taken and part.memory_bytes > available_bytes):
            return MEMORY
        if sum(other.swap_bytes for other in others) + part.swap_bytes > self.swap_bytes:
            return SWAP
        free = [core for core in self.cores if core not in taken]
        return tuple(free[: part.cores]) if len(free) >= part.cores else NO_CORE


def room_of(
    memory_bytes: int, swap_bytes: int, cores: Sequence[int], *, swap_is_memory: bool, by_cpuset: bool
) -> SharedMachine:
    """Return the room on a machine with so much memory: an eighth of it, and at least 256 MiB, is the reserve."""
    reserve_bytes = max(_MIN_RESERVE_BYTES, memory_bytes // _RESERVE_DIVISOR)
    return SharedMachine(max(0, memory_bytes - reserve_bytes), swap_bytes, tuple(cores), by_cpuset, swap_is_memory)
