"""Sessions of programs on a prepared machine: each measurement is stored as soon as it exists, as pytest stores it."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from pytest_edgeload.base.errors import Setting, UsageError
from pytest_edgeload.base.units import Limit
from pytest_edgeload.cli import machine, terminal
from pytest_edgeload.cli.machine import PreparedMachine
from pytest_edgeload.cli.programs import NamedCommand
from pytest_edgeload.cli.recording import Recording
from pytest_edgeload.devices import Device
from pytest_edgeload.devices.constraints import Constraints, Shortfall
from pytest_edgeload.measuring.bench import Bench
from pytest_edgeload.measuring.devices import on_device
from pytest_edgeload.networks.registry import Registry
from pytest_edgeload.networks.store import Store
from pytest_edgeload.results.case import HOST, LIMIT, PROGRAM, Case, Visible
from pytest_edgeload.results.measurement import Measurement
from pytest_edgeload.sandbox import visible
from pytest_edgeload.sandbox.swap import Swap


@dataclass(frozen=True)
class ProgramSession:
    """A prepared machine, perhaps as an emulated device, and the measurements of programs on it so far."""

    bench: Bench
    machine: PreparedMachine
    recording: Recording
    view: Visible = HOST
    device: Device | None = None
    unenforced: tuple[Shortfall, ...] = ()

    def limits(self, given: Sequence[Limit | None] | None) -> Sequence[Limit | None]:
        """Return the limits to run under, by default the memory of the device. Raises UsageError."""
        limits = given or (None if self.device is None else self.device.memory,)
        if self.view == LIMIT and not any(limits):
            raise UsageError(Setting("view", self.view), "there is no limit to see", ("add ", Setting("mem", "512M")))
        return limits

    def case(self, name: str, limit: Limit | None, swap: Swap | None = None) -> Case:
        """Return the case of a program, with `swap` instead of the machine's if it is given."""
        memory_bytes = None if limit is None else limit.size_bytes
        case = Case(
            test="",
            workload=PROGRAM,
            policy=name,
            reader="none",
            cap=self.machine.cap,
            swap=str(swap or self.bench.launcher.swap),
            limit=None if limit is None else str(limit),
            constraints=Constraints(memory_bytes, threads=self.machine.threads),
        )
        if self.device is not None:
            case = on_device(case, self.device, self.unenforced, sets_memory=limit == self.device.memory)
        return case.seen_as(self.view)

    def measure(
        self, program: NamedCommand, limit: Limit | None, round_: int = 0, swap: Swap | None = None
    ) -> Measurement:
        """Measure a program once and store the measurement. Raises Refusal."""
        case = self.case(program.name, limit, swap)
        measurement = msgspec.structs.replace(self.try_out(program, limit, swap), round=round_)
        self.recording.add(case, measurement)
        return measurement

    def try_out(self, program: NamedCommand, limit: Limit | None, swap: Swap | None = None) -> Measurement:
        """Measure a program once and store nothing. Raises Refusal."""
        launcher = self.bench.launcher if swap is None else replace(self.bench.launcher, swap=swap)
        return replace(self.bench, launcher=launcher).run(self.case(program.name, limit, swap), program.command)


@contextmanager
def set_up(args: argparse.Namespace) -> Iterator[ProgramSession]:
    """Prepare the machine for programs, and restore it in every case; begin a session's journal. Raises Refusal."""
    device = machine.device_of(args)
    with machine.set_up(args, device) as prepared:
        visible.check(args.view, is_enforced=prepared.launcher.cap.enforces)
        recording = Recording.begin(args, prepared.directories)
        registry = Registry(Store(prepared.directories.cache))
        bench = Bench(prepared.launcher, registry, {}, prepared.directories.folder, terminal.show_making)
        unenforced = () if device is None else bench.launcher.shortfalls(device, Path.cwd())
        threads = prepared.threads if device is None else device.constraints.threads or prepared.threads
        yield ProgramSession(bench, prepared._replace(threads=threads), recording, args.view, device, unenforced)
