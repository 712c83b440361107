"""Predictions: the measurement that a choice would have under a limit, from its plan in virtual time. Runs nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

from pytest_edgeload.devices.constraints import Constraints
from pytest_edgeload.measuring.reader_choice import THROUGH_CACHE, best_reader
from pytest_edgeload.networks.layer import Network
from pytest_edgeload.planning import budget
from pytest_edgeload.planning.plan import Budget, InvalidPlan, Plan, Speeds
from pytest_edgeload.planning.simulate import peak_bytes, simulate
from pytest_edgeload.policies import Policy, make_plan
from pytest_edgeload.results.advice import PolicyChoice
from pytest_edgeload.results.derived import complete
from pytest_edgeload.results.measurement import Measurement
from pytest_edgeload.workload import Mix, Workload


class Slowdown(NamedTuple):
    """How many times longer than on this machine reading and computing take."""

    read: float = 1.0
    compute: float = 1.0


AS_IT_IS = Slowdown()


@dataclass(frozen=True)
class Predictor:
    """Everything that the predictions of a workload have in common.

    `idle_bytes` is the memory of an idle worker. `is_direct_possible`: the file systems of the networks let the reader
    `direct` read past the page cache. `constraints` are those of a device; its memory is not among them.
    """

    mix: Mix
    networks: Mapping[str, Network]
    policies: Mapping[str, Policy]
    idle_bytes: int
    is_direct_possible: bool = True
    constraints: Constraints = field(default_factory=Constraints)
    plans: dict[tuple[str, int], Plan | None] = field(default_factory=dict)

    @property
    def speeds(self) -> Speeds:
        """The speeds that policies may assume."""
        return budget.speeds(self.constraints.read_bps)

    @cached_property
    def workload(self) -> Workload:
        """The requests. A service time, if that is the unit of their times, is that of the assumed speeds."""
        service_s = {name: self.speeds.service_s(network) for name, network in self.networks.items()}
        return self.mix.workload(self.networks, service_s=self.mix.per_batch(service_s))

    @cached_property
    def min_limit_bytes(self) -> int:
        """The memory of a worker besides weights and activations."""
        return self.idle_bytes + budget.reserved_bytes(self.workload)

    @property
    def ample_limit_bytes(self) -> int:
        """The limit under which all networks are in memory at once."""
        return self.min_limit_bytes + sum(network.peak_bytes for network in self.networks.values())

    def low_limit_bytes(self, policies: Iterable[str]) -> int | None:
        """Return the smallest limit under which one of these policies works; None if none has a plan."""
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
            memory_bytes = budget.budget_bytes(limit_bytes, self.idle_bytes, self.workload)
            try:
                self.plans[key] = make_plan(
                    policy, self.policies[policy], self.workload, Budget(memory_bytes, speeds=self.speeds)
                )
            except InvalidPlan:
                self.plans[key] = None
        return self.plans[key]

    def reader(self, policy: str, limit_bytes: int) -> str:
        """Return the reader `auto` of a policy under a limit."""
        plan = self.plan(policy, limit_bytes) if self.is_direct_possible else None
        with suppress(InvalidPlan):
            if plan is not None:
                memory_bytes = budget.budget_bytes(limit_bytes, self.idle_bytes, self.workload)
                return best_reader(plan, self.workload, memory_bytes)
        return THROUGH_CACHE

    def run(self, choice: PolicyChoice, limit_bytes: int, slowdown: Slowdown = AS_IT_IS) -> Measurement | None:
        """Return the measurement that a choice would have under a limit; None if the policy has no plan.

        The outcome is `oom` if the plan holds more than the limit leaves.
        """
        plan = self.plan(choice.policy, limit_bytes)
        if plan is None:
            return None
        speeds = Speeds(self.speeds.read_bytes_per_s / slowdown.read, self.speeds.flops_per_s / slowdown.compute)
        try:
            found = simulate(plan, self.workload, speeds=speeds)
        except InvalidPlan:
            return None
        fits = self.min_limit_bytes + found.peak_bytes <= limit_bytes
        run = Measurement(
            outcome="ok" if fits else "oom",
            makespan_s=found.makespan_s,
            peak_bytes=self.idle_bytes + found.peak_bytes,
            tasks=found.spans,
            totals=found.totals,
            arrived_s=tuple(each or 0.0 for each in found.arrived_s),
            dropped=found.dropped,
            overrun=found.overrun,
        )
        return complete(run, plan, self.workload, found.peak_bytes).summary()
