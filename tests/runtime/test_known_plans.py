"""Plans of patterns that came before: they are those that the policy would make, and do not accumulate."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from hypothesis import given
from hypothesis import strategies as st

from pytest_edgeload.planning.plan import Budget, Plan, Task
from pytest_edgeload.policies import BY_ORDER, POLICIES
from pytest_edgeload.runtime.open_plan import MAX_TASKS, KnownPlans, OpenPlan
from pytest_edgeload.runtime.planning import Planner, TimedAsk
from tests.builders import SPEEDS
from tests.runtime.test_remainder import NETWORKS

ASKED = st.lists(st.tuples(st.sampled_from(sorted(NETWORKS)), st.sampled_from([0.0, 0.25, 1.0, 7.0])), min_size=1)


def _planner(policy: str) -> Planner:
    return Planner(NETWORKS, policy, POLICIES[policy], Budget(250, 2, SPEEDS), policy in BY_ORDER)


def _timed(asked: Sequence[tuple[str, float]]) -> list[TimedAsk]:
    """Return requests with so many seconds from each to the next."""
    arrivals = [sum(gap_s for _, gap_s in asked[:r]) for r in range(len(asked))]
    return [TimedAsk(name, arrived_s) for (name, _), arrived_s in zip(asked, arrivals, strict=True)]


@given(st.sampled_from(sorted(POLICIES)), st.lists(ASKED.filter(lambda asked: len(asked) < 5), min_size=2, max_size=6))
def test_known_plans_are_those_of_the_policy(policy: str, patterns: list[list[tuple[str, float]]]) -> None:
    """A planner that has planned other requests before makes the plan and the peak of a new planner."""
    planner = _planner(policy)
    for asked in patterns:
        timed = _timed(asked)
        assert planner.plan(timed) == _planner(policy).plan(timed)
        assert planner.peak_bytes(timed) == _planner(policy).peak_bytes(timed)


def test_a_pattern_is_planned_once() -> None:
    """Requests in the same order at other times have the very same plan, those with a deadline another one."""
    planner = _planner("lru")
    known = planner.plan(_timed([("small", 1.0), ("large", 0.0), ("large", 0.0)]))
    assert planner.plan(_timed([("small", 7.0), ("large", 0.0), ("large", 0.0)])) is known
    assert planner.plan(_timed([("small", 7.0), ("large", 1.0), ("large", 0.0)])) is not known
    due = [ask._replace(deadline_s=1.0) for ask in _timed([("small", 1.0)])]
    assert planner.plan(due) is not planner.plan(due)


def test_known_plans_are_bounded() -> None:
    """All plans are forgotten before they have more than MAX_TASKS different tasks."""
    known, made = KnownPlans(), []

    def make(number: int) -> OpenPlan:
        made.append(number)
        return OpenPlan(Plan(tuple(Task("exec", number, i) for i in range(MAX_TASKS // 4))), 0)

    for number in (0, 1, 2, 3, 0, 3, 4, 4, 0):
        assert known.plan(number, partial(make, number)).plan.tasks[0].request == number
    assert made == [0, 1, 2, 3, 4, 0]
