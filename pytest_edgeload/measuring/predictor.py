"""Predictions of one workload on one machine: the measurement that each choice would have under each limit. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from typing import NamedTuple

import msgspec

from pytest_edgeload.measuring.stored_mix import StoredMix
from pytest_edgeload.measuring.virtual_workload import VirtualWorkload, scratch_bytes, service_s
from pytest_edgeload.planning import budget
from pytest_edgeload.planning.calibrated import WorkerSetup
from pytest_edgeload.planning.machine_speeds import MachineSpeeds, SwapSpeed
from pytest_edgeload.planning.plan import InvalidPlan
from pytest_edgeload.planning.reader_names import DIRECT, THROUGH_CACHE
from pytest_edgeload.planning.simulate import peak_bytes
from pytest_edgeload.policies import Policy
from pytest_edgeload.results.advice import Objective, PolicyChoice
from pytest_edgeload.results.case import AUTO, Case
from pytest_edgeload.results.measurement import Measurement
from pytest_edgeload.workload import Mix


class Slowdown(NamedTuple):
    """How many times longer than on this machine reading and computing take."""

    read: float = 1.0
    compute: float = 1.0


AS_IT_IS = Slowdown()


@dataclass(frozen=True)
class Predictor:
    """Everything that the predictions of a workload have in common.

    `machine` has the speeds, and the memory of an idle worker. `swap_bytes` is the swap that a worker may use, and
    `read_bps` the limit of its reads in bytes per second. `virtual` has the workload in virtual time, by the threads
    that its clock depends on.
    """

    mix: Mix
    stored: StoredMix
    policies: Mapping[str, Policy]
    machine: MachineSpeeds
    swap_bytes: int = 0
    read_bps: int | None = None
    virtual: dict[int | None, VirtualWorkload] = field(default_factory=dict)

    @property
    def idle_bytes(self) -> int:
        """The memory of an idle worker."""
        return self.machine.worker.idle_bytes

    @cached_property
    def min_limit_bytes(self) -> int:
        """The memory of a worker besides weights and activations."""
        scratch = scratch_bytes(self.stored.stored_share)
        return self.idle_bytes + budget.reserved_bytes(self._virtual(None).workload, scratch)

    @property
    def ample_limit_bytes(self) -> int:
        """The limit under which all networks are in memory at once."""
        return self.min_limit_bytes + sum(network.peak_bytes for network in self.stored.networks.values())

    @property
    def begins_alike(self) -> bool:
        """Whether the first requests are answered as if no others followed: all arrive in order, at their own times.

        A service time is that of all requests of a batch, so times in this unit change with the number of requests.
        """
        mix = self.mix
        times = [ask.arrival_s for ask in mix.asks]
        is_open = mix.loop == "open" and mix.clock == "s"
        return is_open and times == sorted(times) and not any(ask.when for ask in mix.asks)

    def beginning(self, count: int) -> Predictor:
        """Return the predictor of the first `count` requests alone, which arrive as the first ones of all."""
        return replace(self, mix=self.mix.beginning(count), virtual={})

    def read_bytes_per_s(self, reader: str) -> float:
        """Return the speed of large reads."""
        size_bytes = 16 << 20
        return size_bytes / self._virtual(None).held_speeds.read_s(reader, size_bytes)

    def low_limit_bytes(self, policies: Iterable[str]) -> int | None:
        """Return the smallest limit under which one of these policies works without swap; None if none has a plan.

        Requests that keep arriving need at least the memory of the first ones, up to the last network's first one.
        """
        asked = [ask.network for ask in self.mix.asks]
        count = 1 + max(map(asked.index, self.mix.networks))
        first = self.beginning(count) if self.begins_alike else self
        peaks = [peak for policy in policies if (peak := first.min_peak_bytes(policy)) is not None]
        return self.min_limit_bytes + min(peaks) if peaks else None

    def min_peak_bytes(self, policy: str) -> int | None:
        """Return the least bytes of weights and activations that a policy needs; None if it has no plan that ends."""
        virtual, setup = self._virtual(None), self._setup(AUTO, self.min_limit_bytes, None)
        with suppress(InvalidPlan):
            return peak_bytes(virtual.plan(policy, self.policies[policy], setup), virtual.workload)
        return None

    @property
    def usual_reader(self) -> str:
        """The reader of most policies."""
        return DIRECT if self.stored.is_direct_possible else THROUGH_CACHE

    def reader(self, policy: str, limit_bytes: int) -> str:
        """Return the reader `auto` of a policy under a limit."""
        with suppress(InvalidPlan):
            return self._virtual(None).reader(policy, self.policies[policy], self._setup(AUTO, limit_bytes, None))
        return self.usual_reader

    def predict(self, choice: PolicyChoice, limit_bytes: int, slowdown: Slowdown = AS_IT_IS) -> Measurement | None:
        """Return the measurement that a choice would have under a limit; None if its policy has no plan that ends."""
        virtual = self._virtual(choice.threads)
        if slowdown != AS_IT_IS:
            virtual = replace(virtual, speeds=_slower(virtual.held_speeds, slowdown))
        setup = self._setup(choice.reader, limit_bytes, choice.threads)
        with suppress(InvalidPlan):
            return virtual.run(choice.policy, self.policies[choice.policy], setup).measurement.summary()
        return None

    def _setup(self, reader: str, limit_bytes: int, threads: int | None) -> WorkerSetup:
        return WorkerSetup(reader, limit_bytes, self.swap_bytes, threads, self.stored.stored_share)

    def _virtual(self, threads: int | None) -> VirtualWorkload:
        """Return the workload in virtual time; a service time, if that is its clock, depends on the threads."""
        clock_threads = threads if self.mix.clock == "service" else None
        if clock_threads not in self.virtual:
            self.virtual[clock_threads] = VirtualWorkload(
                self.mix.workload(self.stored.networks, service_s=self._service_s(clock_threads)),
                self.machine,
                self.read_bps,
                holds=self.stored.holds,
                is_direct_possible=self.stored.is_direct_possible,
            )
        return self.virtual[clock_threads]

    def _service_s(self, threads: int | None) -> float:
        if self.mix.clock != "service":
            return 1.0
        return service_s(self.mix, self.stored.networks, self.machine, threads, self.read_bps)


def main_objective(mix: Mix) -> Objective:
    """Return the objective without a goal: the metric that policies are compared by."""
    case = Case(test="", workload=mix.name, policy="", reader=AUTO, cap="", swap="", requests=mix.asks, loop=mix.loop)
    return Objective(case.main_metric)


@cache
def _slower(machine: MachineSpeeds, slowdown: Slowdown) -> MachineSpeeds:
    """Return the speeds of a machine that is so many times slower."""
    replaced = msgspec.structs.replace
    return replaced(
        machine,
        swap=_slower_swap(machine.swap, slowdown),
        reads=tuple(
            row if row.is_cached else replaced(row, bytes_per_s=row.bytes_per_s / slowdown.read)
            for row in machine.reads
        ),
        layers=tuple(
            replaced(row, first_s=row.first_s * slowdown.compute, later_s=row.later_s * slowdown.compute)
            for row in machine.layers
        ),
        computing=tuple(
            replaced(
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


def _slower_swap(swap: SwapSpeed | None, slowdown: Slowdown) -> SwapSpeed | None:
    """Return the speed of swap if reading takes so many times longer; zram is memory."""
    if swap is None or swap.kind == "zram":
        return swap
    return msgspec.structs.replace(swap, in_bytes_per_s=swap.in_bytes_per_s / slowdown.read)
