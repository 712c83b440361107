"""check() lets through what an engine can carry out, and nothing else."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_edgeload.plan import Builder, InvalidPlan, Plan, Task, check
from pytest_edgeload.policies import POLICIES
from pytest_edgeload.workload import Workload
from tests.builders import network, plan_of, workload, workloads

POLICY = st.sampled_from(sorted(POLICIES))
INDEX = st.integers(0)  # taken modulo what there is


@given(workloads(), POLICY, st.integers(1, 4))
def test_built_in_policies_make_valid_plans(asked: Workload, policy: str, lanes: int) -> None:
    """Every built-in policy's plan passes, whatever is asked and however many lanes there are."""
    check(plan_of(policy, asked, lanes), asked)


@given(workloads(), POLICY)
def test_json(asked: Workload, policy: str) -> None:
    """A plan that went through JSON is the same plan."""
    plan = plan_of(policy, asked)
    assert msgspec.json.decode(msgspec.json.encode(plan), type=Plan) == plan


def _with_after(plan: Plan, index: int, after: tuple[int, ...]) -> Plan:
    tasks = list(plan.tasks)
    tasks[index] = msgspec.structs.replace(tasks[index], after=after)
    return msgspec.structs.replace(plan, tasks=tuple(tasks))


def _with_task(plan: Plan, task: Task) -> Plan:
    return msgspec.structs.replace(plan, tasks=(*plan.tasks, task))


def _without_task(plan: Plan, index: int) -> Plan:
    """Leave out a task; who waited for it waits for what it waited for, so that nothing else is missing."""
    kept = []
    for i, task in enumerate(plan.tasks):
        after = [a for awaited in task.after for a in (plan.tasks[index].after if awaited == index else (awaited,))]
        if i != index:
            kept.append(msgspec.structs.replace(task, after=tuple(a - (a > index) for a in after)))
    return msgspec.structs.replace(plan, tasks=tuple(kept))


@given(workloads(), POLICY, INDEX)
def test_no_task_may_be_missing(asked: Workload, policy: str, at: int) -> None:
    """A plan that lacks any one of its tasks is refused, and the task is named."""
    plan = plan_of(policy, asked)
    task = plan.tasks[at % len(plan.tasks)]
    with pytest.raises(InvalidPlan, match=f"^the plan lacks 1 {task.kind} of request {task.request}"):
        check(_without_task(plan, at % len(plan.tasks)), asked)


@given(workloads(), POLICY, INDEX)
def test_no_task_may_come_twice(asked: Workload, policy: str, at: int) -> None:
    """A plan that repeats any one of its tasks is refused, and the task is named."""
    plan = plan_of(policy, asked)
    task = plan.tasks[at % len(plan.tasks)]
    with pytest.raises(InvalidPlan, match=f"^the plan has 1 {task.kind} too many of request {task.request}"):
        check(_with_task(plan, task), asked)


@given(workloads(), POLICY, INDEX, st.integers(-2, 5))
def test_tasks_wait_for_earlier_ones(asked: Workload, policy: str, at: int, ahead: int) -> None:
    """A task that waits for itself, a later one, one past the end or a negative index is refused."""
    plan = plan_of(policy, asked)
    index = at % len(plan.tasks)
    awaited = index + ahead if ahead >= 0 else ahead
    with pytest.raises(InvalidPlan, match=rf"^task {index} \(.*\) waits for task {awaited}, which is not an earlier"):
        check(_with_after(plan, index, (*plan.tasks[index].after, awaited)), asked)


def _loosest(asked: Workload) -> Plan:
    """Return a plan with no wait but those that every plan needs; none of them follows from others."""
    plan = Builder()
    for r, request in enumerate(asked.requests):
        step = plan.add("init", r)
        for i in range(len(request.network.layers)):
            step = plan.add("exec", r, i, after=(plan.add("load", r, i), step))
            plan.add("free", r, i, after=step)
    return plan.done()


@given(workloads())
def test_no_other_waits_are_needed(asked: Workload) -> None:
    """A plan passes whose execs wait for their load and for what is before them, and whose frees for their exec."""
    check(_loosest(asked), asked)


@given(workloads(least_layers=1), INDEX, INDEX)
def test_each_of_these_waits_is_needed(asked: Workload, at: int, which: int) -> None:
    """A plan that lacks any one of these waits is refused, and both tasks are named."""
    plan = _loosest(asked)
    waiting = [i for i, task in enumerate(plan.tasks) if task.after]
    index = waiting[at % len(waiting)]
    task = plan.tasks[index]
    left_out = task.after[which % len(task.after)]
    words = rf"^task {index} \({task.kind} of .*\) does not wait for the {plan.tasks[left_out].kind} of "
    with pytest.raises(InvalidPlan, match=words + f"request {task.request}"):
        check(_with_after(plan, index, tuple(a for a in task.after if a != left_out)), asked)


def test_a_wait_may_be_indirect() -> None:
    """An exec may wait for its load through another task."""
    tasks = (Task("init", 0), Task("load", 0, 0, (0,)), Task("exec", 0, 0, (1,)), Task("free", 0, 0, (2,)))
    check(Plan(tasks), workload(network((1, 1, 1))))


def test_a_wait_for_the_same_task_of_another_request_is_none() -> None:
    """An exec that waits for another request's load instead of its own is refused."""
    asked = workload(network((1, 1, 1)), network((1, 1, 1)))
    plan = Plan((
        Task("init", 0), Task("load", 0, 0), Task("exec", 0, 0, (0, 1)), Task("free", 0, 0, (2,)),
        Task("init", 1), Task("load", 1, 0), Task("exec", 1, 0, (4, 1)), Task("free", 1, 0, (6,)),
    ))  # fmt: skip
    with pytest.raises(InvalidPlan, match="does not wait for the load of request 1, layer 0"):
        check(plan, asked)


@pytest.mark.parametrize("lanes", [0, -1])
def test_a_plan_has_lanes(lanes: int) -> None:
    """A plan without a lane is refused."""
    with pytest.raises(InvalidPlan, match=f"at least one lane, not {lanes}"):
        check(Plan((Task("init", 0),), lanes), workload(network()))


@pytest.mark.parametrize(
    ("task", "words"),
    [
        (Task("load", 0, 1), "1 load too many of request 0, layer 1"),
        (Task("load", 0, -1), "1 load too many of request 0, layer -1"),
        (Task("load", 0), "1 load too many of request 0$"),
        (Task("init", 0, 0), "1 init too many of request 0, layer 0"),
        (Task("init", 1), "1 init too many of request 1"),
        (Task("init", -1), "1 init too many of request -1"),
    ],
)
def test_tasks_of_what_was_not_asked(task: Task, words: str) -> None:
    """A task of a layer or a request that the workload does not have is refused by its name."""
    asked = workload(network((1, 1, 1)))
    with pytest.raises(InvalidPlan, match=words):
        check(_with_task(plan_of("linear", asked), task), asked)


def test_builder() -> None:
    """`add` returns the index to wait for; `after` takes one, several, or None, which stands for nothing."""
    builder = Builder(lanes=3, order="ready")
    assert builder.add("init", 0) == 0
    assert builder.add("load", 0, 0, after=0) == 1
    assert builder.add("load", 0, 1, after=None) == 2
    assert builder.add("exec", 0, 0, after=(0, None, 1)) == 3
    tasks = (Task("init", 0), Task("load", 0, 0, (0,)), Task("load", 0, 1), Task("exec", 0, 0, (0, 1)))
    assert builder.done() == Plan(tasks, 3, "ready")
