"""The measurement that a simulation predicts, with the metrics of a real one. Pure."""

from __future__ import annotations

import msgspec

from pytest_edgeload.planning.calibrated import CalibratedMachine, WorkerSetup
from pytest_edgeload.planning.machine_speeds import MachineSpeeds
from pytest_edgeload.planning.plan import Plan
from pytest_edgeload.planning.simulate import Holds, Simulation, always, simulate
from pytest_edgeload.results.derived import complete
from pytest_edgeload.results.measurement import Measurement
from pytest_edgeload.workload import Workload

_CLUSTER_BYTES = 32 << 10  # that the kernel reads from swap at once


def simulated_run(
    plan: Plan,
    workload: Workload,
    speeds: MachineSpeeds,
    setup: WorkerSetup,
    *,
    timeout_s: float | None = None,
    holds: Holds = always,
) -> Measurement:
    """Return the measurement of a worker that carries out `plan` in virtual time. Raises InvalidPlan.

    Metrics that a simulation does not know are absent. `holds` returns whether the condition of a request holds.
    """
    machine = CalibratedMachine(plan, workload, speeds, setup)
    simulation = simulate(plan, workload, machine=machine, holds=holds)
    if simulation.failure:
        return _observed(Measurement(outcome="oom", detail=simulation.failure), machine)
    if timeout_s is not None and simulation.makespan_s > timeout_s:
        return _observed(Measurement(outcome="timeout", detail=f"not done after {timeout_s:g} s"), machine)
    return complete(_observed(_ran(simulation), machine), plan, workload, simulation.peak_bytes)


def _ran(simulation: Simulation) -> Measurement:
    return Measurement(
        outcome="ok",
        makespan_s=simulation.makespan_s,
        ledger_peak_bytes=simulation.peak_bytes,
        arrived_s=tuple(at_s or 0.0 for at_s in simulation.arrived_s),
        dropped=simulation.dropped,
        overrun=simulation.overrun,
        step_ends_s=simulation.step_ends_s,
        tasks=simulation.spans,
        totals=simulation.totals,
    )


def _observed(run: Measurement, machine: CalibratedMachine) -> Measurement:
    """Return the run with the memory of its worker and its traffic."""
    memory = machine.memory
    traffic = memory.traffic
    return msgspec.structs.replace(
        run,
        startup_s=machine.speeds.worker.start_s,
        baseline_bytes=machine.speeds.worker.idle_bytes,
        peak_bytes=machine.peak_bytes,
        peak_anon_bytes=memory.peak_private_bytes,
        peak_file_bytes=memory.peak_cached_bytes,
        peak_swap_bytes=memory.peak_swapped_bytes,
        swap_in_bytes=traffic.in_bytes,
        swap_out_bytes=traffic.out_bytes,
        read_bytes=traffic.file_bytes + traffic.in_bytes,
        major_faults=-(-traffic.in_bytes // _CLUSTER_BYTES),
    )
