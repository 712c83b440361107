"""Measured speeds give the durations of tasks: the time of a load by its size, the time of a layer by its own size."""

from __future__ import annotations

import msgspec
import pytest

from pytest_edgeload.base.decoding import decode
from pytest_edgeload.planning.machine_speeds import ComputeSpeed, LayerSize, LayerTime, MachineSpeeds, ReadSpeed
from tests.builders import network

[LAYER, OTHER] = network((1000, 500, 200), (2000, 500, 200)).layers

READS = MachineSpeeds(
    (
        ReadSpeed("direct", 1_000_000, 1, 1e9),  # 1 ms
        ReadSpeed("direct", 3_000_000, 1, 1.5e9),  # 2 ms
        ReadSpeed("direct", 1_000_000, 2, 1.6e9),
        ReadSpeed("read", 1_000_000, 1, 5e8),
        ReadSpeed("read", 1_000_000, 1, 5e9, is_cached=True),
    )
)


@pytest.mark.parametrize(
    ("size_bytes", "seconds"),
    [(1_000_000, 0.001), (2_000_000, 0.0015), (3_000_000, 0.002), (500_000, 0.0005), (6_000_000, 0.004)],
)
def test_load_between_measured_sizes_takes_a_time_between_theirs(size_bytes: int, seconds: float) -> None:
    """Beyond the measured sizes, the speed of the nearest one counts."""
    assert READS.read_s("direct", size_bytes) == pytest.approx(seconds)


def test_loads_in_more_lanes_share_the_speed_of_the_most_lanes_measured() -> None:
    """Two lanes read 1.6 GB/s together, and so do four."""
    assert READS.read_s("direct", 1_000_000, lanes=2) == pytest.approx(0.00125)
    assert READS.read_s("direct", 1_000_000, lanes=4) == pytest.approx(0.0025)


def test_one_odd_size_does_not_decide_how_much_lanes_slow_each_other() -> None:
    """Two lanes share the disk evenly at two of three sizes; the third one was disturbed."""
    rates = {1 << 20: 1e9, 4 << 20: 2e8, 16 << 20: 1e9}
    rows = [ReadSpeed("direct", size, lanes, 1e9 if lanes == 1 else rates[size]) for size in rates for lanes in (1, 2)]
    assert MachineSpeeds(tuple(rows)).lanes_slowed("direct", 2) == pytest.approx(2.0)
    assert MachineSpeeds(reads=()).lanes_slowed("direct", 1) == 1.0


def test_cached_bytes_have_a_speed_of_their_own() -> None:
    """The reader `direct` has none, because it reads past the page cache."""
    assert READS.read_s("read", 1_000_000, is_cached=True) == pytest.approx(0.0002)
    assert READS.read_s("direct", 1_000_000, is_cached=True) == READS.read_s("direct", 1_000_000)


def test_reader_that_was_not_measured_reads_as_the_first_one() -> None:
    """A machine whose disk cannot do something still has an answer."""
    assert READS.read_s("mmap", 1_000_000) == READS.read_s("direct", 1_000_000)
    assert MachineSpeeds(reads=()).read_s("mmap", 10**9) == pytest.approx(1.0)


def test_layer_takes_the_measured_time_of_its_size() -> None:
    """The number of threads is the nearest that was measured, and the first execution has a time of its own."""
    size = LayerSize.of(LAYER)
    speeds = MachineSpeeds(layers=(LayerTime(size, 1, 0.5, 0.2), LayerTime(size, 4, 0.3, 0.1)))
    assert [speeds.exec_s(LAYER, threads) for threads in (None, 1, 2, 4, 9)] == [0.1, 0.2, 0.2, 0.1, 0.1]
    assert speeds.exec_s(LAYER, 1, is_first=True) == 0.5


def test_other_layers_take_a_sum_over_their_size() -> None:
    """The sum of the layer's kind counts, or else that of all kinds."""
    size = LayerSize.of(OTHER)
    general = ComputeSpeed("", 1, 1e-3, 0.0, 0.0, 0.0, first_s=1.0)
    own = ComputeSpeed(size.kind, 1, 0.0, 1e-3, 1e-4, 1e-5)
    seconds = size.flops * 1e-3 + size.weight_bytes * 1e-4 + size.activation_bytes * 1e-5
    assert MachineSpeeds(computing=(general, own)).exec_s(OTHER) == pytest.approx(seconds)
    assert MachineSpeeds(computing=(general,)).exec_s(OTHER, is_first=True) == pytest.approx(1.0 + size.ops * 1e-3)
    assert MachineSpeeds(computing=()).exec_s(OTHER) == size.flops / 4e10


def test_speeds_survive_a_file() -> None:
    """Sizes of layers come back as they were."""
    speeds = MachineSpeeds(layers=(LayerTime(LayerSize.of(LAYER), 1, 0.5, 0.2),))
    again = decode(msgspec.json.encode(speeds), MachineSpeeds)
    assert again == speeds
    assert again.exec_s(LAYER) == 0.2
