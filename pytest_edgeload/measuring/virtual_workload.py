"""The road from a workload and a policy to its measurement in virtual time: the plan, the reader, the run. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

from pytest_edgeload.devices.constraints import Constraints
from pytest_edgeload.engine.reader_choice import best_reader
from pytest_edgeload.networks.compressed import SCRATCH_BYTES
from pytest_edgeload.networks.layer import Network
from pytest_edgeload.planning.budget import budget_bytes
from pytest_edgeload.planning.budget import speeds as planned_speeds
from pytest_edgeload.planning.calibrated import WorkerSetup
from pytest_edgeload.planning.machine_speeds import MachineSpeeds
from pytest_edgeload.planning.plan import Budget, Plan
from pytest_edgeload.planning.reader_names import THROUGH_CACHE
from pytest_edgeload.planning.simulate import Holds, always
from pytest_edgeload.policies import POLICIES, Policy, make_plan
from pytest_edgeload.results.case import AUTO, REFERENCE
from pytest_edgeload.results.measurement import Measurement
from pytest_edgeload.results.simulated import simulated_run
from pytest_edgeload.workload import Mix, Workload


class SimulatedRun(NamedTuple):
    """The reader of a run in virtual time, which `auto` may have chosen, and its measurement."""

    reader: str
    measurement: Measurement


@dataclass(frozen=True)
class VirtualWorkload:
    """A workload on a machine in virtual time; every prediction is a run of one.

    `speeds` are those of the machine without the limit of its reads, which is `read_bps` bytes per second. `lanes` is
    the most lanes that a policy may use. `holds` returns whether the condition of a request holds. With
    `is_direct_possible`, the file systems of the networks let the reader `direct` read past the page cache. `plans`
    has the plans so far, by the name of the policy.
    """

    workload: Workload
    speeds: MachineSpeeds
    read_bps: int | None = None
    lanes: int = 2
    timeout_s: float | None = None
    holds: Holds = always
    is_direct_possible: bool = True
    plans: dict[tuple[str, Budget], Plan] = field(default_factory=dict)

    def run(self, name: str, policy: Policy, setup: WorkerSetup) -> SimulatedRun:
        """Make the plan of a policy, and carry it out in virtual time; `name` is for messages. Raises InvalidPlan."""
        plan, reader = self.plan(name, policy, setup), self.reader(name, policy, setup)
        held = setup._replace(reader=reader)
        run = simulated_run(plan, self.workload, self.held_speeds, held, timeout_s=self.timeout_s, holds=self.holds)
        return SimulatedRun(reader, run)

    def plan(self, name: str, policy: Policy, setup: WorkerSetup) -> Plan:
        """Return the plan of a policy. Raises InvalidPlan."""
        budget = Budget(self._memory_bytes(setup), self.lanes, planned_speeds(self.read_bps, setup.stored_share))
        if (name, budget) not in self.plans:
            self.plans[name, budget] = make_plan(name, policy, self.workload, budget)
        return self.plans[name, budget]

    def reader(self, name: str, policy: Policy, setup: WorkerSetup) -> str:
        """Return the reader of a run, which is the best one for the plan if it is `auto`. Raises InvalidPlan."""
        if setup.reader != AUTO:
            return setup.reader
        if not self.is_direct_possible:
            return THROUGH_CACHE
        return best_reader(self.plan(name, policy, setup), self.workload, self._memory_bytes(setup))

    @cached_property
    def held_speeds(self) -> MachineSpeeds:
        """The speeds under the limit of reads."""
        return self.speeds if self.read_bps is None else self.speeds.held_to(Constraints(read_bps=self.read_bps))

    def _memory_bytes(self, setup: WorkerSetup) -> int | None:
        """Return the bytes that a policy may plan with; None without a limit."""
        if setup.memory_bytes is None:
            return None
        idle_bytes = self.speeds.worker.idle_bytes
        return budget_bytes(setup.memory_bytes, idle_bytes, self.workload, scratch_bytes(setup.stored_share))


def scratch_bytes(stored_share: float) -> int:
    """Return the memory that a worker needs to read weights of which this share is stored."""
    return SCRATCH_BYTES if stored_share < 1 else 0


def service_s(
    mix: Mix, networks: Mapping[str, Network], speeds: MachineSpeeds, threads: int | None, read_bps: int | None
) -> float:
    """Return the time of one batch of `mix`, whose networks have the machine to themselves, under bulk."""
    setup, seconds = WorkerSetup(THROUGH_CACHE, threads=threads), {}
    for name in mix.networks:
        alone = VirtualWorkload(Mix.of(name, [name]).workload(networks), speeds, read_bps)
        makespan_s = alone.run(REFERENCE, POLICIES[REFERENCE], setup).measurement.makespan_s
        assert makespan_s is not None  # without a limit and a timeout, a run ends
        seconds[name] = makespan_s
    return mix.per_batch(seconds)
