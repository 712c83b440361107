"""The machine of a session: prepared and restored by the owner, and measured on by every process of the session."""

from __future__ import annotations

import os
from contextlib import ExitStack
from functools import cached_property
from pathlib import Path

import msgspec
import pytest

from pytest_edgeload.base import decoding
from pytest_edgeload.base.errors import Unsupported
from pytest_edgeload.base.interrupts import Interrupts
from pytest_edgeload.base.locks import QUIET_S, once
from pytest_edgeload.base.units import Limit
from pytest_edgeload.devices.constraints import Shortfall
from pytest_edgeload.measuring.bench import Bench
from pytest_edgeload.measuring.launcher import Launcher
from pytest_edgeload.measuring.machine import prepared, tidy
from pytest_edgeload.measuring.sharing import Overlap
from pytest_edgeload.measuring.speeds.store import load_speeds
from pytest_edgeload.measuring.virtual_bench import VirtualBench
from pytest_edgeload.networks.registry import Registry
from pytest_edgeload.networks.store import Store
from pytest_edgeload.planning.budget import enforced_bytes
from pytest_edgeload.planning.machine_speeds import MachineSpeeds
from pytest_edgeload.plugin.host_files import MissingFiles
from pytest_edgeload.plugin.live import LiveNetworks
from pytest_edgeload.plugin.registrations import peers, policies
from pytest_edgeload.plugin.setup import Setup
from pytest_edgeload.plugin.terminal import SessionProgress
from pytest_edgeload.results.case import SIMULATED
from pytest_edgeload.results.stored_speeds import LoadedSpeeds
from pytest_edgeload.sandbox.caps import CAPS
from pytest_edgeload.sandbox.sharing import SharedMachine
from pytest_edgeload.sandbox.swap import Swap, planned

_QUIET_OF_MANY_S = 15.0
"""How long one of several processes waits before it says so: they wait for each other all the time."""


class Shared(msgspec.Struct, frozen=True):
    """The decisions of the owner that xdist's workers need, in a file of the session's folder.

    `unenforced` has, for each device, the constraints that this machine cannot enforce. `room` is the machine as
    runs share it, if they may overlap.
    """

    cap: str
    swap_bytes: int
    swap_usable: bool
    swap_kind: str
    unenforced: dict[str, tuple[Shortfall, ...]] = {}
    room: SharedMachine | None = None

    @property
    def swap(self) -> Swap:
        """The swap as a worker sees it, which the worker does not remove."""
        return Swap(self.swap_bytes, usable=self.swap_usable, kind=self.swap_kind)


class SessionMachine:
    """The machine, with the session's cap and swap, its networks, policies and peers."""

    def __init__(self, config: pytest.Config, setup: Setup) -> None:
        self._config = config
        self._setup = setup
        self._directories = setup.directories
        self._progress = SessionProgress(config)
        self._say_wait = once(self._progress.say_anywhere)
        self._restore = ExitStack()
        self._speeds: dict[str | None, LoadedSpeeds] = {}

    def prepare(self, *, must_fit_networks: bool) -> None:
        """Clean up after dead sessions, switch swap on, and check the constraints. For the owner.

        `must_fit_networks`: every limit must be large enough for a worker with PyTorch. Raises UsageError or
        Unsupported, and then leaves nothing behind.
        """
        setup, directories = self._setup, self._directories
        if setup.settings.simulate:
            self._prepare_simulation()
            return
        try:
            with Interrupts():
                outer = CAPS[setup.cap].outer()
                ready = prepared(directories, setup.settings.swap, self._progress.say, outer, setup.devices.swap)
                swap = self._restore.enter_context(ready)
            bench = self.bench_with(setup.cap, swap)
            room = bench.launcher.room_of_host() if setup.settings.parallel.overlaps else None
            shared = Shared(setup.cap, swap.size_bytes, swap.usable, swap.kind, self._unenforced(bench), room)
            directories.write(self._note, msgspec.json.encode(shared))
            directories.write(directories.unreported_marker, b"")
            if setup.settings.read_bw is not None:
                self.bench.launcher.check_reads(setup.settings.read_bw, directories.cache)
            if must_fit_networks:
                for limit in setup.devices.limits:
                    self.bench.calibration.limit_bytes(limit)
        except BaseException:
            self.restore()
            raise

    def open(self) -> None:
        """Open the session's folder on this machine, on which nothing is measured. Raises UsageError."""
        tidy(self._directories, self._progress.say)
        self._directories.write(self._directories.unreported_marker, b"")

    def _prepare_simulation(self) -> None:
        """Check the limits, and say which speeds count. Nothing of the machine changes."""
        setup, directories = self._setup, self._directories
        directories.make(directories.runs)
        swap = planned(setup.settings.swap, setup.devices.swap)
        unenforced: dict[str, tuple[Shortfall, ...]] = {name: () for name in setup.devices.devices if name is not None}
        shared = Shared(SIMULATED, swap.size_bytes, swap.usable, swap.kind, unenforced)
        directories.write(self._note, msgspec.json.encode(shared))
        directories.write(directories.unreported_marker, b"")
        for name, limits in setup.devices.memory.items():
            for fault in self._loaded_speeds(name).faults:
                command = f"edgeload calibrate{'' if name is None else f' --device={name}'}"
                self._progress.say(f"edgeload: {fault}; try {command}")
            for limit in limits:
                self.limit_bytes(limit, name)

    def restore(self) -> None:
        """Remove everything that the session made on the machine, except its results. For the owner."""
        self._restore.close()

    @cached_property
    def shared(self) -> Shared:
        """The decisions of the owner."""
        try:
            return decoding.decode(self._directories.read(self._note), Shared)
        except ValueError as error:
            raise Unsupported(str(self._note), str(error), "start the session again") from error

    @property
    def _note(self) -> Path:
        return self._directories.folder / "shared.json"

    @cached_property
    def bench(self) -> Bench:
        """The bench of all measurements with the session's cap and swap."""
        return self.bench_with(self.shared.cap, self.shared.swap, self.shared.room)

    @cached_property
    def virtual_bench(self) -> VirtualBench:
        """The bench of simulations."""
        return VirtualBench(self.registry, policies(self._config.hook), self._progress, self._setup.settings.timeout)

    def speeds(self, device: str | None) -> MachineSpeeds:
        """Return the speeds of this machine, or of a device on it, for simulations."""
        return self._loaded_speeds(device).speeds

    def _loaded_speeds(self, device: str | None) -> LoadedSpeeds:
        if device not in self._speeds:
            self._speeds[device] = load_speeds(self._directories.cache, self._setup.devices.device(device))
        return self._speeds[device]

    def limit_bytes(self, limit: Limit | None, device: str | None) -> int | None:
        """Return the bytes of a limit in a simulation. Raises UsageError if an idle worker already exceeds it."""
        return None if limit is None else enforced_bytes(limit, self.speeds(device).worker.idle_bytes)

    def bench_with(self, cap: str, swap: Swap, room: SharedMachine | None = None) -> Bench:
        """Return a bench with another cap and swap, whose runs overlap only with `room`."""
        is_alone = self._setup.is_owner or self._setup.host is not None
        launcher = Launcher(
            cap=CAPS[cap],
            swap=swap,
            session=self._directories.session,
            timeout_s=self._setup.settings.timeout,
            overlap=None if room is None else Overlap(room, self._directories.folder, self._directories.runs),
            user=self._setup.user,
            say=self._say_wait,
            quiet_s=QUIET_S if is_alone or self._config.get_verbosity() > 0 else _QUIET_OF_MANY_S,
            keep=self._setup.settings.keep_env,
            repeats=self._setup.settings.repeat_throttled or 0,
            tell=self._progress.say_anywhere,
        )
        return Bench(
            launcher=launcher,
            registry=self.registry,
            policies=policies(self._config.hook),
            folder=self._directories.folder,
            progress=self._progress,
            peers=peers(self._config.hook),
        )

    @cached_property
    def registry(self) -> Registry:
        """The networks that hooks register, and those that tests make of their own models."""
        cache = self._directories.cache
        fetch = None if self._setup.host is None else MissingFiles(self._config, cache)
        registry = Registry(Store(cache), self._config.rootpath, fetch)
        self._config.hook.pytest_edge_networks(register=registry.register)
        return registry

    @cached_property
    def live(self) -> LiveNetworks:
        """The networks that tests make of their own models. The process that made a network removes it."""
        return LiveNetworks(self.registry, self._directories.folder / f"live-{os.getpid()}")

    def _unenforced(self, bench: Bench) -> dict[str, tuple[Shortfall, ...]]:
        return {
            device.name: bench.launcher.shortfalls(device, self._directories.cache)
            for device in self._setup.devices.devices.values()
            if device is not None
        }
