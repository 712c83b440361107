"""The peak of a plan, against formulas that know nothing of plans, and the rules that every run must keep."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_edgeload.networks.layer import Network
from pytest_edgeload.planning.plan import Budget, InvalidPlan, Plan, Span, Task
from pytest_edgeload.planning.simulate import Simulation, peak_bytes, simulate
from pytest_edgeload.policies import POLICIES
from pytest_edgeload.workload import Condition, Request, Workload, awaited_requests
from tests.builders import BUDGETS, SPEEDS, network, plan_of, timed_workloads, workload, workloads


def _one_layer_at_a_time(network: Network) -> int:
    return max((layer.weight_bytes + layer.activation_bytes for layer in network.layers), default=0)


def _whole_network(network: Network) -> int:
    return network.weight_bytes + max((layer.activation_bytes for layer in network.layers), default=0)


def _rest_of_the_network(network: Network) -> int:
    """Every layer is loaded before the first is executed, and freed when it was."""
    rest = [sum(layer.weight_bytes for layer in network.layers[i:]) for i in range(len(network.layers))]
    return max((w + layer.activation_bytes for w, layer in zip(rest, network.layers, strict=True)), default=0)


@pytest.mark.parametrize(
    ("policy", "formula"),
    [("linear", _one_layer_at_a_time), ("bulk", _whole_network), ("partial", _rest_of_the_network)],
)
@given(asked=workloads())
def test_one_lane_is_exact(policy: str, formula: object, asked: Workload) -> None:
    """On one lane the peak is the largest peak of a network plus the outputs of the networks before it."""
    assert callable(formula)
    answers = peak = 0
    for request in asked.requests:
        peak = max(peak, answers + max(request.network.input_bytes, formula(request.network)))
        layers = request.network.layers
        answers += layers[-1].live_out_bytes if layers else request.network.input_bytes
    assert peak_bytes(plan_of(policy, asked, lanes=1), asked) == peak


@given(workloads().filter(lambda asked: len(asked.requests) == 1))
def test_bulk_unchained_alone_holds_the_rest_of_the_network(asked: Workload) -> None:
    """A network that is alone in bulk-unchained holds the layers that are not executed yet."""
    network = asked.requests[0].network
    peak = max(network.input_bytes, _rest_of_the_network(network))
    assert peak_bytes(plan_of("bulk-unchained", asked), asked) == peak


@given(workloads(), st.sampled_from(sorted(POLICIES)), st.integers(1, 4))
def test_peaks_are_within_bounds(asked: Workload, policy: str, lanes: int) -> None:
    """Any plan holds at least the greediest layer, and at most all networks with all they need.

    One with an arena holds all of that, in whole pages.
    """
    networks = [request.network for request in asked.requests]
    least = max(_one_layer_at_a_time(network) for network in networks)
    most = sum(max(network.input_bytes, _whole_network(network)) for network in networks)
    plan = plan_of(policy, asked, lanes)
    assert least <= peak_bytes(plan, asked) <= most + plan.arena_bytes


@pytest.mark.parametrize(("lanes", "peak"), [(1, 1 + 30), (2, 1 + 10 + 30)])
def test_tasks_that_run_together_are_held_together(lanes: int, peak: int) -> None:
    """Two layers are held one after the other on one lane, and both at once where two lanes load them at once."""
    tasks = (
        Task("init", 0),
        Task("load", 0, 0, (0,)),
        Task("exec", 0, 0, (1,)),
        Task("free", 0, 0, (2,)),
        Task("load", 0, 1, (0,)),
        Task("exec", 0, 1, (2, 4)),
        Task("free", 0, 1, (5,)),
    )
    assert peak_bytes(Plan(tasks, lanes), workload(network((10, 1, 1), (30, 1, 1)))) == peak


@dataclass(frozen=True)
class Run:
    """A workload, its plan, and the result of its simulation."""

    asked: Workload
    plan: Plan
    truth: list[bool]
    simulated: Simulation

    @property
    def spans(self) -> tuple[Span, ...]:
        """The tasks that ran, in order of start."""
        return self.simulated.spans

    def of(self, request: int, *kinds: str) -> list[Span]:
        """Return the spans of the request's tasks of these kinds, or of all, in order of start."""
        tasks = [(self.plan.tasks[span.task], span) for span in self.spans]
        return [span for task, span in tasks if task.request == request and (not kinds or task.kind in kinds)]

    def decided_s(self, request: int) -> float | None:
        """Return when it was known that `request` is dropped; None if it is not."""
        asked = self.asked.asked[request]
        times_s = [self.decided_s(source) for source in awaited_requests(asked)]
        if asked.when is not None:
            parent_s = self.decided_s(asked.when.request)
            if parent_s is None and not self.truth[request]:
                parent_s = max(span.end_s for span in self.of(asked.when.request, "init", "exec"))
            times_s.append(parent_s)
        if request in self.simulated.overrun:
            times_s.append(self.last_arrival_s(asked.stream))
        return min((time_s for time_s in times_s if time_s is not None), default=None)

    def last_arrival_s(self, stream: str) -> float:
        """Return the last arrival of a stream: a full queue drops no request later."""
        arrivals_s = zip(self.asked.requests, self.simulated.arrived_s, strict=True)
        return max(arrived_s or 0.0 for request, arrived_s in arrivals_s if request.stream == stream)


@st.composite
def runs(draw: st.DrawFn) -> Run:
    """Draw a workload, a policy, a budget, and which conditions hold; simulate them."""
    asked, budget = draw(timed_workloads(queues=True)), draw(BUDGETS)
    plan = POLICIES[draw(st.sampled_from(sorted(POLICIES)))](asked, budget)
    truth = draw(st.lists(st.booleans(), min_size=len(asked.requests), max_size=len(asked.requests)))
    return Run(asked, plan, truth, simulate(plan, asked, speeds=SPEEDS, holds=truth.__getitem__))


@given(runs())
def test_every_request_is_answered_or_dropped(run: Run) -> None:
    """Dropped are those whose condition fails or queue is full, and their dependents; other tasks run once."""
    dropped = tuple(r for r in range(len(run.asked.requests)) if run.decided_s(r) is not None)
    assert run.simulated.dropped == dropped
    ran = [span.task for span in run.spans]
    assert len(ran) == len(set(ran))
    assert {i for i, task in enumerate(run.plan.tasks) if task.request not in dropped} <= set(ran)
    assert run.asked.conditions != "ignore" or not dropped or run.simulated.overrun
    assert set(run.simulated.overrun) <= set(dropped)


@given(runs())
def test_nothing_new_is_done_for_what_is_dropped(run: Run) -> None:
    """Once a request is dropped, only its frees begin, and each loaded layer is freed once."""
    for r in run.simulated.dropped:
        decided_s = run.decided_s(r)
        assert decided_s is not None
        begun = run.of(r, "init", "load", "exec")
        assert all(span.start_s <= decided_s for span in begun)
        assert run.asked.conditions == "early" or not begun or run.simulated.overrun
        layers = [sorted(str(run.plan.tasks[span.task].layer) for span in run.of(r, kind)) for kind in ("load", "free")]
        assert layers[0] == layers[1]


@given(runs())
def test_tasks_run_when_and_where_they_may(run: Run) -> None:
    """A task starts when it is ready or later, after all it waits for, on its lane; a lane runs one at a time."""
    ends = {span.task: span.end_s for span in run.spans}
    assert [span.start_s for span in run.spans] == sorted(span.start_s for span in run.spans)
    for span in run.spans:
        task = run.plan.tasks[span.task]
        assert 0 <= span.ready_s <= span.start_s <= span.end_s
        assert all(ends[awaited] <= span.ready_s for awaited in task.after if awaited in ends)
        assert span.lane in (range(run.plan.lanes) if task.lane is None else [task.lane])
    for lane in range(run.plan.lanes):
        assert all(a.end_s <= b.start_s for a, b in pairwise(span for span in run.spans if span.lane == lane))


@given(runs())
def test_tasks_are_ready_when_the_last_thing_they_wait_for_has_happened(run: Run) -> None:
    """If no request is dropped, a task is ready when its last predecessor ends, and an init not before its arrival."""
    ends = {span.task: span.end_s for span in run.spans}
    for span in [] if run.simulated.dropped else run.spans:
        task = run.plan.tasks[span.task]
        arrived_s = run.simulated.arrived_s[task.request] if task.kind == "init" else None
        assert span.ready_s == max([arrived_s or 0.0, *(ends[awaited] for awaited in task.after)])


@given(runs())
def test_no_lane_idles_beside_what_it_may_run(run: Run) -> None:
    """While a task that reserves nothing is ready and not started, all lanes that may run it are busy."""
    for span in run.spans:
        task = run.plan.tasks[span.task]
        for lane in range(run.plan.lanes) if task.lane is None and not task.reserve else []:
            cut = [(max(s.start_s, span.ready_s), min(s.end_s, span.start_s)) for s in run.spans if s.lane == lane]
            assert sum(max(0.0, end - start) for start, end in cut) == span.start_s - span.ready_s


@given(runs())
def test_requests_arrive_after_all_batches_before(run: Run) -> None:
    """A request arrives when asked, counted from the very end of all batches before its own; nothing starts sooner."""
    begins_s, done_s = {}, 0.0
    for batch in sorted({request.batch for request in run.asked.requests}):
        begins_s[batch] = done_s
        for r in (r for r, request in enumerate(run.asked.requests) if request.batch == batch):
            arrived_s = run.simulated.arrived_s[r]
            due_s = begins_s[batch] + run.asked.requests[r].arrival_s
            trigger = run.asked.requests[r].after
            if trigger is not None and r in run.simulated.dropped:
                due_s = max(due_s, arrived_s or 0.0)  # when its trigger's tasks are over
            elif trigger is not None:
                due_s = max(due_s, *(span.end_s for span in run.of(trigger, "init", "exec")))
            assert arrived_s == due_s
            assert all(span.start_s >= arrived_s for span in run.of(r))
            done_s = max([done_s, arrived_s, *(span.end_s for span in run.of(r))])


@given(runs())
def test_dependents_wait_for_their_parents(run: Run) -> None:
    """A dependent that waits starts when its parent is answered or later; one that is early after its parent's init.

    A request that is fed or triggered always waits for the answer.
    """
    for r, request in enumerate(run.asked.asked):
        parent = [] if request.when is None else run.of(request.when.request, "init", "exec")
        if run.asked.conditions == "early":
            parent = parent[:1]
        parent += [span for source in awaited_requests(request) for span in run.of(source, "init", "exec")]
        assert all(span.end_s <= own.start_s for span in parent for own in run.of(r))


@given(timed_workloads())
def test_in_an_open_loop_arrivals_are_as_asked(asked: Workload) -> None:
    """If no batch waits for another, every request arrives at exactly its time, even if others still run."""
    open_loop = [replace(request, batch=0, when=None, feeds=(), after=None) for request in asked.requests]
    asked = replace(asked, requests=tuple(sorted(open_loop, key=lambda request: request.arrival_s)))
    for policy in POLICIES:
        arrived_s = simulate(plan_of(policy, asked), asked, speeds=SPEEDS).arrived_s
        assert arrived_s == tuple(request.arrival_s for request in asked.requests)


PROBE_BYTES = 1 << 40


@given(timed_workloads(queues=True), st.sampled_from(sorted(POLICIES)), BUDGETS, st.data())
def test_in_the_end_only_answers_are_held(asked: Workload, policy: str, budget: Budget, data: st.DataObject) -> None:
    """A huge input that comes when all else is done finds nothing but answers that were not dropped and the arena."""
    probe = Request(network(input_bytes=PROBE_BYTES), batch=3)
    asked = replace(asked, requests=(*asked.requests, probe))
    plan = POLICIES[policy](asked, budget)
    simulated = simulate(plan, asked, speeds=SPEEDS, holds=lambda _: data.draw(st.booleans()))
    answered = [request for r, request in enumerate(asked.requests) if r not in simulated.dropped]
    assert simulated.peak_bytes == sum(request.network.answer_bytes for request in answered) + plan.arena_bytes


@given(runs())
def test_the_same_question_has_the_same_answer(run: Run) -> None:
    """A second simulation gives the same result, to the last digit."""
    assert simulate(run.plan, run.asked, speeds=SPEEDS, holds=run.truth.__getitem__) == run.simulated


@given(runs())
def test_the_makespan_is_the_end_of_the_last_task(run: Run) -> None:
    """The makespan is when the last task ends, and no lane could have done its own tasks in less."""
    assert run.simulated.makespan_s == max(span.end_s for span in run.spans)
    for lane in range(run.plan.lanes):
        busy_s = sum(span.end_s - span.start_s for span in run.spans if span.lane == lane)
        assert busy_s <= run.simulated.makespan_s


@given(workloads(), st.sampled_from(["linear", "bulk"]))
def test_a_chain_takes_as_long_as_its_tasks(asked: Workload, policy: str) -> None:
    """A plan in one chain takes the sum of all service times."""
    makespan_s = simulate(plan_of(policy, asked), asked, speeds=SPEEDS).makespan_s
    assert makespan_s == sum(SPEEDS.service_s(request.network) for request in asked.requests)


def test_dropping_late_frees_and_forgets() -> None:
    """A dependent dropped while it loads its first layer ends that load, frees it, and leaves nothing behind."""
    parent, child = network((8, 1, 1)), network((32, 1, 1), (64, 1, 1), input_bytes=3)
    requests = (Request(parent), Request(child, when=Condition(0, 0.5)), Request(network((100, 1, 1)), batch=1))
    asked = Workload("mix", requests, "early")
    plan = plan_of("partial", asked)
    run = Run(asked, plan, [True, False, True], simulate(plan, asked, speeds=SPEEDS, holds=lambda _: False))
    assert [(plan.tasks[span.task].kind, span.end_s) for span in run.of(1)] == [("init", 0), ("load", 4), ("free", 4)]
    assert run.simulated.arrived_s == (0, 0, 4)
    assert run.simulated.peak_weight_bytes == 100
    assert run.simulated.peak_bytes == 100 + 1 + parent.answer_bytes


@pytest.mark.parametrize(
    "tasks", [(Task("init", 0, None, (0,)),), (Task("init", 0, None, (1,)), Task("init", 0, None, (0,)))]
)
def test_a_plan_that_stops_raises(tasks: tuple[Task, ...]) -> None:
    """A plan whose tasks wait for each other raises instead of going on forever."""
    with pytest.raises(InvalidPlan, match="the plan stops"):
        peak_bytes(Plan(tasks), workload(network()))


def test_nothing_holds_nothing() -> None:
    """A plan without tasks, which an idle worker carries out, holds nothing."""
    assert peak_bytes(Plan(()), workload()) == 0
