"""The tasks that are left of a plan whose first requests have been served: they find all weights that they need."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_edgeload.planning.plan import Budget, StepLoop
from pytest_edgeload.policies import POLICIES
from pytest_edgeload.runtime.planning import Planner, TimedAsk
from pytest_edgeload.runtime.remainder import Remainder, StoredTile
from tests.builders import SPEEDS, network

NETWORKS = {
    "small": network((8, 4, 2), (16, 4, 2), kinds=["conv2d", "linear"], flops=[8, 4], name="small"),
    "large": network((32, 8, 2), (64, 8, 2), (8, 4, 1), flops=[8, 16, 4], name="large"),
}
ASKS = st.lists(
    st.builds(
        TimedAsk,
        st.sampled_from(sorted(NETWORKS)),
        st.just(0.0),
        st.integers(1, 3),
        st.none() | st.sampled_from([1.0, 5.0]),
    ),
    min_size=2,
    max_size=6,
)


def _check(left: Remainder, loops: list[StepLoop], asked: list[TimedAsk], past: int) -> None:
    """Check in the order of creation that weights are there when they are executed or freed, and all execs are left."""
    held = {load.weights for load in left.kept.values()}
    execs = []
    for index, task in enumerate(left.tasks):
        assert all(awaited < index for awaited in task.after)
        if task.kind == "load":
            assert task.weights not in held
            held.add(task.weights)
        elif task.kind == "free":
            held.remove(task.weights)
        elif task.kind == "exec":
            assert task.weights in held
            execs.append((task.request, task.layer))
    expected = [(r, i) for r in range(past, len(asked)) for i in range(len(NETWORKS[asked[r].network].layers))]
    assert sorted(set(execs)) == expected
    for loop in loops:
        assert 0 <= loop.first < loop.end <= len(left.tasks)


@pytest.mark.parametrize("policy", POLICIES)
@given(asks=ASKS, memory=st.none() | st.sampled_from([100, 250]), data=st.data())
def test_tasks_that_are_left_have_their_weights(
    policy: str, asks: list[TimedAsk], memory: int | None, data: st.DataObject
) -> None:
    """Whatever is in memory after the past requests, the rest loads what it lacks, and each request is executed."""
    asked = [ask._replace(arrived_s=float(r)) for r, ask in enumerate(asks)]
    past = data.draw(st.integers(1, len(asked) - 1))
    planner = Planner(NETWORKS, policy, POLICIES[policy], Budget(memory, 2, SPEEDS))
    plan, end = planner.plan(asked)
    loads = [task for task in plan.tasks[:end] if task.kind == "load" and task.request < past]
    stored: dict[StoredTile, int | None] = {(asked[t.request].network, t.layer, t.tile): t.place for t in loads}
    places = {tile: stored[tile] for tile in data.draw(st.sets(st.sampled_from([*stored]) if stored else st.nothing()))}
    left = Remainder([ask.network for ask in asked[:past]], places)
    loops = left.add(plan, end)
    assert left.kept.keys() <= places.keys()
    _check(left, loops, asked, past)


@pytest.mark.parametrize("policy", sorted(POLICIES.keys() - {"stream"}))
@given(asks=ASKS)
def test_a_plan_goes_on_when_requests_come(policy: str, asks: list[TimedAsk]) -> None:
    """No policy of this table looks ahead: the plan of more requests begins with the plan of those before.

    `stream` chooses the tiles that it keeps anew, and then the next window begins.
    """
    asked = [ask._replace(arrived_s=float(r)) for r, ask in enumerate(asks)]
    planner = Planner(NETWORKS, policy, POLICIES[policy], Budget(250, 2, SPEEDS))
    before = planner.plan(asked[:-1])
    assert planner.plan(asked).continues(before)
