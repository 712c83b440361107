"""The road from a case to its simulated measurement: the plan is made as for a real run, then nothing runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

from pytest_edgeload.measuring.bench import check_store, with_mix
from pytest_edgeload.measuring.stored_mix import read_stored
from pytest_edgeload.measuring.virtual_workload import VirtualWorkload, service_s
from pytest_edgeload.networks.preparation import ShowProgress
from pytest_edgeload.networks.registry import Registry
from pytest_edgeload.planning.calibrated import WorkerSetup
from pytest_edgeload.planning.machine_speeds import MachineSpeeds
from pytest_edgeload.policies import Policy
from pytest_edgeload.results.case import Case
from pytest_edgeload.results.record import Entry
from pytest_edgeload.workload import Mix
from pytest_edgeload.workload.conditions import check_last_arrival


@dataclass(frozen=True)
class VirtualBench:
    """Everything that all simulations of a session on one machine share."""

    registry: Registry
    policies: Mapping[str, Policy]
    progress: ShowProgress
    timeout_s: float

    def measure(self, case: Case, mix: Mix, speeds: MachineSpeeds, swap_bytes: int | None) -> Entry:
        """Carry out `case` once in virtual time; return its measurement, and the case with its reader.

        `speeds` are those of the machine. `swap_bytes` is the swap that the worker could use (None: as much as it
        needs). Conditions hold as on the outputs of plain PyTorch. Raises UnknownNetwork, PreparationFailed,
        DamagedNetwork or InvalidPlan, and UsageError if a condition refers to an output that does not exist.
        """
        batch_s = self.service_s(mix, case, speeds) if mix.clock == "service" else None
        check_last_arrival(mix, batch_s, self.timeout_s)
        check_store(case, ())
        stored = read_stored(mix, case.store, self.registry, self.progress)
        held = case.constraints
        virtual = VirtualWorkload(
            mix.workload(stored.networks, service_s=batch_s or 1.0),
            speeds,
            held.read_bps,
            timeout_s=self.timeout_s,
            holds=stored.holds,
            is_direct_possible=stored.is_direct_possible,
        )
        setup = WorkerSetup(case.reader, held.memory_bytes, swap_bytes, held.threads, stored.stored_share)
        run = virtual.run(case.policy, self.policies[case.policy], setup)
        case = msgspec.structs.replace(
            with_mix(case, mix), reader=run.reader, is_reader_auto=run.reader != case.reader or case.is_reader_auto
        )
        return Entry(case, msgspec.structs.replace(run.measurement, service_time_s=batch_s))

    def service_s(self, mix: Mix, case: Case, speeds: MachineSpeeds) -> float:
        """Return the time of one batch of `mix`, whose networks have the machine to themselves, under bulk."""
        networks = {name: self.registry.get(name, self.progress)[1] for name in mix.networks}
        return service_s(mix, networks, speeds, case.constraints.threads, case.constraints.read_bps)
