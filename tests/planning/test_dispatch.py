"""The dispatcher hands out every task once, when it may run, in the order the plan asks for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_edgeload.job import JobRequest
from pytest_edgeload.planning.dispatch import Dispatcher
from pytest_edgeload.planning.plan import DEADLINES_UNTIL_FIRST, Budget, Order, Plan, Task, WeightKey
from pytest_edgeload.policies import POLICIES
from pytest_edgeload.workload import Condition, Workload
from tests.builders import BUDGETS, SPEEDS, shared_workloads, timed_workloads


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    """Draw a plan of any shape that has no cycle, one task a request, with all that decides what goes first."""
    lanes, count = draw(st.integers(1, 3)), draw(st.integers(0, 10))
    tasks = tuple(
        Task(
            "init",
            i,
            after=tuple(draw(st.lists(st.integers(0, i - 1), max_size=3)) if i else ()),
            lane=draw(st.none() | st.integers(0, lanes - 1)),
            priority=draw(st.sampled_from([(), (0.0,), (0.0, 1.0), (1.0,)])),
            reserve=draw(st.integers(0, 6)),
        )
        for i in range(count)
    )
    order: Order = draw(st.sampled_from(["created", "ready", "response-ratio", "deadline"]))
    return Plan(
        tasks,
        lanes,
        order,
        draw(st.none() | st.integers(0, 10)),
        draw(st.none() | st.integers(0, 2)),
        tuple(0.0 if order == "deadline" else draw(st.sampled_from([0.0, 1.0, 2.0, 8.0])) for _ in range(count)),
        deadlines_s=tuple(draw(st.sampled_from([0.125, 1.0, 4.0])) for _ in range(count)),
    )


QUARTERS = st.integers(0, 20).map(lambda quarters: quarters / 4)
REQUESTS = st.lists(
    st.builds(JobRequest, st.just(0), arrival_s=QUARTERS, stream=st.sampled_from(["", "camera", "microphone"])),
    min_size=10,
    max_size=10,
)
CHOICES = st.lists(st.tuples(st.integers(0), QUARTERS), min_size=1, max_size=8)


@dataclass(frozen=True)
class Model:
    """The documented behaviour in the simplest form: each answer is computed from the whole history, however slowly."""

    plan: Plan
    streams: list[str]
    arrived_s: list[float]
    started: list[int]
    ended: dict[int, tuple[float, int]]  # when, and how many had ended before
    passed_over: dict[int, int]

    def ready(self, now_s: float) -> dict[int, tuple[float, int]]:
        """Return the tasks that may start, and since when."""
        since = {
            i: max([(self.arrived_s[task.request], -1), *(self.ended[a] for a in task.after)])
            for i, task in enumerate(self.plan.tasks)
            if i not in self.started and self.ended.keys() >= set(task.after)
        }
        return {i: at for i, at in since.items() if at[0] <= now_s}

    def take(self, lane: int, now_s: float) -> int | None:
        """Return the task that `lane` should get."""
        ready = self.ready(now_s)

        def order(i: int) -> tuple[object, ...]:
            task = self.plan.tasks[i]
            second: object = ready[i] if self.plan.order == "ready" else 0
            if self.plan.order == "response-ratio":
                service_s = self.plan.service_s[task.request]
                waited_s = now_s - self.arrived_s[task.request]
                ratio = (waited_s + service_s) / service_s if service_s else 0.0
                second = (service_s > 0, -ratio, service_s)
            if self.plan.order == "deadline":
                second = self._urgency(i, ready[i][0], now_s)
            return task.priority, second, i

        waiting: list[int] = []
        for i in sorted(ready, key=order):
            if self.plan.tasks[i].lane not in {None, lane}:
                continue
            if self.plan.tasks[i].reserve and not self._fits(i, waiting):
                waiting.append(i)
                continue
            for passed in waiting if self.plan.tasks[i].reserve else []:
                self.passed_over[passed] = self.passed_over.get(passed, 0) + 1
            self.started.append(i)
            return i
        return None

    def _urgency(self, i: int, turn_s: float, now_s: float) -> tuple[int, float]:
        """Return the class of a ready task, and what decides within it: all that take no time can be in time."""
        due_s = self._due_s(i)
        if now_s > turn_s + DEADLINES_UNTIL_FIRST * self.plan.deadlines_s[i]:
            return 0, turn_s
        if now_s > due_s:
            return 3, due_s
        return 1, due_s

    def _due_s(self, i: int) -> float:
        return self.arrived_s[i] + self.plan.deadlines_s[i]

    def _fits(self, index: int, waiting: list[int]) -> bool:
        patience, memory_bytes = self.plan.patience, self.plan.memory_bytes
        if patience is not None and any(self.passed_over.get(i, 0) >= patience for i in waiting):
            return False
        reserved = [self.plan.tasks[i].reserve for i in self.started if i not in self.ended]
        return (
            memory_bytes is None or not any(reserved) or sum(reserved, self.plan.tasks[index].reserve) <= memory_bytes
        )


def _carry_out(
    plan: Plan, requests: list[JobRequest], choices: list[tuple[int, float]], *, grows: bool = False
) -> list[int]:
    """Carry out `plan`, ending a running task chosen by `choices` after a time; check each answer against the model.

    If it `grows`, the dispatcher learns of each request, and of its task, just before it arrives.
    """
    requests = requests[: len(plan.tasks)]
    if grows:
        requests = sorted(requests, key=lambda asked: asked.arrival_s)
    known = len([asked for asked in requests if not grows or asked.arrival_s == 0])
    dispatcher, now_s, turn = Dispatcher(_part(plan, 0, known), requests[:known]), 0.0, 0
    model = Model(plan, [asked.stream for asked in requests], [asked.arrival_s for asked in requests], [], {}, {})
    running: list[int] = []
    while not dispatcher.finished or known < len(requests):
        for lane in range(plan.lanes):
            ready = model.ready(now_s)
            index = dispatcher.take(lane, now_s)
            assert index == model.take(lane, now_s)
            if index is not None:
                assert dispatcher.ready_s(index) == ready[index][0]
                running.append(index)
        due_s = min((at for at in model.arrived_s if at > now_s), default=None)
        first, known = known, known + len([asked for asked in requests[known:] if asked.arrival_s == due_s])
        if first < known:
            assert _extend(dispatcher, _part(plan, first, known), requests[first:known], now_s) == []
        assert dispatcher.next_arrival_s == due_s
        choice, later_s = choices[turn % len(choices)]
        turn += 1
        if running and (due_s is None or now_s + later_s < due_s):
            now_s += later_s
            index = running.pop(choice % len(running))
            model.ended[index] = (now_s, len(model.ended))
            assert dispatcher.end(index, now_s) == []
        else:
            assert due_s is not None, "tasks are left, none runs and none is to come"
            now_s = due_s
            dispatcher.advance(now_s)
    assert dispatcher.take(0, now_s) is None
    assert grows or dispatcher.arrived_s == model.arrived_s
    return model.started


def _part(plan: Plan, first: int, end: int) -> Plan:
    """Return the tasks of some requests of a plan that has one task a request."""
    service_s, deadlines_s = plan.service_s[first:end], plan.deadlines_s[first:end]
    return msgspec.structs.replace(plan, tasks=plan.tasks[first:end], service_s=service_s, deadlines_s=deadlines_s)


def _extend(dispatcher: Dispatcher, part: Plan, requests: list[JobRequest], now_s: float = 0.0) -> list[int]:
    times = {"service_s": part.service_s, "deadlines_s": part.deadlines_s}
    return dispatcher.extend(part.tasks, requests, part.loops, **times, now_s=now_s)


@given(plans(), REQUESTS, CHOICES)
def test_every_task_once_in_order(plan: Plan, requests: list[JobRequest], choices: list[tuple[int, float]]) -> None:
    """Each task is taken once, as the model says: by priority, order, lane, arrival, reservations and patience."""
    taken = _carry_out(plan, requests, choices)
    assert sorted(taken) == list(range(len(plan.tasks)))


@given(plans(), REQUESTS, CHOICES)
def test_plan_that_grows_is_carried_out_as_if_known(
    plan: Plan, requests: list[JobRequest], choices: list[tuple[int, float]]
) -> None:
    """A task is taken when the model says, also if it is added just before its request arrives."""
    taken = _carry_out(plan, requests, choices, grows=True)
    assert sorted(taken) == list(range(len(plan.tasks)))


@given(plans(), REQUESTS, CHOICES)
def test_the_same_ends_give_the_same_order(
    plan: Plan, requests: list[JobRequest], choices: list[tuple[int, float]]
) -> None:
    """A plan whose tasks end in the same order is dispatched in the same order."""
    assert _carry_out(plan, requests, choices) == _carry_out(plan, requests, choices)


def _inits(*reserves: int, **others: object) -> Plan:
    """Return a plan of requests that are nothing but inits, which reserve so much."""
    tasks = tuple(Task("init", r, reserve=reserve) for r, reserve in enumerate(reserves))
    return msgspec.structs.replace(Plan(tasks, lanes=4), **others)


def _at(*arrivals_s: float) -> list[JobRequest]:
    return [JobRequest(0, arrival_s=arrival_s) for arrival_s in arrivals_s]


def _take_all(dispatcher: Dispatcher, now_s: float = 0.0) -> list[int]:
    """Take all that any number of lanes could, in order."""
    return list(iter(lambda: dispatcher.take(0, now_s), None))


def test_orders_of_ready_tasks_differ() -> None:
    """Of a task created first and one ready first, `created` takes the former and `ready` the latter."""
    tasks = (Task("init", 0), Task("init", 1, None, (0,)), Task("init", 2))
    for order, second in (("created", 1), ("ready", 2)):
        dispatcher = Dispatcher(Plan(tasks, 1, order))  # type: ignore[arg-type]  # a literal, but not to mypy
        assert dispatcher.take() == 0
        dispatcher.end(0)
        assert dispatcher.take() == second


def test_a_queue_goes_by_time() -> None:
    """In the order `ready` what waited since 1 s goes before what arrived at 2 s, though that was created first."""
    plan = Plan((Task("init", 0), Task("init", 1), Task("init", 2, after=(1,))), 1, "ready")
    dispatcher = Dispatcher(plan, _at(2.0, 0.0, 0.0))
    assert dispatcher.take() == 1
    dispatcher.end(1, 1.0)
    dispatcher.advance(2.0)
    assert _take_all(dispatcher, 2.0) == [2, 0]


def test_a_taken_task_is_not_offered_again() -> None:
    """While a task runs it is not taken, and what waits for it is not either."""
    dispatcher = Dispatcher(Plan((Task("init", 0), Task("init", 1, None, (0,)))))
    assert (dispatcher.take(), dispatcher.take()) == (0, None)
    assert not dispatcher.finished


def test_nothing_to_do() -> None:
    """A plan without tasks is finished before it begins."""
    dispatcher = Dispatcher(Plan(()))
    assert dispatcher.finished
    assert dispatcher.take() is None
    assert dispatcher.next_arrival_s is None


def test_a_lane_gets_what_is_for_it() -> None:
    """A lane passes over tasks of others, and takes its own and those that are for any."""
    plan = Plan((Task("init", 0, lane=1), Task("init", 1), Task("init", 2, lane=0)), 2)
    dispatcher = Dispatcher(plan)
    assert [dispatcher.take(lane) for lane in (0, 0, 0, 1, 1)] == [1, 2, None, 0, None]


def test_without_requests_all_are_there() -> None:
    """A dispatcher without requests offers every init at once."""
    dispatcher = Dispatcher(_inits(0, 0, 0))
    assert _take_all(dispatcher) == [0, 1, 2]
    assert dispatcher.arrived_s == [0.0, 0.0, 0.0]


def test_arrivals_are_noted_at_the_time_they_were_due() -> None:
    """A request is offered at the next call, however late, and counts as arrived and ready when it was due."""
    dispatcher = Dispatcher(_inits(0, 0, 0), _at(0.0, 1.0, 4.0))
    assert _take_all(dispatcher) == [0]
    assert (dispatcher.next_arrival_s, dispatcher.arrived_s) == (1.0, [0.0, None, None])
    dispatcher.advance(0.75)
    assert _take_all(dispatcher, 0.75) == []
    dispatcher.advance(3.0)
    assert _take_all(dispatcher, 3.0) == [1]
    assert dispatcher.end(0, 5.0) == []  # an end tells the time as well
    assert _take_all(dispatcher, 5.0) == [2]
    assert (dispatcher.next_arrival_s, dispatcher.arrived_s) == (None, [0.0, 1.0, 4.0])
    assert (dispatcher.ready_s(1), dispatcher.ready_s(2)) == (1.0, 4.0)


def test_an_init_may_wait_longer_than_for_its_arrival() -> None:
    """An init that waits for a task as well is ready at the later of both times."""
    tasks = (Task("init", 0), Task("init", 1, after=(0,)), Task("init", 2, after=(0,)))
    dispatcher = Dispatcher(Plan(tasks), _at(0.0, 1.0, 5.0))
    assert _take_all(dispatcher) == [0]
    dispatcher.end(0, 3.0)
    dispatcher.advance(5.0)
    assert _take_all(dispatcher, 5.0) == [1, 2]
    assert (dispatcher.ready_s(1), dispatcher.ready_s(2)) == (3.0, 5.0)


def test_a_batch_begins_when_all_before_it_is_done() -> None:
    """When the next batch comes is unknown until every task before it has ended; then it is counted from there."""
    requests = [JobRequest(0), JobRequest(0), JobRequest(0, arrival_s=0.5, batch=3), JobRequest(0, batch=7)]
    dispatcher = Dispatcher(_inits(0, 0, 0, 0), requests)
    assert _take_all(dispatcher) == [0, 1]
    dispatcher.end(0, 1.0)
    assert dispatcher.next_arrival_s is None
    dispatcher.end(1, 3.0)
    assert dispatcher.next_arrival_s == 3.5
    assert not dispatcher.finished
    dispatcher.advance(3.5)
    assert _take_all(dispatcher, 3.5) == [2]
    dispatcher.end(2, 4.0)
    assert _take_all(dispatcher, 4.0) == [3]
    dispatcher.end(3, 4.0)
    assert dispatcher.finished
    assert dispatcher.arrived_s == [0.0, 0.0, 3.5, 4.0]


@pytest.mark.parametrize(("now_s", "order"), [(1.0, [0, 1]), (1.2, [0, 1]), (2.0, [1, 0])])
def test_the_response_ratio_grows(now_s: float, order: list[int]) -> None:
    """A long request that waits goes before a short one that just came, and after it when that has waited as well."""
    dispatcher = Dispatcher(_inits(0, 0, order="response-ratio", service_s=(4.0, 1.0)), _at(0.0, 1.0))
    dispatcher.advance(now_s)
    assert _take_all(dispatcher, now_s) == order


def test_of_equal_ratios_the_shorter_goes_first() -> None:
    """Of requests that have waited for nothing yet, or just as many times their length, the shortest goes first."""
    services_s = (4.0, 1.0, 4.0, 2.0)
    together = Dispatcher(_inits(0, 0, 0, 0, order="response-ratio", service_s=services_s))
    assert _take_all(together) == [1, 3, 0, 2]
    apart = Dispatcher(_inits(0, 0, 0, 0, order="response-ratio", service_s=services_s), _at(0.0, 3.0, 0.0, 2.0))
    apart.advance(4.0)
    assert _take_all(apart, 4.0) == [1, 3, 0, 2]


def test_what_takes_no_time_goes_at_once() -> None:
    """A request without service time goes first, also when it just came; of equals the smaller index goes first."""
    dispatcher = Dispatcher(_inits(0, 0, 0, 0, order="response-ratio", service_s=(1.0, 1.0, 0.0, 0.0)), _at(0, 0, 2, 2))
    dispatcher.advance(2.0)
    assert _take_all(dispatcher, 2.0) == [2, 3, 0, 1]


def test_priority_goes_before_the_response_ratio() -> None:
    """A task of a better priority goes first, however long others have waited."""
    tasks = (Task("init", 0, priority=(1.0,)), Task("init", 1, priority=(0.0,)))
    dispatcher = Dispatcher(Plan(tasks, 1, "response-ratio", service_s=(0.5, 100.0)), _at(0.0, 9.0))
    dispatcher.advance(9.0)
    assert _take_all(dispatcher, 9.0) == [1, 0]


def test_frees_go_before_all_others() -> None:
    """The free of a late request goes before the exec of one that can be in time: others may wait for the memory."""
    tasks = [Task("init", 0), Task("load", 0, 0, (0,)), Task("exec", 0, 0, (1,)), Task("free", 0, 0, (2,))]
    plan = Plan((*tasks, Task("init", 1)), 1, "deadline", deadlines_s=(1.0, 9.0), service_s=(1.0, 1.0))
    dispatcher = Dispatcher(plan, _at(0.0, 2.0))
    for index in range(3):
        assert dispatcher.take() == index
        dispatcher.end(index)
    dispatcher.advance(2.0)
    assert _take_all(dispatcher, 2.0) == [3, 4]


def test_inputs_of_requests_that_can_be_in_time_go_before_execs() -> None:
    """A request due later reads its inputs before an urgent one executes, so that its weights can be read meanwhile.

    The inputs of a request wait like its other tasks if it is late, has to give way, or has no weights to read.
    """
    first = [Task("init", 0), Task("load", 0, 0, (0,)), Task("exec", 0, 0, (1,)), Task("free", 0, 0, (2,))]
    reading = [
        task for i, r in enumerate((1, 2, 3)) for task in (Task("init", r), Task("load", r, 0, (4 + 2 * i,), lane=1))
    ]
    plan = Plan(
        (*first, *reading, Task("init", 4)),
        2,
        "deadline",
        deadlines_s=(3.0, 9.0, 0.5, 9.5, 8.0),
        service_s=(1.0, 1.0, 1.0, 99.0, 1.0),
    )
    dispatcher = Dispatcher(plan, _at(0.0, 1.0, 1.0, 1.0, 1.0))
    for index in range(2):
        assert dispatcher.take() == index
        dispatcher.end(index)
    dispatcher.advance(2.0)
    assert _take_all(dispatcher, 2.0) == [4, 2, 10, 8, 6]


def test_requests_give_way_if_not_all_can_be_in_time() -> None:
    """The request with the most work goes last if only the others can be in time; after its answer it is known."""
    plan = _inits(0, 0, 0, 0, order="deadline", deadlines_s=(3.0, 4.0, 5.0, 9.0), service_s=(6.0, 1.0, 4.0, 6.0))
    requests = [JobRequest(0, arrival_s=at_s, stream=name) for at_s, name in ((0, "a"), (0, "b"), (0, "c"), (6, "a"))]
    dispatcher = Dispatcher(plan, requests)
    assert dispatcher.take() == 1
    dispatcher.end(1, 1.0)
    assert _take_all(dispatcher, 1.0) == [2, 0]
    dispatcher.end(2, 3.0)
    dispatcher.end(0, 6.0)
    assert _take_all(dispatcher, 6.0) == [3]


@pytest.mark.parametrize(
    ("now_s", "order"),
    [(0.5, [1, 2, 0]), (1.5, [2, 0, 1]), (5.0, [2, 0, 1]), (5.0 + DEADLINES_UNTIL_FIRST, [1, 2, 0])],
)
def test_the_earliest_deadline_goes_first(now_s: float, order: list[int]) -> None:
    """Requests in time go by their deadlines, late ones after them, and one that was ready for too long before all."""
    dispatcher = Dispatcher(_inits(0, 0, 0, order="deadline", deadlines_s=(40.0, 1.0, 30.0)), _at(0.0, 0.0, 0.0))
    assert _take_all(dispatcher, now_s) == order


@pytest.mark.parametrize(
    ("memory_bytes", "reserves", "taken"),
    [
        (10, [4, 6], [0, 1]),
        (10, [4, 7], [0]),
        (10, [4, 7, 6], [0, 2]),
        (10, [11, 1], [0]),
        (10, [4, 11, 0], [0, 2]),
        (10, [0, 11, 1], [0, 1]),
        (0, [1, 1, 0], [0, 2]),
        (None, [1 << 50, 1 << 50], [0, 1]),
    ],
)
def test_reservations_stay_within_the_memory(memory_bytes: int | None, reserves: list[int], taken: list[int]) -> None:
    """What reserves is taken when all fits or nothing else is reserved, what reserves nothing always; others wait."""
    dispatcher = Dispatcher(_inits(*reserves, memory_bytes=memory_bytes))
    assert _take_all(dispatcher) == taken


def test_a_load_reserves_until_its_layer_is_freed() -> None:
    """The reservation of a load is released when the layer is freed and not before, for any request."""
    chain = [Task("init", 0), Task("load", 0, 0, (0,), reserve=6), Task("exec", 0, 0, (1,)), Task("free", 0, 0, (2,))]
    other = [Task("init", 1), Task("load", 1, 0, (4,), reserve=6), Task("load", 0, 1, (0,), reserve=6)]
    dispatcher = Dispatcher(Plan((*chain, *other), 3, memory_bytes=11))
    for ended, offered in [((), [0, 4]), ((0, 4), [1]), ((1,), [2]), ((2,), [3]), ((3,), [5]), ((5,), [])]:
        for index in ended:
            dispatcher.end(index)
        assert _take_all(dispatcher) == offered


def test_an_init_reserves_until_its_request_is_done() -> None:
    """The reservation of an init is released when the last task of its request has ended and not before."""
    tasks = (Task("init", 0, reserve=6), Task("load", 0, 0, (0,)), Task("free", 0, 0, (1,)), Task("init", 1, reserve=6))
    dispatcher = Dispatcher(Plan(tasks, 3, memory_bytes=11))
    assert _take_all(dispatcher) == [0]
    for index in range(3):
        assert dispatcher.end(index) == []
        assert _take_all(dispatcher) == [index + 1]


@pytest.mark.parametrize(
    ("patience", "first"), [(None, [0, 2, 3, 4, 5, 6]), (0, [0, 6]), (1, [0, 2, 6]), (2, [0, 2, 3, 6])]
)
def test_patience_limits_how_often_a_task_is_passed_over(patience: int | None, first: list[int]) -> None:
    """What waits for memory is passed over by so many that reserve, then by none of them; what reserves nothing may."""
    dispatcher = Dispatcher(_inits(6, 6, 1, 1, 1, 1, 0, memory_bytes=10, patience=patience))
    assert _take_all(dispatcher) == first
    for index in first:
        dispatcher.end(index)
    assert _take_all(dispatcher) == [index for index in range(7) if index not in first]


def test_what_does_not_fit_beside_a_lane_of_its_own_is_not_passed_over() -> None:
    """A task that only another lane can run does not count against patience."""
    tasks = (Task("init", 0, lane=1, reserve=1), *(Task("init", r, lane=0, reserve=1) for r in range(1, 4)))
    dispatcher = Dispatcher(Plan(tasks, 2, memory_bytes=10, patience=0))
    assert _take_all(dispatcher) == [1, 2, 3]


PARENT = (Task("init", 0), Task("load", 0, 0, (0,)), Task("exec", 0, 0, (1,)), Task("free", 0, 0, (2,)))
CHILD = (Task("init", 1, None, (0,)), Task("load", 1, 0, (4,)), Task("exec", 1, 0, (5,)), Task("free", 1, 0, (6,)))
EARLY = Plan((*PARENT, *CHILD), 4)
"""A parent and a dependent that starts along with it, each a chain."""


def _early(arrival_s: float = 0.0) -> list[JobRequest]:
    return [JobRequest(0), JobRequest(0, arrival_s=arrival_s, when=Condition(0, 0.5))]


def _answer(dispatcher: Dispatcher, ended: int, *, running: bool) -> None:
    """Carry out the parent up to its answer, and of the child's tasks `ended`, with the next one running or not."""
    taken: set[int] = set()

    def take(index: int) -> None:
        while index not in taken:
            taken.add(dispatcher.take() or 0)

    for index in (0, *range(4, 4 + ended), 1):
        take(index)
        assert dispatcher.end(index) == []
    take(2)
    if running:
        take(4 + ended)
    assert dispatcher.end(2) == [1]
    dispatcher.drop(1)
    dispatcher.advance(0.0)


@pytest.mark.parametrize(
    ("ended", "running", "left"),
    [
        (0, False, []),  # ready to begin
        (0, True, []),  # reading its input
        (1, False, []),  # ready to load
        (1, True, [7]),  # loading
        (2, False, [7]),  # loaded
        (2, True, [7]),  # executing
        (3, False, [7]),  # answered, not freed
        (3, True, []),  # being freed
        (4, False, []),  # done
    ],
)
def test_a_request_dropped_at_any_moment(ended: int, running: bool, left: list[int]) -> None:  # noqa: FBT001
    """A dropped request ends its running task and frees its loaded weights; then it is discarded, once."""
    dispatcher = Dispatcher(EARLY, _early())
    _answer(dispatcher, ended, running=running)
    assert dispatcher.dropped == (1,)
    assert _take_all(dispatcher) == [3, *([] if running else left)]
    assert not dispatcher.finished
    if running:
        assert dispatcher.discarded() == []
        assert dispatcher.end(4 + ended) == []
        assert _take_all(dispatcher) == left
    for index in left:
        assert dispatcher.discarded() == []
        assert dispatcher.end(index) == []
    assert dispatcher.discarded() == [1]
    assert dispatcher.discarded() == []
    dispatcher.end(3)
    assert dispatcher.finished
    assert dispatcher.discarded() == []


def test_a_request_dropped_before_it_arrives() -> None:
    """A request that is dropped before it arrives still arrives, and is discarded without any of its tasks offered."""
    dispatcher = Dispatcher(EARLY, _early(arrival_s=9.0))
    _answer(dispatcher, 0, running=False)
    assert _take_all(dispatcher) == [3]
    dispatcher.end(3)
    assert (dispatcher.discarded(), dispatcher.finished, dispatcher.next_arrival_s) == ([], False, 9.0)
    dispatcher.advance(9.0)
    assert (dispatcher.discarded(), dispatcher.finished) == ([1], True)
    assert dispatcher.arrived_s == [0.0, 9.0]
    assert _take_all(dispatcher, 9.0) == []


def test_a_condition_that_holds_changes_nothing() -> None:
    """A dependent that is not dropped goes on to its end; it is asked about once."""
    dispatcher = Dispatcher(EARLY, _early())
    asked = []
    while not dispatcher.finished:
        index = dispatcher.take()
        assert index is not None
        asked += [(index, request) for request in dispatcher.end(index)]
    assert asked == [(2, 1)]
    assert (dispatcher.dropped, dispatcher.discarded()) == ((), [])


def test_dependents_of_the_dropped_are_dropped() -> None:
    """A request is dropped with all that depend on it, directly or not, and no others; they are not asked about."""
    plan = Plan(tuple(Task("init", r, after=(0,) if r else ()) for r in range(5)), 2)
    parents = [None, 0, 1, 2, 0]
    requests = [JobRequest(0, when=None if parent is None else Condition(parent, 0.5)) for parent in parents]
    dispatcher = Dispatcher(plan, requests)
    assert dispatcher.take() == 0
    assert dispatcher.end(0) == [1, 4]
    assert dispatcher.take() == 1
    dispatcher.drop(1)
    assert dispatcher.dropped == (1, 2, 3)
    assert sorted(dispatcher.discarded()) == [2, 3]
    assert dispatcher.end(1) == []
    assert dispatcher.discarded() == [1]
    assert _take_all(dispatcher) == [4]


def test_dropping_twice_is_dropping_once() -> None:
    """A request that is dropped again is not discarded again."""
    dispatcher = Dispatcher(EARLY, _early())
    _answer(dispatcher, 0, running=False)
    dispatcher.drop(1)
    assert dispatcher.discarded() == [1]
    dispatcher.drop(1)
    assert dispatcher.discarded() == []


@pytest.mark.parametrize("holder", [4, 5])
def test_what_is_dropped_reserves_nothing(holder: int) -> None:
    """The reservation of a dropped init or load is released when the dropped request is over, and not before."""
    tasks = [*EARLY.tasks, Task("init", 2, reserve=6)]
    tasks[holder] = msgspec.structs.replace(tasks[holder], reserve=6)
    dispatcher = Dispatcher(Plan(tuple(tasks), 4, memory_bytes=10), [*_early(), JobRequest(0, arrival_s=1.0)])
    _answer(dispatcher, 1, running=True)
    dispatcher.advance(1.0)
    assert _take_all(dispatcher, 1.0) == [3]
    dispatcher.end(5, 1.0)
    assert _take_all(dispatcher, 1.0) == [7]
    dispatcher.end(7, 1.0)
    assert _take_all(dispatcher, 1.0) == [8]


def test_a_batch_that_is_dropped_is_over() -> None:
    """When all that is left of a batch is dropped the next one begins at that moment."""
    tasks = (Task("init", 0), Task("init", 1, after=(0,)), Task("init", 2))
    requests = [JobRequest(0), JobRequest(0, when=Condition(0, 0.5)), JobRequest(0, arrival_s=1.0, batch=1)]
    dispatcher = Dispatcher(Plan(tasks), requests)
    assert dispatcher.take() == 0
    assert dispatcher.end(0, 2.0) == [1]
    dispatcher.drop(1, 2.0)
    dispatcher.advance(2.0)
    assert dispatcher.next_arrival_s == 3.0


@given(timed_workloads(queues=True), st.sampled_from(sorted(POLICIES)), BUDGETS, CHOICES, st.data())
def test_each_dropped_request_is_discarded_once(
    asked: Workload, policy: str, budget: Budget, choices: list[tuple[int, float]], data: st.DataObject
) -> None:
    """However long tasks take, exactly the dropped are discarded, each once, when none of their tasks runs or will."""
    plan = POLICIES[policy](asked, budget)
    dispatcher, now_s, turn = Dispatcher(plan, asked.asked), 0.0, 0
    running: dict[int, int] = {}  # by lane
    discarded: list[int] = []
    while not dispatcher.finished:
        for lane in set(range(plan.lanes)) - running.keys():
            index = dispatcher.take(lane, now_s)
            if index is not None:
                assert plan.tasks[index].request not in discarded
                running[lane] = index
        choice, later_s = choices[turn % len(choices)]
        turn += 1
        if running:
            now_s += later_s
            dispatcher.advance(now_s)
            for request in dispatcher.end(running.pop(sorted(running)[choice % len(running)]), now_s):
                if data.draw(st.booleans()):
                    dispatcher.drop(request, now_s)
            dispatcher.advance(now_s)
        else:
            assert dispatcher.next_arrival_s is not None
            now_s = dispatcher.next_arrival_s
            dispatcher.advance(now_s)
        over = dispatcher.discarded()
        assert not {plan.tasks[index].request for index in running.values()}.intersection(over)
        discarded += over
    assert sorted(discarded) == list(dispatcher.dropped)


@given(plans().filter(lambda plan: plan.order in {"created", "ready"}), REQUESTS, CHOICES)
def test_a_lane_that_is_not_fresh_has_no_task(
    plan: Plan, requests: list[JobRequest], choices: list[tuple[int, float]]
) -> None:
    """A lane that found no task finds none until it is fresh, so it need not look; in other orders, time decides."""
    dispatcher, now_s, turn = Dispatcher(plan, requests[: len(plan.tasks)]), 0.0, 0
    running: dict[int, int] = {}  # by lane
    idle: set[int] = set()
    while not (dispatcher.finished or dispatcher.is_stuck(now_s)):
        for lane in set(range(plan.lanes)) - running.keys():
            fresh = dispatcher.fresh_lanes()
            idle = set() if None in fresh else {lane for lane in idle if lane not in fresh}
            index = dispatcher.take(lane, now_s)
            assert index is None or lane not in idle
            if index is None:
                idle.add(lane)
            else:
                running[lane] = index
        choice, later_s = choices[turn % len(choices)]
        turn += 1
        if running:
            now_s += later_s
            dispatcher.end(running.pop(sorted(running)[choice % len(running)]), now_s)
        elif dispatcher.next_arrival_s is not None:
            now_s = dispatcher.next_arrival_s
            dispatcher.advance(now_s)


SHARED = Plan((
    Task("init", 0), Task("init", 1), Task("load", 0, 0, (0,)), Task("exec", 0, 0, (2,)),
    Task("exec", 1, 0, (1, 2, 3), weights_of=0), Task("free", 1, 0, (4,), weights_of=0),
))  # fmt: skip
"""Two requests use the weights that the first one loads; the second one frees them."""


@pytest.mark.parametrize(
    ("dropped", "ended", "running", "done"),
    [
        ([0], 0, False, [1, 2, 4, 5]),  # its load is still wanted by the other one
        ([0], 0, True, [0, 1, 2, 4, 5]),
        ([0], 2, False, [0, 1, 2, 4, 5]),
        ([0], 3, True, [0, 1, 2, 3, 4, 5]),
        ([1], 0, False, [0, 2, 3, 5]),  # its free gives back what the other one has loaded
        ([1], 3, False, [0, 1, 2, 3, 5]),
        ([1], 5, False, [0, 1, 2, 3, 4, 5]),
        ([0, 1], 0, False, []),
        ([0, 1], 2, False, [0, 1]),  # nobody wants the load any more
        ([0, 1], 2, True, [0, 1, 2, 5]),
        ([1, 0], 3, False, [0, 1, 2, 5]),
        ([1, 0], 3, True, [0, 1, 2, 3, 5]),
        ([0, 1], 5, True, [0, 1, 2, 3, 4, 5]),
    ],
)
def test_shared_weights_of_dropped_requests(dropped: list[int], ended: int, running: bool, done: list[int]) -> None:  # noqa: FBT001
    """Shared weights are loaded while one of their users is not dropped, and freed once if they were loaded."""
    dispatcher = Dispatcher(SHARED)
    carried_out: list[int] = []

    def end(index: int | None) -> None:
        assert index is not None
        assert dispatcher.end(index) == []
        carried_out.append(index)

    for _ in range(ended):
        end(dispatcher.take())
    index = dispatcher.take() if running else None
    for request in dropped:
        dispatcher.drop(request)
    if running:
        end(index)
    while not dispatcher.finished:
        end(dispatcher.take())
    assert carried_out == done
    assert sorted(dispatcher.discarded()) == sorted(dropped)


PAGES = st.builds(Budget, st.none() | st.integers(0, 12).map(lambda pages: pages << 12), st.just(2), st.just(SPEEDS))
"""Budgets of a few pages, and of as many as one wants."""


def _taken(
    dispatcher: Dispatcher, lanes: int, choices: list[tuple[int, float]], drops: Callable[[], bool]
) -> Iterator[int]:
    """Yield each task when a lane takes it; those running end as `choices` say, `drops` decides on each condition."""
    now_s, turn = 0.0, 0
    running: dict[int, int] = {}  # by lane
    while not dispatcher.finished:
        for lane in set(range(lanes)) - running.keys():
            index = dispatcher.take(lane, now_s)
            if index is not None:
                running[lane] = index
                yield index
        choice, later_s = choices[turn % len(choices)]
        turn += 1
        if running:
            now_s += later_s
            dispatcher.advance(now_s)
            for request in dispatcher.end(running.pop(sorted(running)[choice % len(running)]), now_s):
                if drops():
                    dispatcher.drop(request, now_s)
            dispatcher.advance(now_s)
        else:
            assert dispatcher.next_arrival_s is not None, "tasks are left, none runs and none is to come"
            now_s = dispatcher.next_arrival_s
            dispatcher.advance(now_s)


@given(shared_workloads(queues=True), PAGES, CHOICES, st.data())
def test_weights_are_there_while_they_are_wanted(
    asked: Workload, budget: Budget, choices: list[tuple[int, float]], data: st.DataObject
) -> None:
    """Whoever is dropped, whenever: weights are loaded once and only for one who wants them, then used, then freed.

    The run ends, also where weights stay from batch to batch.
    """
    plan = POLICIES["stream"](asked, budget)
    users: dict[WeightKey, set[int]] = {}
    for task in plan.tasks:
        if task.kind == "exec":
            users.setdefault(task.weights, set()).add(task.request)
    dispatcher = Dispatcher(plan, asked.asked)
    begun = Counter[tuple[str, WeightKey]]()
    for index in _taken(dispatcher, plan.lanes, choices, lambda: data.draw(st.booleans())):
        task = plan.tasks[index]
        if task.kind == "load":
            assert not users[task.weights] <= {*dispatcher.dropped}
        elif task.kind == "exec":
            assert (begun["load", task.weights], begun["free", task.weights]) == (1, 0)
        begun[task.kind, task.weights] += 1
    for weights, using in users.items():
        assert begun["load", weights] == begun["free", weights]
        assert begun["load", weights] == 1 or using <= {*dispatcher.dropped}
