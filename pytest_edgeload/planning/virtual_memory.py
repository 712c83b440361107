"""The memory of a process under a limit, as the kernel reclaims it: page cache first, then memory by last use. Pure.

Memory is counted in pieces of up to 2 MiB, not in pages. See `docs/simulator.md` for the rules and their limits.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Iterator
from typing import NamedTuple

from pytest_edgeload.base.units import format_size
from pytest_edgeload.planning.virtual_machine import OutOfMemory

PIECE_BYTES = 2 << 20
"""The most bytes that are swapped out or dropped at once."""

KEPT_CACHE_BYTES = 16 << 20
"""Page cache that the kernel keeps as long as there is private memory to swap out: 4096 pages of unused files."""

_PieceKey = tuple[Hashable, int]


class Traffic(NamedTuple):
    """The bytes that were moved: out to swap, in from swap, and in from the files of weights."""

    out_bytes: int
    in_bytes: int
    file_bytes: int

    def since(self, before: Traffic) -> Traffic:
        """Return the traffic after `before`."""
        return Traffic(*(now - then for now, then in zip(self, before, strict=True)))


class VirtualMemory:
    """Private memory and page cache of a process, both in order of last use, and the traffic that the limit causes.

    `limit_bytes` holds all of it (None: no limit), and `swap_bytes` the private memory that was swapped out (None: any
    amount). `fixed_bytes` and the activations are never swapped out. All methods that need room raise OutOfMemory.
    """

    def __init__(self, limit_bytes: int | None, swap_bytes: int | None, fixed_bytes: int = 0) -> None:
        self._limit_bytes, self._swap_bytes, self._fixed_bytes = limit_bytes, swap_bytes, fixed_bytes
        self._piece_bytes = 1 << 62 if limit_bytes is None else PIECE_BYTES
        self._private: OrderedDict[_PieceKey, int] = OrderedDict()  # in memory, the least recently used first
        self._swapped: dict[_PieceKey, int] = {}
        self._copied: dict[_PieceKey, int] = {}  # in memory, with an unchanged copy in swap
        self._cached: OrderedDict[_PieceKey, int] = OrderedDict()
        self._held_bytes = self.peak_private_bytes = fixed_bytes  # all that counts against the limit
        self._cached_bytes = self._in_swap_bytes = self._activation_bytes = 0
        self.peak_held_bytes = fixed_bytes
        self.peak_cached_bytes = self.peak_swapped_bytes = 0
        self._out_bytes = self._in_bytes = self._file_bytes = 0

    @property
    def traffic(self) -> Traffic:
        """All traffic so far."""
        return Traffic(self._out_bytes, self._in_bytes, self._file_bytes)

    # ---- private memory ----------------------------------------------------------------------------------------

    def write(self, key: Hashable, size_bytes: int) -> None:
        """Write all of the memory `key`, which becomes resident; pieces in swap are read first."""
        for piece, piece_bytes in self._pieces(key, size_bytes):
            self._use(piece, piece_bytes)
            if self._copied:
                self._in_swap_bytes -= self._copied.pop(piece, 0)

    def read(self, key: Hashable, size_bytes: int) -> None:
        """Read all of the memory `key`, which was written before."""
        for piece, piece_bytes in self._pieces(key, size_bytes):
            self._use(piece, piece_bytes)

    def keep(self, key: Hashable, size_bytes: int) -> None:
        """Let the resident part of the memory `key` be the most recently used one."""
        for piece, _ in self._pieces(key, size_bytes):
            if piece in self._private:
                self._private.move_to_end(piece)

    def free(self, key: Hashable, size_bytes: int) -> None:
        """Give the memory `key` back, also the part that is in swap."""
        for piece, _ in self._pieces(key, size_bytes):
            self._held_bytes -= self._private.pop(piece, 0)
            self._in_swap_bytes -= self._swapped.pop(piece, 0) + self._copied.pop(piece, 0)

    def hold_activations(self, size_bytes: int) -> None:
        """Let the activations have this size."""
        more_bytes = size_bytes - self._activation_bytes
        if more_bytes > 0:
            self._make_room(more_bytes)
        self._activation_bytes = size_bytes
        self._held_bytes += more_bytes
        self._count_private()

    def _use(self, piece: _PieceKey, size_bytes: int) -> None:
        """Make a piece of private memory resident, and the most recently used one."""
        if piece in self._private:
            self._private.move_to_end(piece)
            return
        self._make_room(size_bytes)
        self._private[piece] = size_bytes
        self._held_bytes += size_bytes
        self._count_private()
        if self._swapped.pop(piece, 0):
            self._copied[piece] = size_bytes
            self._in_bytes += size_bytes

    def _count_private(self) -> None:
        self.peak_held_bytes = max(self.peak_held_bytes, self._held_bytes)
        self.peak_private_bytes = max(self.peak_private_bytes, self._held_bytes - self._cached_bytes)

    # ---- page cache --------------------------------------------------------------------------------------------

    def fetch(self, key: Hashable, size_bytes: int) -> None:
        """Let the page cache have these bytes of a file, and read those that it has not."""
        for piece, piece_bytes in self._pieces(key, size_bytes):
            if piece in self._cached:
                self._cached.move_to_end(piece)
                continue
            self._make_room(piece_bytes)
            self._cached[piece] = piece_bytes
            self._held_bytes += piece_bytes
            self._cached_bytes += piece_bytes
            self._file_bytes += piece_bytes
            self.peak_held_bytes = max(self.peak_held_bytes, self._held_bytes)
            self.peak_cached_bytes = max(self.peak_cached_bytes, self._cached_bytes)

    def read_past_cache(self, size_bytes: int) -> None:
        """Count bytes that are read from a file without the page cache."""
        self._file_bytes += size_bytes

    def drop(self, key: Hashable, size_bytes: int) -> None:
        """Remove these bytes of a file from the page cache."""
        for piece, _ in self._pieces(key, size_bytes):
            self._forget(self._cached.pop(piece, 0))

    def _forget(self, cached_bytes: int) -> None:
        self._cached_bytes -= cached_bytes
        self._held_bytes -= cached_bytes

    # ---- reclaim -----------------------------------------------------------------------------------------------

    def _make_room(self, size_bytes: int) -> None:
        """Reclaim memory until these bytes fit: first page cache, then private memory, then the rest of the cache."""
        while self._limit_bytes is not None and self._held_bytes + size_bytes > self._limit_bytes:
            if self._cached_bytes > KEPT_CACHE_BYTES or (self._cached and not self._can_swap_out):
                self._forget(self._cached.popitem(last=False)[1])
            else:
                self._swap_out(self._limit_bytes)

    @property
    def _can_swap_out(self) -> bool:
        piece, size_bytes = next(iter(self._private.items()), (None, 0))
        if piece is None or piece in self._copied or self._swap_bytes is None:
            return piece is not None
        return self._in_swap_bytes + size_bytes <= self._swap_bytes

    def _swap_out(self, limit_bytes: int) -> None:
        """Swap out the piece that was used the longest time ago. One with a copy in swap is not written again."""
        if not self._private:
            raise OutOfMemory(f"the limit of {format_size(limit_bytes)} does not hold what is in use at once")
        piece, size_bytes = next(iter(self._private.items()))
        if not self._copied.pop(piece, 0):
            if self._swap_bytes is not None and self._in_swap_bytes + size_bytes > self._swap_bytes:
                swap = (
                    f"the swap of {format_size(self._swap_bytes)} is full" if self._swap_bytes else "there is no swap"
                )
                raise OutOfMemory(f"the limit of {format_size(limit_bytes)} is reached, and {swap}")
            self._in_swap_bytes += size_bytes
            self._out_bytes += size_bytes
            self.peak_swapped_bytes = max(self.peak_swapped_bytes, self._in_swap_bytes)
        del self._private[piece]
        self._held_bytes -= size_bytes
        self._swapped[piece] = size_bytes

    def _pieces(self, key: Hashable, size_bytes: int) -> Iterator[tuple[_PieceKey, int]]:
        """Yield the pieces of memory in order, each with its size."""
        for i, begin in enumerate(range(0, size_bytes, self._piece_bytes)):
            yield (key, i), min(self._piece_bytes, size_bytes - begin)
