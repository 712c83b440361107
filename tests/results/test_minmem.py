"""Goals of a search, and what its runs say about a smallest limit."""

from __future__ import annotations

import pytest

from pytest_edgeload.results.minmem import Goal, Margin, Smallest, Trial, known_to_fail, known_to_work
from pytest_edgeload.results.threshold import Threshold
from tests.cases import CASE

M = 1 << 20
WORKS, IN_MEMORY = Goal(may_swap=False), Goal(may_swap=True, keeps_in_memory=True)


def _trial(megabytes: int, outcome: str = "ok", **fields: object) -> Trial:
    return Trial(megabytes * M, **{"may_swap": False, "outcome": outcome, **fields})  # type: ignore[arg-type]


def test_run_that_swaps_works_but_does_not_keep_in_memory() -> None:
    """A run of outcome ok that wrote 1 MiB to swap meets only the goal to work."""
    swapped = _trial(100, may_swap=True, swap_out_bytes=M)
    assert not IN_MEMORY.is_met(swapped)
    assert Goal(may_swap=True).is_met(swapped)
    assert IN_MEMORY.is_met(_trial(100, may_swap=True, swap_out_bytes=M - 1))
    assert not WORKS.is_met(_trial(100, "oom"))


@pytest.mark.parametrize(
    ("text", "is_higher_better", "good", "bad"),
    [("makespan:10%", False, 2.2, 2.3), ("makespan:10%+1s", False, 3.0, 3.1), ("throughput:10%", True, 1.8, 1.7)],
)
def test_margin_is_relative_to_plenty_in_the_direction_that_is_worse(
    text: str, *, is_higher_better: bool, good: float, bad: float
) -> None:
    """A value may be worse than with plenty of memory by the threshold, and better by any amount."""
    margin = Margin.of(Threshold.parse(text), [2.0], is_higher_better=is_higher_better)

    def contains(value: float) -> bool:
        return margin.contains(_trial(100, values={margin.figure: value}))

    assert contains(good)
    assert not contains(bad)
    assert contains(1000.0) == is_higher_better


def test_noise_of_plenty_is_not_a_lack_of_memory() -> None:
    """A run as bad as one with plenty is within the margin, and so is any run under a limit that plenty fits into."""
    margin = Margin.of(
        Threshold.parse("tokens_per_s:10%"), [30.0, 20.0, 31.0], is_higher_better=True, ample_bytes=200 * M
    )
    assert (margin.plenty, margin.worst) == (30.0, 20.0)
    goal = Goal(may_swap=False, margin=margin)
    met = {size: goal.is_met(_trial(size, values={"tokens_per_s": 19.0})) for size in (199, 200, 300)}
    assert met == {199: False, 200: True, 300: True}
    assert goal.is_met(_trial(199, values={"tokens_per_s": 20.0}))
    assert not goal.is_met(_trial(300, "oom", values={"tokens_per_s": 30.0}))


def test_run_without_the_figure_is_outside_its_margin() -> None:
    """A run that lacks the figure does not meet the goal."""
    goal = Goal(may_swap=False, margin=Margin("makespan", 1.0, 1.1, is_higher_better=False))
    assert goal.is_met(_trial(100, values={"makespan": 1.1}))
    assert not goal.is_met(_trial(100))
    assert not goal.is_met(_trial(100, "oom", values={"makespan": 1.1}))


def test_interrupted_search_knows_what_its_runs_say() -> None:
    """A limit works if all of its runs did; runs without a limit or with other swap do not count."""
    trials = [
        _trial(64, "oom"), _trial(128), _trial(96), _trial(96, "oom"), _trial(32, may_swap=True),
        Trial(None, may_swap=False, outcome="ok"),
    ]  # fmt: skip
    assert (known_to_work(WORKS, trials), known_to_fail(WORKS, trials)) == (128 * M, 96 * M)
    assert (known_to_work(WORKS, []), known_to_fail(WORKS, [])) == (None, None)


def test_runs_that_contradict_a_limit_are_failures_above_and_successes_below() -> None:
    """Runs at the limit itself, and without a limit, contradict nothing."""
    trials = (
        _trial(300, "oom"),
        _trial(50),
        _trial(100),
        _trial(100, "oom"),
        _trial(200),
        _trial(60, "oom"),
        _trial(70, "oom"),
    )
    found = Smallest(CASE, M, {"works": WORKS}, {"works": 100 * M}, trials)
    assert found.contradicting(WORKS, 100 * M) == [50 * M, 300 * M]
    assert found.nearest_failure(WORKS, 100 * M) == _trial(70, "oom")
    assert found.nearest_failure(WORKS, 60 * M) is None
