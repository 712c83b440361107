"""`stream` is at least nearly as good as the other policies in drawn mixes, in virtual time."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_edgeload.planning.plan import Budget, Speeds
from pytest_edgeload.policies import POLICIES
from pytest_edgeload.workload import Mix
from pytest_edgeload.workload.arrivals import Periodic, Poisson
from pytest_edgeload.workload.file import WorkloadDocument
from pytest_edgeload.workload.stream_file import StreamEntry, StreamsDocument
from pytest_edgeload.workload.streams import Stream
from pytest_edgeload.worst_mix import WorkloadForm
from tests.accuracy.drawn_mixes import DrawnLoss, loss_of, losses
from tests.accuracy.shared_machine import outcome
from tests.policies.test_stream_deadlines import _deep

NETWORKS = {made.name: made for made in (_deep(4, 128, "small"), _deep(6, 256, "medium"), _deep(8, 512, "large"))}
"""Networks of 258 KiB, 1.5 MiB and 8 MiB."""

SPEEDS = Speeds(read_bytes_per_s=20e6, flops_per_s=40e6)
"""At these speeds, the networks take 16 to 525 ms alone, most of it to read."""

OTHERS = ("bulk", "lru", "masa", "mema")
MAX_BEHIND = 0.1
"""How far the share in time of `stream` may be below that of the best of the others."""

SCRATCH_BYTES = 4 << 20


@st.composite
def streams(draw: st.DrawFn, number: int) -> Stream:
    """Draw a stream that asks its network once in half to eight times its service time; the first one at even times."""
    network = draw(st.sampled_from(sorted(NETWORKS)))
    every_s = SPEEDS.service_s(NETWORKS[network]) * draw(st.sampled_from([0.5, 1, 2, 4, 8]))
    is_periodic = number == 0 or draw(st.booleans())
    return Stream(
        f"stream {number}",
        network,
        Periodic(every_s, every_s / 10) if is_periodic else Poisson(1 / every_s),
        deadline_s=every_s * draw(st.sampled_from([0.5, 1, 1, 2])),
        queue=draw(st.sampled_from([None, 1, 2])),
        steps=draw(st.sampled_from([1, 1, 1, 4])),
    )


@settings(max_examples=10)
@given(st.data(), st.integers(2, 4), st.sampled_from([None, 0.4, 0.7, 1.0, 1.5]))
def test_no_policy_is_far_ahead_of_stream(data: st.DataObject, count: int, share: float | None) -> None:
    """No policy that stays within memory has a much higher share of requests in time than `stream`.

    Memory is unlimited, or this share of the weights of all networks.
    """
    drawn = [data.draw(streams(number)) for number in range(count)]
    shortest_s = min(SPEEDS.service_s(NETWORKS[stream.network]) for stream in drawn)
    mix = Mix.of_streams("drawn", drawn, duration_s=min(3.0, 20 * shortest_s), seed=data.draw(st.integers(0, 99)))
    asked = mix.workload({name: NETWORKS[name] for name in mix.networks})
    weights_bytes = sum(NETWORKS[name].distinct_bytes for name in mix.networks)
    memory_bytes = None if share is None else int(share * weights_bytes) + SCRATCH_BYTES
    shares = {}
    for policy in ("stream", *OTHERS):
        found = outcome(POLICIES[policy](asked, Budget(memory_bytes, speeds=SPEEDS)), asked, SPEEDS)
        shares[policy] = found.share if memory_bytes is None or found.peak_bytes <= memory_bytes else 0.0
    assert shares["stream"] >= max(shares[policy] for policy in OTHERS) - MAX_BEHIND, shares


SAMPLE = 32
RIVALS = ("execprio", "lru", "bulk")
"""The policies that are ahead of `stream` most often."""

MAX_SHARE_BEHIND = 0.05
"""The share of drawn mixes in which the share in time of `stream` may be more than MAX_BEHIND below the best."""


@pytest.fixture(scope="module")
def sample() -> list[DrawnLoss]:
    """Return the losses in a few of the mixes of `tests.accuracy.drawn_mixes`."""
    return list(losses(SAMPLE, first=1, policies=("stream", *RIVALS)))


def test_stream_is_never_far_behind_without_deadlines(sample: list[DrawnLoss]) -> None:
    """No policy that keeps to its memory has a makespan, or a mean response time, 10 % shorter than `stream`."""
    metrics = {"makespan_s", "response_mean_s"}
    behind = [each for each in sample if each.metric in metrics]
    assert {each.metric for each in behind} == metrics
    assert max(each.loss for each in behind) <= MAX_BEHIND, behind


def test_stream_is_rarely_far_behind_with_deadlines(sample: list[DrawnLoss]) -> None:
    """In at most one of twenty mixes, another policy has a share in time that is 10 % of all requests higher."""
    far = [each for each in sample if each.loss > MAX_BEHIND]
    assert len(far) <= MAX_SHARE_BEHIND * len(sample), far


KNOWN = {
    "weights fit, but not beside the rings and the memory of operators": (
        StreamsDocument((StreamEntry("mixed", "camera", Periodic(0.15), deadline_s=0.075),), 0.45),
        0.5,
        0.0,
    ),
    "all weights fit, and each task of a small tile takes time": (
        StreamsDocument(
            (
                StreamEntry("small", "stream0", Periodic(0.6), deadline_s=1.2),
                StreamEntry("mixed", "stream1", Poisson(1.7), deadline_s=0.3, queue=2),
                StreamEntry("mixed", "stream2", Poisson(13.0), deadline_s=0.075),
            ),
            1.2,
            seed=3,
        ),
        0.5,
        0.06,
    ),
    "two requests of a network that are due at once": (
        StreamsDocument(
            (
                StreamEntry("mixed", "stream0", Periodic(0.15), deadline_s=0.15, queue=2),
                StreamEntry("mixed", "stream1", Periodic(0.15), deadline_s=0.15, queue=2),
            ),
            0.45,
            seed=4,
        ),
        0.25,
        0.0,
    ),
    "streams of one network, of which one is known": (
        StreamsDocument(
            (
                StreamEntry("convolutions", "stream0", Periodic(0.6), deadline_s=0.6, queue=2),
                StreamEntry("convolutions", "stream1", Periodic(0.6), deadline_s=0.6),
                StreamEntry("convolutions", "stream2", Poisson(6.7), deadline_s=0.3, queue=2),
            ),
            0.3,
            seed=2,
        ),
        0.25,
        0.0,
    ),
    "inputs that wait for computing": (
        StreamsDocument(
            (
                StreamEntry("convolutions", "stream0", Periodic(0.3), deadline_s=0.3),
                StreamEntry("mixed", "stream1", Poisson(1.7), deadline_s=0.3, queue=1),
            ),
            1.1,
            seed=5,
        ),
        0.25,
        0.0,
    ),
    "little memory for a network that is asked again and again": (
        WorkloadDocument(("mixed",), images=3, loop="closed"),
        0.25,
        0.08,
    ),
    "little memory for two requests at once, again and again": (
        WorkloadDocument(("mixed", "mixed"), images=3, loop="closed"),
        0.25,
        0.08,
    ),
    "tiny network, whose tasks take longer than its reads": (
        WorkloadDocument(("small", "small"), images=3, loop="closed"),
        0.5,
        0.05,
    ),
}
"""Mixes in which `stream` was far behind, by cause: each with its share of memory, and the largest loss allowed."""


@pytest.mark.parametrize(("document", "share", "max_loss"), KNOWN.values(), ids=KNOWN)
def test_known_losses_do_not_grow(document: WorkloadForm, share: float, max_loss: float) -> None:
    """In mixes in which `stream` was far behind, it is behind by at most so much."""
    found = loss_of(document, share)
    assert found is not None
    assert found.loss <= max_loss
