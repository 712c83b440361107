"""check() lets through what an engine can carry out, and nothing else."""

from __future__ import annotations

import tracemalloc

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_edgeload.networks.layer import Network
from pytest_edgeload.plan import Budget, Builder, InvalidPlan, Kind, Order, Plan, Task, check
from pytest_edgeload.policies import POLICIES
from pytest_edgeload.workload import Condition, Conditions, Request, Workload
from tests.builders import BUDGETS, network, plan_of, timed_workloads, workload

POLICY = st.sampled_from(sorted(POLICIES))
INDEX = st.integers(0)  # taken modulo what there is


@given(timed_workloads(), POLICY, BUDGETS)
def test_built_in_policies_make_valid_plans(asked: Workload, policy: str, budget: Budget) -> None:
    """Every built-in policy's plan passes, whatever is asked and whatever it may plan with."""
    check(POLICIES[policy](asked, budget), asked)


@given(timed_workloads(), POLICY, BUDGETS)
def test_json(asked: Workload, policy: str, budget: Budget) -> None:
    """A plan that went through JSON is the same plan."""
    plan = POLICIES[policy](asked, budget)
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


def _of(task: Task) -> int:
    """Return the request by which a task is known; what one has loaded may be freed by another."""
    return task.weights[0] if task.kind == "free" else task.request


@given(timed_workloads(), POLICY, INDEX)
def test_no_task_may_be_missing(asked: Workload, policy: str, at: int) -> None:
    """A plan that lacks any one of its tasks is refused, and the task is named."""
    plan = plan_of(policy, asked)
    task = plan.tasks[at % len(plan.tasks)]
    with pytest.raises(InvalidPlan, match=f"^the plan lacks 1 {task.kind} of request {_of(task)}"):
        check(_without_task(plan, at % len(plan.tasks)), asked)


@given(timed_workloads(), POLICY, INDEX)
def test_no_task_may_come_twice(asked: Workload, policy: str, at: int) -> None:
    """A plan that repeats any one of its tasks is refused, and the task is named."""
    plan = plan_of(policy, asked)
    task = plan.tasks[at % len(plan.tasks)]
    with pytest.raises(InvalidPlan, match=f"^the plan has 1 {task.kind} too many of request {_of(task)}"):
        check(_with_task(plan, task), asked)


@given(timed_workloads(), POLICY, INDEX, st.integers(-2, 5))
def test_tasks_wait_for_earlier_ones(asked: Workload, policy: str, at: int, ahead: int) -> None:
    """A task that waits for itself, a later one, one past the end or a negative index is refused."""
    plan = plan_of(policy, asked)
    index = at % len(plan.tasks)
    awaited = index + ahead if ahead >= 0 else ahead
    with pytest.raises(InvalidPlan, match=rf"^task {index} \(.*\) waits for task {awaited}, which is not an earlier"):
        check(_with_after(plan, index, (*plan.tasks[index].after, awaited)), asked)


def _loosest(asked: Workload) -> Plan:
    """Return a plan with no wait but those that every plan needs; none of them follows from others."""
    plan = Builder(asked)
    for r, request in enumerate(asked.requests):
        init, step = plan.add("init", r), None
        for i in range(len(request.network.layers)):
            step = plan.add("exec", r, i, after=(plan.add("load", r, i, after=init), step))
            plan.add("free", r, i, after=step)
    return plan.done()


@given(timed_workloads())
def test_no_other_waits_are_needed(asked: Workload) -> None:
    """A plan passes whose loads wait for init, execs for load and exec before, frees for exec; inits on condition."""
    check(_loosest(asked), asked)


@given(timed_workloads(least_layers=1), INDEX, INDEX)
def test_each_of_these_waits_is_needed(asked: Workload, at: int, which: int) -> None:
    """A plan that lacks any one of these waits is refused, and both tasks are named."""
    plan = _loosest(asked)
    waiting = [i for i, task in enumerate(plan.tasks) if task.after]
    index = waiting[at % len(waiting)]
    task = plan.tasks[index]
    left_out = task.after[which % len(task.after)]
    lost = plan.tasks[left_out]
    words = rf"^task {index} \({task.kind} of .*\) does not wait for the {lost.kind} of request {lost.request}"
    with pytest.raises(InvalidPlan, match=words):
        check(_with_after(plan, index, tuple(a for a in task.after if a != left_out)), asked)


PARENT, CHILD = network((1, 1, 1), (1, 1, 1)), network((2, 2, 2))


def _conditional(conditions: Conditions, parent: Network = PARENT) -> Workload:
    return Workload("mix", (Request(parent), Request(CHILD, when=Condition(0, 0.5))), conditions)


@pytest.mark.parametrize(
    ("conditions", "awaited"), [("wait", Task("exec", 0, 1)), ("early", Task("init", 0)), ("ignore", None)]
)
@pytest.mark.parametrize("policy", POLICIES)
def test_what_a_condition_waits_for(policy: str, conditions: Conditions, awaited: Task | None) -> None:
    """A plan made without the condition passes if it is ignored; else only if the dependent waits as the mode says."""
    asked = _conditional(conditions)
    unconditional = plan_of(policy, workload(PARENT, CHILD))
    init = next(i for i, task in enumerate(unconditional.tasks) if (task.kind, task.request) == ("init", 1))
    free = _with_after(unconditional, init, ())
    check(plan_of(policy, asked), asked)
    if awaited is None:
        check(free, asked)
    else:
        layer = "" if awaited.layer is None else f", layer {awaited.layer}"
        words = rf"^task {init} \(init of request 1\) does not wait for the {awaited.kind} of request 0{layer}$"
        with pytest.raises(InvalidPlan, match=words):
            check(free, asked)


@pytest.mark.parametrize("conditions", ["wait", "early"])
def test_a_network_without_layers_answers_when_it_begins(conditions: Conditions) -> None:
    """What depends on a request without layers waits for its init, in both modes."""
    asked = _conditional(conditions, network())
    plan = plan_of("partial", asked)
    assert plan.tasks[1] == Task("init", 1, after=(0,))
    check(plan, asked)
    with pytest.raises(InvalidPlan, match=r"^task 1 \(init of request 1\) does not wait for the init of request 0$"):
        check(_with_after(plan, 1, ()), asked)


def test_a_wait_may_be_indirect() -> None:
    """An exec may wait for its load through another task."""
    tasks = (Task("init", 0), Task("load", 0, 0, (0,)), Task("exec", 0, 0, (1,)), Task("free", 0, 0, (2,)))
    check(Plan(tasks), workload(network((1, 1, 1))))


def test_a_wait_for_the_same_task_of_another_request_is_none() -> None:
    """An exec that waits for another request's load instead of its own is refused."""
    asked = workload(network((1, 1, 1)), network((1, 1, 1)))
    plan = Plan((
        Task("init", 0), Task("load", 0, 0, (0,)), Task("exec", 0, 0, (0, 1)), Task("free", 0, 0, (2,)),
        Task("init", 1), Task("load", 1, 0, (4,)), Task("exec", 1, 0, (4, 1)), Task("free", 1, 0, (6,)),
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


def _chain(**changes: dict[str, int]) -> Plan:
    """Return the chain of a one-layer network, one of whose tasks, by kind, is changed."""
    plan = plan_of("linear", workload(CHILD))
    tasks = (msgspec.structs.replace(task, **changes.get(task.kind, {})) for task in plan.tasks)
    return Plan(tuple(tasks), 2)


@pytest.mark.parametrize("lane", [-1, 2])
@pytest.mark.parametrize("kind", ["init", "load", "exec", "free"])
def test_a_task_is_for_a_lane_there_is(kind: Kind, lane: int) -> None:
    """A task for a lane that the plan does not have is refused; for one that it has it is not."""
    check(_chain(**{kind: {"lane": 1}}), workload(CHILD))
    with pytest.raises(InvalidPlan, match=rf"\({kind} of .*\) is for lane {lane}; there are lanes 0 to 1$"):
        check(_chain(**{kind: {"lane": lane}}), workload(CHILD))


@pytest.mark.parametrize(("kind", "reserve"), [("exec", 1), ("free", 1), ("init", -1), ("load", -1), ("exec", -1)])
def test_only_inits_and_loads_reserve(kind: Kind, reserve: int) -> None:
    """An exec or a free that reserves, or whatever reserves less than nothing, is refused."""
    words = rf"\({kind} of .*\) reserves {reserve} bytes; only an init or a load can reserve$"
    with pytest.raises(InvalidPlan, match=words):
        check(_chain(**{kind: {"reserve": reserve}}), workload(CHILD))


def test_inits_and_loads_reserve() -> None:
    """An init and a load may reserve any number of bytes."""
    check(_chain(init={"reserve": 1 << 50}, load={"reserve": 1}), workload(CHILD))


@pytest.mark.parametrize("order", ["created", "ready", "response-ratio"])
@pytest.mark.parametrize("count", [0, 1, 3])
def test_response_ratios_need_service_times(order: Order, count: int) -> None:
    """A plan by response ratio is refused without a service time for each request; another order needs none."""
    asked = workload(CHILD, CHILD)
    plan = msgspec.structs.replace(plan_of("partial", asked), order=order, service_s=(1.0,) * count)
    if order != "response-ratio":
        check(plan, asked)
        return
    words = f"^the order response-ratio needs service_s for 2 requests, not {count}$"
    with pytest.raises(InvalidPlan, match=words):
        check(plan, asked)
    check(msgspec.structs.replace(plan, service_s=(0.0, 1.0)), asked)


def test_builder() -> None:
    """`add` returns the index to wait for; `after` takes one, several, or None, which stands for nothing."""
    asked = workload(network((1, 1, 1), (1, 1, 1)))
    service_s = (1.0,)
    builder = Builder(asked, lanes=3, order="ready", memory_bytes=5, patience=2, service_s=service_s)
    assert builder.add("init", 0, reserve=4) == 0
    assert builder.add("load", 0, 0, after=0, lane=2) == 1
    assert builder.add("load", 0, 1, after=None) == 2
    assert builder.add("exec", 0, 0, after=(0, None, 1, 0), priority=(1.0,)) == 3
    tasks = (
        Task("init", 0, reserve=4),
        Task("load", 0, 0, (0,), 2),
        Task("load", 0, 1),
        Task("exec", 0, 0, (0, 1), None, (1.0,)),
    )
    assert builder.done() == Plan(tasks, 3, "ready", 5, 2, service_s)


def test_large_plans() -> None:
    """Checking takes memory in proportion to the plan: a hundred thousand tasks need less than 50 MB."""
    asked = workload(*[network(*[(1, 1, 1)] * 10)] * 3300)
    plan = plan_of("bulk", asked)
    assert len(plan.tasks) > 100_000
    tracemalloc.start()
    try:
        check(plan, asked)
        assert tracemalloc.get_traced_memory()[1] < 50_000_000
    finally:
        tracemalloc.stop()
