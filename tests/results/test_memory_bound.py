"""The bound that knows the memory: its value for one network, and that no order of several networks beats it."""

from __future__ import annotations

from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_edgeload.results.bound import Bound
from pytest_edgeload.results.measurement import Measurement
from pytest_edgeload.results.memory_bound import Chain, memory_bound_s

CONVOLUTIONS_FIRST = Chain((10, 20, 500), (1.0, 2.0, 0.5))


@pytest.mark.parametrize(
    ("room_bytes", "bound_s"),
    [
        (0, 3.0 + 5.0),  # the last layer itself is computed while its bytes arrive
        (100, 3.0 + 4.0),
        (400, 3.0 + 1.0),
        (530, 3.5),
        (10_000, 3.5),
    ],
)
def test_weights_beyond_the_room_are_read_after_the_computing_before_them(room_bytes: int, bound_s: float) -> None:
    """Of the last layer only as many bytes as fit are read while the first ones compute, and the others afterwards."""
    assert memory_bound_s([CONVOLUTIONS_FIRST], room_bytes, 0.01) == pytest.approx(bound_s)


def test_requests_of_a_network_share_what_is_read() -> None:
    """Three requests compute three times as long before the bytes that do not fit can be read, once for all."""
    three = Chain(CONVOLUTIONS_FIRST.weights_bytes, CONVOLUTIONS_FIRST.compute_s, requests=3)
    assert memory_bound_s([three], 100, 0.01) == pytest.approx(9.0 + 4.0)


def test_another_network_fills_the_time() -> None:
    """With a second network that can be computed meanwhile, the bound is shorter than the sum of both."""
    other = Chain((5, 5), (4.0, 0.1))
    together_s = memory_bound_s([CONVOLUTIONS_FIRST, other], 100, 0.01)
    assert together_s == memory_bound_s([other, CONVOLUTIONS_FIRST], 100, 0.01)
    assert together_s == pytest.approx(7.6), "reading 4.0 s hides behind the other network's 4.1 s"


_CHAIN = st.lists(st.tuples(st.integers(0, 50), st.floats(0, 2)), min_size=1, max_size=5).map(
    lambda layers: Chain(tuple(size for size, _ in layers), tuple(s for _, s in layers))
)


@given(st.lists(_CHAIN, min_size=1, max_size=3), st.integers(50, 150), st.floats(0, 0.1), st.data())
def test_no_order_of_the_tiles_beats_the_bound(
    chains: list[Chain], room_bytes: int, s_per_byte: float, data: st.DataObject
) -> None:
    """Whatever order the tiles of several networks run in, reading ahead as far as memory allows takes as long."""
    tiles = data.draw(st.integers(1, 4))
    layers = [
        (index, size_bytes / tiles, compute_s / tiles)
        for index, chain in enumerate(chains)
        for size_bytes, compute_s in zip(chain.weights_bytes, chain.compute_s, strict=True)
        for _ in range(tiles)
    ]
    queues = {owner: iter([layer[1:] for layer in layers if layer[0] == owner]) for owner, *_ in layers}
    ordered = [next(queues[owner]) for owner in data.draw(st.permutations([owner for owner, *_ in layers]))]
    bound_s = memory_bound_s(chains, room_bytes, s_per_byte)
    assert bound_s <= _makespan_s(ordered, room_bytes, s_per_byte) + 1e-6


def _makespan_s(layers: list[tuple[float, float]], room_bytes: int, s_per_byte: float) -> float:
    """Return the makespan of tiles, each of which is read when it fits, and freed after it was computed."""
    read_by = [0.0, *accumulate(size_bytes for size_bytes, _ in layers)]
    freed_s, read_s = [0.0], 0.0
    for i, (size_bytes, compute_s) in enumerate(layers):
        # The layers up to `first` have to be freed before this one fits.
        first = next(k for k in range(i + 1) if read_by[i + 1] - read_by[k] <= room_bytes + 1e-6)
        read_s = max(read_s, freed_s[first]) + size_bytes * s_per_byte
        freed_s.append(max(freed_s[-1], read_s) + compute_s)
    return freed_s[-1]


def test_bound_of_the_memory_is_a_metric_only_if_it_is_the_longer_one() -> None:
    """A measurement has the bound that knows the memory if that is longer than the other."""
    for memory_s, metric in ((9.0, 9.0), (3.0, None), (None, None)):
        bound = Bound(read_bytes=8, read_s=2.0, compute_s=4.0, memory_s=memory_s)
        measurement = bound.complete(Measurement(outcome="ok"))
        assert (measurement.bound_s, measurement.bound_memory_s) == (4.0, metric)
