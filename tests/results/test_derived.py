"""Metrics that follow from a plan and its spans, compared with plain sums over seconds."""

from __future__ import annotations

import statistics
from dataclasses import astuple, dataclass, replace
from itertools import pairwise

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_edgeload.networks.tile import REQUESTED
from pytest_edgeload.planning.plan import Budget, Builder, Plan, Span
from pytest_edgeload.planning.simulate import simulate
from pytest_edgeload.policies import POLICIES
from pytest_edgeload.results.derived import (
    Answer,
    answered,
    by_network,
    complete,
    response_times,
    task_infos,
)
from pytest_edgeload.results.measurement import Measurement, TaskInfo
from pytest_edgeload.results.percentiles import Percentiles
from pytest_edgeload.workload import Request, Workload
from tests.builders import BUDGETS, SPEEDS, embedding, network, plan_of, timed_workloads, workload


@dataclass(frozen=True)
class Run:
    """A plan that was carried out."""

    plan: Plan
    workload: Workload
    spans: tuple[Span, ...]
    arrived_s: tuple[float, ...]
    dropped: tuple[int, ...]
    overrun: tuple[int, ...] = ()

    def answers(self) -> list[Answer]:
        """Return the answers to its requests."""
        return answered(self.plan, self.workload, self.spans, self.arrived_s, self.dropped)

    def measurement(self) -> Measurement:
        """Return the measurement with all derived metrics."""
        plain = Measurement(outcome="ok", tasks=self.spans, arrived_s=self.arrived_s, dropped=self.dropped)
        plain = msgspec.structs.replace(plain, overrun=self.overrun)
        return complete(plain, self.plan, self.workload, plan_peak_bytes=0)

    def own(self, request: int, *kinds: str) -> list[Span]:
        """Return the spans of the request's tasks of these kinds."""
        tasks = [(self.plan.tasks[span.task], span) for span in self.spans]
        return [span for task, span in tasks if task.request == request and task.kind in kinds]

    def answered_s(self, request: int) -> float:
        """Return the end of its last exec, or of its init if it has no exec."""
        return max(span.end_s for span in self.own(request, "init", "exec"))


@st.composite
def runs(draw: st.DrawFn) -> Run:
    """Draw the run of a policy's plan for a workload; at these speeds all sums of seconds are exact."""
    drawn, budget = draw(timed_workloads()), draw(BUDGETS)
    plan = POLICIES[draw(st.sampled_from(sorted(POLICIES)))](drawn, budget)
    simulated = simulate(plan, drawn, speeds=SPEEDS, holds=lambda _: draw(st.booleans()))
    arrived_s = tuple(at or 0.0 for at in simulated.arrived_s)
    return Run(plan, drawn, simulated.spans, arrived_s, simulated.dropped, simulated.overrun)


@given(runs())
def test_all_but_the_dropped_are_answered(run: Run) -> None:
    """Each request that was not dropped has one answer, in order."""
    kept = [r for r in range(len(run.workload.requests)) if r not in run.dropped]
    assert [answer.request for answer in run.answers()] == kept


@given(runs())
def test_every_second_of_a_response_is_accounted_for(run: Run) -> None:
    """A response lasts from arrival to answer; each moment of it is executing, else loading, else waiting."""
    for answer in run.answers():
        begin_s, end_s = run.arrived_s[answer.request], run.answered_s(answer.request)
        loads, execs = run.own(answer.request, "load", "init"), run.own(answer.request, "exec")
        moments = sorted({begin_s, end_s, *(at for span in loads + execs for at in (span.start_s, span.end_s))})
        parts = {"exec": 0.0, "load": 0.0, "wait": 0.0}
        for a, b in pairwise(moments):
            is_in = [any(span.start_s <= a and b <= span.end_s for span in spans) for spans in (execs, loads)]
            parts["exec" if is_in[0] else "load" if is_in[1] else "wait"] += b - a
        assert answer.wait_s is not None
        assert answer.load_s is not None
        assert answer.response_s == end_s - begin_s == answer.wait_s + answer.load_s + answer.exec_s
        assert parts == {"exec": answer.exec_s, "load": answer.load_s, "wait": answer.wait_s}
        assert answer.own_s == SPEEDS.service_s(run.workload.requests[answer.request].network)


SECONDS = st.integers(0, 100).map(lambda eighths: eighths / 8)


@given(st.lists(SECONDS, min_size=6, max_size=6), SECONDS)
def test_reading_the_input_counts_as_loading(lengths: list[float], arrived_s: float) -> None:
    """In the sequence gap, init, gap, load, gap, exec the gaps are waiting, and init and load are loading."""
    single = Workload("one", (Request(network((1, 1, 1))),))
    ends, now_s = [], arrived_s
    for length in lengths:
        now_s += length
        ends.append(now_s)
    spans = tuple(Span(i, 0, 0.0, ends[2 * i], ends[2 * i + 1]) for i in range(3))
    (answer,) = Run(plan_of("linear", single), single, spans, (arrived_s,), ()).answers()
    wait_s, load_s = lengths[0] + lengths[2] + lengths[4], lengths[1] + lengths[3]
    assert answer == Answer(0, sum(lengths), wait_s, load_s, lengths[5], load_s + lengths[5])


def test_loads_that_overlap_execs_cost_nothing() -> None:
    """While a load overlaps an exec the time is executing; the request's own time contains both."""
    single = Workload("one", (Request(network((1, 1, 1), (1, 1, 1))),))
    plan = plan_of("partial", single)
    times = {"init": [(1, 2)], "load": [(2, 4), (3, 9)], "exec": [(5, 8), (9, 10)], "free": [(8, 9), (10, 14)]}
    of_kind = {kind: iter(spans) for kind, spans in times.items()}
    spans = tuple(Span(i, 0, 0.0, *next(of_kind[task.kind])) for i, task in enumerate(plan.tasks))
    (answer,) = Run(plan, single, spans, (0.5,), ()).answers()
    assert answer == Answer(0, response_s=9.5, wait_s=0.5, load_s=5.0, exec_s=4.0, own_s=13.0)


def answers_after(times: list[float]) -> list[Answer]:
    """Return answers with these response times."""
    return [Answer(r, response_s, 0.0, 0.0, 0.0, 0.0) for r, response_s in enumerate(times)]


@given(st.lists(SECONDS, min_size=1, max_size=30))
def test_percentiles_rise_from_the_median_to_the_longest_time(times: list[float]) -> None:
    """The percentiles are the median and, except for rounding, two rising values between it and the longest time."""
    _, *percentiles = astuple(response_times(answers_after(times)))
    assert percentiles[0] == pytest.approx(statistics.median(times))
    assert all(low <= high + 1e-9 for low, high in pairwise([*percentiles, max(times)]))


@given(SECONDS)
def test_one_time_is_every_percentile(response_s: float) -> None:
    """The mean and every percentile of a single response time are that time."""
    assert set(astuple(response_times(answers_after([response_s])))) == {response_s}


def test_percentiles_are_linear_between_neighbours() -> None:
    """Mean and percentiles are those of the response times; without an answer there are none."""
    times = response_times(answers_after([float(s) for s in range(11)]))
    assert astuple(times) == pytest.approx((5.0, 5.0, 9.0, 9.9))
    assert response_times([]) == Percentiles(None, None, None, None)


@given(runs())
def test_derived_metrics_survive_json(run: Run) -> None:
    """A measurement with all derived metrics is valid and is read back unchanged."""
    measurement = run.measurement()
    assert msgspec.json.decode(msgspec.json.encode(measurement), type=Measurement) == measurement


@given(runs())
def test_times_of_lanes_are_sums_over_their_spans(run: Run) -> None:
    """Loading and executing times are summed over lanes; waiting is the time from ready to start, over all tasks."""
    found = run.measurement()
    requests = range(len(run.workload.requests))
    for kind, total_s in (("load", found.load_s), ("exec", found.exec_s)):
        assert total_s == sum(span.end_s - span.start_s for r in requests for span in run.own(r, kind))
    assert found.wait_s == sum(span.start_s - span.ready_s for span in run.spans)


def test_without_spans_the_peak_of_the_plan_is_all() -> None:
    """A run that carried out no task has no derived metric but the peak of its plan."""
    mix = workload(network((8, 1, 1)))
    found = complete(Measurement(outcome="oom"), plan_of("bulk", mix), mix, plan_peak_bytes=8)
    assert found == Measurement(outcome="oom", plan_peak_bytes=8)


@given(runs())
def test_each_request_has_a_response_time(run: Run) -> None:
    """There is a response time for each request, None for one that was dropped."""
    due = [None if r in run.dropped else run.answered_s(r) - run.arrived_s[r] for r in range(len(run.arrived_s))]
    assert run.measurement().response_s == tuple(due)


@given(runs())
def test_parts_add_up_to_the_mean_response(run: Run) -> None:
    """The means of waiting, loading and executing add up to the mean of the response times."""
    found = run.measurement()
    parts = [found.response_wait_s, found.response_load_s, found.response_exec_s]
    if found.response_mean_s is None:
        assert parts == [None] * 3
    else:
        assert sum(part or 0.0 for part in parts) == pytest.approx(found.response_mean_s)


@given(runs())
def test_late_answers_miss_their_deadlines(run: Run) -> None:
    """Deadline misses count the late answers; the metric is absent if no request has a deadline."""
    answers = [(run.workload.requests[answer.request].deadline_s, answer.response_s) for answer in run.answers()]
    late = sum(deadline_s is not None and response_s > deadline_s for deadline_s, response_s in answers)
    is_due = any(request.deadline_s is not None for request in run.workload.requests)
    assert run.measurement().deadline_misses == (late if is_due else None)


@pytest.mark.parametrize(("deadline_s", "misses"), [(1.875, 1), (2.0, 0), (2.125, 0)])
def test_an_answer_at_the_deadline_is_in_time(deadline_s: float, misses: int) -> None:
    """An answer after exactly the allowed seconds is no miss, even if its request arrived late."""
    single = Workload("one", (Request(network((8, 1, 1), flops=[8]), arrival_s=3.0, deadline_s=deadline_s),))
    plan = plan_of("linear", single)
    spans = simulate(plan, single, speeds=SPEEDS).spans
    assert Run(plan, single, spans, (3.0,), ()).measurement().deadline_misses == misses


@given(runs())
def test_lane_use_is_a_share_and_throughput_counts_answers(run: Run) -> None:
    """Lane use is between 0 and 1, and the throughput counts answers; both are absent if the makespan is 0."""
    found = run.measurement()
    makespan_s = max(span.end_s for span in run.spans)
    if makespan_s == 0:
        assert (found.lane_use, found.throughput_per_s) == (None, None)
        return
    assert found.lane_use is not None
    assert found.throughput_per_s is not None
    assert 0 <= found.lane_use <= 1
    busy_s = sum(span.end_s - span.start_s for span in run.spans)
    assert found.lane_use * makespan_s * run.plan.lanes == pytest.approx(busy_s)
    assert found.throughput_per_s * makespan_s == pytest.approx(len(run.workload.requests) - len(run.dropped))


def test_one_lane_that_never_waits_is_used_fully() -> None:
    """A chain without a gap uses its one lane all the time."""
    pair = Workload("one", (Request(network((8, 1, 1), flops=[8])),) * 2)
    plan = plan_of("bulk", pair)
    found = Run(plan, pair, simulate(plan, pair, speeds=SPEEDS).spans, (0.0, 0.0), ()).measurement()
    assert found.lane_use == 1.0
    assert found.throughput_per_s == 2 / 4.0


@given(runs())
def test_each_network_has_the_statistics_of_its_own_answers(run: Run) -> None:
    """Each network has the numbers of its requests and of its dropped ones, and the times of its own answers."""
    found = run.measurement()
    requests = run.workload.requests
    assert list(found.service) == list(dict.fromkeys(request.network.name for request in requests))
    for name, service in found.service.items():
        own = [r for r, request in enumerate(requests) if request.network.name == name]
        mine = [answer for answer in run.answers() if answer.request in own]
        assert service.requests == len(own)
        assert service.dropped == len(own) - len(mine)
        times = (
            service.response_mean_s, service.response_p50_s, service.response_p90_s, service.response_p99_s,
        )  # fmt: skip
        assert times == astuple(response_times(mine))
        slowdowns = [answer.response_s / answer.own_s for answer in mine if answer.own_s > 0]
        due = [requests[answer.request].deadline_s for answer in mine]
        late = sum(s is not None and answer.response_s > s for answer, s in zip(mine, due, strict=True))
        assert service.late == (late if any(requests[r].deadline_s is not None for r in own) else None)
        assert service.slowdown == (pytest.approx(sum(slowdowns) / len(slowdowns)) if slowdowns else None)
    known = [service.slowdown for service in found.service.values() if service.slowdown is not None]
    assert found.worst_slowdown == max(known, default=None)


def test_a_network_without_answers_has_counts_only() -> None:
    """A network whose requests were all dropped has the number of its requests and of the dropped ones."""
    mix = Workload("mix", (Request(network(name="a")), Request(network(name="b"))))
    services = by_network(mix, [Answer(0, 1.0, 1.0, 0.0, 0.0, 0.0)], dropped=(1,))
    b = services["b"]
    assert (b.requests, b.dropped, b.response_mean_s, b.response_p99_s, b.slowdown) == (1, 1, None, None, None)


def test_a_single_request_is_not_slowed_down() -> None:
    """On one lane a single request takes as long as its own tasks; the second of two takes twice that time."""
    pair = Workload("mix", (Request(network((8, 1, 1), name="a")), Request(network((8, 1, 1), name="b"))))
    for requests, slowdown in ((pair.requests[:1], 1.0), (pair.requests, 2.0)):
        mix = replace(pair, requests=requests)
        plan = POLICIES["bulk"](mix, Budget())
        simulated = simulate(plan, mix, speeds=SPEEDS)
        assert Run(plan, mix, simulated.spans, (0.0, 0.0), ()).measurement().worst_slowdown == slowdown


@given(timed_workloads())
def test_each_task_has_a_description(mix: Workload) -> None:
    """Each task of the plan has a description of the same kind and request, with the layer and its bytes."""
    plan = plan_of("linear", mix)
    infos = task_infos(plan, mix)
    assert [(info.kind, info.request) for info in infos] == [(task.kind, task.request) for task in plan.tasks]
    for info, task in zip(infos, plan.tasks, strict=True):
        layer = None if task.layer is None else mix.requests[task.request].network.layers[task.layer]
        assert info.layer == ("" if layer is None else layer.name)
        assert info.weight_bytes == (0 if layer is None else layer.weight_bytes)


def test_tiles_are_named() -> None:
    """A tile has its rows in its name, or a word for rows that the input selects, and its own bytes."""
    plan = Builder(workload(embedding("x"), network((8, 1, 1))))
    init = plan.add("init", 0)
    plan.add("load", 0, 0, after=init, tile=REQUESTED)
    plan.add("load", 0, 0, after=init, tile=(10, 30))
    infos = task_infos(plan.done(), workload(embedding("x"), network((8, 1, 1))))
    assert infos[0] == TaskInfo("init", 0)
    assert [(info.layer, info.weight_bytes) for info in infos[1:]] == [
        ("layer0 [requested]", 32),
        ("layer0 [10:30]", 160),
    ]


@given(runs())
def test_requests_of_streams_are_in_time_late_overrun_or_not_due(run: Run) -> None:
    """Every request due is answered in time, answered late or overrun; all others were dropped by a condition."""
    found = run.measurement()
    for stats in found.streams.values():
        answers = sum(r not in run.dropped for r in stats.requests)
        late, overruns = stats.deadline_misses or 0, stats.overruns or 0
        assert stats.requests_due == answers + overruns
        assert {r for r in stats.requests if r in run.overrun} <= {*run.dropped}
        assert sum(r in run.overrun for r in stats.requests) <= overruns
        assert stats.in_time == ((answers - late) / stats.requests_due if stats.requests_due else None)
        assert stats.xr_score is None or 0 <= stats.xr_score <= 1
    if not any(request.when for request in run.workload.asked):
        assert sum(stats.requests_due for stats in found.streams.values()) == sum(
            bool(request.stream) for request in run.workload.requests
        )
