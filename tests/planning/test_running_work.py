"""Shared work: tasks that run at once share a resource, and each does all of its work."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from hypothesis import given
from hypothesis import strategies as st

from pytest_edgeload.planning.running_work import RunningWork
from pytest_edgeload.planning.virtual_machine import DISK, PROCESSOR, RECLAIM, Resource, Work

SECONDS = st.integers(0, 16).map(lambda eighths: eighths / 8)
WORK = st.lists(st.tuples(st.sampled_from([DISK, PROCESSOR, RECLAIM]), SECONDS), max_size=3)


def alone(_on_disk: int, _on_processor: int, _in_reclaim: int) -> tuple[float, float, float]:
    """Slow nothing."""
    return 1.0, 1.0, 1.0


def shared(on_disk: int, on_processor: int, in_reclaim: int) -> tuple[float, float, float]:
    """Share each resource evenly."""
    return 1 / max(1, on_disk), 1 / max(1, on_processor), 1 / max(1, in_reclaim)


def ends(running: RunningWork, works: Sequence[Work]) -> dict[int, float]:
    """Start all tasks at 0 and return the end of each."""
    for index, work in enumerate(works):
        running.start(index, work, 0.0)
    found: dict[int, float] = {}
    while running:
        now_s = running.next_end_s
        if (ended := running.end(now_s)) is not None:
            found[ended] = now_s
    return found


@given(st.lists(WORK, max_size=6))
def test_tasks_that_share_nothing_take_the_time_of_their_work(works: list[Work]) -> None:
    """A task ends after the sum of its work, exactly."""
    assert ends(RunningWork(alone), works) == {i: sum(s for _, s in work) for i, work in enumerate(works)}


@given(st.lists(SECONDS, min_size=1, max_size=6))
def test_a_shared_resource_is_never_idle(seconds: list[float]) -> None:
    """Tasks on one disk all end by the sum of their work, the shortest first."""
    found = ends(RunningWork(shared), [[(DISK, each)] for each in seconds])
    assert abs(max(found.values()) - sum(seconds)) < 1e-9
    assert [seconds[index] for index in found] == sorted(seconds)


def test_a_task_goes_on_faster_when_the_other_has_ended() -> None:
    """Two loads of 1 and 2 s end at 2 and 3 s, and an exec beside them is not slowed."""
    found = ends(RunningWork(shared), [[(DISK, 1.0)], [(DISK, 2.0)], [(PROCESSOR, 1.5)]])
    assert found == {0: 2.0, 1: 3.0, 2: 1.5}


def test_a_task_that_starts_later_slows_the_others_from_then_on() -> None:
    """A load of 2 s that is joined after 1 s by one of 1 s ends with it, at 3 s."""
    running = RunningWork(shared)
    running.start(0, [(DISK, 2.0)], 0.0)
    running.start(1, [(DISK, 1.0)], 1.0)
    assert running.next_end_s == 3.0
    assert [running.end(3.0), running.end(3.0)] == [0, 1]


def test_the_next_part_is_asked_for_when_the_one_before_has_ended() -> None:
    """So the time of a part may depend on what other tasks did until then."""
    over: list[str] = []

    def first() -> Iterator[tuple[Resource, float]]:
        yield DISK, 1.0
        yield DISK, 3.0 if over else 0.5

    def second() -> Iterator[tuple[Resource, float]]:
        yield PROCESSOR, 0.75
        over.append("second")

    assert ends(RunningWork(alone), [first(), second()]) == {0: 4.0, 1: 0.75}
