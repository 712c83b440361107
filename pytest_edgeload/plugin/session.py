"""The measuring side of a pytest session. Imported when the first test that measures has been collected, not before.

The owner (pytest itself, or the controller of xdist) cleans up, makes the swap and writes the results; the workers of
xdist only measure, with what the owner noted in the folder that they share.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path

import msgspec
import pytest

from pytest_edgeload.base import decoding
from pytest_edgeload.base.errors import Unsupported, UsageError, suggestion
from pytest_edgeload.base.files import noting
from pytest_edgeload.base.interrupts import Interrupts
from pytest_edgeload.base.units import Limit
from pytest_edgeload.devices.constraints import Constraints, Shortfall
from pytest_edgeload.engine.readers import READERS
from pytest_edgeload.measuring.bench import Bench, with_mix
from pytest_edgeload.measuring.directories import SessionDirectories
from pytest_edgeload.measuring.launcher import Launcher
from pytest_edgeload.measuring.machine import Needs, prepared
from pytest_edgeload.measuring.peers import Peer, known_peers
from pytest_edgeload.networks.registry import Registry
from pytest_edgeload.networks.store import Store
from pytest_edgeload.plugin.devices import Boards, on
from pytest_edgeload.plugin.live import LiveNetworks
from pytest_edgeload.plugin.options import Given, source
from pytest_edgeload.plugin.progress import Bar
from pytest_edgeload.plugin.settings import Settings
from pytest_edgeload.policies import Policy, known_policies
from pytest_edgeload.results import journal
from pytest_edgeload.results.record import METRICS, PROGRAM, Case, Entry, Measurement, Record, collect
from pytest_edgeload.sandbox import swap as swaps
from pytest_edgeload.sandbox.caps import CAPS
from pytest_edgeload.sandbox.command import Command
from pytest_edgeload.sandbox.launch import Calling
from pytest_edgeload.sandbox.user import User
from pytest_edgeload.workload import Mix

_LIKE = 0.8


class Shared(msgspec.Struct, frozen=True):
    """What the owner decided and the workers of xdist need; noted in the session's folder.

    `unenforced` is by device, see `Case`.
    """

    cap: str
    swap_bytes: int
    swap_usable: bool
    unenforced: dict[str, tuple[Shortfall, ...]] = {}

    @property
    def swap(self) -> swaps.Swap:
        """The swap as a worker sees it: not its to remove."""
        return swaps.Swap(self.swap_bytes, usable=self.swap_usable)


class Asked(msgspec.Struct, frozen=True):
    """What a test asks to have measured: its own name, round and parameters, and the arguments of `edge.run`."""

    test: str
    round: int
    workload: Mix
    policy: str
    memory: Limit | None
    reader: str
    parameters: tuple[tuple[str, str], ...] = ()
    device: str | None = None

    @property
    def row(self) -> tuple[str, str, str]:
        """The workload, policy and reader of its case."""
        return self.workload.name, self.policy, self.reader


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a test wants to have run: a program, what its row is called, the memory, and the test's own coordinates."""

    test: str
    round: int
    name: str
    program: Calling | Command
    memory: Limit | None
    parameters: tuple[tuple[str, str], ...] = ()
    device: str | None = None

    @property
    def row(self) -> tuple[str, str, str]:
        """The workload, policy and reader of its case."""
        return PROGRAM, self.name, "none"


class Session:
    """Measures, and knows where everything is."""

    def __init__(
        self,
        config: pytest.Config,
        settings: Settings,
        boards: Boards,
        user: User,
        directories: SessionDirectories,
        progress: Bar,
    ) -> None:
        self._config = config
        self._settings = settings
        self._boards = boards
        self._user = user
        self._progress = progress
        self._opened = ExitStack()
        self.directories = directories

    def open(self, say: Callable[[str], None]) -> None:
        """Prepare the machine: clean up after dead sessions, choose the cap, switch swap on, check the limits.

        For the owner. Raises UsageError or Unsupported, and then leaves nothing behind.
        """
        settings = self._settings
        needs = Needs(settings.cap, settings.swap, settings.read_bw)
        try:
            with Interrupts():
                cap, swap = self._opened.enter_context(prepared(self.directories, needs, say))
            shared = Shared(cap, swap.size_bytes, swap.usable, self._unenforced(self._bench(cap, swap)))
            self.directories.write(self._note, msgspec.json.encode(shared))
            self.directories.write(self.directories.unreported_marker, b"")
            if settings.read_bw is not None:
                self.bench.launcher.check_reads(settings.read_bw, self.directories.cache)
            if self.bench.registry.names:  # else nothing tells whether a worker with PyTorch has to start under them
                for limit in self._boards.limits:
                    self.bench.calibration.limit_bytes(limit)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Remove everything the session made on the machine; its results stay. For the owner."""
        self._opened.close()

    @property
    def _note(self) -> Path:
        return self.directories.folder / "shared.json"

    @cached_property
    def _journal(self) -> journal.Follower:
        return journal.Follower(self.directories.runs)

    @cached_property
    def shared(self) -> Shared:
        """What the owner decided."""
        try:
            return decoding.decode(self.directories.read(self._note), Shared)
        except ValueError as error:
            raise Unsupported(f"{self._note}: {error}; start the session anew") from error

    @cached_property
    def bench(self) -> Bench:
        """What all measurements of this session have in common."""
        return self._bench(self.shared.cap, self.shared.swap)

    def _unenforced(self, bench: Bench) -> dict[str, tuple[Shortfall, ...]]:
        return {
            device.name: bench.launcher.shortfalls(device.constraints, self.directories.cache)
            for device in self._boards.devices.values()
            if device is not None
        }

    @cached_property
    def registry(self) -> Registry:
        """The networks that hooks register, and those that tests make themselves."""
        registry = Registry(Store(self.directories.cache), self._config.rootpath)
        self._config.hook.pytest_edge_networks(register=registry.register)
        return registry

    @cached_property
    def live(self) -> LiveNetworks:
        """The networks that tests make of their own models; the process that made them removes them."""
        return LiveNetworks(self.registry, self.directories.folder / f"live-{os.getpid()}")

    def _bench(self, cap: str, swap: swaps.Swap) -> Bench:
        launcher = Launcher(
            cap=CAPS[cap],
            swap=swap,
            session=self.directories.session,
            timeout_s=self._settings.timeout,
            user=self._user,
            say=self._progress.say,
        )
        return Bench(
            launcher=launcher,
            registry=self.registry,
            policies=policies(self._config),
            folder=self.directories.folder,
            progress=self._progress,
            peers=peers(self._config),
        )

    def measure(self, asked: Asked, *, interleaved: bool) -> Entry:
        """Measure once; return the measurement with its case and the file that `keep` writes.

        Raises UsageError for a name that nobody registered; see also `Bench.measure`.
        """
        _check_name("policy", asked.policy, [*self.bench.policies, *self.bench.peers])
        _check_name("reader", asked.reader, READERS)
        case = with_mix(self._case(asked), asked.workload)
        bound = self.bench.calibration.bound(case, asked.workload) if self._settings.bound else None
        found = self.bench.measure(case, asked.workload)
        found = msgspec.structs.replace(found, round=asked.round, interleaved=interleaved)
        found = found if bound is None else bound.complete(found)
        return journal.place(self.directories.runs, Entry(case, found))

    def _case(self, asked: Asked | Wanted) -> Case:
        """Return the case, but for what its workload asks."""
        device = self._boards.device(asked.device)
        memory = device.memory if device is not None and asked.memory is None else asked.memory
        workload, policy, reader = asked.row
        case = Case(
            test=asked.test,
            workload=workload,
            policy=policy,
            reader=reader,
            cap=self.shared.cap,
            swap=str(self.shared.swap),
            limit=None if memory is None else str(memory),
            constraints=Constraints(
                memory_bytes=self._limit_bytes(asked, memory),
                read_bps=self._settings.read_bw,
                threads=self._settings.threads,
            ),
            parameters=asked.parameters,
        )
        if device is None:
            return case
        return on(case, device, self.shared.unenforced[device.name], sets_memory=self._boards.sets_memory)

    def _limit_bytes(self, asked: Asked | Wanted, memory: Limit | None) -> int | None:
        if isinstance(asked, Wanted):
            return self.bench.calibration.program_limit_bytes(memory, asked.program)
        return self.bench.calibration.limit_bytes(memory)

    def run(self, wanted: Wanted, *, interleaved: bool) -> Entry:
        """Run a program once; return the measurement with its case and the file that `keep` writes.

        Raises what `Bench.run` and `Calibration.program_limit_bytes` raise.
        """
        case = self._case(wanted)
        found = self.bench.run(case, wanted.program)
        found = msgspec.structs.replace(found, round=wanted.round, interleaved=interleaved)
        return journal.place(self.directories.runs, Entry(case, found))

    def try_run(self, wanted: Wanted) -> Measurement:
        """Run a program without a limit, and write nothing down; see --edge-disable."""
        self.directories.make(self.directories.runs)
        return self._bench("none", swaps.Swap(0)).run(self._uncapped(wanted.test, *wanted.row), wanted.program)

    def _uncapped(self, test: str, workload: str, policy: str, reader: str) -> Case:
        return Case(
            test=test,
            workload=workload,
            policy=policy,
            reader=reader,
            cap="none",
            swap="none",
            constraints=Constraints(threads=self._settings.threads),
        )

    def service_s(self, mix: Mix, device: str | None) -> float:
        """Return the seconds that one batch of `mix` takes by itself on a device; see `Calibration.service_s`."""
        if self._settings.disable:
            return 1.0  # nothing is measured, so nothing depends on it
        case = self._case(Asked("", 0, mix, "bulk", None, "read", device=device))
        return self.bench.calibration.service_s(mix, case.enforced)

    def keep(self, entry: Entry) -> None:
        """Write a measurement down. Raises UsageError where the disk is full."""
        with noting(self.directories.cache):
            journal.write(entry)

    def try_out(self, asked: Asked) -> Measurement:
        """Run the first request of the workload without a limit, and write nothing down; see --edge-disable."""
        self.directories.make(self.directories.runs)
        bench = self._bench("none", swaps.Swap(0))
        smallest = asked.workload.smallest()
        _check_name("policy", asked.policy, [*bench.policies, *bench.peers])
        _check_name("reader", asked.reader, READERS)
        return bench.measure(self._uncapped(asked.test, smallest.name, asked.policy, asked.reader), smallest)

    def measured_by(self, test: str) -> tuple[Record, ...]:
        """Return the records of what a test has measured so far, in whichever process, less spans and time lines."""
        return self._journal.of_test(test)

    def records(self, arrived: Mapping[str, Entry]) -> tuple[Record, ...]:
        """Return the records of all measurements, whole: those that arrived with a report, and those only on disk.

        A measurement is only on disk when its test never came to report: a crash or Ctrl-C came between.
        """
        on_disk = {str(path): journal.read(path) for path in sorted(self.directories.runs.glob("*.json"))}
        whole = {file: on_disk.get(file) or entry for file, entry in arrived.items()}
        whole |= {file: entry for file, entry in on_disk.items() if entry is not None and file not in whole}
        return collect(whole.values())


def policies(config: pytest.Config) -> dict[str, Policy]:
    """Return the built-in policies and those that hooks register. Raises UsageError for a name with two meanings."""
    return known_policies(lambda register: config.hook.pytest_edge_policies(register=register))


def peers(config: pytest.Config) -> dict[str, Peer]:
    """Return the peers that hooks register. Raises UsageError for a name with two meanings."""
    return known_peers(lambda register: config.hook.pytest_edge_peers(register=register), policies(config))


def check_names(config: pytest.Config, settings: Settings, given: Mapping[str, Given]) -> tuple[str, ...]:
    """Return the policies and peers to run, `all` being all policies. Raises UsageError for a name nobody has."""
    every = policies(config)
    known = [*every, *peers(config)]
    names = tuple(dict.fromkeys(n for name in settings.policy for n in (every if name == "all" else [name])))
    checked = ("policy", "reader", "compare-fail")
    places = {option: source(option, given) for option in checked}
    for name in names:
        _check_name(places["policy"], name, known)
    for threshold in settings.compare_fail:
        reference = threshold.figure.reference
        # Any other may be what a program is called, which nobody knows before it runs.
        if reference is not None and reference not in known and get_close_matches(reference, known, 1, _LIKE):
            place = f"{places['compare-fail']}={threshold.text}"
            raise UsageError(f"{place}: {reference} is no policy; {suggestion(reference, known)}")
    for name in settings.reader:
        _check_name(places["reader"], name, READERS)
    return names


def _check_name(kind: str, name: str, known: Collection[str]) -> None:
    if name not in known:
        raise UsageError(f"{kind}={name}: unknown; {suggestion(name, known)}")


def pack(entry: Entry) -> str:
    """Return `entry`, less its spans and time line, as one JSON string: what crosses xdist for sure."""
    return msgspec.json.encode(msgspec.structs.replace(entry, measurement=entry.measurement.summary())).decode()


def properties(entry: Entry, before: int) -> list[tuple[str, str]]:
    """Return the entry as properties that people and JUnit's readers understand: case, outcome and every metric.

    They are called `edgeload.makespan_s`; where the test had measured `before` times already, `edgeload.2.makespan_s`.
    """
    case, measured = entry.case, entry.measurement
    told = {name: getattr(case, name) for name in ("workload", "policy", "device", "limit", "reader")}
    told |= {"outcome": measured.outcome} | {name: getattr(measured, name) for name in METRICS if name != "response_s"}
    start = "edgeload" if before == 0 else f"edgeload.{before + 1}"
    return [(f"{start}.{name}", str(value)) for name, value in told.items() if value is not None]


def unpack(text: str) -> Entry:
    """Return the entry that `pack` made a string of."""
    return decoding.decode(text, Entry)
