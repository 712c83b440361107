"""Metrics of streams: requests due, in time, late and dropped; rates, scores, the worst stream, fairness."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_edgeload.networks.feed import Feed
from pytest_edgeload.results.measurement import Measurement
from pytest_edgeload.results.streams import fairness, real_time_score, requests_due, with_streams, xr_score
from pytest_edgeload.workload import Condition, Request, Workload
from tests.builders import network

NETWORK = network((1, 1, 1))
FRAME = Request(NETWORK, deadline_s=1.0, stream="camera")
WORDS = Request(NETWORK, deadline_s=2.0, stream="words")


def measured(
    requests: Sequence[Request], responses: Sequence[float | None], overrun: Sequence[int] = ()
) -> Measurement:
    """Return the run in which these requests arrive as asked and take these seconds; those without are dropped."""
    run = Measurement(
        outcome="ok",
        arrived_s=tuple(request.arrival_s for request in requests),
        response_s=tuple(responses),
        dropped=tuple(r for r, response_s in enumerate(responses) if response_s is None),
        overrun=tuple(overrun),
    )
    return with_streams(run, Workload("mix", tuple(requests)))


def arriving(request: Request, *times_s: float) -> list[Request]:
    """Return a request at each of these times."""
    return [replace(request, arrival_s=at_s) for at_s in times_s]


def test_answer_after_its_deadline_is_late_and_a_dropped_frame_is_due() -> None:
    """Of four frames due, one is in time to the moment, one late, and two were dropped by a full queue."""
    run = measured(arriving(FRAME, 0, 1, 2, 3), [1.0, 1.5, None, None], overrun=[2, 3])
    camera = run.streams["camera"]
    assert (camera.requests, camera.requests_due) == ((0, 1, 2, 3), 4)
    assert (camera.in_time, camera.deadline_misses, camera.overruns) == (0.25, 1, 2)
    assert (run.requests_due, run.in_time, run.overruns) == (4, 0.25, 2)


def test_overall_share_counts_requests_and_the_worst_stream_counts_alone() -> None:
    """Three frames of three and one of two answers in time are four of five; the worst stream has a half."""
    requests = [*arriving(FRAME, 0, 1, 2), *arriving(WORDS, 2, 2)]
    run = measured(requests, [0.5, 0.5, 0.5, 1.0, 3.0])
    assert (run.in_time, run.worst_in_time) == (0.8, 0.5)
    assert run.fairness == pytest.approx(1.5**2 / (2 * 1.25))


def test_request_whose_condition_failed_is_not_due() -> None:
    """A condition that fails, and all that depends on its request, takes nothing from the share in time."""
    asked = replace(WORDS, when=Condition(0, 0.5))
    requests = [FRAME, asked, replace(WORDS, after=1), replace(WORDS, feeds=(Feed(0, request=2),))]
    words = measured(requests, [0.5, None, None, None]).streams["words"]
    assert (words.requests_due, words.in_time, words.overruns, words.xr_score) == (0, None, 0, None)


@pytest.mark.parametrize("needs", [{"after": 0}, {"feeds": (Feed(0, request=0),)}, {"when": Condition(0, 0.5)}])
def test_request_that_needs_the_answer_of_a_dropped_one_is_due(needs: dict[str, object]) -> None:
    """What a full queue drops takes with it the requests that wait for its answer, and theirs: nobody gets these."""
    requests = [FRAME, replace(WORDS, **needs), replace(WORDS, after=1)]  # type: ignore[arg-type]
    assert requests_due(requests, [0, 1, 2], [0]) == [True, True, True]
    assert requests_due(requests, [1, 2], []) == [True, False, False]


def test_ignored_condition_is_none() -> None:
    """If conditions are ignored, every request is due."""
    requests = (FRAME, replace(WORDS, when=Condition(0, 0.5)))
    run = Measurement(outcome="ok", arrived_s=(0.0, 0.0), response_s=(0.5, 0.5))
    assert with_streams(run, Workload("mix", requests, "ignore")).in_time == 1.0


def test_rate_is_that_of_the_answers_while_the_stream_lasts() -> None:
    """A camera that sends four frames in four seconds has a rate of 1, of 0.5 with two dropped, and less if late."""
    frames = arriving(FRAME, 1, 2, 3, 4)

    def rate(responses: Sequence[float | None]) -> float | None:
        dropped = [r for r, response_s in enumerate(responses) if response_s is None]
        return measured(frames, responses, dropped).streams["camera"].rate_per_s

    assert rate([0.5] * 4) == 1.0
    assert rate([0.5, None, 0.5, None]) == rate([0.5, 0.5, None, None]) == 0.5
    assert rate([0.5, 0.5, 0.5, 5.0]) == 4 / 8
    assert rate([None] * 4) == 0.0
    assert measured([FRAME], [0.5]).streams["camera"].rate_per_s is None


def test_run_without_streams_has_a_share_in_time_if_there_are_deadlines() -> None:
    """Deadlines give a share in time; the metrics of streams stay away; without deadlines nothing changes."""
    plain = Request(NETWORK, deadline_s=1.0)
    run = measured([plain, replace(plain, deadline_s=None)], [2.0, 9.0])
    assert (run.in_time, run.requests_due, run.streams) == (0.5, 2, {})
    assert run.worst_in_time is run.xr_score is run.fairness is run.overruns is None
    assert measured([Request(NETWORK)], [1.0]).in_time is None


def test_metric_of_a_stream_has_its_name_in_brackets() -> None:
    """A measurement gives the metrics of its streams, also the response times of their requests; None without it."""
    run = measured([FRAME, WORDS, FRAME], [0.5, 1.0, 2.0])
    assert run.value("in_time[camera]") == 0.5
    assert run.value("response_s[camera]") == (0.5, 2.0)
    assert run.value("response_p50_s[camera]") == 1.25
    assert run.value("in_time[sound]") is run.value("makespan_s[camera]") is None


# ---- scores ----------------------------------------------------------------------------------------------------------


def test_real_time_score_falls_at_the_deadline() -> None:
    """It is a half at the deadline, and a third of a millisecond on each side decides: 1 / (1 + exp(15 x ms))."""
    assert real_time_score(0.0) == 0.5
    assert real_time_score(-1 / 3000) == pytest.approx(1 / (1 + math.exp(-5)))
    assert real_time_score(1 / 3000) == pytest.approx(1 / (1 + math.exp(5)))
    assert real_time_score(-math.inf) == 1.0
    assert real_time_score(0.003) == real_time_score(1e9) == 0.0


def test_dropped_requests_count_twice_in_the_score() -> None:
    """As in XRBench's code, half of the requests dropped and the others early are a quarter."""
    assert xr_score([-1.0, -1.0], 4) == 0.25
    assert xr_score([1.0], 1) == pytest.approx(0.0)
    assert (xr_score([-1.0], 1), xr_score([], 3), xr_score([], 0)) == (1.0, 0.0, None)


SHARES = st.lists(st.floats(0, 1), min_size=1, max_size=6)


@given(SHARES)
def test_fairness_is_between_one_stream_and_all(shares: list[float]) -> None:
    """Jain's index is 1 for equal shares, and at least 1/n."""
    found = fairness(shares)
    if found is not None:
        assert 1 / len(shares) - 1e-9 <= found <= 1 + 1e-9
    assert fairness([0.5] * len(shares)) == pytest.approx(1.0)


def test_fairness_is_the_share_of_streams_that_are_served() -> None:
    """If k of n streams are equally in time and the others never, it is k/n; it has no value if none ever is."""
    assert fairness([0.3, 0.3, 0.0, 0.0]) == pytest.approx(0.5)
    assert fairness([0.0, 0.0]) is fairness([]) is None
