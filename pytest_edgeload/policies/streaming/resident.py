"""Which tiles stay in memory from request to request, chosen by the requests so far. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from pytest_edgeload.policies.streaming.uses import TileKey, TileUse

HIDDEN = 0.1
"""The part of a read that counts even if computing hides it: meanwhile the disk cannot serve other networks."""

GAIN = 1.5
"""A tile takes the place of another only if it is worth so many times as much. Otherwise networks that are asked
equally often would take turns."""


GOLDEN_RATIO = (5**0.5 - 1) / 2
"""The fractional parts of its multiples are spread evenly, however many there are."""


class Residents:
    """The tiles that stay, in at most `room_bytes`, which may shrink.

    The worth of a tile is the time that it saves per byte: the number of times its network was asked so far, times the
    part of its reading that computing does not hide.
    """

    def __init__(self, room_bytes: float) -> None:
        self.room_bytes = room_bytes
        self._asked = Counter[int]()
        self._uses: dict[TileKey, TileUse] = {}
        self._held_bytes = 0

    def ask(self, uses: Sequence[TileUse], times: int) -> tuple[list[TileKey], list[TileUse]]:
        """Let the network with these tile uses be asked so many times; return the tiles that go, and those that come.

        The tiles that come are in the order of their uses. Tiles of equal worth are spread over the network.
        """
        self._asked[uses[0].key[0]] += times
        going: list[TileKey] = []
        cheapest = sorted(self._uses, key=lambda key: -self._worth(self._uses[key]))  # the last one goes first
        while cheapest and self._held_bytes > self.room_bytes:
            going += self._drop([cheapest.pop()])
        coming: list[int] = []
        for number in sorted(range(len(uses)), key=lambda n: (-self._worth(uses[n]), n * GOLDEN_RATIO % 1)):
            use = uses[number]
            if use.has_place and use.key not in self._uses and (victims := self._victims(use, cheapest)) is not None:
                going += self._drop(victims)
                del cheapest[len(cheapest) - len(victims) :]
                self._uses[use.key] = use
                self._held_bytes += use.size_bytes
                coming.append(number)
        return going, [uses[number] for number in sorted(coming)]

    def _victims(self, use: TileUse, cheapest: Sequence[TileKey]) -> list[TileKey] | None:
        """Return the tiles that must go so that `use` fits; None if they are worth too much."""
        missing_bytes = self._held_bytes + use.size_bytes - self.room_bytes
        victims: list[TileKey] = []
        for key in reversed(cheapest):
            if missing_bytes <= 0 or GAIN * self._worth(self._uses[key]) > self._worth(use):
                break
            victims.append(key)
            missing_bytes -= self._uses[key].size_bytes
        return victims if missing_bytes <= 0 else None

    def _drop(self, keys: Iterable[TileKey]) -> Iterable[TileKey]:
        for key in keys:
            self._held_bytes -= self._uses.pop(key).size_bytes
            yield key

    def _worth(self, use: TileUse) -> float:
        """Return the seconds per byte that a tile would have saved so far."""
        saved_s = max(HIDDEN * use.read_s, use.read_s - use.exec_s)
        return self._asked[use.key[0]] * saved_s / max(1, use.size_bytes)
