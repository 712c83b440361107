"""Predictions of one workload on one machine: the measurement that each choice would have under each limit. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache, cached_property
from typing import NamedTuple

import msgspec

from pytest_edgeload.engine.reader_choice import DIRECT, THROUGH_CACHE, best_reader
from pytest_edgeload.networks.layer import Network
from pytest_edgeload.planning import budget
from pytest_edgeload.planning.calibrated import WorkerSetup
from pytest_edgeload.planning.machine_speeds import MachineSpeeds, SwapSpeed
from pytest_edgeload.planning.plan import Budget, InvalidPlan, Plan
from pytest_edgeload.planning.simulate import peak_bytes
from pytest_edgeload.policies import Policy, make_plan
from pytest_edgeload.results.advice import Objective, PolicyChoice
from pytest_edgeload.results.case import AUTO, Case
from pytest_edgeload.results.measurement import Measurement
from pytest_edgeload.results.simulated import simulated_run
from pytest_edgeload.workload import Mix, Workload


class Slowdown(NamedTuple):
    """How many times longer than on this machine reading and computing take."""

    read: float = 1.0
    compute: float = 1.0


AS_IT_IS = Slowdown()


@dataclass(frozen=True)
class Predictor:
    """Everything that the predictions of a workload have in common.

    `machine` has the speeds, and the memory of an idle worker. `swap_bytes` is the swap that a worker may use, and
    `read_bps` the limit of its reads in bytes per second. `is_direct_possible`: the file systems of the networks let
    the reader `direct` read past the page cache.
    """

    mix: Mix
    networks: Mapping[str, Network]
    policies: Mapping[str, Policy]
    machine: MachineSpeeds
    swap_bytes: int = 0
    read_bps: int | None = None
    is_direct_possible: bool = True
    plans: dict[tuple[str, int], Plan | None] = field(default_factory=dict)

    @property
    def idle_bytes(self) -> int:
        """The memory of an idle worker."""
        return self.machine.worker.idle_bytes

    @cached_property
    def workload(self) -> Workload:
        """The requests. A service time, if that is the unit of their times, is that of the speeds policies assume."""
        speeds = budget.speeds(self.read_bps)
        service_s = {name: speeds.service_s(network) for name, network in self.networks.items()}
        return self.mix.workload(self.networks, service_s=self.mix.per_batch(service_s))

    @cached_property
    def min_limit_bytes(self) -> int:
        """The memory of a worker besides weights and activations."""
        return self.idle_bytes + budget.reserved_bytes(self.workload)

    @property
    def ample_limit_bytes(self) -> int:
        """The limit under which all networks are in memory at once."""
        return self.min_limit_bytes + sum(network.peak_bytes for network in self.networks.values())

    def read_bytes_per_s(self, reader: str) -> float:
        """Return the speed of large reads."""
        size_bytes = 16 << 20
        return min(size_bytes / self.machine.read_s(reader, size_bytes), self.read_bps or float("inf"))

    def low_limit_bytes(self, policies: Iterable[str]) -> int | None:
        """Return the smallest limit under which one of these policies works without swap; None if none has a plan."""
        peaks = [peak for policy in policies if (peak := self._peak_bytes(policy)) is not None]
        return self.min_limit_bytes + min(peaks) if peaks else None

    def _peak_bytes(self, policy: str) -> int | None:
        """Return the least bytes of weights and activations that a policy needs; None if it has no plan that ends."""
        plan = self.plan(policy, self.min_limit_bytes)
        with suppress(InvalidPlan):
            return None if plan is None else peak_bytes(plan, self.workload)
        return None

    def plan(self, policy: str, limit_bytes: int) -> Plan | None:
        """Return the plan of a policy under a limit; None if it finds none."""
        key = policy, limit_bytes
        if key not in self.plans:
            available = Budget(self._memory_bytes(limit_bytes), speeds=budget.speeds(self.read_bps))
            self.plans[key] = None
            with suppress(InvalidPlan):
                self.plans[key] = make_plan(policy, self.policies[policy], self.workload, available)
        return self.plans[key]

    @property
    def usual_reader(self) -> str:
        """The reader of most policies."""
        return DIRECT if self.is_direct_possible else THROUGH_CACHE

    def reader(self, policy: str, limit_bytes: int) -> str:
        """Return the reader `auto` of a policy under a limit."""
        plan = self.plan(policy, limit_bytes) if self.is_direct_possible else None
        with suppress(InvalidPlan):
            if plan is not None:
                return best_reader(plan, self.workload, self._memory_bytes(limit_bytes))
        return THROUGH_CACHE

    def run(self, choice: PolicyChoice, limit_bytes: int, slowdown: Slowdown = AS_IT_IS) -> Measurement | None:
        """Return the measurement that a choice would have under a limit; None if its policy has no plan that ends."""
        plan = self.plan(choice.policy, limit_bytes)
        if plan is None:
            return None
        setup = WorkerSetup(choice.reader, limit_bytes, self.swap_bytes, choice.threads, self._read_bps(slowdown))
        with suppress(InvalidPlan):
            return simulated_run(plan, self.workload, _slower(self.machine, slowdown), setup).summary()
        return None

    def _memory_bytes(self, limit_bytes: int) -> int:
        return budget.budget_bytes(limit_bytes, self.idle_bytes, self.workload)

    def _read_bps(self, slowdown: Slowdown) -> int | None:
        return None if self.read_bps is None else round(self.read_bps / slowdown.read)


def main_objective(mix: Mix) -> Objective:
    """Return the objective without a goal: the metric that policies are compared by."""
    case = Case(test="", workload=mix.name, policy="", reader=AUTO, cap="", swap="", requests=mix.asks, loop=mix.loop)
    return Objective(case.main_metric)


@cache
def _slower(machine: MachineSpeeds, slowdown: Slowdown) -> MachineSpeeds:
    """Return the speeds of a machine that is so many times slower."""
    replace = msgspec.structs.replace
    return (
        machine
        if slowdown == AS_IT_IS
        else replace(
            machine,
            swap=_slower_swap(machine.swap, slowdown),
            reads=tuple(
                row if row.is_cached else replace(row, bytes_per_s=row.bytes_per_s / slowdown.read)
                for row in machine.reads
            ),
            layers=tuple(
                replace(row, first_s=row.first_s * slowdown.compute, later_s=row.later_s * slowdown.compute)
                for row in machine.layers
            ),
            computing=tuple(
                replace(
                    row,
                    s_per_op=row.s_per_op * slowdown.compute,
                    s_per_flop=row.s_per_flop * slowdown.compute,
                    s_per_weight_byte=row.s_per_weight_byte * slowdown.compute,
                    s_per_activation_byte=row.s_per_activation_byte * slowdown.compute,
                    first_s=row.first_s * slowdown.compute,
                )
                for row in machine.computing
            ),
        )
    )


def _slower_swap(swap: SwapSpeed | None, slowdown: Slowdown) -> SwapSpeed | None:
    """Return the speed of swap if reading takes so many times longer; zram is memory."""
    if swap is None or swap.kind == "zram":
        return swap
    return msgspec.structs.replace(swap, in_bytes_per_s=swap.in_bytes_per_s / slowdown.read)
