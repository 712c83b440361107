"""A loop is carried out like the plan without loops that it stands for, whatever the order and the durations."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from types import MappingProxyType

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_edgeload.planning.check import check_plan
from pytest_edgeload.planning.dispatch import Dispatcher
from pytest_edgeload.planning.plan import Budget, Builder, InvalidPlan, Plan, Span, StepLoop, Task, TaskTotal
from pytest_edgeload.planning.simulate import simulate
from pytest_edgeload.planning.span_log import KEPT_STEPS, SpanLog
from pytest_edgeload.planning.unrolled import unrolled
from pytest_edgeload.policies import POLICIES
from pytest_edgeload.workload import Request, Workload
from tests.builders import BUDGETS, SPEEDS, network, timed_workloads

NONE: Mapping[int, int] = MappingProxyType({})


@st.composite
def loops(draw: st.DrawFn) -> Plan:
    """Draw a plan of any shape with up to two loops, one task a request."""
    lanes, count = draw(st.integers(1, 3)), draw(st.integers(1, 8))
    ends = sorted(draw(st.lists(st.integers(0, count), min_size=4, max_size=4)))
    found = [StepLoop(first, end, draw(st.integers(2, 4))) for first, end in (ends[:2], ends[2:]) if first < end]
    tasks = []
    for i in range(count):
        loop = next((loop for loop in found if i in loop), None)
        carried = () if loop is None else draw(st.lists(st.integers(loop.first, loop.end - 1), max_size=3, unique=True))
        after = draw(st.lists(st.integers(0, i - 1), max_size=3, unique=True)) if i else ()
        lane, priority = draw(st.none() | st.integers(0, lanes - 1)), draw(st.sampled_from([(), (0.0,), (1.0,)]))
        tasks.append(Task("exec", i, 0, tuple(after), lane, priority, carried=tuple(carried)))
    return Plan(tuple(tasks), lanes, draw(st.sampled_from(["created", "ready"])), loops=tuple(found))


@st.composite
def chains(draw: st.DrawFn) -> Plan:
    """Draw a plan with a loop, in which most tasks of a lane wait for the one before alone."""
    count, steps = draw(st.integers(2, 7)), draw(st.integers(3, 4))
    tasks = [Task("exec", 0, 0, lane=0, carried=(count - 1,))]
    for i in range(1, count):
        lane = draw(st.sampled_from([0, 0, 0, 1]))
        others = draw(st.sampled_from([(), (), (), (max(0, i - 2),)]))
        tasks.append(Task("exec", i, 0, tuple(dict.fromkeys((i - 1, *others))), lane))
    if draw(st.booleans()):
        tasks.append(Task("exec", count, 0, (), 0, priority=draw(st.sampled_from([(), (1.0,)]))))
    return Plan(tuple(tasks), 2, loops=(StepLoop(0, count, steps),))


def _starts(
    plan: Plan, choices: list[int], drops: Mapping[int, int] = NONE, *, in_chains: bool = False
) -> list[tuple[int, int]]:
    """Carry out `plan`, ending the running task that `choices` select; return each task's request and lane.

    `drops` has the requests that are dropped, by turn. With `in_chains`, the end of a task that is followed by another
    one of its chain is not reported until the chain has ended, as lanes do.
    """
    dispatcher, turn = Dispatcher(plan), 0
    running: list[tuple[list[int], int]] = []  # the tasks of a chain so far, and their lane
    fresh: set[int] = set()
    started: list[tuple[int, int]] = []

    def note_fresh() -> None:
        lanes = dispatcher.fresh_lanes()
        fresh.update(range(plan.lanes) if None in lanes else [lane for lane in lanes if lane is not None])

    while not dispatcher.finished:
        for lane in range(plan.lanes):
            index = None if any(of == lane for _, of in running) else dispatcher.take(lane, float(turn))
            if index is not None:
                note_fresh()
                fresh.discard(lane)
                running.append(([index], lane))
                started.append((plan.tasks[index].request, lane))
        turn += 1
        if turn in drops and drops[turn] < len(dispatcher.arrived_s):
            dispatcher.drop(drops[turn], float(turn))
            note_fresh()
        if running:
            (first, *ended), lane = chosen = running.pop(choices[turn % len(choices)] % len(running))
            chain = dispatcher.chain(first) if in_chains and lane not in fresh else []
            if len(ended) < len(chain):
                chosen[0].append(chain[len(ended)])
                running.append(chosen)
                started.append((plan.tasks[chosen[0][-1]].request, lane))
            else:
                dispatcher.end(first, float(turn), ended)
                note_fresh()
    return started


DROPS = st.dictionaries(st.integers(1, 12), st.integers(0, 7), max_size=8)


@given(loops() | chains(), st.lists(st.integers(0, 5), min_size=1, max_size=8), DROPS)
def test_chain_is_what_its_tasks_are(plan: Plan, choices: list[int], drops: dict[int, int]) -> None:
    """The same tasks start on the same lanes whether the end of each is reported, or of several at once."""
    by_lane = [
        [[start for start in _starts(plan, choices, drops, in_chains=own) if start[1] == lane] for lane in range(3)]
        for own in (False, True)
    ]
    assert by_lane[0] == by_lane[1]


def test_tasks_with_loaded_weights_are_a_chain() -> None:
    """All execs of a step follow the first one, if their weights are kept; of the first and the last step, none do."""
    asked = Workload("loop", (Request(network((8, 4, 4), (16, 6, 4), (8, 4, 4)), steps=4),))
    plan = POLICIES["stream"](asked, Budget(speeds=SPEEDS))
    dispatcher, chains_by_step = Dispatcher(plan, asked.asked), dict[int, list[int]]()
    while not dispatcher.finished:
        index = next(i for lane in range(plan.lanes) if (i := dispatcher.take(lane)) is not None)
        step, task, chain = dispatcher.step(index), plan.tasks[index], dispatcher.chain(index)
        if task.kind == "exec" and task.layer == 0:
            chains_by_step[step] = [plan.tasks[each].layer or 0 for each in chain]
        dispatcher.end(index, 0.0, chain)
    assert chains_by_step == {0: [], 1: [1, 2], 2: [1, 2], 3: []}


@given(loops(), st.lists(st.integers(0, 5), min_size=1, max_size=8), DROPS)
def test_loop_is_what_it_stands_for(plan: Plan, choices: list[int], drops: dict[int, int]) -> None:
    """The same tasks start in the same order on the same lanes, with the loops and without them."""
    flat, _ = unrolled(plan, 4)
    assert _starts(plan, choices, drops) == _starts(flat, choices, drops)


@pytest.mark.parametrize("policy", POLICIES)
def test_dropped_loop_ends_at_once(policy: str) -> None:
    """A sequence that is dropped ends after the few tasks that run or free weights, however many steps are left."""
    decoder, other = network((8, 4, 4), (16, 6, 4)), network((8, 4, 4), name="other")
    asked = Workload("long", (Request(decoder, steps=10**9), Request(other)))
    plan = POLICIES[policy](asked, Budget(memory_bytes=100, speeds=SPEEDS))
    dispatcher, ran = Dispatcher(plan, asked.asked), Counter[int]()
    while not dispatcher.finished:
        index = next(i for lane in range(plan.lanes) if (i := dispatcher.take(lane)) is not None)
        ran[plan.tasks[index].request] += 1
        if ran[0] == 20:
            dispatcher.drop(0)
        dispatcher.end(index)
    assert ran[0] <= 20 + len(plan.tasks)
    assert ran[1] == sum(task.request == 1 for task in plan.tasks)
    assert dispatcher.discarded() == [0]


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


ASKED = Workload("loop", (Request(network((8, 4, 4), (16, 6, 4)), steps=4),))


def _linear(*loops: StepLoop) -> Plan:
    """Return the plan of `linear` for ASKED, with these loops and nothing that is carried over."""
    plan = POLICIES["linear"](ASKED, Budget())
    tasks = tuple(msgspec.structs.replace(task, carried=()) for task in plan.tasks)
    return msgspec.structs.replace(plan, loops=loops, tasks=tasks)


def _with_carried(plan: Plan, index: int, *carried: int) -> Plan:
    tasks = list(plan.tasks)
    tasks[index] = msgspec.structs.replace(tasks[index], carried=carried)
    return msgspec.structs.replace(plan, tasks=tuple(tasks))


@pytest.mark.parametrize(
    ("plan", "reason"),
    [
        (_linear(), "task 2 (exec of request 0, layer 0): runs 1 times, but its request has 4 steps"),
        (_linear(StepLoop(1, 7, 3)), "task 2 (exec of request 0, layer 0): runs 3 times, but its request has 4"),
        (_linear(StepLoop(0, 7, 4)), "task 0 (init of request 0): is in a loop"),
        (
            _linear(StepLoop(1, 3, 4), StepLoop(4, 7, 4)),
            "task 1 (load of request 0, layer 0): is not in the loop of its",
        ),
        (_linear(StepLoop(1, 9, 4)), "the loop of tasks 1 to 9: of 4 steps, does not exist"),
        (
            _linear(StepLoop(1, 4, 4), StepLoop(3, 7, 4)),
            "the loop of tasks 3 to 7: shares tasks with the loop before it",
        ),
        (_linear(StepLoop(1, 7, 4)), "task 1 (load of request 0, layer 0, step 1): does not wait for the free of"),
        (
            _with_carried(_linear(StepLoop(1, 7, 4)), 4, 9),
            "task 4 (load of request 0, layer 1): waits for the step of task 9 before its",
        ),
    ],
    ids=["none", "few", "init", "apart", "long", "shared", "free", "outside"],
)
def test_loop_that_cannot_run_is_refused(plan: Plan, reason: str) -> None:
    """A loop of other steps, with wrong tasks, or whose step does not wait for what it needs is refused by name."""
    with pytest.raises(InvalidPlan) as refused:
        check_plan(plan, ASKED)
    assert str(refused.value).startswith(reason)


def test_place_of_the_step_before_must_be_free() -> None:
    """A tile may not be loaded into the place of one that the step before may still use."""
    plan = Builder(ASKED, lanes=2, arena_bytes=4096)
    init = plan.add("init", 0)
    with plan.loop(4, overlapping=True):
        first = plan.add("load", 0, 0, after=init, place=0)
        step = plan.add("exec", 0, 0, after=first)
        free = plan.add("free", 0, 0, after=step)
        load = plan.add("load", 0, 1, after=(init, free), place=0)
        step = plan.add("exec", 0, 1, after=(step, load))
        last = plan.add("free", 0, 1, after=step)
    with pytest.raises(InvalidPlan, match="does not wait until request 0, layer 1 is freed from its place"):
        check_plan(plan.done(), ASKED)
    check_plan(_with_carried(plan.done(), first, free, last), ASKED)


def test_steps_take_as_long_as_one_after_the_other() -> None:
    """In virtual time, four steps of `linear` read and execute all layers four times; `bulk` reads them once."""
    linear, bulk = (simulate(POLICIES[name](ASKED, Budget()), ASKED, speeds=SPEEDS) for name in ("linear", "bulk"))
    assert (linear.makespan_s, bulk.makespan_s) == (4 * 24 / 8, 24 / 8)


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 9), st.integers(0, 8)), max_size=40))
def test_log_keeps_first_steps_and_totals(runs: list[tuple[int, int, int]]) -> None:
    """The spans of the first steps are kept, and those of later ones are counted and added up."""
    log = SpanLog()
    spans = [Span(task, 0, n, n + 1.0, n + 1.0 + eighths / 8, step) for n, (task, step, eighths) in enumerate(runs)]
    for span in spans:
        log.add(span)
    assert list(log.spans) == [span for span in spans if span.step < KEPT_STEPS]
    later = [span for span in spans if span.step >= KEPT_STEPS]
    for total in log.totals:
        own = [span for span in later if span.task == total.task]
        busy_s = sum(span.end_s - span.start_s for span in own)
        assert total == TaskTotal(total.task, len(own), busy_s, len(own), max(span.end_s for span in own))
    assert {total.task for total in log.totals} == {span.task for span in later}


def test_plans_do_not_grow_with_steps() -> None:
    """The plan of ten thousand steps has as many tasks as that of ten, under each policy, and is checked as quickly."""
    for name, policy in POLICIES.items():
        few, many = (Workload("loop", (Request(ASKED.requests[0].network, steps=n),)) for n in (10, 10_000))
        plans = [policy(few, Budget(1 << 20)), policy(many, Budget(1 << 20))]
        assert plans[0].tasks == plans[1].tasks, name
        assert [loop.steps for plan in plans for loop in plan.loops] == [10, 10_000], name
        check_plan(plans[1], many)


def test_records_do_not_grow_with_steps() -> None:
    """A run of a thousand steps has as many spans and totals as one of ten, under each policy."""
    for name, policy in POLICIES.items():
        sizes = []
        for steps in (10, 1000):
            asked = Workload("loop", (Request(ASKED.requests[0].network, steps=steps),))
            found = simulate(policy(asked, Budget(1 << 20)), asked)
            sizes.append((len(found.spans), len(found.totals)))
        assert sizes[0] == sizes[1], name
