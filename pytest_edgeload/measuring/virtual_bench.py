"""The road from a case to its simulated measurement: the plan is made as for a real run, then nothing runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

from pytest_edgeload.measuring.bench import check_store, with_mix
from pytest_edgeload.measuring.fed_samples import check_fed_samples
from pytest_edgeload.measuring.prediction import simulate_policy
from pytest_edgeload.measuring.stored_samples import truths
from pytest_edgeload.networks.compressed import COMPRESSED, stored_share
from pytest_edgeload.networks.preparation import ShowProgress
from pytest_edgeload.networks.registry import Registry
from pytest_edgeload.planning.calibrated import WorkerSetup
from pytest_edgeload.planning.machine_speeds import MachineSpeeds
from pytest_edgeload.policies import POLICIES, Policy
from pytest_edgeload.results.case import REFERENCE, Case
from pytest_edgeload.results.record import Entry
from pytest_edgeload.workload import Mix
from pytest_edgeload.workload.conditions import check_conditions, check_last_arrival, check_step_counts


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
        service_s = self.service_s(mix, case, speeds) if mix.clock == "service" else None
        check_last_arrival(mix, service_s, self.timeout_s)
        check_store(case, ())
        stored = {name: self.registry.get(name, self.progress) for name in mix.networks}
        if case.store == COMPRESSED:
            for name in stored:
                self.registry.compress(name, self.progress)
        workload = mix.workload({name: network for name, (_, network) in stored.items()}, service_s=service_s or 1.0)
        check_conditions(workload)
        check_step_counts(workload)
        folders = [stored[ask.network][0] for ask in mix.asks]
        check_fed_samples(workload, folders)
        holds = truths(workload, folders).__getitem__
        share = stored_share(stored.values()) if case.store == COMPRESSED else 1.0
        held = case.constraints
        setup = WorkerSetup(case.reader, held.memory_bytes, swap_bytes, held.threads, held.read_bps, share)
        policy = self.policies[case.policy]
        run = simulate_policy(workload, case.policy, policy, setup, speeds, timeout_s=self.timeout_s, holds=holds)
        case = msgspec.structs.replace(
            with_mix(case, mix), reader=run.reader, is_reader_auto=run.reader != case.reader or case.is_reader_auto
        )
        return Entry(case, msgspec.structs.replace(run.measurement, service_time_s=service_s))

    def service_s(self, mix: Mix, case: Case, speeds: MachineSpeeds) -> float:
        """Return the time of one batch of `mix`, whose networks have the machine to themselves, under bulk."""
        setup = WorkerSetup("read", None, None, case.constraints.threads, case.constraints.read_bps)
        return mix.per_batch({name: self._alone_s(name, setup, speeds) for name in mix.networks})

    def _alone_s(self, name: str, setup: WorkerSetup, speeds: MachineSpeeds) -> float:
        _, network = self.registry.get(name, self.progress)
        workload = Mix.of(name, [name]).workload({name: network})
        run = simulate_policy(workload, REFERENCE, POLICIES[REFERENCE], setup, speeds)
        assert run.measurement.makespan_s is not None  # without a limit and a timeout, a run ends
        return run.measurement.makespan_s
