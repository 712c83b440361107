"""Running: measures for the test that runs. The fixtures talk to this plugin, and to no other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import msgspec
import pytest

from pytest_edgeload.base.arguments import BadArgument, text, texts
from pytest_edgeload.base.errors import Refusal, UsageError, check_name
from pytest_edgeload.base.files import noting
from pytest_edgeload.base.text import MAX_NAME_CHARACTERS, bounded
from pytest_edgeload.plugin.axes import Turn
from pytest_edgeload.plugin.cases import Caller, Memory, ProgramRun, WorkloadRun, to_limit, to_store
from pytest_edgeload.plugin.items import (
    comparison_group,
    is_of,
    is_turn_of,
    measures,
    round_of,
    test_name,
    unused_parameters,
)
from pytest_edgeload.plugin.live import LiveNetworks
from pytest_edgeload.plugin.machine import SessionMachine
from pytest_edgeload.plugin.measuring import SessionBench
from pytest_edgeload.plugin.options import spell
from pytest_edgeload.plugin.programs import CallSpec, CommandSpec, own_modules
from pytest_edgeload.plugin.properties import properties, without_measurements
from pytest_edgeload.plugin.registrations import check_registered, peers
from pytest_edgeload.plugin.setup import Setup
from pytest_edgeload.results import journal
from pytest_edgeload.results.case import AUTO, Case
from pytest_edgeload.results.measurement import Measurement
from pytest_edgeload.results.record import Entry, Record, collect
from pytest_edgeload.results.statistics import is_precise
from pytest_edgeload.sandbox.environment import inherited
from pytest_edgeload.workload import Mix


class Running:
    """The hooks of running tests, and the measurements of the fixtures. Every process of a session has one."""

    def __init__(self, config: pytest.Config, setup: Setup) -> None:
        self.setup = setup
        self._config = config
        self._directories = setup.directories
        self._machine = SessionMachine(config, setup)
        self._bench = SessionBench(setup, self._machine)
        self._item: pytest.Item | None = None
        self._attempt = 0
        self._cases: list[Case] = []
        self._is_busy = False
        self._refusal: Refusal | None = None
        self._program_keys: dict[str, object] = {}
        self._precise: set[object] = set()

    # ---- the session -------------------------------------------------------------------------------------------

    def prepare(self, *, must_fit_networks: bool) -> None:
        """Prepare the machine; see `SessionMachine.prepare`. For the owner. Raises UsageError or Unsupported."""
        self._machine.prepare(must_fit_networks=must_fit_networks)

    def open(self) -> None:
        """Open the session's folder, if hosts measure. For the owner. Raises UsageError."""
        self._machine.open()

    def restore(self) -> None:
        """Restore the machine. For the owner."""
        self._machine.restore()

    @pytest.hookimpl(tryfirst=True)  # before the machine is prepared
    def pytest_collection_finish(self) -> None:
        """Check the names in options, now that all conftest files are loaded. Raises pytest.UsageError."""
        try:
            check_registered(self.setup.settings, self.setup.given, self._config.hook)
        except Refusal as error:
            self._refusal = error.spelled(spell)
            if self.setup.is_owner:
                raise pytest.UsageError(str(error)) from error

    def refuse(self, refusal: Refusal) -> None:
        """Make each test that measures raise `refusal`, because here pytest could not show it at once."""
        self._refusal = self._refusal or refusal

    def prepare_tests(self, measuring: Sequence[str], *, must_fit_networks: bool) -> None:  # noqa: ARG002  # for the owner
        """Note the ids of the tests that will measure, for the owner to prepare the machine. For a worker of xdist.

        If the session is refused, note the reason instead.
        """
        directories = self._directories
        try:
            directories.make(directories.folder)
            if self._refusal is None:
                directories.write(directories.measuring_tests, "\n".join(measuring).encode(errors="surrogateescape"))
            else:
                directories.write(directories.refusal, str(self._refusal).encode())
        except UsageError as error:  # each test raises it, because here xdist would only show a traceback
            self._refusal = error

    # ---- hooks -------------------------------------------------------------------------------------------------

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Any:
        """Remember the running test, which a session-scoped fixture does not know. Begin none after an interrupt."""
        if not self.setup.is_owner and self._directories.interrupt_marker.exists():
            pytest.exit("the session was interrupted")
        self._item, self._attempt = item, -1
        try:
            return (yield)
        finally:
            self._item = None

    @pytest.hookimpl(tryfirst=True)  # before pytest evaluates the markers
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        """Begin an attempt. Skip an optional round if the rounds so far are precise enough; see --edge-precision."""
        self._begin_attempt(item)
        rounds, precision = self.setup.rounds, self.setup.settings.precision
        if precision is None or not measures(item) or round_of(item) < rounds.min:
            return
        own = [record for record in self._journal.of_test(test_name(item)) if is_of(record.case, item)]
        turn = comparison_group(item), round_of(item)  # a test whose figures another test measured follows that test
        if (turn in self._precise) if not own else all(is_precise(record, precision, rounds.min) for record in own):
            self._precise.add(turn)
            item.add_marker(pytest.mark.skip(reason=f"precise enough: medians to {precision:.3g}"))

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Any:
        """Warn of parameters that the test did not pass to `edge`: it passes for a limit under which nothing ran."""
        result = yield
        for unused in unused_parameters(item, self._cases):
            item.warn(pytest.PytestWarning(f"no measurement of this test has {unused}; pass it to `edge`"))
        return result

    def _begin_attempt(self, item: pytest.Item) -> None:
        """Forget the measurements of the attempt before, after which a plugin runs the test again."""
        self._cases = []
        # pytest-rerunfailures counts in an attribute of its own, across processes of xdist as well.
        self._attempt = max(self._attempt + 1, getattr(item, "execution_count", 1) - 1)
        self._program_keys = {}
        item.user_properties[:] = without_measurements(item.user_properties)

    # ---- for the fixtures --------------------------------------------------------------------------------------

    @property
    def live(self) -> LiveNetworks:
        """The networks that tests make of their own models."""
        return self._machine.live

    def make_network(self, name: str, model: Any, *samples: Any, tolerance: float | None = None) -> str:
        """Make a network of a test's own model, and return its name; see `fixtures.edge_network`."""
        own = [] if self._item is None else own_modules(self._item)
        return self.live.make(name, model, *samples, tolerance=tolerance, own=own)

    def run(
        self, turn: Turn, workload: Mix | Sequence[str], *, policy: str, memory: Memory, reader: str, store: str
    ) -> Measurement:
        """Measure a workload once for the running test; see `fixtures.Edge.run`."""
        item = self._running_item("run", turn)
        if self.setup.settings.simulate and policy in peers(item.ihook):
            pytest.skip(f"peer {policy} cannot be simulated")
        policy, reader = text("policy", policy), text("reader", reader)
        run = WorkloadRun(Caller.of(item, turn), as_mix(workload), policy, to_limit(memory), reader, to_store(store))
        if self.setup.settings.disable:
            return self._bench.try_workload(run)
        return self._keep(item, run, self._bench.measure_workload(run))

    def run_program(
        self,
        turn: Turn,
        spec: CallSpec | CommandSpec,
        memory: Memory,
        workload: Mix | Sequence[str] | None = None,
        reader: str = AUTO,
    ) -> Measurement:
        """Run a program once for the running test; see `fixtures.Edge.call` and `command`."""
        item, limit = self._running_item(spec.method, turn), to_limit(memory)
        if self.setup.settings.simulate:
            pytest.skip(f"edge.{spec.method} runs a program, which cannot be simulated")
        name, program = spec.build(item, inherited(self.setup.settings.keep_env))
        if spec.name is None:
            self._check_unique(name, program.key)
        mix = None if workload is None else as_mix(workload)
        run = ProgramRun(Caller.of(item, turn), name, program, limit, mix, text("reader", reader))
        self._is_busy = True
        try:
            if self.setup.settings.disable:
                measurement = self._bench.try_program(run)
            else:
                measurement = self._keep(item, run, self._bench.measure_program(run))
        finally:
            self._is_busy = False
        if measurement.traceback:
            item.add_report_section("call", f"traceback of {name}", measurement.traceback)
        return measurement

    def service_s(self, turn: Turn, workload: Mix | Sequence[str]) -> float:
        """Return the seconds that one batch of `workload` takes alone; see `fixtures.Edge.service_s`."""
        return self._bench.service_s(as_mix(workload), turn.device)

    def records(self, arrived: Mapping[str, Entry] | None = None) -> tuple[Record, ...]:
        """Return the records of all measurements of the session, from all processes.

        `arrived` are entries that came with a report, by file. A measurement is only on disk if its test never
        reported, because of a crash or Ctrl-C.
        """
        arrived = arrived or {}
        on_disk = {str(path): journal.read(path) for path in sorted(self._directories.runs.glob("*.json"))}
        whole = {file: on_disk.get(file) or entry for file, entry in arrived.items()}
        whole |= {file: entry for file, entry in on_disk.items() if entry is not None and file not in whole}
        return collect(whole.values())

    # ---- one measurement ---------------------------------------------------------------------------------------

    def _running_item(self, method: str, turn: Turn) -> pytest.Item:
        """Return the test that calls `edge.method`. Raises UsageError."""
        if self._item is None or not measures(self._item):
            hint = "call it from a test that has `edge` as an argument"
            raise UsageError(f"edge.{method}", "no test that measures is running", hint)
        if self._refusal is not None:
            raise self._refusal
        if not is_turn_of(turn, self._item):
            reason = "this `edge` is for another device or round than the test"
            raise UsageError(f"edge.{method}", reason, "use the fixture of the running test")
        if self._is_busy:
            hint = "measure one thing at a time"
            raise UsageError(f"edge.{method}", "another measurement of this test is still running", hint)
        return self._item

    def _check_unique(self, name: str, key: object) -> None:
        """Raise UsageError if another program of the test has this name, because their runs would be one row."""
        if self._program_keys.setdefault(name, key) != key:
            raise UsageError(f"program {name}", "two programs of this test have this name", "give them names by name=")

    @cached_property
    def _journal(self) -> journal.Follower:
        return journal.Follower(self._directories.runs, is_alone=self.setup.is_owner or self.setup.host is not None)

    def _keep(self, item: pytest.Item, run: WorkloadRun | ProgramRun, entry: Entry) -> Measurement:
        """Write a measurement to its file and to the properties of the test. Raises UsageError if the disk is full."""
        measurement = msgspec.structs.replace(
            entry.measurement,
            round=run.caller.round,
            attempt=self._attempt,
            interleaved=self.setup.is_owner or self.setup.host is not None,
            host=self.setup.host or "",
        )
        entry = journal.place(self._directories.runs, Entry(entry.case, measurement))
        item.user_properties += properties(entry, item.user_properties, is_whole=self.setup.host is not None)
        self._cases.append(entry.case)
        with noting(self._directories.cache):
            journal.write(entry)
        if self.setup.settings.precision is not None:
            self._journal.note(entry)
        return measurement


def as_mix(workload: Mix | Sequence[str]) -> Mix:
    """Return `workload` as a mix. A sequence of names asks each network once, and gives the mix its name."""
    if isinstance(workload, Mix):
        return workload
    names = texts("workload", workload, "give a Mix, or a list of names of networks")
    if not names:
        raise BadArgument.of("workload", workload, "an empty list", "name at least one network")
    for name in names:
        check_name("network", name)
    return Mix.of(bounded("+".join(names), MAX_NAME_CHARACTERS), names)
