"""The whole road from a case to its measurement, on real networks under real limits."""

from __future__ import annotations

import dataclasses
import itertools
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from pytest_edgeload.base.errors import Unsupported, UsageError
from pytest_edgeload.base.units import Limit, format_size
from pytest_edgeload.measuring.bench import Bench
from pytest_edgeload.networks.registry import Registry, UnknownNetwork
from pytest_edgeload.planning.budget import MARGIN_BYTES
from pytest_edgeload.planning.plan import Budget, InvalidPlan, Plan
from pytest_edgeload.policies import POLICIES
from pytest_edgeload.results.record import METRICS, Case, Measurement, ServiceStats
from pytest_edgeload.sandbox.caps import Cap, Group
from pytest_edgeload.sandbox.limits import Limits, Throttle
from pytest_edgeload.sandbox.owner import PREFIX
from pytest_edgeload.sandbox.swap import Swap
from pytest_edgeload.workload import Ask, Condition, Conditions, Mix, Workload
from pytest_edgeload.workload.arrivals import Constant
from tests.sandbox import witness
from tests.sandbox.child import MIB

WIDE, TINY = Mix.of("wide", ["wide"]).due(60.0), Mix.of("tiny", ["tiny"], images=3)
NOT_OF_A_RUN = {"dropped_s", *(name for name in METRICS if name.startswith("bound_"))}
TIGHT = Limit.parse("base+24M")
BPS = 90 * MIB
"""What the fixture `throttle` holds reads to."""


@dataclasses.dataclass
class Counting:
    """A cap that counts how many groups were opened."""

    cap: Cap
    enforces: bool = True
    opened: int = 0

    def unavailable(self) -> str | None:
        """Ask the cap."""
        return self.cap.unavailable()

    def cannot_throttle(self) -> str | None:
        """Ask the cap."""
        return self.cap.cannot_throttle()

    def open(self, name: str, limits: Limits) -> Group:
        """Count, and have the cap open the group."""
        self.opened += 1
        return self.cap.open(name, limits)

    def sweep(self, session: str | None) -> list[str]:
        """Have the cap sweep."""
        return self.cap.sweep(session)


@pytest.fixture(scope="module", autouse=True)
def own_lock(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Take turns with nobody else on this machine: nothing here is a timing."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tempfile, "tempdir", str(tmp_path_factory.mktemp("lock")))
        yield


@pytest.fixture(scope="module")
def counting(cap: Cap) -> Counting:
    """Give the cap, counting."""
    return Counting(cap)


@pytest.fixture(scope="module")
def bench(
    counting: Counting, swap: Swap, registry: Registry, session: str, tmp_path_factory: pytest.TempPathFactory
) -> Bench:
    """Give a bench with the built-in policies and swap."""
    folder = tmp_path_factory.mktemp("session")
    return Bench(registry, POLICIES, counting, swap, session, folder, 60.0, lambda *_: None)


@pytest.fixture
def case(cap_name: str) -> Case:
    """Give a case of bulk without a limit."""
    return Case("test", "workload", "bulk", None, None, "read", 2, cap_name, "512M")


@pytest.fixture(scope="module")
def tight_bytes(bench: Bench) -> int:
    """Tell the limit that the wide network does not fit under."""
    found = bench.limit_bytes(TIGHT)
    assert found is not None
    return found


@pytest.fixture(scope="module")
def swapped(bench: Bench, cap_name: str, tight_bytes: int) -> Measurement:
    """Measure bulk on the wide network, under a limit that it does not fit under, with swap."""
    return bench.measure(Case("test", "wide", "bulk", str(TIGHT), tight_bytes, "read", 2, cap_name, "512M"), WIDE)


def test_swapping_run(swapped: Measurement, cap_name: str, tight_bytes: int, session: str) -> None:
    """Under a limit that it does not fit under, bulk swaps, computes the right thing, and leaves no group."""
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


def test_throttled_run(bench: Bench, cap_name: str, tight_bytes: int, throttle: Throttle, session: str) -> None:
    """A whole run that swaps fetches no more a second than it may, swap included, but for a first helping.

    It computes the right thing, and leaves no group.
    """
    case = Case("test", "wide", "bulk", str(TIGHT), tight_bytes, "read", 2, cap_name, "512M", read_bps=BPS)
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


def test_check_reads(bench: Bench, cap: Cap, storage: Path, throttle: Throttle, fresh: Callable[[], str]) -> None:
    """Whether reads can be throttled is tried out; what the kernel refuses is told with the option and the way out."""
    bench.check_reads(BPS, storage)
    name = fresh()
    session, _, serial = name.removeprefix(PREFIX).rpartition("-")
    taken = dataclasses.replace(bench, session=session, _serial=itertools.count(int(serial)))
    group = cap.open(f"{PREFIX}{session}-{os.getpid()}-{serial}", Limits())
    try:
        with pytest.raises(Unsupported, match=r"^--edge-read-bw=90M: cgroup .* File exists; leave it out$"):
            taken.check_reads(BPS, storage)
    finally:
        group.close()


def test_all_metrics(swapped: Measurement) -> None:
    """A measurement has every metric there is, but for pressure where the kernel keeps none, drops and bounds."""
    absent = {name for name in METRICS if getattr(swapped, name) is None} - NOT_OF_A_RUN
    assert absent <= (set() if Path("/proc/pressure/memory").exists() else {"stall_s"})


@pytest.mark.parametrize("policy", ["linear", "bulk-unchained"])
def test_ledger(bench: Bench, case: Case, policy: str) -> None:
    """With one lane the worker held, to the byte, what its plan was known to hold before it ran."""
    run = bench.measure(msgspec.structs.replace(case, policy=policy), Mix.of("both", ["wide", "tiny"]))
    assert run.outcome == "ok"
    assert run.ledger_peak_bytes == run.plan_peak_bytes
    assert run.plan_peak_bytes is not None
    assert run.plan_peak_bytes < 32 * MIB if policy == "linear" else run.plan_peak_bytes > 192 * MIB


def test_from_the_plan(bench: Bench, case: Case) -> None:
    """What follows from the plan and the spans: answers in order, times that add up, a peak known before."""
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


def test_arrivals(bench: Bench, case: Case) -> None:
    """In an open loop requests arrive on schedule; their figures count from that moment, and what they say adds up."""
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


def test_closed_loop(bench: Bench, case: Case) -> None:
    """In a closed loop each request arrives when the one before it is done."""
    run = bench.measure(case, TINY.closed())
    assert run.outcome == "ok"
    ends = {span.task: span.end_s for span in run.tasks}
    for r in (1, 2):
        assert ends[4 * r - 1] <= run.arrived_s[r] <= min(span.start_s for span in run.tasks if span.task >= 4 * r)


# What tiny answers is 1.125 everywhere.
DECIDING = Mix(
    "deciding",
    (
        Ask("tiny"),
        Ask("wide", when=Condition(0, 1.2)),
        Ask("tiny", when=Condition(0, 1.2, "<", at=(0, 7))),
        Ask("tiny", when=Condition(1, -1e9)),
    ),
)


@pytest.mark.parametrize("conditions", ["wait", "early"])
def test_dropped(bench: Bench, case: Case, conditions: Conditions) -> None:
    """A request whose condition fails, and one that depends on it, have no response time; the others are judged."""
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
def test_condition_about_nothing(bench: Bench, case: Case, counting: Counting, when: Condition, said: str) -> None:
    """A condition about an output or a part that is not there is refused in words before any process starts."""
    opened = counting.opened
    asking = Mix("asking", (Ask("tiny"), Ask("pair"), Ask("tiny", when=when)))
    with pytest.raises(UsageError) as refused:
        bench.measure(case, asking)
    assert str(refused.value) == f"workload asking, request 2: its condition asks for {said}"
    assert counting.opened == opened


def test_ignored_condition_about_nothing(bench: Bench, case: Case) -> None:
    """Where conditions are ignored nobody asks what they are about."""
    mix = Mix("asking", (Ask("tiny"), Ask("tiny", when=Condition(0, 0.5, output=1)))).deciding("ignore")
    run = bench.measure(case, mix)
    assert (run.outcome, run.dropped) == ("ok", ())


def test_oom(bench: Bench, case: Case, tight_bytes: int) -> None:
    """Without swap the same case ends as `oom`: the plan's own peak is still told, the worker's account is not."""
    off = dataclasses.replace(bench, swap=Swap(0, usable=False))
    run = off.measure(msgspec.structs.replace(case, limit=str(TIGHT), limit_bytes=tight_bytes), WIDE)
    assert (run.outcome, run.detail) == ("oom", f"killed by the kernel at its limit of {format_size(tight_bytes)}")
    assert run.plan_peak_bytes is not None
    assert run.plan_peak_bytes > 192 * MIB
    assert (run.ledger_peak_bytes, run.makespan_s, run.response_s, run.load_s) == (None, None, None, None)


def test_fits(bench: Bench, case: Case, tight_bytes: int) -> None:
    """A policy that holds one layer at a time fits under that limit without swap."""
    off = dataclasses.replace(bench, swap=Swap(0, usable=False))
    run = off.measure(msgspec.structs.replace(case, policy="linear", limit_bytes=tight_bytes), WIDE)
    assert (run.outcome, run.peak_swap_bytes) == ("ok", 0)


def test_idle_once(bench: Bench, counting: Counting) -> None:
    """What an idle worker needs is measured once in a session's folder, and a part of it is what its process holds."""
    idle, opened = bench.idle_bytes(), counting.opened
    assert dataclasses.replace(bench).idle_bytes() == bench.idle_bytes() == idle
    assert counting.opened == opened
    assert 32 * MIB < idle < 4096 * MIB


def test_idle_anew(bench: Bench, counting: Counting, tmp_path: Path) -> None:
    """In another session's folder it is measured anew, and comes out much the same."""
    opened = counting.opened
    assert dataclasses.replace(bench, folder=tmp_path).idle_bytes() == pytest.approx(bench.idle_bytes(), rel=0.05)
    assert counting.opened == opened + 1


BOTH = Mix.of("both", ["wide", "tiny"])


def test_bound(bench: Bench, case: Case, counting: Counting) -> None:
    """A bound is measured once in a session: reading of each network once, computing for each request."""
    opened = counting.opened
    bound = bench.bound(case, WIDE)
    assert bound is not None
    assert (bound.read_bytes, counting.opened - opened) == (12 * (2048 + 1) * 2048 * 4, 6)
    assert bound.bound_s == max(bound.read_s, bound.compute_s)
    assert min(bound.read_s, bound.compute_s) > 0
    assert dataclasses.replace(bench).bound(case, Mix.of("twice", ["wide"], images=2)) == dataclasses.replace(
        bound, compute_s=2 * bound.compute_s
    )
    both = bench.bound(case, BOTH)
    assert counting.opened - opened == 12
    assert both is not None
    assert both.read_bytes == bound.read_bytes + 9 * 8 * 4
    assert both.read_s > bound.read_s
    assert both.compute_s > bound.compute_s


def test_throttled_bound(bench: Bench, case: Case, counting: Counting, throttle: Throttle) -> None:
    """Where reads are held back the bound's reading is measured anew, held back as well; its computing is not."""
    plain, _, opened = bench.bound(case, WIDE), bench.bound(case, BOTH), counting.opened
    bound = bench.bound(msgspec.structs.replace(case, read_bps=BPS), WIDE)
    assert counting.opened - opened == 1
    assert bound is not None
    assert plain is not None
    assert (bound.read_bytes, bound.compute_s) == (plain.read_bytes, plain.compute_s)
    assert bound.read_bytes / bound.read_s < 1.25 * BPS
    both = bench.bound(msgspec.structs.replace(case, read_bps=BPS), BOTH)
    assert counting.opened - opened == 1 + 1  # both are read by one worker
    assert both is not None
    assert both.read_bytes / both.read_s < 1.25 * BPS


def test_bound_on_a_device(bench: Bench, case: Case, counting: Counting, throttle: Throttle) -> None:
    """Processor time has a bound of its own, measured under it; what bears on neither reading nor computing has not."""
    asked = msgspec.structs.replace(case, cpus=1.5, read_bps=BPS)
    opened = counting.opened
    bound = bench.bound(asked, TINY)
    assert counting.opened - opened == 1 + 3  # read by one worker, computed by three
    assert bench.bound(msgspec.structs.replace(asked, swap_bytes=0, write_bps=BPS), TINY) == bound
    assert bench.bound(msgspec.structs.replace(asked, cores=1, unenforced=("cores",)), TINY) == bound
    assert counting.opened - opened == 1 + 3


@pytest.mark.parametrize("mix", [WIDE.closed(), WIDE.arriving(Constant(1.0)), DECIDING], ids=["closed", "open", "when"])
def test_no_bound(bench: Bench, case: Case, counting: Counting, mix: Mix) -> None:
    """No bound is measured for what comes over time or on condition."""
    opened = counting.opened
    assert bench.bound(case, mix) is None
    assert counting.opened == opened


def test_a_bound_that_fails(bench: Bench, case: Case) -> None:
    """A network that cannot be computed right by itself has no bound, and the sentence says why and the way out."""
    with pytest.raises(
        Unsupported, match=r"^--edge-bound: computing lying by itself failed: request 0 .*; leave it out$"
    ):
        bench.bound(case, Mix.of("lying", ["lying"]))


def test_limit(bench: Bench) -> None:
    """A limit is what it says; `base+` counts from what the idle worker needs; none is none."""
    assert bench.limit_bytes(None) is None
    assert bench.limit_bytes(Limit.parse("1G")) == 1 << 30
    assert bench.limit_bytes(Limit.parse("base+100M")) == bench.idle_bytes() + 100 * MIB


@pytest.mark.parametrize("asked", ["64M", "base+16M"])
def test_limit_too_low(bench: Bench, asked: str) -> None:
    """A limit that even an idle worker exceeds is refused with the least that would do, which does."""
    idle = bench.idle_bytes()
    with pytest.raises(UsageError, match=rf"^memory limit {asked.replace('+', '.')}: the worker needs ") as refused:
        bench.limit_bytes(Limit.parse(asked))
    assert format_size(idle) in str(refused.value)
    least = str(refused.value).partition("try at least ")[2].partition(",")[0]
    assert bench.limit_bytes(Limit.parse(least)) == Limit.parse(least).size_bytes
    assert Limit.parse(least).size_bytes <= idle + MARGIN_BYTES + MIB


def test_budget(bench: Bench, case: Case) -> None:
    """A policy may plan with the limit, less what the idle worker needs and a margin; without a limit, with all."""
    given: list[Budget] = []

    def asking(workload: Workload, budget: Budget) -> Plan:
        given.append(budget)
        return POLICIES["linear"](workload, budget)

    asked = dataclasses.replace(bench, policies={"bulk": asking})
    asked.measure(msgspec.structs.replace(case, limit_bytes=1 << 30), TINY)
    asked.measure(case, TINY)
    assert [budget.memory_bytes for budget in given] == [(1 << 30) - bench.idle_bytes() - MARGIN_BYTES, None]


def test_invalid_plan(bench: Bench, case: Case, counting: Counting) -> None:
    """A plan that no engine could carry out is refused in words before any process starts."""
    broken = dataclasses.replace(bench, policies={"bulk": lambda w, b: Plan(POLICIES["linear"](w, b).tasks[:-1])})
    opened = counting.opened
    with pytest.raises(InvalidPlan, match="the plan lacks 1 free of request 2, layer 0"):
        broken.measure(case, TINY)
    assert counting.opened == opened


def test_a_plan_that_stops(bench: Bench, case: Case, counting: Counting) -> None:
    """A plan whose requests wait for memory that the first one keeps is refused in words before any process starts."""

    def greedy(workload: Workload, budget: Budget) -> Plan:
        tasks = list(POLICIES["linear"](workload, budget).tasks)
        inits = [index for index, task in enumerate(tasks) if task.kind == "init"]
        tasks[inits[0]] = msgspec.structs.replace(tasks[inits[0]], reserve=2)
        return Plan(
            tuple(msgspec.structs.replace(t, reserve=2) if t.kind == "load" else t for t in tasks), memory_bytes=3
        )

    broken = dataclasses.replace(bench, policies={"bulk": greedy})
    opened = counting.opened
    with pytest.raises(InvalidPlan, match="policy bulk: the plan stops"):
        broken.measure(case, TINY)
    assert counting.opened == opened


def test_unknown_network(bench: Bench, case: Case, counting: Counting) -> None:
    """A network that nobody registered is refused before any process starts."""
    opened = counting.opened
    with pytest.raises(UnknownNetwork, match="did you mean tiny"):
        bench.measure(case, Mix.of("typo", ["tinny"]))
    assert counting.opened == opened
