"""Measures the runs of tests with the bench of the session: builds the case of a run, and measures it once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cached_property

import msgspec

from pytest_edgeload.base.errors import UsageError
from pytest_edgeload.base.units import Limit
from pytest_edgeload.devices.constraints import Constraints
from pytest_edgeload.engine.readers import READERS
from pytest_edgeload.measuring.bench import Bench
from pytest_edgeload.measuring.devices import on_device
from pytest_edgeload.peers import missing
from pytest_edgeload.plugin.cases import Caller, ProgramRun, WorkloadRun, unlimited_case
from pytest_edgeload.plugin.machine import SessionMachine
from pytest_edgeload.plugin.registrations import check_name
from pytest_edgeload.plugin.setup import Setup
from pytest_edgeload.results.case import AUTO, Case
from pytest_edgeload.results.measurement import Measurement
from pytest_edgeload.results.record import Entry
from pytest_edgeload.sandbox.launch import Calling
from pytest_edgeload.sandbox.sharing import MachinePart
from pytest_edgeload.sandbox.swap import Swap
from pytest_edgeload.workload import Mix


class SessionBench:
    """Measures the runs of tests on the session's machine, or tries them out under --edge-disable."""

    def __init__(self, setup: Setup, machine: SessionMachine) -> None:
        self._setup = setup
        self._machine = machine

    def measure_workload(self, run: WorkloadRun) -> Entry:
        """Measure a workload once.

        Raises UsageError for an unknown name, Unsupported for a peer whose package is not installed, and the errors of
        `Bench.measure`.
        """
        if self._setup.settings.simulate:
            return self._simulate(run)
        bench = self._machine.bench
        _check_names(run, bench)
        case = bench.with_reader(self._case(run, bench.calibration.limit_bytes), run.workload)
        bound = bench.calibration.bound(case, run.workload) if self._setup.settings.bound else None
        measurement = bench.measure(case, run.workload)
        return Entry(case, measurement if bound is None else bound.complete(measurement))

    def _simulate(self, run: WorkloadRun) -> Entry:
        """Carry out a workload once in virtual time. Raises the errors of `VirtualBench.measure`."""
        machine, device = self._machine, run.caller.device
        check_name("policy", run.policy, machine.virtual_bench.policies)
        _check_reader(run)
        case = self._case(run, lambda memory: machine.limit_bytes(memory, device))
        swap = machine.shared.swap
        swap_bytes = swap.size_bytes if case.constraints.swap_bytes is None else case.constraints.swap_bytes
        return machine.virtual_bench.measure(case, run.workload, machine.speeds(device), swap_bytes)

    def measure_program(self, run: ProgramRun) -> Entry:
        """Measure a program once.

        Raises the errors of `Bench.run`, `Bench.answer` and `Calibration.program_limit_bytes`, and UsageError for a
        function that answers a workload and has the name of a policy or peer.
        """
        _check_reader(run)
        bench = self._machine.bench
        if run.workload is not None and isinstance(run.program, Calling):  # no command has a workload
            if run.name in {*bench.policies, *bench.peers}:
                raise UsageError(f"program {run.name}", "a policy or peer has this name", "give it another by name=")
            case = bench.with_reader(self._case(run, bench.calibration.limit_bytes), run.workload)
            return Entry(case, bench.answer(case, run.workload, run.program))
        case = self._case(run, lambda memory: bench.calibration.program_limit_bytes(memory, run.program))
        return Entry(case, bench.run(case, run.program))

    def try_workload(self, run: WorkloadRun) -> Measurement:
        """Run the first request of a workload without a limit, and write nothing."""
        _check_names(run, self._unlimited)
        smallest = run.workload.smallest()
        case = unlimited_case(replace(run, workload=smallest), self._setup.settings.threads)
        return self._unlimited.measure(self._unlimited.with_reader(case, smallest), smallest)

    def try_program(self, run: ProgramRun) -> Measurement:
        """Run a program without a limit, and write nothing."""
        _check_reader(run)
        return self._unlimited.run(unlimited_case(run, self._setup.settings.threads), run.program)

    def service_s(self, mix: Mix, device: str | None) -> float:
        """Return the seconds that one batch of `mix` takes alone on a device; see `Calibration.service_s`."""
        if self._setup.settings.disable:
            return 1.0  # nothing is measured, so nothing depends on it
        case = self._case(WorkloadRun(Caller(device=device), mix, "bulk"), lambda _memory: None)
        if self._setup.settings.simulate:
            return self._machine.virtual_bench.service_s(mix, case, self._machine.speeds(device))
        return self._machine.bench.calibration.service_s(mix, case.enforced)

    @cached_property
    def _unlimited(self) -> Bench:
        self._setup.directories.make(self._setup.directories.runs)
        return self._machine.bench_with("none", Swap(0))

    def _case(self, run: WorkloadRun | ProgramRun, limit_bytes: Callable[[Limit | None], int | None]) -> Case:
        """Return the case of a run, without the requests of its workload."""
        devices, shared = self._setup.devices, self._machine.shared
        device = devices.device(run.caller.device)
        memory = device.memory if device is not None and run.memory is None else run.memory
        workload, policy, reader = run.row
        case = Case(
            test=run.caller.test,
            host=self._setup.case_host,
            workload=workload,
            policy=policy,
            reader=reader,
            store=run.store,
            cap=shared.cap,
            swap=str(shared.swap),
            limit=None if memory is None else str(memory),
            constraints=Constraints(
                memory_bytes=limit_bytes(memory),
                read_bps=self._setup.settings.read_bw,
                threads=self._setup.settings.threads,
            ),
            parameters=run.caller.parameters,
        )
        if device is not None:
            case = on_device(case, device, shared.unenforced[device.name], sets_memory=devices.sets_memory)
        parallel = self._setup.settings.parallel
        may_overlap = shared.room is not None and isinstance(shared.room.part(case.enforced), MachinePart)
        case = msgspec.structs.replace(case, parallel=may_overlap and not parallel.is_comparable)
        return case.seen_as(self._setup.settings.view)


def _check_names(run: WorkloadRun, bench: Bench) -> None:
    if run.policy not in bench.policies:
        check_name("policy", run.policy, [*bench.policies, *bench.peers])
    if (refusal := missing(run.policy)) is not None:
        raise refusal
    _check_reader(run)


def _check_reader(run: WorkloadRun | ProgramRun) -> None:
    check_name("reader", run.reader, [AUTO, *READERS])
    if run.workload is None and run.reader != AUTO:
        reason, hint = "only a function that answers a workload has one", "give workload=, or the argument by position"
        raise UsageError(f"reader={run.reader!r}", reason, hint)
