"""The road from a case to its measurement, on real networks under real limits."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from pytest_edgeload.base.errors import UsageError
from pytest_edgeload.base.units import format_duration, format_size
from pytest_edgeload.devices.constraints import Constraints
from pytest_edgeload.measuring.bench import Bench, with_mix
from pytest_edgeload.networks.registry import UnknownNetwork
from pytest_edgeload.planning.budget import MARGIN_BYTES
from pytest_edgeload.planning.plan import Budget, InvalidPlan, Plan
from pytest_edgeload.policies import POLICIES
from pytest_edgeload.results.case import Case
from pytest_edgeload.results.measurement import METRICS, Measurement, ServiceStats
from pytest_edgeload.sandbox.constraints import Limits
from pytest_edgeload.sandbox.swap import Swap
from pytest_edgeload.workload import Ask, Condition, Conditions, Mix, Workload
from pytest_edgeload.workload.arrivals import Constant, Trace
from tests.measuring.parts import BPS, DECIDING, TIGHT, TINY, WIDE, CountingCap, held
from tests.sandbox import witness
from tests.sandbox.child import MIB

NOT_OF_A_RUN = {
    "dropped_s", "service_time_s", "first_step_s", "state_bytes", "read_per_step_bytes",
    "worst_in_time", "overruns", "fairness", "xr_score",
    "energy_j", "energy_per_answer_j", "idle_power_w", "max_temperature_c", "min_frequency_share", "throttled_s",
    *(name for name in METRICS if name.startswith(("bound_", "step_", "steps_"))),
}  # fmt: skip


def _without_swap(bench: Bench) -> Bench:
    return replace(bench, launcher=replace(bench.launcher, swap=Swap(0, usable=False)))


@pytest.fixture(scope="module")
def swapped(bench: Bench, cap_name: str, tight_bytes: int) -> Measurement:
    """Return a measurement of bulk on the wide network, with swap, under a limit that it does not fit under."""
    return bench.measure(
        Case(
            test="test",
            workload="wide",
            policy="bulk",
            reader="read",
            cap=cap_name,
            swap="512M",
            limit=str(TIGHT),
            constraints=Constraints(tight_bytes, threads=2),
        ),
        WIDE,
    )


def test_bulk_swaps_and_computes_the_right_outputs(
    swapped: Measurement, cap_name: str, tight_bytes: int, session: str
) -> None:
    """Under a limit that it does not fit under, bulk swaps, computes the right outputs and leaves no group."""
    assert (swapped.outcome, swapped.detail) == ("ok", "")
    assert swapped.peak_swap_bytes is not None
    assert swapped.peak_swap_bytes > 32 * MIB
    assert swapped.swap_out_bytes is not None
    assert swapped.swap_out_bytes > 32 * MIB or witness.zswap()
    assert swapped.refaults is not None
    assert swapped.refaults > 0
    assert swapped.peak_anon_bytes is not None
    assert swapped.peak_anon_bytes <= tight_bytes
    assert swapped.output_error is not None
    assert swapped.output_error < 1e-4
    assert witness.groups(session) == []


def test_throttle_limits_reads_including_swap(
    bench: Bench, cap_name: str, tight_bytes: int, throttle: Limits, session: str
) -> None:
    """A run that swaps reads no faster than its throttle, swap included and a short start excepted.

    It computes the right outputs and leaves no group.
    """
    case = Case(
        test="test",
        workload="wide",
        policy="bulk",
        reader="read",
        cap=cap_name,
        swap="512M",
        limit=str(TIGHT),
        constraints=Constraints(tight_bytes, threads=2, read_bps=BPS),
    )
    run = bench.measure(case, WIDE)
    assert (run.outcome, run.detail) == ("ok", "")
    assert run.read_bytes is not None
    assert run.makespan_s is not None
    assert run.read_bytes >= 192 * MIB
    assert run.read_bytes / run.makespan_s < 1.25 * BPS
    assert run.peak_swap_bytes is not None
    assert run.peak_swap_bytes > 32 * MIB
    assert run.output_error is not None
    assert run.output_error < 1e-4
    assert witness.groups(session) == []


def test_measurement_has_every_metric_of_a_run(swapped: Measurement) -> None:
    """A measurement has every metric except drops, steps and bounds, and except pressure if the kernel has none."""
    absent = {name for name in METRICS if getattr(swapped, name) is None} - NOT_OF_A_RUN
    assert absent <= (set() if Path("/proc/pressure/memory").exists() else {"stall_s"})


@pytest.mark.parametrize("policy", ["linear", "bulk-unchained"])
def test_peak_of_the_ledger_is_that_of_the_plan(bench: Bench, case: Case, policy: str) -> None:
    """With one lane, the worker's peak equals the plan's peak to the byte."""
    run = bench.measure(msgspec.structs.replace(case, policy=policy), Mix.of("both", ["wide", "tiny"]))
    assert run.outcome == "ok"
    assert run.ledger_peak_bytes == run.plan_peak_bytes
    assert run.plan_peak_bytes is not None
    assert run.plan_peak_bytes < 32 * MIB if policy == "linear" else run.plan_peak_bytes > 192 * MIB


def test_times_follow_from_the_plan_and_its_spans(bench: Bench, case: Case) -> None:
    """Responses are in order, the times of the tasks add up, and the peak is known before the run."""
    run = bench.measure(case, TINY)
    assert run.response_s is not None
    assert run.makespan_s is not None
    assert run.load_s is not None
    assert run.exec_s is not None
    assert run.wait_s is not None
    answered = [response_s or 0.0 for response_s in run.response_s]
    assert 0 < answered[0] < answered[1] < answered[2] <= run.makespan_s
    assert 0 < run.load_s + run.exec_s + run.wait_s <= run.makespan_s
    assert run.ledger_peak_bytes == run.plan_peak_bytes


def _summary(run: Measurement) -> ServiceStats:
    """Return the response times of a run as those of one network."""
    return ServiceStats(
        len(run.arrived_s),
        len(run.dropped),
        run.response_mean_s,
        run.response_p50_s,
        run.response_p90_s,
        run.response_p99_s,
        run.worst_slowdown,
    )


def test_response_time_counts_from_the_arrival(bench: Bench, case: Case) -> None:
    """In an open loop, requests arrive on schedule, their figures count from their arrivals, and the figures add up."""
    run = bench.measure(case, TINY.arriving(Constant(0.125)))
    assert (run.outcome, run.arrived_s, run.dropped) == ("ok", (0.0, 0.125, 0.25), ())
    assert run.response_s is not None
    times = [response_s for response_s in run.response_s if response_s is not None]
    assert len(times) == 3
    ends = {span.task: span.end_s for span in run.tasks}
    answered = [ends[4 * r + 2] for r in range(3)]  # bulk's tasks of a layer: init, load, exec, free
    assert times == pytest.approx([end - at for end, at in zip(answered, run.arrived_s, strict=True)])
    assert run.service == {"tiny": _summary(run)}
    assert run.response_mean_s == pytest.approx(sum(times) / 3)
    parts = (run.response_wait_s, run.response_load_s, run.response_exec_s)
    assert sum(part or 0.0 for part in parts) == pytest.approx(run.response_mean_s)
    assert run.makespan_s is not None
    assert run.makespan_s > 0.25
    assert run.throughput_per_s == pytest.approx(3 / run.makespan_s)


def test_closed_loop_request_arrives_after_the_one_before(bench: Bench, case: Case) -> None:
    """In a closed loop, each request arrives when the previous one is done."""
    run = bench.measure(case, TINY.closed())
    assert run.outcome == "ok"
    ends = {span.task: span.end_s for span in run.tasks}
    for r in (1, 2):
        assert ends[4 * r - 1] <= run.arrived_s[r] <= min(span.start_s for span in run.tasks if span.task >= 4 * r)


@pytest.mark.parametrize("conditions", ["wait", "early"])
def test_dropped_request_has_no_response_time(bench: Bench, case: Case, conditions: Conditions) -> None:
    """A request with a false condition and a request that depends on it have no response time; the others have one."""
    run = bench.measure(msgspec.structs.replace(case, policy="execprio"), DECIDING.deciding(conditions))
    assert (run.outcome, run.detail, run.dropped) == ("ok", "", (1, 3))
    assert run.response_s is not None
    assert [response_s is None for response_s in run.response_s] == [False, True, False, True]
    assert run.service["wide"] == ServiceStats(1, dropped=1)
    assert run.service["tiny"] == msgspec.structs.replace(_summary(run), requests=3, dropped=1)
    assert run.output_error is not None
    assert run.output_error < 1e-5
    assert run.dropped_s is not None
    assert run.dropped_s == 0 or conditions == "early"


@pytest.mark.parametrize(
    ("when", "said"),
    [
        (Condition(0, 0.5, output=1), "output 1 of request 0, but tiny has 1; try 0"),
        (Condition(0, 0.5, output=-1), "output -1 of request 0, but tiny has 1; try 0"),
        (Condition(0, 0.5, output=3), "output 3 of request 0, but tiny has 1; try 0"),
        (Condition(1, 0.5, output=2), "output 2 of request 1, but pair has 2; try 0 to 1"),
        *(
            (
                Condition(0, 0.5, at=at),
                f"{[*at]} in output 0 of request 0, but tiny gives it in shape [1, 8]; try indices below these sizes",
            )
            for at in ((1,), (0, 8), (-1,), (0, -9), (0, 0, 0))
        ),
    ],
)
def test_condition_on_a_missing_output_is_refused_before_any_process(
    bench: Bench, case: Case, counting: CountingCap, when: Condition, said: str
) -> None:
    """A condition on an output or an index that does not exist is an error before any process starts."""
    opened = counting.opened
    mix = Mix("asking", (Ask("tiny"), Ask("pair"), Ask("tiny", when=when)))
    with pytest.raises(UsageError) as refused:
        bench.measure(case, mix)
    assert str(refused.value) == f"workload asking, request 2: its condition asks for {said}"
    assert counting.opened == opened


def test_arrival_after_the_timeout_is_refused_before_any_process(
    bench: Bench, case: Case, counting: CountingCap
) -> None:
    """A workload in milliseconds, read as seconds, is refused before any process starts, with the option to change."""
    opened = counting.opened
    late = Mix.of("late", ["tiny"], images=2).arriving(Trace((0.0, 1500.0)))
    with pytest.raises(UsageError) as refused:
        bench.measure(case, late)
    timeout = format_duration(bench.launcher.timeout_s)
    assert str(refused.value) == (
        f"workload late: its last request arrives after 1500s, and a run ends after {timeout}; "
        "ask fewer requests, raise timeout, or name the unit of recorded times"
    )
    assert counting.opened == opened


def test_ignored_condition_is_not_checked(bench: Bench, case: Case) -> None:
    """If conditions are ignored, a condition on a missing output is not an error."""
    mix = Mix("asking", (Ask("tiny"), Ask("tiny", when=Condition(0, 0.5, output=1)))).deciding("ignore")
    run = bench.measure(case, mix)
    assert (run.outcome, run.dropped) == ("ok", ())


def test_run_without_swap_is_killed_at_its_limit(bench: Bench, case: Case, tight_bytes: int) -> None:
    """Without swap the same case ends as `oom`; the measurement has the plan's peak but no figure of the worker's."""
    off = _without_swap(bench)
    run = off.measure(msgspec.structs.replace(held(case, memory_bytes=tight_bytes), limit=str(TIGHT)), WIDE)
    assert (run.outcome, run.detail) == ("oom", f"killed by the kernel at its limit of {format_size(tight_bytes)}")
    assert run.plan_peak_bytes is not None
    assert run.plan_peak_bytes > 192 * MIB
    assert (run.ledger_peak_bytes, run.makespan_s, run.response_s, run.load_s) == (None, None, None, None)


def test_linear_fits_under_the_tight_limit_without_swap(bench: Bench, case: Case, tight_bytes: int) -> None:
    """A policy that holds one layer at a time fits under the limit without swap."""
    off = _without_swap(bench)
    run = off.measure(msgspec.structs.replace(held(case, memory_bytes=tight_bytes), policy="linear"), WIDE)
    assert (run.outcome, run.peak_swap_bytes) == ("ok", 0)


def test_budget_is_the_limit_minus_idle_memory_and_margin(bench: Bench, case: Case) -> None:
    """A policy gets the limit minus the idle worker's memory and a margin, and no memory budget without a limit."""
    budgets: list[Budget] = []

    def policy(workload: Workload, budget: Budget) -> Plan:
        budgets.append(budget)
        return POLICIES["linear"](workload, budget)

    observed = replace(bench, policies={"bulk": policy})
    observed.measure(held(case, memory_bytes=1 << 30), TINY)
    observed.measure(case, TINY)
    assert [budget.memory_bytes for budget in budgets] == [
        (1 << 30) - bench.calibration.idle_bytes() - MARGIN_BYTES,
        None,
    ]


def test_invalid_plan_is_refused_before_any_process(bench: Bench, case: Case, counting: CountingCap) -> None:
    """A plan that no engine can carry out is an error before any process starts."""
    broken = replace(bench, policies={"bulk": lambda w, b: Plan(POLICIES["linear"](w, b).tasks[:-1])})
    opened = counting.opened
    with pytest.raises(InvalidPlan, match="the plan lacks 1 free of request 2, layer 0"):
        broken.measure(case, TINY)
    assert counting.opened == opened


def test_plan_that_deadlocks_is_refused_before_any_process(bench: Bench, case: Case, counting: CountingCap) -> None:
    """A plan whose requests wait for memory that the first one keeps is an error before any process starts."""

    def greedy(workload: Workload, budget: Budget) -> Plan:
        tasks = list(POLICIES["linear"](workload, budget).tasks)
        inits = [index for index, task in enumerate(tasks) if task.kind == "init"]
        tasks[inits[0]] = msgspec.structs.replace(tasks[inits[0]], reserve=2)
        return Plan(
            tuple(msgspec.structs.replace(t, reserve=2) if t.kind == "load" else t for t in tasks), memory_bytes=3
        )

    broken = replace(bench, policies={"bulk": greedy})
    opened = counting.opened
    with pytest.raises(InvalidPlan, match="policy bulk: the plan stops"):
        broken.measure(case, TINY)
    assert counting.opened == opened


def test_auto_is_the_best_reader_for_the_policy(bench: Bench, case: Case, counting: CountingCap) -> None:
    """`auto` becomes the best reader for the plan, before any process; a peer has `read`, and a named reader stays."""
    auto, opened = msgspec.structs.replace(case, reader="auto", policy="linear"), counting.opened
    again, once = (bench.with_reader(auto, mix) for mix in (TINY, WIDE))
    assert (again.reader, again.given_reader) == ("read", "auto")
    assert (once.reader, once.given_reader) == ("direct", "auto")
    assert once == with_mix(msgspec.structs.replace(case, reader="direct", is_reader_auto=True, policy="linear"), WIDE)
    assert bench.with_reader(msgspec.structs.replace(auto, policy="a peer"), WIDE).reader == "read"
    assert bench.with_reader(case, WIDE) == with_mix(case, WIDE)
    assert counting.opened == opened


def test_plan_that_chose_the_reader_is_measured(bench: Bench, case: Case) -> None:
    """The policy is asked once for a case: for the choice of its reader, and not again for its measurement."""
    asked: list[Workload] = []

    def counted(workload: Workload, budget: Budget) -> Plan:
        asked.append(workload)
        return POLICIES["linear"](workload, budget)

    counting = replace(bench, policies={"bulk": counted})
    for mix in (TINY, WIDE, TINY):
        found = counting.with_reader(msgspec.structs.replace(case, reader="auto"), mix)
    assert len(asked) == 3
    assert counting.measure(found, TINY).outcome == "ok"
    assert len(asked) == 3


def test_unknown_network_is_refused_before_any_process(bench: Bench, case: Case, counting: CountingCap) -> None:
    """A network that is not registered is an error before any process starts."""
    opened = counting.opened
    with pytest.raises(UnknownNetwork, match="did you mean tiny"):
        bench.measure(case, Mix.of("typo", ["tinny"]))
    assert counting.opened == opened
