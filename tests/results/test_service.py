"""How requests were served, against plain sums over the seconds between arrival and answer."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_edgeload.planning.plan import Budget, Plan, Span
from pytest_edgeload.planning.simulate import simulate
from pytest_edgeload.policies import POLICIES
from pytest_edgeload.results.record import METRICS, Measurement
from pytest_edgeload.results.service import Served, by_network, figures, responses, served
from pytest_edgeload.workload import Request, Workload
from tests.builders import BUDGETS, SPEEDS, network, plan_of, timed_workloads


@dataclass(frozen=True)
class Run:
    """A plan that was carried out."""

    plan: Plan
    asked: Workload
    spans: tuple[Span, ...]
    arrived_s: tuple[float, ...]
    dropped: tuple[int, ...]

    def served(self) -> list[Served]:
        """Return what is tested here."""
        return served(self.plan, self.asked, self.spans, self.arrived_s, self.dropped)

    def figures(self) -> dict[str, Any]:
        """Return what is tested here."""
        return figures(self.plan, self.asked, self.spans, self.arrived_s, self.dropped)

    def own(self, request: int, *kinds: str) -> list[Span]:
        """Return the spans of the request's tasks of these kinds."""
        tasks = [(self.plan.tasks[span.task], span) for span in self.spans]
        return [span for task, span in tasks if task.request == request and task.kind in kinds]

    def answered_s(self, request: int) -> float:
        """Return when the last of its execs ended, or its init where there is none."""
        return max(span.end_s for span in self.own(request, "init", "exec"))


@st.composite
def runs(draw: st.DrawFn) -> Run:
    """Draw what a policy makes of a workload; at these speeds all sums of seconds are exact."""
    asked, budget = draw(timed_workloads()), draw(BUDGETS)
    plan = POLICIES[draw(st.sampled_from(sorted(POLICIES)))](asked, budget)
    found = simulate(plan, asked, speeds=SPEEDS, holds=lambda _: draw(st.booleans()))
    return Run(plan, asked, found.spans, tuple(at or 0.0 for at in found.arrived_s), found.dropped)


@given(runs())
def test_all_but_the_dropped_are_served(run: Run) -> None:
    """Each request that was not dropped is served once, in order."""
    assert [one.request for one in run.served()] == [r for r in range(len(run.asked.requests)) if r not in run.dropped]


@given(runs())
def test_every_second_of_a_response_is_accounted_for(run: Run) -> None:
    """A response lasts from arrival to answer; each moment of it is executing, else loading, else waiting."""
    for one in run.served():
        begin_s, end_s = run.arrived_s[one.request], run.answered_s(one.request)
        loads, execs = run.own(one.request, "load", "init"), run.own(one.request, "exec")
        moments = sorted({begin_s, end_s, *(at for span in loads + execs for at in (span.start_s, span.end_s))})
        parts = {"exec": 0.0, "load": 0.0, "wait": 0.0}
        for a, b in pairwise(moments):
            is_in = [any(span.start_s <= a and b <= span.end_s for span in spans) for spans in (execs, loads)]
            parts["exec" if is_in[0] else "load" if is_in[1] else "wait"] += b - a
        assert one.response_s == end_s - begin_s == one.wait_s + one.load_s + one.exec_s
        assert parts == {"exec": one.exec_s, "load": one.load_s, "wait": one.wait_s}
        assert one.own_s == SPEEDS.service_s(run.asked.requests[one.request].network)


SECONDS = st.integers(0, 100).map(lambda eighths: eighths / 8)


@given(st.lists(SECONDS, min_size=6, max_size=6), SECONDS)
def test_reading_the_input_counts_as_loading(lengths: list[float], arrived_s: float) -> None:
    """Of gap, init, gap, load, gap, exec, one after the other, the gaps are waiting, init and load are loading."""
    asked = Workload("one", (Request(network((1, 1, 1))),))
    ends, now_s = [], arrived_s
    for length in lengths:
        now_s += length
        ends.append(now_s)
    spans = tuple(Span(i, 0, 0.0, ends[2 * i], ends[2 * i + 1]) for i in range(3))
    (one,) = Run(plan_of("linear", asked), asked, spans, (arrived_s,), ()).served()
    wait_s, load_s = lengths[0] + lengths[2] + lengths[4], lengths[1] + lengths[3]
    assert one == Served(0, sum(lengths), wait_s, load_s, lengths[5], load_s + lengths[5])


def test_loads_beside_execs_cost_nothing() -> None:
    """Where a load runs beside an exec the time is executing; the request's own time has both."""
    asked = Workload("one", (Request(network((1, 1, 1), (1, 1, 1))),))
    plan = plan_of("partial", asked)
    times = {"init": [(1, 2)], "load": [(2, 4), (3, 9)], "exec": [(5, 8), (9, 10)], "free": [(8, 9), (10, 14)]}
    of_kind = {kind: iter(spans) for kind, spans in times.items()}
    spans = tuple(Span(i, 0, 0.0, *next(of_kind[task.kind])) for i, task in enumerate(plan.tasks))
    (one,) = Run(plan, asked, spans, (0.5,), ()).served()
    assert one == Served(0, response_s=9.5, wait_s=0.5, load_s=5.0, exec_s=4.0, own_s=13.0)


def answered(times: list[float]) -> list[Served]:
    """Return requests with these response times."""
    return [Served(r, response_s, 0.0, 0.0, 0.0, 0.0) for r, response_s in enumerate(times)]


@given(st.lists(SECONDS, min_size=1, max_size=30))
def test_percentiles(times: list[float]) -> None:
    """The percentiles are the median and, not smaller but for rounding, two between it and the longest time."""
    found = responses(answered(times))
    ordered = [found[f"response_p{p}_s"] for p in (50, 90, 99)] + [max(times)]
    assert ordered[0] == pytest.approx(statistics.median(times))
    assert all(less <= more + 1e-9 for less, more in pairwise(ordered))


@given(SECONDS)
def test_one_time_is_every_percentile(response_s: float) -> None:
    """Of a single response time the mean and every percentile is that time."""
    assert set(responses(answered([response_s])).values()) == {response_s}


def test_responses() -> None:
    """Mean and percentiles are of the response times; of nothing there are none."""
    figures = {"response_p50_s": 5.0, "response_p90_s": 9.0, "response_p99_s": pytest.approx(9.9)}
    assert responses(answered([float(s) for s in range(11)])) == {"response_mean_s": 5.0, **figures}
    assert responses([]) == {}


@given(runs())
def test_figures(run: Run) -> None:
    """All figures are metrics of a measurement, which holds them, and goes through JSON with them."""
    found = run.figures()
    assert found.keys() <= METRICS.keys() | {"service"}
    measurement = Measurement(outcome="ok", **found)
    assert msgspec.json.decode(msgspec.json.encode(measurement), type=Measurement) == measurement


@given(runs())
def test_response_of_each_request(run: Run) -> None:
    """There is a response time for each request, None for one that was dropped."""
    due = [None if r in run.dropped else run.answered_s(r) - run.arrived_s[r] for r in range(len(run.arrived_s))]
    assert run.figures()["response_s"] == tuple(due)


@given(runs())
def test_parts_of_the_mean_response(run: Run) -> None:
    """The means of waiting, loading and executing add up to the mean of the response times."""
    found = run.figures()
    parts = sum(found[f"response_{part}_s"] for part in ("wait", "load", "exec"))
    assert parts == pytest.approx(found["response_mean_s"])


@given(runs())
def test_deadline_misses(run: Run) -> None:
    """As many deadlines are missed as answers came later than theirs; the metric is absent where nothing is due."""
    answers = [(run.asked.requests[one.request].deadline_s, one.response_s) for one in run.served()]
    late = sum(deadline_s is not None and response_s > deadline_s for deadline_s, response_s in answers)
    is_due = any(request.deadline_s is not None for request in run.asked.requests)
    assert run.figures().get("deadline_misses") == (late if is_due else None)


@pytest.mark.parametrize(("deadline_s", "misses"), [(1.875, 1), (2.0, 0), (2.125, 0)])
def test_an_answer_at_the_deadline_is_in_time(deadline_s: float, misses: int) -> None:
    """An answer after exactly as many seconds as allowed is no miss, whenever its request arrived."""
    asked = Workload("one", (Request(network((8, 1, 1), flops=[8]), arrival_s=3.0, deadline_s=deadline_s),))
    plan = plan_of("linear", asked)
    spans = simulate(plan, asked, speeds=SPEEDS).spans
    assert Run(plan, asked, spans, (3.0,), ()).figures()["deadline_misses"] == misses


@given(runs())
def test_lane_use_and_throughput(run: Run) -> None:
    """Lanes are used between none and all of the time, and the throughput counts answers; both absent without time."""
    found = run.figures()
    makespan_s = max(span.end_s for span in run.spans)
    if makespan_s == 0:
        assert not found.keys() & {"lane_use", "throughput_per_s"}
        return
    assert 0 <= found["lane_use"] <= 1
    busy_s = sum(span.end_s - span.start_s for span in run.spans)
    assert found["lane_use"] * makespan_s * run.plan.lanes == pytest.approx(busy_s)
    assert found["throughput_per_s"] * makespan_s == pytest.approx(len(run.asked.requests) - len(run.dropped))


def test_one_lane_that_never_waits_is_used_fully() -> None:
    """A chain without a gap uses its one lane all the time."""
    asked = Workload("one", (Request(network((8, 1, 1), flops=[8])),) * 2)
    plan = plan_of("bulk", asked)
    found = Run(plan, asked, simulate(plan, asked, speeds=SPEEDS).spans, (0.0, 0.0), ()).figures()
    assert found["lane_use"] == 1.0
    assert found["throughput_per_s"] == 2 / 4.0


@given(runs())
def test_service_by_network(run: Run) -> None:
    """Each network has its number of requests and of dropped ones, and the figures of its own answers."""
    found = run.figures()
    requests = run.asked.requests
    assert list(found["service"]) == list(dict.fromkeys(request.network.name for request in requests))
    for name, service in found["service"].items():
        own = [r for r, request in enumerate(requests) if request.network.name == name]
        mine = [one for one in run.served() if one.request in own]
        assert service.requests == len(own)
        assert service.dropped == len(own) - len(mine)
        times = {"response_mean_s", "response_p50_s", "response_p90_s", "response_p99_s"}
        assert {t: getattr(service, t) for t in times} == {**dict.fromkeys(times), **responses(mine)}
        slowdowns = [one.response_s / one.own_s for one in mine if one.own_s > 0]
        assert service.slowdown == (pytest.approx(sum(slowdowns) / len(slowdowns)) if slowdowns else None)
    known = [service.slowdown for service in found["service"].values() if service.slowdown is not None]
    assert found["worst_slowdown"] == max(known, default=None)


def test_a_network_whose_requests_were_all_dropped() -> None:
    """It has its requests and its dropped ones, and no figure of an answer."""
    asked = Workload("mix", (Request(network(name="a")), Request(network(name="b"))))
    services = by_network(asked, [Served(0, 1.0, 1.0, 0.0, 0.0, 0.0)], dropped=(1,))
    b = services["b"]
    assert (b.requests, b.dropped, b.response_mean_s, b.response_p99_s, b.slowdown) == (1, 1, None, None, None)


def test_a_request_alone_is_not_slowed_down() -> None:
    """On one lane a request that is alone takes as long as its own tasks; of two the second takes twice that."""
    asked = Workload("mix", (Request(network((8, 1, 1), name="a")), Request(network((8, 1, 1), name="b"))))
    for requests, slowdown in ((asked.requests[:1], 1.0), (asked.requests, 2.0)):
        mix = replace(asked, requests=requests)
        plan = POLICIES["bulk"](mix, Budget())
        found = simulate(plan, mix, speeds=SPEEDS)
        assert Run(plan, mix, found.spans, (0.0, 0.0), ()).figures()["worst_slowdown"] == slowdown
