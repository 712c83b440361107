"""The bound that knows the memory: what does not fit cannot be read ahead of the computing. Pure functions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate


@dataclass(frozen=True, slots=True)
class Chain:
    """The layers of a network in order: bytes of weights that no later layer uses, and seconds for all requests.

    `requests` is the number of requests, each of which takes `compute_s`.
    """

    weights_bytes: tuple[int, ...]
    compute_s: tuple[float, ...]
    requests: int = 1

    @property
    def steps(self) -> list[_Progress]:
        """For each layer, the computing that has to be done before it begins, and the bytes that end with it."""
        before_s = accumulate(self.compute_s[:-1], initial=0.0)
        ends_bytes = accumulate(self.weights_bytes)
        return [(self.requests * s, size_bytes) for s, size_bytes in zip(before_s, ends_bytes, strict=True)]


_Progress = tuple[float, int]
"""Seconds of computing that are done, and bytes of weights that are not needed any more."""


def memory_bound_s(chains: Sequence[Chain], room_bytes: int, s_per_byte: float) -> float:
    """Return the shortest makespan of these chains, in any order, if `room_bytes` of weights fit in memory.

    While `x` seconds of computing are done, all weights that are still needed, less those that fit, have yet to be
    read. The order of the networks decides which these are; the order that leaves the fewest bytes counts for each `x`.
    docs/figures.md has the proof.
    """
    frontier: list[_Progress] = [(0.0, 0)]
    for chain in chains:
        options = [(0.0, 0), *chain.steps]
        frontier = _best((s + more_s, size + more) for s, size in frontier for more_s, more in options)
    all_bytes = sum(sum(chain.weights_bytes) for chain in chains)
    all_s = sum(chain.requests * sum(chain.compute_s) for chain in chains)
    # Between two points the best order leaves the same bytes, so the bound is reached just before the second one.
    ends_s = [*(s for s, _ in frontier[1:]), all_s]
    return max(
        end_s + max(0, all_bytes - used_bytes - room_bytes) * s_per_byte
        for (_, used_bytes), end_s in zip(frontier, ends_s, strict=True)
    )


def _best(points: Iterable[_Progress]) -> list[_Progress]:
    """Return the points that no other point with as little computing beats, by ascending computing."""
    best: list[_Progress] = []
    for seconds, used_bytes in sorted(points, key=lambda point: (point[0], -point[1])):
        if not best or used_bytes > best[-1][1]:
            best.append((seconds, used_bytes))
    return best
