"""The whole road from a case to its measurement, on real networks under real limits."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from pytest_edgeload.errors import UsageError
from pytest_edgeload.measure import MARGIN_BYTES, Bench
from pytest_edgeload.networks.registry import Registry, UnknownNetwork
from pytest_edgeload.plan import Budget, InvalidPlan, Plan
from pytest_edgeload.policies import POLICIES
from pytest_edgeload.results.record import METRICS, Case, Measurement
from pytest_edgeload.sandbox.caps import Cap, Group
from pytest_edgeload.sandbox.swap import Swap
from pytest_edgeload.units import Limit, format_size
from pytest_edgeload.workload import Mix, Workload
from tests.sandbox import witness
from tests.sandbox.child import MIB

WIDE, TINY = Mix.of("wide", ["wide"]), Mix.of("tiny", ["tiny"], images=3)
TIGHT = Limit.parse("base+24M")


@dataclasses.dataclass
class Counting:
    """A cap that counts how many groups were opened."""

    cap: Cap
    enforces: bool = True
    opened: int = 0

    def unavailable(self) -> str | None:
        """Ask the cap."""
        return self.cap.unavailable()

    def open(self, name: str, limit_bytes: int | None, *, swap: bool) -> Group:
        """Count, and have the cap open the group."""
        self.opened += 1
        return self.cap.open(name, limit_bytes, swap=swap)

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


def test_all_metrics(swapped: Measurement) -> None:
    """A measurement has every metric there is, but for pressure where the kernel keeps none."""
    absent = {name for name in METRICS if getattr(swapped, name) is None}
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
    assert 0 < run.response_s[0] < run.response_s[1] < run.response_s[2] <= run.makespan_s
    assert 0 < run.load_s + run.exec_s + run.wait_s <= run.makespan_s
    assert run.ledger_peak_bytes == run.plan_peak_bytes


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


def test_unknown_network(bench: Bench, case: Case, counting: Counting) -> None:
    """A network that nobody registered is refused before any process starts."""
    opened = counting.opened
    with pytest.raises(UnknownNetwork, match="did you mean tiny"):
        bench.measure(case, Mix.of("typo", ["tinny"]))
    assert counting.opened == opened
