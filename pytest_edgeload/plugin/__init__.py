"""The pytest plugin: hooks only. Everything that knows pytest is in this folder, and nothing else is.

Nothing heavy is imported before a test that measures has been collected: a project that has the plugin installed and
does not use it pays a few milliseconds.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import pytest

from pytest_edgeload.errors import Unsupported, UsageError
from pytest_edgeload.plugin import hookspecs, options
from pytest_edgeload.plugin.fixtures import (
    POLICY,
    ROUND,
    RUN,
    edge,
    edge_mem,
    edge_policy,
    edge_reader,
    edge_round,
    parametrize,
)

if TYPE_CHECKING:
    from xdist.workermanage import WorkerController

    from pytest_edgeload.plugin.session import Session
    from pytest_edgeload.results.record import Entry, Measurement, Record
    from pytest_edgeload.units import Limit
    from pytest_edgeload.workload import Mix

__all__ = ["edge", "edge_mem", "edge_policy", "edge_reader", "edge_round"]

PROPERTY = "edgeload"
"""The user property that carries a measurement, as one JSON string, from a test to its reports."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare the options."""
    options.add(parser)


def pytest_addhooks(pluginmanager: pytest.PytestPluginManager) -> None:
    """Declare the hooks that projects implement."""
    pluginmanager.add_hookspecs(hookspecs)


def pytest_configure(config: pytest.Config) -> None:
    """Read the options and start listening. Raises pytest.UsageError for an option that makes no sense."""
    plugin = Edgeload(config)
    config.pluginmanager.register(plugin, "edgeload-session")
    config.stash[RUN] = plugin.run


class Edgeload:
    """The plugin in one pytest process: xdist's controller and workers each have one."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._received: dict[str, Any] | None = json.loads(getattr(config, "workerinput", {}).get(PROPERTY, "null"))
        self._item: pytest.Item | None = None
        self._session: Session | None = None
        self._open = False
        self._arrived: dict[str, Entry] = {}
        self._records: tuple[Record, ...] = ()
        if self._received is None:
            self._given = options.read(config)
            self._check_options()
        else:
            self._given = {name: options.Given(*given) for name, given in self._received["given"].items()}

    @cached_property
    def settings(self) -> options.Settings:
        """All options, parsed when first needed."""
        return options.parse(self._given)

    @cached_property
    def _policies(self) -> tuple[str, ...]:
        from pytest_edgeload.plugin.session import check_names

        return check_names(self._config, self.settings)

    def _check_options(self) -> None:
        """Parse what somebody wrote, so that a slip is told before anything runs."""
        try:
            if self._given:
                _ = self.settings
            if self._given.keys() & {"policy", "reader"}:
                _ = self._policies
        except UsageError as error:
            raise pytest.UsageError(str(error)) from error

    # ---- what is collected -------------------------------------------------------------------------------------

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """Run tests once for each policy, limit, reader and round that the options name."""
        parametrize(metafunc, self._axes)

    def _axes(self) -> dict[str, Sequence[Any]]:
        return {
            "edge_mem": self.settings.mem,
            "edge_reader": self.settings.reader,
            POLICY: self._policies,
            ROUND: range(1 if self.settings.disable else self.settings.rounds),
        }

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Order the rounds of each comparison group A B C, A B C; skip what --edge-only or --edge-skip leaves out."""
        if not self._given and not any(map(_measures, items)):
            return
        from pytest_edgeload.plugin.ordering import Place, group_of, interleave

        places = []
        for index, item in enumerate(items):
            measures = _measures(item)
            if self.settings.skip and measures:
                item.add_marker(pytest.mark.skip(reason="measures, and --edge-skip is given"))
            if self.settings.only and not measures:
                item.add_marker(pytest.mark.skip(reason="does not measure, and --edge-only is given"))
            parameters = _parameters(item)
            group = group_of(_test_name(item), parameters) if measures else None
            places.append(Place(group, parameters.get(ROUND, 0), index))
        items[:] = [items[index] for index in interleave(places)]

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Prepare the machine if anything is going to be measured, before the first test runs."""
        if self._config.option.collectonly or not any(map(_measures, session.items)):
            return
        if not self.settings.skip and not self.settings.disable:
            if self._received is None:
                self._prepare()
            else:
                measuring = self.session()
                measuring.place.folder.mkdir(parents=True, exist_ok=True)
                measuring.place.wanted.touch()

    def _prepare(self) -> None:
        if self._open:
            return
        try:
            self.session().open(self._say)
            self._open = True
            self._write(())
        except (UsageError, Unsupported) as error:
            raise pytest.UsageError(str(error)) from error

    def session(self) -> Session:
        """Return the measuring side, made when first asked for."""
        if self._session is None:
            from pathlib import Path

            from pytest_edgeload.plugin.progress import Bar
            from pytest_edgeload.plugin.session import Place as SessionPlace
            from pytest_edgeload.plugin.session import Session

            if self._received is None:
                place = SessionPlace.new(self.settings.cache_dir)
            else:
                cache, folder, session = self._received["place"]
                place = SessionPlace(Path(cache), Path(folder), session)
            self._session = Session(self._config, self.settings, place, Bar(self._config))
        return self._session

    # ---- what is measured --------------------------------------------------------------------------------------

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Any:
        """Know which test is running: the session-scoped fixture cannot."""
        self._item = item
        try:
            return (yield)
        finally:
            self._item = None

    def run(
        self, workload: Mix | Sequence[str], *, policy: str, memory: Limit | str | None, reader: str
    ) -> Measurement:
        """Measure `workload` once for the running test; see `Edge.run`."""
        from pytest_edgeload.plugin.session import Asked, as_mix

        item = self._item
        if item is None:
            raise UsageError("edge.run measures for a running test, and none is running; call it from one")
        from pytest_edgeload.units import Limit

        try:
            limit = Limit.parse(memory) if isinstance(memory, str) else memory
        except ValueError as error:
            raise UsageError(f"memory={memory!r}: {error}") from error
        number = _parameters(item).get(ROUND, 0)
        asked = Asked(_test_name(item), number, as_mix(workload), policy, limit, reader)
        if self.settings.disable:
            return self.session().try_out(asked)
        if self._received is None:
            self._prepare()
        entry = self.session().measure(asked, interleaved=self._received is None)
        item.user_properties.append((PROPERTY, _packed(entry)))
        return entry.measurement

    # ---- what comes of it --------------------------------------------------------------------------------------

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take in the measurements that came with a report."""
        packed = [str(value) for name, value in report.user_properties if name == PROPERTY]
        if packed and self._received is None:
            from pytest_edgeload.plugin.session import unpack

            self._arrived |= {entry.file: entry for entry in map(unpack, packed)}

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self) -> None:
        """Clean up and write the results, however the session ended."""
        self._finish()

    def pytest_unconfigure(self) -> None:
        """Do the same where pytest broke down before it could finish the session."""
        self._finish()

    def _finish(self) -> None:
        if self._open and self._session is not None:
            self._open = False
            self._session.close()
            self._records = self._session.records(self._arrived)
            self._write(self._records)

    def _write(self, records: Sequence[Record]) -> None:
        if self.settings.json is not None:
            from pytest_edgeload.report import json as report

            self.settings.json.write_bytes(report.render(records, self._texts()))

    def _texts(self) -> dict[str, str]:
        return {
            name: self._given[name].text if name in self._given else o.default for name, o in options.OPTIONS.items()
        }

    # ---- what is shown -----------------------------------------------------------------------------------------

    def pytest_report_header(self) -> list[str]:
        """Say what is enforced how; nothing where no option of ours is given."""
        if not self._given or self.settings.skip:
            return []
        return [self._header()]

    def _header(self) -> str:
        if self.settings.disable:
            return "edgeload: disabled, every case runs once without a limit and nothing is recorded"
        from pytest_edgeload.sandbox.caps import choose

        try:
            name, cap = choose(self.settings.cap)
        except UsageError as error:
            raise pytest.UsageError(str(error)) from error
        limits = ", ".join(str(limit or "none") for limit in self.settings.mem)
        enforced = f"enforced by {name}" if cap.enforces else "NOT enforced (no cgroup memory controller may be used)"
        order = ", rounds not interleaved (xdist)" if self._config.getoption("dist", "no") != "no" else ""
        return (
            f"edgeload: memory {limits} {enforced}, swap {self.settings.swap}, "
            f"{self.settings.threads} threads, {self.settings.rounds} rounds{order}"
        )

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Show a table for each comparison group."""
        if self._records:
            from pytest_edgeload.report import terminal

            terminalreporter.section("edgeload")
            terminalreporter.write_line(terminal.render(self._records))
            if self.settings.json is not None:
                terminalreporter.write_line(f"\nrecords written to {self.settings.json}")

    def _say(self, line: str) -> None:
        reporter = self._config.pluginmanager.get_plugin("terminalreporter")
        if reporter is not None:
            reporter.write_line(line)

    # ---- xdist -------------------------------------------------------------------------------------------------

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: WorkerController) -> None:
        """Send a worker of xdist the settings as resolved here: its own ini file may say something else."""
        place = self.session().place
        node.workerinput[PROPERTY] = json.dumps(
            {
                "given": self._given,
                "place": [str(place.cache), str(place.folder), place.session],
            }
        )

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self) -> None:
        """Prepare the machine as soon as a worker has said that it collected tests that measure."""
        if self.session().place.wanted.exists():
            self._prepare()


def _measures(item: pytest.Item) -> bool:
    return "edge" in getattr(item, "fixturenames", ())


def _parameters(item: pytest.Item) -> dict[str, Any]:
    callspec = getattr(item, "callspec", None)
    return dict(callspec.params) if callspec is not None else {}


def _test_name(item: pytest.Item) -> str:
    """Return the item's id without its parameters: `suites/test_networks.py::test_network`."""
    return item.nodeid.partition("[")[0]


def _packed(entry: Entry) -> str:
    from pytest_edgeload.plugin.session import pack

    return pack(entry)
