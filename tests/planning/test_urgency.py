"""Urgency: as many requests as possible can be in time, and expected times are corrected by measured ones."""

from __future__ import annotations

from itertools import combinations, groupby

from hypothesis import given
from hypothesis import strategies as st

from pytest_edgeload.planning.plan import DEADLINES_UNTIL_FIRST
from pytest_edgeload.planning.urgency import UNKNOWN_SHARE, Urgency

WORK = st.lists(st.tuples(st.integers(1, 8), st.integers(0, 20)), min_size=1, max_size=6)
"""The work of some requests, and when they are due."""


def _urgency(work: list[tuple[int, int]]) -> Urgency:
    urgency = Urgency()
    for r, (service_s, due_s) in enumerate(work):
        urgency.arrive(r, f"stream {r}", due_s, service_s / UNKNOWN_SHARE, 1)
    return urgency


def _class(urgency: Urgency, request: int, due_s: float, now_s: float) -> float:
    """Return the class of a request that arrived at the start."""
    return urgency.rank(request, due_s, 0.0, now_s, now_s)[0]


def _can_be_in_time(work: list[tuple[int, int]]) -> bool:
    """Return whether all requests are in time if the earliest deadline is served first."""
    end_s = 0
    for service_s, due_s in sorted(work, key=lambda each: each[1]):
        end_s += service_s
        if end_s > due_s:
            return False
    return True


@given(WORK)
def test_as_many_requests_as_possible_can_be_in_time(work: list[tuple[int, int]]) -> None:
    """The requests of the first class can all be in time, and no larger set of requests can."""
    urgency = _urgency(work)
    first = [each for r, each in enumerate(work) if _class(urgency, r, each[1], 0.0) == 1]
    assert _can_be_in_time(first)
    larger = combinations(work, len(first) + 1)
    assert not any(_can_be_in_time([*some]) for some in larger)


@given(WORK, st.data())
def test_requests_of_the_first_class_are_in_time_with_those_that_they_wait_for(
    work: list[tuple[int, int]], data: st.DataObject
) -> None:
    """If the first class is served by rank, of the requests with the same rank the last one is in time.

    Work counts once, and all of it counts as long as one request needs it. If one request can be in time, some are.
    """
    urgency = Urgency()
    behind: list[set[int]] = []
    for r, (service_s, due_s) in enumerate(work):
        behind.append(data.draw(st.sets(st.integers(0, r - 1))) if r else set())
        urgency.arrive(r, f"stream {r}", due_s, service_s / UNKNOWN_SHARE, 1, behind=behind[r])
    ranks = {r: urgency.rank(r, due_s, 0.0, 0.0, 0.0) for r, (_, due_s) in enumerate(work)}
    first = sorted((r for r in ranks if ranks[r][0] == 1), key=ranks.__getitem__)
    assert all(behind[r] <= set(first) for r in first)
    end_s = 0
    for _, group in groupby(first, key=ranks.__getitem__):
        together = [*group]
        end_s += sum(work[r][0] for r in together)
        assert end_s <= max(work[r][1] for r in together)
    needed = [{r} for r in ranks]
    for r in ranks:
        needed[r].update(*(needed[each] for each in behind[r]))
    assert first or not any(sum(work[each][0] for each in needed[r]) <= work[r][1] for r in ranks)


def test_work_that_another_request_needs_is_not_given_up() -> None:
    """The largest request does not give way if another needs most of its work: without it, 4 + 1 + 4 + 3 > 11."""
    work, behind = [(4, 0), (1, 10), (1, 11), (4, 11), (3, 11)], [(), (0,), (0,), (), ()]
    urgency = Urgency()
    for r, (service_s, due_s) in enumerate(work):
        urgency.arrive(r, f"stream {r}", due_s, service_s / UNKNOWN_SHARE, 1, behind=behind[r])
    first = [r for r, (_, due_s) in enumerate(work) if _class(urgency, r, due_s, 0.0) == 1]
    assert first == [0, 1, 2, 3]


def test_work_of_a_request_that_another_waits_for_counts() -> None:
    """A request cannot be in time if it waits for one that is due later, and both take too long together.

    The one that it waits for can be in time then, alone; and both can if there is time for both.
    """
    for due_s, classes in ((5.0, (2, 1)), (6.0, (1, 1))):
        urgency = Urgency()
        urgency.arrive(0, "first", 8.0, 3.0 / UNKNOWN_SHARE, 1)
        urgency.arrive(1, "second", due_s, 3.0 / UNKNOWN_SHARE, 1, behind=(0,))
        assert (_class(urgency, 1, due_s, 0.0), _class(urgency, 0, 8.0, 0.0)) == classes


def test_sequence_without_tasks_has_no_work_left() -> None:
    """A request of several steps whose network has no layers can be in time."""
    urgency = Urgency()
    urgency.arrive(0, "camera", 4.0, 0.0, 0, steps=3)
    assert _class(urgency, 0, 4.0, 0.0) == 1


def test_work_that_is_done_counts_no_more() -> None:
    """A request that has too little time for all of its work is in time again when half of it is done."""
    urgency = Urgency()
    urgency.arrive(0, "camera", 4.0, 6.0 / UNKNOWN_SHARE, 2)
    assert _class(urgency, 0, 4.0, 0.0) == 2
    urgency.run(0, 0, 1.0, 1)
    assert _class(urgency, 0, 4.0, 1.0) == 1


def test_time_that_has_passed_counts_if_few_tasks_have_ended() -> None:
    """A request whose first tasks take most of its time is in time after them, although most tasks are left."""
    urgency = Urgency()
    urgency.arrive(0, "camera", 6.0, 5.0 / UNKNOWN_SHARE, 100)
    urgency.run(0, 0, 4.0, 99)
    assert _class(urgency, 0, 6.0, 5.0) == 1
    assert _class(urgency, 0, 6.0, 5.5) == 2


def test_expected_times_follow_the_last_answer() -> None:
    """After an answer that took twice as long as expected on one lane, the others of its stream take twice as long.

    Those of other streams do as well, but for UNKNOWN_SHARE.
    """
    urgency = Urgency()
    urgency.arrive(0, "camera", 9.0, 2.0, 2)
    urgency.run(0, 0, 4.0, 1)
    urgency.run(0, 1, 1.0, 0)
    urgency.answer(0)
    for r, stream, service_s in ((1, "camera", 2.0), (2, "microphone", 2.0 / UNKNOWN_SHARE)):
        urgency.arrive(r, stream, 7.0, service_s, 1)
        assert _class(urgency, r, 7.0, 3.0) == 1
        assert _class(urgency, r, 7.0, 3.5) == 2
        urgency.leave(r)


def test_expected_times_follow_the_last_answer_of_the_network() -> None:
    """Before the first answer of a stream, the one of another stream of its network counts, and in full.

    It does not count for other networks, nor for sequences.
    """
    urgency = Urgency()
    urgency.arrive(0, "camera", 9.0, 2.0, 1, network=7)
    urgency.run(0, 0, 4.0, 0)
    urgency.answer(0)
    for network, steps, doubt in ((7, 1, 1.0), (8, 1, UNKNOWN_SHARE), (7, 2, UNKNOWN_SHARE)):
        urgency.arrive(1, "microphone", 7.0, 2.0 / doubt, 1, steps=steps, network=network)
        assert _class(urgency, 1, 7.0, 3.0) == 1
        assert _class(urgency, 1, 7.0, 3.5) == 2
        urgency.leave(1)


def test_requests_without_a_stream_follow_the_last_answer_of_the_network() -> None:
    """The last answer of the same network counts in full, that of another one only as the benefit of the doubt."""
    urgency = Urgency()
    for r, network, factor in ((0, 7, 2.0), (1, 8, 4.0)):
        urgency.arrive(r, None, 99.0, 2.0, 1, network=network)
        urgency.run(r, 0, 2.0 * factor, 0)
        urgency.answer(r)
    for network, factor in ((7, 2.0), (8, 4.0), (9, UNKNOWN_SHARE * 3.0)):
        urgency.arrive(2, None, 16.0, 12.0 / factor, 1, network=network)
        assert _class(urgency, 2, 16.0, 4.0) == 1
        assert _class(urgency, 2, 16.0, 4.5) == 2
        urgency.leave(2)


def test_steps_take_as_long_as_those_before() -> None:
    """A request of 4 steps cannot be in time any more when the second one took too long, and certainly the third one.

    Reading does not count, nor does the first step, which begins cold. After half of the steps, half of the doubt is
    left.
    """
    urgency = Urgency()
    urgency.arrive(0, "chat", 20.0, 1.0, 8, steps=4)
    urgency.run(0, 1, 9.0, 8)
    urgency.run(0, 0, 9.0, 7)
    urgency.run(0, 0, 9.0, 6)
    assert _class(urgency, 0, 20.0, 19.0) == 1
    urgency.run(0, 0, 3.0, 5)
    urgency.run(0, 0, 3.0, 4)
    left_s = 12.0 * (1 + UNKNOWN_SHARE) / 2
    assert _class(urgency, 0, 20.0, 20.0 - left_s) == 1
    assert _class(urgency, 0, 20.0, 20.5 - left_s) == 2
    urgency.run(0, 0, 3.0, 3)
    urgency.run(0, 0, 3.0, 2)
    left_s = 6.0 * (3 + UNKNOWN_SHARE) / 4
    assert _class(urgency, 0, 20.0, 20.0 - left_s) == 1
    assert _class(urgency, 0, 20.0, 20.5 - left_s) == 2


def test_a_late_request_is_as_urgent_as_one_behind_it() -> None:
    """A late request goes by the deadline of one that waits for it, as long as both together can be in time."""
    urgency = Urgency()
    urgency.arrive(0, "camera", 2.0, 3.0 / UNKNOWN_SHARE, 3)
    urgency.run(0, 0, 2.0, 1)
    urgency.arrive(1, "camera", 6.0, 2.0 / UNKNOWN_SHARE, 1, behind=(0,))
    assert urgency.rank(0, 2.0, 0.0, 0.0, 2.5) == urgency.rank(1, 4.0, 2.0, 2.0, 2.5)
    assert _class(urgency, 0, 2.0, 3.0) == 1
    assert _class(urgency, 0, 2.0, 3.5) == 3
    assert _class(urgency, 1, 6.0, 3.5) == 2


def test_least_work_goes_first_of_requests_due_at_once() -> None:
    """Of requests with the same deadline, the one with less work left goes first."""
    urgency = _urgency([(3, 6), (1, 6)])
    assert urgency.rank(1, 6.0, 0.0, 0.0, 0.0) < urgency.rank(0, 6.0, 0.0, 0.0, 0.0)
    urgency.run(0, 0, 2.5 / UNKNOWN_SHARE, 1)
    assert urgency.rank(0, 6.0, 0.0, 0.0, 2.0) < urgency.rank(1, 6.0, 0.0, 0.0, 2.0)


def test_doubt_does_not_change_the_order_of_requests_due_at_once() -> None:
    """The least work of all goes first, also if nothing is left of two requests with the benefit of the doubt."""
    urgency = _urgency([(3, 6), (3, 6)])
    urgency.run(0, 0, 3.0, 1)
    urgency.run(1, 0, 5.0, 1)
    assert urgency.rank(1, 6.0, 0.0, 0.0, 0.0) < urgency.rank(0, 6.0, 0.0, 0.0, 0.0)


def test_late_requests_go_last_until_they_waited_for_too_long() -> None:
    """A late request goes after all others, and before them after DEADLINES_UNTIL_FIRST deadlines."""
    urgency = _urgency([(1, 2)])
    assert _class(urgency, 0, 2.0, 2.5) == 3
    assert urgency.rank(0, 2.0, 0.0, 1.0, 2.0 * DEADLINES_UNTIL_FIRST + 1.5) == (0, 1.0)
