"""A loop is carried out like the plan without loops that it stands for, whatever the order and the durations."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from pytest_edgeload.planning.check import check_plan
from pytest_edgeload.planning.dispatch import Dispatcher
from pytest_edgeload.planning.plan import Budget, Loop, Plan, Task, unrolled
from pytest_edgeload.planning.simulate import simulate
from pytest_edgeload.policies import POLICIES
from pytest_edgeload.workload import Workload
from tests.builders import BUDGETS, timed_workloads


@st.composite
def loops(draw: st.DrawFn) -> Plan:
    """Draw a plan of any shape with up to two loops, one task a request."""
    lanes, count = draw(st.integers(1, 3)), draw(st.integers(1, 8))
    ends = sorted(draw(st.lists(st.integers(0, count), min_size=4, max_size=4)))
    found = [Loop(first, end, draw(st.integers(2, 4))) for first, end in (ends[:2], ends[2:]) if first < end]
    tasks = []
    for i in range(count):
        loop = next((loop for loop in found if i in loop), None)
        carried = () if loop is None else draw(st.lists(st.integers(loop.first, loop.end - 1), max_size=3, unique=True))
        after = draw(st.lists(st.integers(0, i - 1), max_size=3, unique=True)) if i else ()
        lane, priority = draw(st.none() | st.integers(0, lanes - 1)), draw(st.sampled_from([(), (0.0,), (1.0,)]))
        tasks.append(Task("exec", i, 0, tuple(after), lane, priority, carried=tuple(carried)))
    return Plan(tuple(tasks), lanes, draw(st.sampled_from(["created", "ready"])), loops=tuple(found))


def _starts(plan: Plan, choices: list[int], lanes: int) -> list[tuple[int, int]]:
    """Carry out `plan`, ending the running task that `choices` select; return each task's request and lane."""
    dispatcher, turn = Dispatcher(plan), 0
    running: list[tuple[int, int]] = []
    started: list[tuple[int, int]] = []
    while not dispatcher.finished:
        for lane in range(lanes):
            index = None if any(of == lane for _, of in running) else dispatcher.take(lane, float(turn))
            if index is not None:
                running.append((index, lane))
                started.append((plan.tasks[index].request, lane))
        turn += 1
        index, _ = running.pop(choices[turn % len(choices)] % len(running))
        dispatcher.end(index, float(turn))
    return started


@given(loops(), st.lists(st.integers(0, 5), min_size=1, max_size=8))
def test_loop_is_what_it_stands_for(plan: Plan, choices: list[int]) -> None:
    """The same tasks start in the same order on the same lanes, with the loops and without them."""
    flat, _ = unrolled(plan, 4)
    assert _starts(plan, choices, plan.lanes) == _starts(flat, choices, plan.lanes)


@given(loops(), st.integers(1, 4))
def test_unrolled_plan_has_every_step(plan: Plan, max_steps: int) -> None:
    """It has each task once for each step, up to the most steps, and each waits for earlier ones only."""
    flat, origins = unrolled(plan, max_steps)
    counts = Counter(task.request for task in flat.tasks)
    for index, loop in enumerate(plan.loop_of):
        assert counts[index] == (1 if loop is None else min(loop.steps, max_steps))
    assert all(before < index for index, task in enumerate(flat.tasks) for before in task.after)
    assert unrolled(plan.shortened(max_steps), 4) == (flat, origins)
    assert [plan.tasks[index].request for index, _ in origins] == [task.request for task in flat.tasks]


@given(timed_workloads(max_steps=3), st.sampled_from(sorted(POLICIES)), BUDGETS)
def test_policies_repeat_steps(asked: Workload, policy: str, budget: Budget) -> None:
    """Every policy runs each layer once in each step of each request, in plans that pass the check and end."""
    plan = POLICIES[policy](asked, budget)
    check_plan(plan, asked)
    spans = [plan.tasks[span.task] for span in simulate(plan, asked).spans]
    ran = Counter((task.request, task.layer) for task in spans if task.kind == "exec")
    for r, request in enumerate(asked.requests):
        assert all(ran[r, layer] == request.steps for layer in range(len(request.network.layers)))
