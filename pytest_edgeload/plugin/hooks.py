"""The hooks of a pytest session that measures. Imported when there is something to measure or an option to check."""

from __future__ import annotations

import os
import secrets
import zlib
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from typing import Any

import pytest

from pytest_edgeload.base.errors import UsageError
from pytest_edgeload.base.interrupts import Interrupts, ended_alike
from pytest_edgeload.base.text import printable
from pytest_edgeload.base.units import Limit, exact_size
from pytest_edgeload.plugin import github_actions, options, thresholds
from pytest_edgeload.plugin.devices import boards_of
from pytest_edgeload.plugin.directories import directories_of
from pytest_edgeload.plugin.fixtures import AXES, ROUND, as_mix
from pytest_edgeload.plugin.items import device_of, is_of, measures, own_of, parameters_of, round_of, test_name
from pytest_edgeload.plugin.live import LiveNetworks
from pytest_edgeload.plugin.ordering import Place, group_of, interleave
from pytest_edgeload.plugin.programs import Call, Command
from pytest_edgeload.plugin.progress import Bar
from pytest_edgeload.plugin.results import Results
from pytest_edgeload.plugin.session import Asked, Session, Wanted, check_names, pack, peers, properties, unpack
from pytest_edgeload.report import comparison, github
from pytest_edgeload.report.view import View
from pytest_edgeload.results.finding import Finding
from pytest_edgeload.results.record import Case, Entry, Measurement, Record
from pytest_edgeload.results.statistics import is_precise
from pytest_edgeload.sandbox.caps import choose
from pytest_edgeload.sandbox.user import choose as choose_user
from pytest_edgeload.workload import Mix

PROPERTY = "edgeload"
"""The user property that carries a measurement, as one JSON string, from a test to its reports."""


@dataclass(frozen=True)
class _Told:
    """What became worse, as a report's failure: words that pytest shows, in its short summary, too, and no traceback.

    From 9 on pytest would take the words by themselves; 8.4 leaves them out of the short summary.
    """

    message: str

    @property
    def reprcrash(self) -> _Told:
        return self

    def toterminal(self, tw: Any) -> None:
        tw.line(self.message)

    def __str__(self) -> str:
        return self.message


class Edgeload:
    """The running plugin of one pytest process; xdist's controller and each of its workers have one.

    The owner is the process that prepares the machine and writes the results: pytest itself, or xdist's controller.
    Raises pytest.UsageError for an option that makes no sense.
    """

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._is_owner = options.sent(config) is None
        self._given = options.read(config)
        with options.as_pytest_errors():
            self.settings = options.parse(self._given)
            self._policies = check_names(config, self.settings, self._given)
            self.boards = boards_of(self.settings, self._given, config.rootpath)
            self._cap, self._is_enforced = self._choose_cap()
            self._user = choose_user(self.settings.user)
            self._directories = directories_of(config)
        self._session = Session(config, self.settings, self.boards, self._user, self._directories, Bar(config))
        self._is_open = False
        self._until_the_end = ExitStack()
        self._lines: dict[str, int] = {}
        self._unsummarised: list[str] = []
        self._item: pytest.Item | None = None
        self._is_running = False
        self._refused: UsageError | None = None
        self._called: dict[str, object] = {}
        chosen = self.settings.seed
        self.seed = zlib.crc32(self._directories.folder.name.encode()) if chosen is None else chosen
        found = {"seed": str(self.seed), "user": self._user.name}
        self._results = Results(self.settings, self._given, found, config.rootpath, self._directories)

    def _choose_cap(self) -> tuple[str, bool]:
        if self.settings.disable:
            return "none", False
        name, cap = choose(self.settings.cap, self.settings.read_bw)
        return name, cap.enforces

    # ---- what is collected -------------------------------------------------------------------------------------

    def axes(self) -> dict[str, Sequence[Any]]:
        """Return the values of our parametrized fixtures."""
        rounds = range(1 if self.settings.disable else self.settings.rounds.max)
        beside = tuple(dict.fromkeys([*self._policies, *peers(self._config)]))
        values = (tuple(self.boards.devices), self.settings.mem, self.settings.reader, self._policies, beside, rounds)
        return dict(zip(AXES, values, strict=True))

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Order the rounds of each comparison group A B C, A B C; skip what --edge-only or --edge-skip leaves out."""
        places = []
        with options.as_pytest_errors():
            common = thresholds.table(self._config)
        for index, item in enumerate(items):
            is_measuring, is_last = measures(item), "edge_records" in getattr(item, "fixturenames", ())
            if self.settings.skip and is_measuring:
                item.add_marker(pytest.mark.skip(reason="measures, and --edge-skip is given"))
            if self.settings.only and not (is_measuring or is_last):
                item.add_marker(pytest.mark.skip(reason="does not measure, and --edge-only is given"))
            if is_measuring:
                with options.as_pytest_errors():
                    found = thresholds.of_item(item, common)
                if found:
                    item.user_properties.append((thresholds.PROPERTY, thresholds.pack(found)))
            parameters = parameters_of(item)
            group = group_of(item.nodeid.partition("[")[0], parameters) if is_measuring else None
            places.append(Place(group, parameters.get(ROUND, 0), index, is_last=is_last))
        items[:] = [items[index] for index in interleave(places)]

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Prepare the machine if anything is going to be measured, before the first test runs."""
        idle = self._config.option.collectonly or self.settings.skip or self.settings.disable
        measuring = [item.nodeid for item in session.items if measures(item)]
        if idle or not measuring:
            return
        if self._is_owner:
            self.prepare(measuring)
        else:
            try:
                self._directories.make(self._directories.folder)
                self._directories.write(
                    self._directories.measuring_tests, "\n".join(measuring).encode(errors="surrogateescape")
                )
            except UsageError as error:  # told by each test: a worker of xdist that ends here ends all in a traceback
                self._refused = error

    def prepare(self, measuring: Sequence[str]) -> None:
        """Prepare the machine, once, for items of these ids that are going to report. For the owner."""
        if not self._is_open:
            self._until_the_end.enter_context(ended_alike())
            with options.as_pytest_errors():
                self._results.open(measuring)
                self._session.open(self._say)
                self._is_open = True

    # ---- what is measured --------------------------------------------------------------------------------------

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Any:
        """Know which test is running: the session-scoped fixture cannot. Begin none when the owner was interrupted."""
        if not self._is_owner and self._directories.interrupt_marker.exists():
            pytest.exit("the session was interrupted")
        self._item = item
        self._called = {}
        try:
            return (yield)
        finally:
            self._item = None

    @pytest.hookimpl(tryfirst=True)  # before pytest looks at the markers
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        """Skip a round that may be run, and need not: see --edge-precision."""
        rounds, precision = self.settings.rounds, self.settings.precision
        if precision is None or not measures(item) or parameters_of(item).get(ROUND, 0) < rounds.min:
            return
        own = [record for record in self._session.measured_by(test_name(item)) if is_of(record.case, item)]
        if own and all(is_precise(record, precision, rounds.min) for record in own):
            reason = f"precise enough: medians to {precision:.3g} after {len(own[0].rounds)} rounds"
            item.add_marker(pytest.mark.skip(reason=reason))

    def run(
        self, workload: Mix | Sequence[str], *, policy: str, memory: Limit | str | None, reader: str
    ) -> Measurement:
        """Measure `workload` once for the running test; see `fixtures.Edge.run`."""
        item, limit = self._running("run"), _limit(memory)
        own = tuple(own_of(item).items())
        asked = Asked(test_name(item), round_of(item), as_mix(workload), policy, limit, reader, own, device_of(item))
        if self.settings.disable:
            return self._session.try_out(asked)
        return self._taken_down(item, self._session.measure(asked, interleaved=self._is_owner))

    def run_program(self, asked: Call | Command, memory: Limit | str | None) -> Measurement:
        """Run a program once for the running test; see `fixtures.Edge.call` and `command`."""
        item, limit = self._running(asked.word), _limit(memory)
        name, program = asked.made(item)
        if asked.name is None:
            self._check_alone(name, program.key)
        own = tuple(own_of(item).items())
        wanted = Wanted(test_name(item), round_of(item), name, program, limit, own, device_of(item))
        self._is_running = True
        try:
            if self.settings.disable:
                return self._session.try_run(wanted)
            entry = self._session.run(wanted, interleaved=self._is_owner)
        finally:
            self._is_running = False
        return self._taken_down(item, entry)

    def _check_alone(self, name: str, key: object) -> None:
        """Raise UsageError where another program of the running test is called `name`: their runs would be one row."""
        if self._called.setdefault(name, key) != key:
            raise UsageError(f"two programs of this test are called {name}; tell their rows apart by name=")

    def _running(self, what: str) -> pytest.Item:
        """Return the test that `edge.what` is called from. Raises UsageError."""
        if self._item is None or not measures(self._item):
            raise UsageError(
                f"edge.{what} measures for a running test; call it from one that names edge in its arguments"
            )
        if self._refused is not None:
            raise self._refused
        if self._is_running:
            raise UsageError(f"edge.{what} cannot be used by what asks a service: one thing is measured at a time")
        return self._item

    def _taken_down(self, item: pytest.Item, entry: Entry) -> Measurement:
        before = sum(name == PROPERTY for name, _ in item.user_properties)
        item.user_properties += [(PROPERTY, pack(entry)), *properties(entry, before)]
        self._session.keep(entry)
        return entry.measurement

    @property
    def live(self) -> LiveNetworks:
        """The networks that tests make of their own models."""
        return self._session.live

    def service_s(self, mix: Mix) -> float:
        """Return the seconds that one batch of `mix` takes by itself; see `fixtures.Edge.service_s`."""
        device = None if self._item is None else device_of(self._item)
        return self._session.service_s(mix, device)

    def measured(self) -> tuple[Record, ...]:
        """Return the records of all that this session has measured so far, in whichever process."""
        return self._session.records({})

    # ---- what comes of it --------------------------------------------------------------------------------------

    @pytest.hookimpl(tryfirst=True)  # before anybody has counted the report
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take in the measurements that came with a report, and let it fail where they became worse."""
        if not self._is_owner or report.when == "teardown" or (report.when == "setup" and report.passed):
            return
        _, line, _ = report.location
        if line is not None:
            self._lines[report.nodeid.partition("[")[0]] = line + 1
        packed = [str(value) for name, value in report.user_properties if name == PROPERTY]
        ceilings = thresholds.ceilings_of(report.user_properties)
        failing = self._results.take(report.nodeid, _entries(packed), ceilings)
        if failing and not report.failed:
            report.outcome, report.when = "failed", "call"
            report.longrepr = _Told("\n".join(comparison.line(found) for found in failing))  # type: ignore[assignment]

    def pytest_keyboard_interrupt(self) -> None:
        """Have workers of xdist begin nothing more: Ctrl-C may have come to their controller alone."""
        if self._is_open:
            with suppress(UsageError):  # they would only go on until xdist ends them
                self._directories.write(self._directories.interrupt_marker, b"")

    @pytest.hookimpl(trylast=True)  # when --lf has noted what failed
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Clean up and write the results, however the session ended; Ctrl-C waits until that is done."""
        try:
            with Interrupts():
                self._conclude(session)
        except KeyboardInterrupt:  # which is none of the session's any more, so pytest still shows what it has
            session.exitstatus = pytest.ExitCode.INTERRUPTED

    def _conclude(self, session: pytest.Session) -> None:
        is_stopped = session.shouldfail or session.shouldstop  # by -x, say
        is_told = session.exitstatus in {pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED}
        failing = self._finish(is_whole=is_told and not is_stopped)
        if (failing or self._results.unwritten) and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
        cache: pytest.Cache | None = getattr(self._config, "cache", None)  # absent under -p no:cacheprovider
        if self._results.failing and cache is not None:
            known = cache.get("cache/lastfailed", {})
            again = self._results.items_of(self._results.failing)  # one round alone could not be judged
            cache.set("cache/lastfailed", known | dict.fromkeys(sorted(again), True))

    def pytest_unconfigure(self) -> None:
        """Do the same where pytest broke down before it could finish the session."""
        with suppress(KeyboardInterrupt), Interrupts():
            self._finish(is_whole=False)
        self._until_the_end.close()

    def _finish(self, *, is_whole: bool) -> list[Finding]:
        self._session.close()
        if not self._is_open:
            return []
        self._is_open = False
        failing = self._results.finish(self._session.records(self._results.arrived), is_whole=is_whole)
        if self.settings.github:
            self._unsummarised = list(filter(None, [github_actions.summarise(self._results.markdown())]))
        if not self._results.unwritten:
            self._directories.unreported_marker.unlink(missing_ok=True)
        return failing

    # ---- what is shown -----------------------------------------------------------------------------------------

    def pytest_report_header(self) -> str | None:
        """Say what is enforced how."""
        if self.settings.skip:
            return None
        if self.settings.disable:
            return f"edgeload: disabled, every case runs once without a limit and nothing is recorded, seed {self.seed}"
        enforced = f"enforced by {self._cap}" if self._is_enforced else "NOT enforced (cap none)"
        order = " not interleaved (xdist)" if self._config.getoption("dist", "no") != "no" else ""
        rate = self.settings.read_bw
        reads = "" if rate is None else f"reads at {exact_size(rate)}/s, "
        rounds = self.settings.rounds
        threads = f"threads {self.settings.threads}, " if self.boards.devices.keys() == {None} else ""
        return (
            f"edgeload: {self.boards} {enforced}, swap {self.settings.swap}, "
            f"{reads}{threads}rounds {rounds}{order}, {self._whom()}seed {self.seed}"
        )

    def _whom(self) -> str:
        """Say as whom workers run, where root could have them run as another."""
        return "" if self._user.ids is None and os.geteuid() != 0 else f"workers as {self._user.name}, "

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Show a table for each comparison group, what came of the comparison with a baseline, and what was written."""
        parts = [self._results.text(self._view(terminalreporter)), "\n".join(self._results.notes(self._unheard()))]
        said = [part for part in parts if part]
        unwritten = [*self._results.unwritten, *self._unsummarised]
        token = secrets.token_hex(16) if self.settings.github and (said or unwritten) else None
        if token:  # or a name at the start of a line could be one of the runner's commands
            terminalreporter.write_line(f"::stop-commands::{token}")
        if said or unwritten:
            terminalreporter.section("edgeload")
            terminalreporter.write_line("\n\n".join(said))
            for sentence in unwritten:
                terminalreporter.write_line(f"\n{printable(sentence)}", red=True)
        if token:
            terminalreporter.write_line(f"::{token}::")
        if self.settings.github:
            failing, improved = self._results.failing, self._results.improved
            for line in github.commands(failing, improved, self._place):
                terminalreporter.write_line(line)

    def _view(self, terminalreporter: Any) -> View:
        """Return what to show, as wide as the terminal is; in a log no line is too long."""
        writer = terminalreporter._tw  # noqa: SLF001  # pytest has no other name for it
        is_limited = terminalreporter.isatty or "COLUMNS" in os.environ
        width = writer.fullwidth if is_limited else None
        return replace(self.settings.view, width=width, colour=writer.hasmarkup)

    def _unheard(self) -> list[str]:
        """Return what no header has said."""
        return [f"seed {self.seed}"] if self._config.get_verbosity() < 0 else []

    def _place(self, case: Case) -> github.SourceLine:
        return github_actions.place_of(case, self._lines, self._config.rootpath)

    def _say(self, line: str) -> None:
        reporter = self._config.pluginmanager.get_plugin("terminalreporter")
        if reporter is not None:
            reporter.write_line(line)


def _entries(packed: Sequence[str]) -> Iterator[Entry]:
    """Yield what are entries; a test may have recorded properties of that name itself."""
    for text in packed:
        with suppress(ValueError):
            yield unpack(text)


def _limit(memory: Limit | str | None) -> Limit | None:
    """Return a limit as it is given by a test. Raises UsageError."""
    try:
        return Limit.parse(memory) if isinstance(memory, str) else memory
    except ValueError as error:
        raise UsageError(f"memory={memory!r}: {error}") from error
