"""check_plan() accepts the plans that an engine can carry out, and no others."""

from __future__ import annotations

import tracemalloc
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_edgeload.networks.compose import Composer
from pytest_edgeload.networks.layer import Layer, Network, Op, Sample, TensorSpec
from pytest_edgeload.networks.tile import REQUESTED, WHOLE, Tile
from pytest_edgeload.planning.check import check_plan
from pytest_edgeload.planning.plan import Budget, Builder, InvalidPlan, Kind, Order, Plan, Task
from pytest_edgeload.policies import POLICIES
from pytest_edgeload.workload import Condition, Conditions, Request, Workload
from tests.builders import BUDGETS, embedding, network, plan_of, timed_workloads, workload

POLICY = st.sampled_from(sorted(POLICIES))
INDEX = st.integers(0)  # taken modulo what there is


@given(timed_workloads(), POLICY, BUDGETS)
def test_built_in_policies_make_valid_plans(asked: Workload, policy: str, budget: Budget) -> None:
    """The plan of every built-in policy passes, for any workload and budget."""
    check_plan(POLICIES[policy](asked, budget), asked)


def _with_after(plan: Plan, index: int, after: tuple[int, ...]) -> Plan:
    tasks = list(plan.tasks)
    tasks[index] = msgspec.structs.replace(tasks[index], after=after)
    return msgspec.structs.replace(plan, tasks=tuple(tasks))


def _with_task(plan: Plan, task: Task) -> Plan:
    return msgspec.structs.replace(plan, tasks=(*plan.tasks, task))


def _without_task(plan: Plan, index: int) -> Plan:
    """Leave out a task. Its followers wait for its own predecessors, so that nothing else is missing."""
    kept = []
    for i, task in enumerate(plan.tasks):
        after = [a for awaited in task.after for a in (plan.tasks[index].after if awaited == index else (awaited,))]
        if i != index:
            kept.append(msgspec.structs.replace(task, after=tuple(a - (a > index) for a in after)))
    return msgspec.structs.replace(plan, tasks=tuple(kept))


def _of(task: Task) -> int:
    """Return the request in a task's description; weights that one request loads may be freed by another."""
    return task.weights[0] if task.kind == "free" else task.request


@given(timed_workloads(), POLICY, INDEX)
def test_no_task_may_be_missing(asked: Workload, policy: str, at: int) -> None:
    """A plan that lacks any one of its tasks is refused, and the task is named."""
    plan = plan_of(policy, asked)
    task = plan.tasks[at % len(plan.tasks)]
    with pytest.raises(InvalidPlan, match=f"^the plan lacks 1 {task.kind} of request {_of(task)}"):
        check_plan(_without_task(plan, at % len(plan.tasks)), asked)


@given(timed_workloads(), POLICY, INDEX)
def test_no_task_may_come_twice(asked: Workload, policy: str, at: int) -> None:
    """A plan that repeats any one of its tasks is refused, and the task is named."""
    plan = plan_of(policy, asked)
    task = plan.tasks[at % len(plan.tasks)]
    with pytest.raises(InvalidPlan, match=f"^the plan has 1 {task.kind} too many of request {_of(task)}"):
        check_plan(_with_task(plan, task), asked)


@given(timed_workloads(), POLICY, INDEX, st.integers(-2, 5))
def test_tasks_wait_for_earlier_ones(asked: Workload, policy: str, at: int, ahead: int) -> None:
    """A task that waits for itself, a later one, one past the end or a negative index is refused."""
    plan = plan_of(policy, asked)
    index = at % len(plan.tasks)
    awaited = index + ahead if ahead >= 0 else ahead
    with pytest.raises(InvalidPlan, match=rf"^task {index} \(.*\): waits for task {awaited}; let it wait for earlier"):
        check_plan(_with_after(plan, index, (*plan.tasks[index].after, awaited)), asked)


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
    check_plan(_loosest(asked), asked)


@given(timed_workloads(min_layers=1), INDEX, INDEX)
def test_each_of_these_waits_is_needed(asked: Workload, at: int, which: int) -> None:
    """A plan that lacks any one of these waits is refused, and both tasks are named."""
    plan = _loosest(asked)
    waiting = [i for i, task in enumerate(plan.tasks) if task.after]
    index = waiting[at % len(waiting)]
    task = plan.tasks[index]
    left_out = task.after[which % len(task.after)]
    lost = plan.tasks[left_out]
    words = rf"^task {index} \({task.kind} of .*\): does not wait for the {lost.kind} of request {lost.request}"
    with pytest.raises(InvalidPlan, match=words):
        check_plan(_with_after(plan, index, tuple(a for a in task.after if a != left_out)), asked)


PARENT, CHILD = network((1, 1, 1), (1, 1, 1)), network((2, 2, 2))


def _conditional(conditions: Conditions, parent: Network = PARENT) -> Workload:
    return Workload("mix", (Request(parent), Request(CHILD, when=Condition(0, 0.5))), conditions)


@pytest.mark.parametrize(
    ("conditions", "awaited"), [("wait", Task("exec", 0, 1)), ("early", Task("init", 0)), ("ignore", None)]
)
@pytest.mark.parametrize("policy", POLICIES)
def test_a_dependent_waits_as_its_mode_says(policy: str, conditions: Conditions, awaited: Task | None) -> None:
    """A plan made without the condition passes if it is ignored; else only if the dependent waits as the mode says."""
    asked = _conditional(conditions)
    unconditional = plan_of(policy, workload(PARENT, CHILD))
    init = next(i for i, task in enumerate(unconditional.tasks) if (task.kind, task.request) == ("init", 1))
    free = _with_after(unconditional, init, ())
    check_plan(plan_of(policy, asked), asked)
    if awaited is None:
        check_plan(free, asked)
    else:
        layer = "" if awaited.layer is None else f", layer {awaited.layer}"
        words = (
            rf"^task {init} \(init of request 1\): does not wait for the {awaited.kind} of request 0{layer}; add task"
        )
        with pytest.raises(InvalidPlan, match=words):
            check_plan(free, asked)


@pytest.mark.parametrize("conditions", ["wait", "early"])
def test_a_network_without_layers_answers_when_it_begins(conditions: Conditions) -> None:
    """What depends on a request without layers waits for its init, in both modes."""
    asked = _conditional(conditions, network())
    plan = plan_of("partial", asked)
    assert plan.tasks[1] == Task("init", 1, after=(0,))
    check_plan(plan, asked)
    with pytest.raises(
        InvalidPlan,
        match=r"^task 1 .* does not wait for the init of request 0; add task 0 to its `after`$",
    ):
        check_plan(_with_after(plan, 1, ()), asked)


def test_a_wait_may_be_indirect() -> None:
    """An exec may wait for its load through another task."""
    tasks = (Task("init", 0), Task("load", 0, 0, (0,)), Task("exec", 0, 0, (1,)), Task("free", 0, 0, (2,)))
    check_plan(Plan(tasks), workload(network((1, 1, 1))))


def test_a_wait_for_the_same_task_of_another_request_is_none() -> None:
    """An exec that waits for another request's load instead of its own is refused."""
    asked = workload(network((1, 1, 1)), network((1, 1, 1)))
    plan = Plan((
        Task("init", 0), Task("load", 0, 0, (0,)), Task("exec", 0, 0, (0, 1)), Task("free", 0, 0, (2,)),
        Task("init", 1), Task("load", 1, 0, (4,)), Task("exec", 1, 0, (4, 1)), Task("free", 1, 0, (6,)),
    ))  # fmt: skip
    with pytest.raises(InvalidPlan, match="does not wait for the load of request 1, layer 0"):
        check_plan(plan, asked)


@pytest.mark.parametrize("lanes", [0, -1])
def test_a_plan_has_lanes(lanes: int) -> None:
    """A plan without a lane is refused."""
    with pytest.raises(InvalidPlan, match=f"^a plan with {lanes} lanes: cannot run; give it at least one lane$"):
        check_plan(Plan((Task("init", 0),), lanes), workload(network()))


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
def test_tasks_of_unknown_layers_and_requests_are_refused(task: Task, words: str) -> None:
    """A task of a layer or a request that the workload does not have is refused by its name."""
    asked = workload(network((1, 1, 1)))
    with pytest.raises(InvalidPlan, match=words):
        check_plan(_with_task(plan_of("linear", asked), task), asked)


def _chain(**changes: dict[str, int]) -> Plan:
    """Return the chain of a one-layer network with changes to its tasks, by kind."""
    plan = plan_of("linear", workload(CHILD))
    tasks = (msgspec.structs.replace(task, **changes.get(task.kind, {})) for task in plan.tasks)
    return Plan(tuple(tasks), 2)


@pytest.mark.parametrize("lane", [-1, 2])
@pytest.mark.parametrize("kind", ["init", "load", "exec", "free"])
def test_a_task_is_for_a_lane_there_is(kind: Kind, lane: int) -> None:
    """A task for a lane that the plan does not have is refused; for one that it has it is not."""
    check_plan(_chain(**{kind: {"lane": 1}}), workload(CHILD))
    with pytest.raises(InvalidPlan, match=rf"\({kind} of .*\): is for lane {lane}; choose a lane from 0 to 1$"):
        check_plan(_chain(**{kind: {"lane": lane}}), workload(CHILD))


@pytest.mark.parametrize(("kind", "reserve"), [("exec", 1), ("free", 1), ("init", -1), ("load", -1), ("exec", -1)])
def test_only_inits_and_loads_reserve(kind: Kind, reserve: int) -> None:
    """An exec or a free that reserves, or any task that reserves a negative number of bytes, is refused."""
    words = rf"\({kind} of .*\): reserves {reserve} bytes; only an init or a load can reserve$"
    with pytest.raises(InvalidPlan, match=words):
        check_plan(_chain(**{kind: {"reserve": reserve}}), workload(CHILD))


def test_inits_and_loads_reserve() -> None:
    """An init and a load may reserve any number of bytes."""
    check_plan(_chain(init={"reserve": 1 << 50}, load={"reserve": 1}), workload(CHILD))


TIMES: Mapping[Order, str | None] = {
    "created": None,
    "ready": None,
    "response-ratio": "service_s",
    "deadline": "deadlines_s",
}


@pytest.mark.parametrize(("order", "name"), TIMES.items())
@pytest.mark.parametrize("count", [0, 1, 3])
def test_orders_by_time_need_times(order: Order, name: str | None, count: int) -> None:
    """A plan by response ratio or deadline is refused without such a time for each request; other orders need none."""
    asked = workload(CHILD, CHILD)
    times = (1.0,) * count
    plan = msgspec.structs.replace(plan_of("partial", asked), order=order, service_s=times, deadlines_s=times)
    if name is None:
        check_plan(plan, asked)
        return
    with pytest.raises(InvalidPlan, match=f"^the order {order}: needs {name} for 2 requests, not {count}; give one"):
        check_plan(plan, asked)
    check_plan(msgspec.structs.replace(plan, service_s=(0.0, 1.0), deadlines_s=(0.5, 1.0)), asked)


TILED = Composer(1, 6)
WIDE = TILED.done(TILED.linear(TILED.relu(TILED.linear(TILED.input, 12)), 5))
"""Two linear layers, the first of 12 rows."""

GROUPED = Network(
    "grouped",
    (
        Layer(
            "layer0",
            "conv1d",
            (TensorSpec("w", "float32", (12, 2, 1), 0, 96),),
            (Op("aten.conv1d.default", [{"value": "x"}, {"weight": "w"}, None, [1], [0], [1], 3], {}, "y"),),
            80,
            40,
            10,
        ),
    ),
    ("x",),
    ("y",),
    (Sample((), ()),),
    "",
    "",
)
"""A convolution of 12 channels in three groups."""


def _tiled(network: Network, *tiles: Tile) -> tuple[Plan, Workload]:
    """Return a plan of one request that takes layer 0 in these tiles, one after the other, the others whole."""
    asked = workload(network)
    plan = Builder(asked)
    init, step = plan.add("init", 0), None
    for i in range(len(network.layers)):
        for tile in (WHOLE,) if i else tiles:
            step = plan.add("exec", 0, i, after=(plan.add("load", 0, i, after=init, tile=tile), step), tile=tile)
            plan.add("free", 0, i, after=step, tile=tile)
    return plan.done(), asked


@pytest.mark.parametrize(
    ("network", "tiles"),
    [
        (WIDE, [WHOLE]),
        (WIDE, [(0, 12)]),
        (WIDE, [(0, 1), (1, 12)]),
        (WIDE, [(i, i + 1) for i in range(12)]),
        (GROUPED, [(0, 4), (4, 12)]),
        (GROUPED, [(0, 3), (3, 4), (4, 6), (6, 8), (8, 12)]),
    ],
)
def test_tiles_that_make_up_a_layer_pass(network: Network, tiles: Sequence[Tile]) -> None:
    """A layer may be taken in any tiles that make it up, in order, and respect its groups."""
    check_plan(*_tiled(network, *tiles))


@pytest.mark.parametrize(
    ("network", "tiles", "words"),
    [
        (WIDE, [(0, 6)], "lacks 1 exec of request 0, layer 0, rows 6 to 12"),
        (WIDE, [(6, 12)], "lacks 1 exec of request 0, layer 0, rows 0 to 6"),
        (WIDE, [(0, 4), (6, 12)], "lacks 1 exec of request 0, layer 0, rows 4 to 6"),
        (WIDE, [(0, 6), (4, 12)], "has 1 exec too many of request 0, layer 0, rows 4 to 12"),
        (WIDE, [(0, 6), (4, 6), (6, 12)], "has 1 exec too many of request 0, layer 0, rows 4 to 6"),
        (WIDE, [(0, 12), WHOLE], "has 1 exec too many of request 0, layer 0$"),
        (WIDE, [(0, 6), (6, 12), (6, 12)], "has 1 load too many of request 0, layer 0, rows 6 to 12"),
        (WIDE, [(0, 6), (6, 13)], "lacks 1 exec of request 0, layer 0$"),
        (WIDE, [(0, 6), (6, 6), (6, 12)], "lacks 1 exec of request 0, layer 0$"),
        (WIDE, [(-1, 6), (6, 12)], "lacks 1 exec of request 0, layer 0$"),
        (WIDE, [REQUESTED], "lacks 1 exec of request 0, layer 0$"),
        (GROUPED, [(0, 5), (5, 12)], "lacks 1 exec of request 0, layer 0$"),
        (GROUPED, [(0, 2), (2, 12)], "lacks 1 exec of request 0, layer 0$"),
        (network((1, 1, 1)), [(0, 1)], "lacks 1 exec of request 0, layer 0$"),
    ],
)
def test_tiles_that_do_not_make_up_a_layer_are_refused(network: Network, tiles: Sequence[Tile], words: str) -> None:
    """Tiles with a gap, that overlap, break a group, or that the layer does not have, are refused, and named."""
    with pytest.raises(InvalidPlan, match=rf"^the plan {words}"):
        check_plan(*_tiled(network, *tiles))


def test_tiles_out_of_order_are_refused() -> None:
    """A tile that does not wait for the one before it is refused, though all of them are there."""
    plan, asked = _tiled(WIDE, (6, 12), (0, 6))
    with pytest.raises(
        InvalidPlan, match=r"^task 2 \(exec of request 0, layer 0, rows 6 to 12\): does not wait for the exec"
    ):
        check_plan(plan, asked)


def test_the_next_layer_waits_for_the_last_tile() -> None:
    """A layer that waits for the first tile of the one before it, but not for the last, is refused."""
    plan, asked = _tiled(WIDE, (0, 6), (6, 12))
    index = next(i for i, task in enumerate(plan.tasks) if (task.kind, task.layer) == ("exec", 1))
    load, first = index - 1, next(i for i, task in enumerate(plan.tasks) if task.kind == "exec")
    words = rf"^task {index} .* does not wait for the exec of request 0, layer 0, rows 6 to 12; add task"
    with pytest.raises(InvalidPlan, match=words):
        check_plan(_with_after(plan, index, (load, first)), asked)


def test_an_embedding_is_taken_by_requested_rows_or_whole() -> None:
    """An embedding of an input may be taken by the rows that are asked for, or whole; but in no ranges."""
    check_plan(*_tiled(embedding("x"), REQUESTED))
    check_plan(*_tiled(embedding("x"), WHOLE))
    with pytest.raises(InvalidPlan, match=r"^the plan lacks 1 exec of request 0, layer 0$"):
        check_plan(*_tiled(embedding("x"), (0, 500), (500, 1000)))


def test_an_embedding_of_a_computed_value_is_taken_whole() -> None:
    """An embedding of a computed value may only be taken whole."""
    check_plan(*_tiled(embedding("other"), WHOLE))
    with pytest.raises(InvalidPlan, match=r"^the plan lacks 1 exec of request 0, layer 0$"):
        check_plan(*_tiled(embedding("other"), REQUESTED))


ONE = network((1, 1, 1))
SHARING = (
    Task("init", 0),
    Task("init", 1),
    Task("load", 0, 0, (0,)),
    Task("exec", 0, 0, (2,)),
    Task("exec", 1, 0, (1, 2), weights_of=0),
    Task("free", 1, 0, (3, 4), weights_of=0),
)
"""Two requests that use the weights that the first one loads; the second one frees them."""


def _sharing(**changes: dict[str, Any]) -> Plan:
    """Return the plan of SHARING, some of its tasks, by `kind` and request, changed."""
    names = [f"{task.kind}{task.request}" for task in SHARING]
    assert {*changes} <= {*names}
    changed = (msgspec.structs.replace(t, **changes.get(name, {})) for name, t in zip(names, SHARING, strict=True))
    return Plan(tuple(changed))


@pytest.mark.parametrize("changes", [{}, {"free1": {"request": 0}}, {"free1": {"request": 0, "weights_of": None}}])
def test_requests_of_one_network_share_weights(changes: dict[str, dict[str, Any]]) -> None:
    """Requests of one network may use weights that one of them loads; any of them may free them."""
    check_plan(_sharing(**changes), workload(ONE, ONE))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"exec1": {"weights_of": 2}}, r"^task 4 \(exec of request 1, layer 0\): .* there is no request 2$"),
        ({"exec1": {"weights_of": -1}}, r"^task 4 \(exec of request 1, layer 0\): .* there is no request -1$"),
        ({"free1": {"request": 2}}, r"^task 5 \(free of request 2, layer 0\): .* there is no request 2$"),
        ({"exec1": {"weights_of": None}}, "^the plan lacks 1 load of request 1, layer 0$"),
        ({"exec0": {"weights_of": 1}}, "^the plan lacks 1 load of request 1, layer 0$"),
        (
            {"load0": {"weights_of": 0}},
            r"^task 2 \(load of request 0, layer 0\): has weights of request 0; only an exec",
        ),
        ({"init1": {"weights_of": 0}}, r"^task 1 \(init of request 1\): has weights of request 0; only an exec"),
        (
            {"exec1": {"after": (1,)}},
            r"^task 4 .* does not wait for the load of request 0, layer 0; add task 2 to its `after`$",
        ),
        ({"exec1": {"after": (2,)}}, r"^task 4 .* does not wait for the init of request 1; add task 1 to its `after`$"),
        (
            {"free1": {"after": (3,)}},
            r"^task 5 .* does not wait for the exec of request 1, layer 0; add task 4 to its `after`$",
        ),
        (
            {"free1": {"after": (4,)}},
            r"^task 5 .* does not wait for the exec of request 0, layer 0; add task 3 to its `after`$",
        ),
    ],
)
def test_weights_that_cannot_be_shared_are_refused(changes: dict[str, dict[str, Any]], words: str) -> None:
    """Weights that are never loaded, not yet loaded or already freed are refused; only execs and frees share."""
    with pytest.raises(InvalidPlan, match=words):
        check_plan(_sharing(**changes), workload(ONE, ONE))


@pytest.mark.parametrize("changes", [{}, {"free1": {"request": 0}}])
def test_weights_of_another_network_are_refused(changes: dict[str, dict[str, Any]]) -> None:
    """Weights of another network are refused, also of one that is like it."""
    with pytest.raises(InvalidPlan, match=r"^task 4 .* has weights of request 0, which is of another network$"):
        check_plan(_sharing(**changes), workload(ONE, network((1, 1, 1))))


def test_weights_are_not_freed_by_another_network() -> None:
    """A request of another network cannot free weights either."""
    tasks = (*_chain().tasks[:3], Task("init", 1), Task("free", 1, 0, (2, 3), weights_of=0))
    with pytest.raises(InvalidPlan, match=r"^task 4 .* has weights of request 0, which is of another network$"):
        check_plan(Plan(tasks), workload(CHILD, network()))


def test_weights_may_be_freed_by_a_request_with_other_tiles() -> None:
    """Weights may be freed by a request of the same network that takes the layer in other tiles."""
    plan, _ = _tiled(WIDE, (0, 6), (6, 12))
    asked = workload(WIDE, WIDE)
    tasks = [
        msgspec.structs.replace(task, request=1, weights_of=0) if task.kind == "free" and not task.layer else task
        for task in plan.tasks
    ]
    whole = plan_of("linear", workload(WIDE)).tasks
    tasks += [
        msgspec.structs.replace(task, request=1, after=tuple(len(plan.tasks) + a for a in task.after)) for task in whole
    ]
    check_plan(Plan(tuple(tasks)), asked)


def test_a_load_that_is_not_used_is_refused() -> None:
    """A load that is never used is refused, even if it is freed."""
    plan = _with_task(_with_task(_sharing(), Task("load", 1, 0, (1,))), Task("free", 1, 0, (6,)))
    with pytest.raises(InvalidPlan, match=r"^the plan has 1 load too many of request 1, layer 0$"):
        check_plan(plan, workload(ONE, ONE))


def test_rows_of_another_request_are_refused() -> None:
    """The rows that a request loads are its own: no other request can use them."""
    plan, asked = _sharing(), workload(*[embedding("x")] * 2)
    tasks = [t if t.kind == "init" else msgspec.structs.replace(t, tile=REQUESTED) for t in plan.tasks]
    with pytest.raises(
        InvalidPlan,
        match=r"^task 4 .* has weights of request 0, which are the rows of that request only;",
    ):
        check_plan(Plan(tuple(tasks)), asked)


def _placed(
    *places: int | None, pages: Sequence[int] = (), waits: str = "", arena_pages: int = 8
) -> tuple[Plan, Workload]:
    """Return a plan that brings layers of so many pages to these places, in pages.

    `waits` says whose frees loads wait for: `2>0` that of layer 0 before the load of layer 2.
    """
    sizes = [4096 * count for count in pages or [2] * len(places)]
    layers = tuple(
        msgspec.structs.replace(layer, weights=(TensorSpec("w", "uint8", (size,), 0, size),))
        for layer, size in zip(network(*[(1, 1, 1)] * len(sizes)).layers, sizes, strict=True)
    )
    asked = workload(msgspec.structs.replace(network(), layers=layers))
    plan = Builder(asked, arena_bytes=4096 * arena_pages)
    init, step, frees = plan.add("init", 0), None, list[int]()
    for i, page in enumerate(places):
        after = [init, *(frees[int(edge[2:])] for edge in waits.split() if edge.startswith(f"{i}>"))]
        load = plan.add("load", 0, i, after=after, place=None if page is None else 4096 * page)
        step = plan.add("exec", 0, i, after=(load, step))
        frees.append(plan.add("free", 0, i, after=step))
    return plan.done(), asked


@pytest.mark.parametrize(
    ("places", "pages", "waits"),
    [
        ([0, 2, 4, 6], (), ""),
        ([6, 4, 2, 0], (), ""),
        ([0], [8], ""),
        ([None, None], [100, 100], ""),
        ([0, 0, 0], (), "1>0 2>1"),
        ([0, 1, 0], (), "1>0 2>1"),
        ([0, 2, 1], (), "2>0 2>1"),
        ([0, 0, 4], [8, 2, 2], "1>0 2>0"),
        ([0, 2, 0, 6], [8, 2, 2, 2], "1>0 2>0 3>0"),
        ([0, 1, 1, 0], [4, 2, 2, 1], "1>0 2>1 3>0"),
    ],
)
def test_places_that_are_free_pass(places: Sequence[int | None], pages: Sequence[int], waits: str) -> None:
    """Loads may have places next to each other, or the place of another load if they wait for its free."""
    check_plan(*_placed(*places, pages=pages, waits=waits))


@pytest.mark.parametrize(
    ("places", "pages", "waits", "layer", "held"),
    [
        ([0, 0], (), "", 1, 0),
        ([0, 1], (), "", 1, 0),
        ([1, 0], (), "", 1, 0),
        ([0, 1], [4, 1], "", 1, 0),
        ([1, 0], [1, 4], "", 1, 0),
        ([0, 2, 1], (), "2>0", 2, 1),
        ([0, 2, 1], (), "2>1", 2, 0),
        ([0, 0, 0], (), "1>0", 2, 1),
        # What is left, before and behind, of a place that was partly taken over.
        ([0, 0, 4], [8, 2, 2], "1>0", 2, 0),
        ([0, 6, 4], [8, 2, 2], "1>0", 2, 0),
        ([0, 2, 0], [8, 2, 2], "1>0", 2, 0),
        ([0, 2, 6], [8, 2, 2], "1>0", 2, 0),
        ([0, 2, 2, 6], [8, 2, 2, 2], "1>0 2>1", 3, 0),
        ([0, 0, 2, 3], [4, 1, 1, 1], "1>0 2>0", 3, 0),
    ],
)
def test_places_that_are_not_free_are_refused(
    places: Sequence[int | None], pages: Sequence[int], waits: str, layer: int, held: int
) -> None:
    """A load is refused that is brought where another one is, even in part, without waiting for the free of that."""
    words = (
        rf"^task \d+ \(load of request 0, layer {layer}\): does not wait until .* layer {held} is freed from its place;"
    )
    with pytest.raises(InvalidPlan, match=words):
        check_plan(*_placed(*places, pages=pages, waits=waits))


@pytest.mark.parametrize("place", [-4096, 4096 * 7, 4096 * 8, 1, 4095, 2048])
def test_places_outside_the_arena_are_refused(place: int) -> None:
    """A place that is not at a page, or not all inside of the arena, is refused, and the load is named."""
    plan, asked = _placed(0)
    tasks = [msgspec.structs.replace(t, place=place) if t.kind == "load" else t for t in plan.tasks]
    words = (
        rf"^task 1 \(load of .*\): has its place at bytes {place} to {place + 8192} of an arena of 32768 bytes; choose"
    )
    with pytest.raises(InvalidPlan, match=words):
        check_plan(msgspec.structs.replace(plan, tasks=tuple(tasks)), asked)


@pytest.mark.parametrize("kind", ["init", "exec", "free"])
def test_only_loads_have_places(kind: Kind) -> None:
    """A place of anything but a load is refused."""
    with pytest.raises(
        InvalidPlan, match=rf"^task \d \({kind} of .*\): has a place; only the load of a layer or of a range"
    ):
        check_plan(_chain(**{kind: {"place": 0}}), workload(CHILD))


def test_requested_rows_have_no_place() -> None:
    """A place for requested rows is refused, because their number is not known."""
    plan, asked = _tiled(embedding("x"), REQUESTED)
    tasks = [msgspec.structs.replace(task, place=0) if task.kind == "load" else task for task in plan.tasks]
    with pytest.raises(
        InvalidPlan, match=r"^task 1 \(load of .*\): has a place; only the load of a layer or of a range"
    ):
        check_plan(Plan(tuple(tasks), arena_bytes=1 << 20), asked)


@pytest.mark.slow
def test_checking_a_large_plan_takes_little_memory() -> None:
    """Checking takes less than 500 bytes per task of a plan of 30,000 tasks."""
    asked = workload(*[network(*[(1, 1, 1)] * 10)] * 1000)
    plan = plan_of("bulk", asked)
    assert len(plan.tasks) > 30_000
    tracemalloc.start()
    try:
        check_plan(plan, asked)
        assert tracemalloc.get_traced_memory()[1] < 500 * len(plan.tasks)
    finally:
        tracemalloc.stop()
