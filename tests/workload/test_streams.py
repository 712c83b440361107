"""Streams become requests with absolute arrival times, and values that do not go together are refused."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_edgeload.networks.feed import Feed
from pytest_edgeload.workload import Ask, Condition, Mix
from pytest_edgeload.workload.arrivals import Constant, Exponential, Periodic, Poisson, Trace
from pytest_edgeload.workload.streams import Stream
from tests.builders import network

CAMERA = Stream("camera", "detector", Periodic(0.5, 0.1), queue=1)
FACES = Stream("faces", "face_net", after="camera", probability=0.5)
NAMES = Stream("names", "age_net", after="faces", when=Condition(0, 0.8, at=(0, 1)), feeds=(Feed("x", request=0),))
SOUND = Stream("sound", "keyword", Poisson(2.0), start_s=1.0, steps=3)
STREAMS = (CAMERA, FACES, NAMES, SOUND)


def _mix(*streams: Stream, duration_s: float = 20.0, seed: int = 1) -> Mix:
    return Mix.of_streams("kitchen", streams, duration_s=duration_s, seed=seed)


def _of(mix: Mix, stream: str) -> list[Ask]:
    return [ask for ask in mix.asks if ask.stream == stream]


def test_each_stream_arrives_by_its_own_process() -> None:
    """Streams arrive by their processes, from their start and before the end, each about sample 0, 1, 2 and so on."""
    mix = _mix(Stream("a", "one", Constant(1.0)), Stream("b", "two", Constant(2.0), start_s=0.5), duration_s=3.0)
    found = [(ask.stream, ask.network, ask.arrival_s, ask.sample) for ask in mix.asks]
    assert found == [
        ("a", "one", 0, 0),
        ("b", "two", 0.5, 0),
        ("a", "one", 1, 1),
        ("a", "one", 2, 2),
        ("b", "two", 2.5, 1),
    ]


def test_answers_trigger_requests_of_another_stream() -> None:
    """A triggered request is about its trigger's sample, and names its trigger in condition and feeds."""
    mix = _mix(*STREAMS)
    for ask in _of(mix, "names"):
        assert ask.after is not None
        trigger = mix.asks[ask.after]
        assert trigger.stream == "faces"
        assert (ask.sample, ask.batch, ask.arrival_s) == (trigger.sample, trigger.batch, trigger.arrival_s)
        assert ask.when == Condition(ask.after, 0.8, at=(0, 1))
        assert ask.feeds == (Feed("x", request=ask.after),)
    assert 0 < len(_of(mix, "faces")) == len(_of(mix, "names")) < len(_of(mix, "camera"))


def test_a_frame_and_all_that_it_triggers_are_a_batch() -> None:
    """Each request that nothing triggers begins a batch, in order of arrival."""
    asks = _mix(*STREAMS).asks
    assert [ask.batch for ask in asks if ask.after is None] == list(range(sum(ask.after is None for ask in asks)))


@pytest.mark.parametrize(
    ("stream", "deadline_s"),
    [
        (CAMERA, 0.5),
        (SOUND, 0.5),
        (Stream("a", "x", Constant(2.0), deadline_s=0.25), 0.25),
        (Stream("a", "x", Trace((0.0, 1.0, 5.0))), 2.5),
        (Stream("a", "x", Trace((0.0,))), None),
    ],
)
def test_the_deadline_is_the_mean_interval(stream: Stream, deadline_s: float | None) -> None:
    """A stream without a deadline of its own is due within its mean interval, if it has one."""
    assert {ask.deadline_s for ask in _mix(stream).asks} == {deadline_s}


def test_a_triggered_stream_has_the_deadline_of_its_trigger() -> None:
    """A triggered stream is due as long after its own arrival as its trigger, or after the time that it has itself."""
    own = Stream("speech", "whisper", after="faces", deadline_s=3.0)
    mix = _mix(CAMERA, FACES, own)
    assert [{ask.deadline_s for ask in _of(mix, name)} for name in ("faces", "speech")] == [{0.5}, {3.0}]


@given(st.integers(0, 99), st.sampled_from(STREAMS))
def test_other_streams_and_a_longer_time_change_no_arrival(seed: int, extra: Stream) -> None:
    """The same seed gives the same requests of a stream, whichever others are beside it and however long it goes on."""
    extra = Stream("extra", extra.network, Exponential(0.7))
    mix, more = _mix(*STREAMS, seed=seed), _mix(extra, *STREAMS, seed=seed, duration_s=30.0)
    for stream in STREAMS:
        own = [(ask.arrival_s, ask.sample) for ask in _of(mix, stream.name)]
        assert own == [(ask.arrival_s, ask.sample) for ask in _of(more, stream.name)][: len(own)]


def test_streams_of_one_network_have_random_numbers_of_their_own() -> None:
    """Two cameras with the same jitter do not arrive at the same times, and another seed gives others."""
    mix = _mix(CAMERA, Stream("second", "detector", Periodic(0.5, 0.1)))
    assert {ask.arrival_s for ask in _of(mix, "camera")}.isdisjoint(ask.arrival_s for ask in _of(mix, "second"))
    assert _mix(CAMERA, seed=2).asks != _mix(CAMERA, seed=3).asks


def test_requests_are_in_order_of_arrival() -> None:
    """Requests are in order of arrival, each after its trigger, and of the loop `open`."""
    mix = _mix(*STREAMS)
    assert all(before.arrival_s <= after.arrival_s for before, after in pairwise(mix.asks))
    assert all(ask.after is None or ask.after < r for r, ask in enumerate(mix.asks))
    assert (mix.loop, mix.seed) == ("open", 1)


def test_the_record_names_all_that_decides_the_arrivals() -> None:
    """The words for the arrivals contain each stream's process, start, trigger and probability, in the mix's unit."""
    assert _mix(*STREAMS).arrivals == (
        "camera: periodic, every 0.5 s, jitter 0.1 s; faces: after camera, probability 0.5; names: after faces; "
        "sound: poisson, 2 a second, from 1 s"
    )
    late = Stream("sound", "keyword", Constant(2.0), start_s=1.0)
    mix = Mix.of_streams("relative", [late], duration_s=9.0, clock="service")
    assert mix.arrivals == "sound: constant, every 2 service times, from 1 service times"


def test_times_in_service_times_scale_with_the_machine() -> None:
    """In service times, arrivals and deadlines are multiples of the time that one batch takes."""
    mix = Mix.of_streams("relative", [Stream("sound", "a", Constant(2.0))], duration_s=5.0, clock="service")
    requests = mix.workload({"a": network((1, 1, 1))}, service_s=0.25).requests
    assert [(request.arrival_s, request.deadline_s) for request in requests] == [(0, 0.5), (0.5, 0.5), (1.0, 0.5)]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({}, "stream s: has neither `arrivals` nor `after`; give one of them"),
        ({"arrivals": Constant(1), "after": "t"}, "stream s: has both `arrivals` and `after`; give one of them"),
        ({"after": "t", "start_s": 1}, "stream s: has `start_s` but not `arrivals`; give `arrivals`, or leave it out"),
        (
            {"arrivals": Constant(1), "probability": 0.5},
            "stream s: has `probability` but not `after`; give `after`, or leave it out",
        ),
        (
            {"arrivals": Constant(1), "when": Condition(0, 0.5)},
            "stream s: has `when` but not `after`; give `after`, or leave it out",
        ),
        (
            {"after": "t", "probability": 0},
            "stream s: probability=0.0: not above 0 and at most 1; give one such as 0.5",
        ),
        ({"arrivals": Constant(1), "queue": 0}, "stream s: queue=0: too small; give at least 1"),
        (
            {"arrivals": Constant(1), "start_s": -1},
            "stream s: start_s=-1.0: not a time after the start; give 0 or more seconds",
        ),
        (
            {"arrivals": Constant(1), "deadline_s": 0},
            "stream s: deadline_s=0.0: can never be met; give more than 0 seconds",
        ),
        (
            {"after": "t", "when": Condition(3, 0.5)},
            "stream s: depends on request 3; name request 0, which is the one that triggers",
        ),
    ],
)
def test_values_that_do_not_go_together_are_refused(fields: dict[str, Any], message: str) -> None:
    """A stream with invalid values is refused in one sentence that names it."""
    with pytest.raises(ValueError, match=r"^stream s: ") as caught:
        Stream("s", "x", **fields)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("streams", "message"),
    [
        ([], "streams: are empty; give at least one"),
        ([CAMERA, CAMERA], "stream camera: has the name of another one; give each its own"),
        (
            [FACES, CAMERA],
            "stream faces: after='camera' is not an earlier stream; list it after the stream that triggers it",
        ),
        (
            [CAMERA, Stream("faces", "x", after="camra")],
            "stream faces: after='camra' is not an earlier stream; did you mean camera?",
        ),
        (
            [Stream("a", "x", Constant(9.0), start_s=60)],
            "workload kitchen: has no request in 20 s; lengthen duration_s",
        ),
        (
            [Stream("a", "x", Constant(1e-5))],
            "stream a: more than 100000 arrivals in 20 s; lengthen the intervals",
        ),
        ([Stream("a", "x", "fast")], "stream a: process='fast': not an arrival process; give one such as Poisson(2.0)"),  # type: ignore[arg-type]
    ],
)
def test_streams_that_make_no_mix_are_refused(streams: Sequence[Stream], message: str) -> None:
    """Streams that cannot form a mix are refused in one sentence."""
    with pytest.raises(ValueError, match=r"^(streams?|workload)") as caught:
        _mix(*streams)
    assert str(caught.value) == message


@pytest.mark.parametrize("duration_s", [0.0, -1.0, math.inf, math.nan])
def test_the_duration_is_positive(duration_s: float) -> None:
    """A duration that is not positive and finite is refused."""
    with pytest.raises(ValueError, match=r"^duration_s=.*: not positive; give a number of seconds, such as 10$"):
        _mix(CAMERA, duration_s=duration_s)


def test_a_queue_needs_a_stream() -> None:
    """A request whose queue belongs to no stream is refused."""
    with pytest.raises(ValueError, match="queue=1: for requests without a stream; name their stream"):
        Mix("plain", (Ask("a", queue=1),))


def test_only_an_earlier_request_triggers() -> None:
    """A request that comes after itself or a later one is refused."""
    with pytest.raises(ValueError, match="it comes after request 1; only an earlier one can trigger it"):
        Mix("plain", (Ask("a", after=1), Ask("a")))


def test_a_mix_of_streams_has_its_times_already() -> None:
    """A mix of streams in seconds cannot be turned into service times, and says how it is made with these."""
    with pytest.raises(ValueError, match="has times in seconds; give of_streams clock='service'"):
        _mix(CAMERA).in_service_times()
