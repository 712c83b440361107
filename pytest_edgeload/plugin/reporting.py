"""Reporting: the beginning and the end of a session, the gate at each report, and everything that is shown.

Only the owner of the session reports: pytest itself, or xdist's controller.
"""

from __future__ import annotations

import os
import secrets
import shlex
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from typing import Any

import pytest

from pytest_edgeload.base.errors import UsageError
from pytest_edgeload.base.interrupts import Interrupts, ended_alike
from pytest_edgeload.base.text import printable
from pytest_edgeload.plugin import github_actions, thresholds
from pytest_edgeload.plugin.countdown import Countdown
from pytest_edgeload.plugin.items import function_of
from pytest_edgeload.plugin.options import as_pytest_errors
from pytest_edgeload.plugin.properties import entries_in, slim
from pytest_edgeload.plugin.results import Results
from pytest_edgeload.plugin.running import Running
from pytest_edgeload.plugin.setup import Setup
from pytest_edgeload.plugin.summary import header, waits
from pytest_edgeload.report import comparison, github
from pytest_edgeload.report.view import View
from pytest_edgeload.results.case import Case
from pytest_edgeload.results.document import Machine
from pytest_edgeload.results.finding import Finding

_MAX_COMMAND = 10_000  # characters; a command line can name thousands of tests


@dataclass(frozen=True)
class GateFailure:
    """The failure of a report by the gate. pytest shows the message, also in its short summary, and no traceback.

    A string would do from pytest 9 on; pytest 8.4 leaves strings out of the short summary.
    """

    message: str

    @property
    def reprcrash(self) -> GateFailure:
        """The part that pytest shows in its short summary."""
        return self

    def toterminal(self, tw: Any) -> None:
        """Write the message to pytest's terminal."""
        tw.line(self.message)

    def __str__(self) -> str:
        return self.message


class Reporting:
    """The hooks of the owner: opens the session, judges each report, writes and shows the results."""

    def __init__(self, config: pytest.Config, setup: Setup, running: Running) -> None:
        self._config = config
        self._setup = setup
        self._running = running
        self._results = Results(setup, config.rootpath, _command(config))
        self._countdown = Countdown(config)
        self._is_open = False
        self._until_the_end = ExitStack()
        self._lines: dict[str, int] = {}
        self._unwritten_summary: list[str] = []

    # ---- the session -------------------------------------------------------------------------------------------

    def prepare_tests(self, measuring: Sequence[str], *, must_fit_networks: bool) -> None:
        """Open the results and prepare the machine, once. `measuring` are the ids of the tests that will measure.

        See `SessionMachine.prepare` for `must_fit_networks`. Raises pytest.UsageError.
        """
        if not self._is_open:
            self._until_the_end.enter_context(ended_alike())
            with as_pytest_errors():
                self._results.open(measuring)
                self._running.prepare(must_fit_networks=must_fit_networks)
                self._countdown.begin(measuring)
                self._is_open = True

    def expect(self, tests: Sequence[str]) -> None:
        """Open the results, and expect the tests that a host has collected, by id. Raises pytest.UsageError."""
        if not self._is_open and tests:
            self._until_the_end.enter_context(ended_alike())
            with as_pytest_errors():
                self._results.open(())
                self._running.open()
            self._is_open = True
        self._results.expect(tests)
        self._countdown.expect(tests)

    def use_machines(self, machines: Mapping[str, Machine], *, is_shared: bool) -> None:
        """Take the machines of the hosts, by name. If they share the tests, no case has the name of a host."""
        self._results.machines, self._results.is_shared = machines, is_shared

    def has_kept(self, host: str) -> bool:
        """Return whether all measurements that came from a host are on the disk here."""
        return host not in self._results.not_kept

    def pytest_keyboard_interrupt(self) -> None:
        """Stop the workers of xdist from beginning more tests. Ctrl-C may have reached only their controller."""
        if self._is_open:
            with suppress(UsageError):  # then they go on until xdist ends them
                self._setup.directories.write(self._setup.directories.interrupt_marker, b"")

    @pytest.hookimpl(trylast=True)  # after --lf has noted the failures
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Restore the machine and write the results, however the session ended. Ctrl-C waits until that is done."""
        try:
            with Interrupts():
                self._conclude(session)
        except KeyboardInterrupt:  # raised here, it would keep pytest from its summary
            session.exitstatus = pytest.ExitCode.INTERRUPTED

    def pytest_unconfigure(self) -> None:
        """Do the same if pytest failed before it could finish the session."""
        with suppress(KeyboardInterrupt), Interrupts():
            self._finish(is_whole=False)
        self._until_the_end.close()

    def _conclude(self, session: pytest.Session) -> None:
        is_stopped = session.shouldfail or session.shouldstop  # for example by -x
        is_ended = session.exitstatus in {pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED}
        is_whole, settings = is_ended and not is_stopped, self._setup.settings
        is_idle = not (self._is_open or settings.skip or settings.disable or self._config.option.collectonly)
        if is_whole and settings.strict and is_idle:
            self._results.skip_gate()
        failing = self._finish(is_whole=is_whole)
        has_failed = bool(failing or self._results.unwritten or (settings.strict and self._results.judgement.idle))
        if has_failed and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
        cache: pytest.Cache | None = getattr(self._config, "cache", None)  # absent under -p no:cacheprovider
        if self._results.failing and cache is not None:
            known = cache.get("cache/lastfailed", {})
            again = self._results.items_of(self._results.failing)  # all rounds, because one cannot be judged alone
            cache.set("cache/lastfailed", known | dict.fromkeys(sorted(again), True))

    def _finish(self, *, is_whole: bool) -> list[Finding]:
        """Restore the machine and write the results, once. Return the findings that fail but are in no report."""
        self._running.restore()
        if not self._is_open:
            return []
        self._is_open = False
        failing = self._results.finish(self._running.records(self._results.arrived), is_whole=is_whole)
        if self._setup.settings.github:
            self._unwritten_summary = list(filter(None, [github_actions.summarise(self._results.markdown())]))
        if not self._results.unwritten:
            self._setup.directories.unreported_marker.unlink(missing_ok=True)
        return failing

    # ---- reports -----------------------------------------------------------------------------------------------

    @pytest.hookimpl(trylast=True)  # after pytest has written the name of the test
    def pytest_runtest_logstart(self, nodeid: str) -> None:
        """Show how many tests are left."""
        self._countdown.show(nodeid)

    @pytest.hookimpl(tryfirst=True)  # before other plugins count the report
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take the measurements from a report, and make the report fail if the gate fails."""
        self._countdown.take(report)
        if report.when == "teardown" or (report.when == "setup" and report.passed):
            return
        _, line, _ = report.location
        if line is not None:
            self._lines[function_of(report.nodeid)] = line + 1
        ceilings = thresholds.ceilings_of(report.user_properties)
        entries = list(entries_in(report.user_properties))
        if self._setup.hosts:
            entries = [self._results.bring_home(entry) for entry in entries]
            report.user_properties[:] = slim(report.user_properties)
        if report.outcome not in {"passed", "failed", "skipped"}:  # a plugin runs the test again
            self._results.note(report.nodeid, entries, ceilings)
            return
        failing = self._results.take(report.nodeid, entries, ceilings)
        if failing and not report.failed:
            failure: Any = GateFailure("\n".join(map(comparison.line, failing)))
            report.outcome, report.when, report.longrepr = "failed", "call", failure

    # ---- the terminal ------------------------------------------------------------------------------------------

    def pytest_report_header(self) -> str | None:
        """Show the limits and what enforces them."""
        return header(self._setup, is_interleaved=self._config.getoption("dist", "no") == "no")

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Show the tables, the comparison with the baseline, and the paths of the files."""
        seed = [f"seed {self._setup.seed}"] if self._config.get_verbosity() < 0 else []  # -q hides the header
        may_overlap = self._setup.settings.parallel.overlaps
        entries, is_on_hosts = self._results.arrived.values(), bool(self._setup.hosts)
        first = [*seed, *waits(entries, self._processes, may_overlap=may_overlap, is_on_hosts=is_on_hosts)]
        parts = [self._results.text(self._view(terminalreporter)), "\n".join(self._results.notes(first))]
        shown = "\n\n".join(part for part in parts if part)
        unwritten = [*self._results.unwritten, *self._unwritten_summary]
        is_github = self._setup.settings.github
        token = secrets.token_hex(16) if is_github and (shown or unwritten) else None
        if token:  # otherwise a name at the start of a line could be a command of the runner
            terminalreporter.write_line(f"::stop-commands::{token}")
        if shown or unwritten:
            terminalreporter.section("edgeload")
            terminalreporter.write_line(shown)
            for sentence in unwritten:
                terminalreporter.write_line(f"\n{printable(sentence)}", red=True)
        if token:
            terminalreporter.write_line(f"::{token}::")
        if is_github:
            for line in self._results.annotations(self._source_line):
                terminalreporter.write_line(line)

    @property
    def _processes(self) -> str:
        """The option that set the number of processes; empty without one."""
        number = self._config.getoption("numprocesses", None)
        return f"-n {number}" if number else ""

    def _view(self, terminalreporter: Any) -> View:
        """Return the view with the width of the terminal, and without a width if the output is a log."""
        writer = terminalreporter._tw  # noqa: SLF001  # pytest has no public name for it
        is_limited = terminalreporter.isatty or "COLUMNS" in os.environ
        width = writer.fullwidth if is_limited else None
        return replace(self._setup.settings.report_view, width=width, colour=writer.hasmarkup)

    def _source_line(self, case: Case) -> github.SourceLine:
        return github_actions.source_line(case, self._lines, self._config.rootpath)


def _command(config: pytest.Config) -> str:
    """Return the command line of the session, on one line."""
    return printable(shlex.join(["pytest", *map(str, config.invocation_params.args)]))[:_MAX_COMMAND]
