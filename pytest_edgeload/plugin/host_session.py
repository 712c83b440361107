"""The session on several hosts: pytest-xdist with one process on each host, which runs all tests.

xdist's own session does the work. The differences: the project travels by execnet's RSync instead of xdist's, the
options are sent for each host, and a host that is lost only loses its own tests.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import execnet
import pytest
import xdist.remote
from xdist.dsession import DSession
from xdist.workermanage import Marker, NodeManager, WorkerController

from pytest_edgeload.base.errors import Refusal
from pytest_edgeload.hosts import project
from pytest_edgeload.hosts.connection import address, on_each, patience_s
from pytest_edgeload.hosts.file import Host
from pytest_edgeload.hosts.silence import limited_silence
from pytest_edgeload.plugin.fleet import Fleet
from pytest_edgeload.plugin.host_files import FETCH
from pytest_edgeload.plugin.host_tests import HostTests, SharedHostTests, without_tests
from pytest_edgeload.plugin.on_host import GROUPS
from pytest_edgeload.plugin.options import SENT, as_pytest_errors
from pytest_edgeload.plugin.pulse import GIVEN_UP, PULSE, Heart
from pytest_edgeload.plugin.reporting import Reporting
from pytest_edgeload.plugin.start import Plugins


class _HostProcess(WorkerController):  # type: ignore[misc]
    """The process of pytest on a host, as xdist controls it."""

    def __init__(self, manager: Any, gateway: Any, config: pytest.Config, put: Any, fleet: Fleet) -> None:
        super().__init__(manager, gateway, config, put)
        self._fleet = fleet
        self.groups: list[str] = []
        self._heart: Heart | None = None

    def process_from_remote(self, eventcall: Any) -> None:
        """Take the groups of the tests, send files that the host lacks, and leave everything else to xdist."""
        name, values = ("", {}) if eventcall is Marker.END else eventcall
        if name == GROUPS:
            self.groups = values["groups"]
        elif name == FETCH:
            # On a thread of its own, because this one receives everything from the host.
            threading.Thread(target=self._send_checkpoint, kwargs=values, daemon=True).start()
        else:
            super().process_from_remote(eventcall)

    def _send_checkpoint(self, channel: Any, path: str) -> None:
        with suppress(Refusal):  # the host knows the reason as well
            self._fleet.send_checkpoint(self.gateway.id, channel, path)

    def sendcommand(self, name: str, **kwargs: object) -> None:
        """Send a command. If the host is lost, an event says so."""
        with suppress(OSError):
            super().sendcommand(name, **kwargs)

    def setup(self) -> None:
        """Start pytest on the host."""
        name = self.gateway.id
        self.gateway._rinfo()  # noqa: SLF001  # as xdist does, for plugins that ask for it later
        project.enter(self.gateway, self._fleet.folder(name))
        self.config.hook.pytest_configure_node(node=self)
        self.workerinput[SENT] = self._fleet.message(name)
        pulse, patience = self.gateway.newchannel(), patience_s(self._fleet.examined[name].host)
        self.workerinput[PULSE] = (pulse, patience)
        self.channel = self.gateway.remote_exec(xdist.remote)
        self.channel.send((self.workerinput, self._fleet.arguments(name), {}, None))
        self._heart = Heart(pulse, patience)
        self.channel.setcallback(self.process_from_remote, endmarker=Marker.END)

    def confirm(self) -> None:
        """Let the host know that all its measurements are here."""
        if self._heart is not None:
            self._heart.stop(has_all=True)


class _Manager(NodeManager):  # type: ignore[misc]
    """Connects to the hosts, and sends them the project."""

    def __init__(self, config: pytest.Config, fleet: Fleet) -> None:
        self._fleet = fleet
        super().__init__(config, specs=[execnet.XSpec(address(host)) for host in fleet.hosts])

    def _getrsyncdirs(self) -> list[Path]:
        return []

    def setup_nodes(self, putevent: Any) -> list[Any]:
        """Send the project to all hosts, and start pytest on them. Raises Unsupported."""
        for spec in self.specs:
            spec.chdir = None  # xdist's default, which would not be in the folder of the host
        self.config.hook.pytest_xdist_setupnodes(config=self.config, specs=self.specs)
        gateways = []
        for host, spec in zip(self._fleet.hosts, self.specs, strict=True):
            with project.connecting(host):
                gateways.append(self.group.makegateway(spec))
        by_name = {gateway.id: gateway for gateway in gateways}
        sent = on_each(self._fleet.hosts, lambda host: self._send(by_name[host.name], host))
        for host, copy in zip(self._fleet.hosts, sent, strict=True):
            if isinstance(copy, Refusal):
                raise copy
            self._fleet.copies[host.name] = copy
        nodes = []
        for host in self._fleet.hosts:
            with project.connecting(host), limited_silence(by_name[host.name], host):
                nodes.append(self._start(by_name[host.name], putevent))
        return nodes

    def _send(self, gateway: Any, host: Host) -> project.Copy:
        with limited_silence(gateway, host):
            return self._fleet.send_project(gateway, host)

    def _start(self, gateway: Any, putevent: Any) -> Any:
        self.config.hook.pytest_xdist_newgateway(gateway=gateway)
        node = _HostProcess(self, gateway, self.config, putevent, self._fleet)
        gateway.node = node  # keeps it alive
        node.setup()
        return node


class HostsSession(DSession):  # type: ignore[misc]
    """The session of xdist on the hosts."""

    def __init__(self, config: pytest.Config, fleet: Fleet, reporting: Reporting) -> None:
        super().__init__(config)
        self._fleet = fleet
        self._reporting = reporting
        self._lost: list[str] = []

    @pytest.hookimpl(trylast=True)
    def pytest_sessionstart(self, session: pytest.Session) -> None:
        """Connect to the hosts and start pytest on them. Raises pytest.UsageError."""
        self.config.option.tx = [address(host) for host in self._fleet.hosts]
        with as_pytest_errors():
            self._fleet.examine()
            self._reporting.use_machines(self._fleet.machines, is_shared=self._fleet.is_shared)
            for line in self._fleet.fetch_earlier():
                self.report_line(f"edgeload: {line}")
            self.nodemanager = _Manager(self.config, self._fleet)
            self._active_nodes.update(self.nodemanager.setup_nodes(putevent=self.queue.put))
        for name, copy in self._fleet.copies.items():
            if copy.removed:
                self.report_line(f"edgeload: {name}: removed old copies of projects: {', '.join(copy.removed)}")
        self._session = session

    @pytest.hookimpl
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """End the processes on the hosts. If a lost host answers again, fetch its runs before they are reported."""
        super().pytest_sessionfinish()
        if self._lost and session.exitstatus != pytest.ExitCode.INTERRUPTED:
            for line in self._fleet.fetch_own(self._lost):
                self.report_line(f"\nedgeload: {line}")

    @pytest.hookimpl(tryfirst=True)
    def pytest_xdist_make_scheduler(self, config: pytest.Config, log: Any) -> Any:
        """Return the tests of all hosts."""
        return (SharedHostTests if self._fleet.is_shared else HostTests)(config, log)

    def worker_collectionfinish(self, node: Any, ids: Sequence[str]) -> None:
        """Expect the tests of a host; all hosts begin when the last one has collected."""
        if not self.shuttingdown:
            self._reporting.expect(ids)
        super().worker_collectionfinish(node, ids)
        self._session.testscollected = self.sched.count

    def worker_workerfinished(self, node: Any) -> None:
        """Let a host that ran to its end know that all its measurements are here. One that gave up is lost."""
        if node.workeroutput.get(GIVEN_UP):
            self.worker_errordown(node, None)
            return
        is_whole = node.workeroutput["exitstatus"] in {pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED}
        if is_whole and self._reporting.has_kept(node.gateway.id):
            node.confirm()
        super().worker_workerfinished(node)

    def worker_errordown(self, node: Any, error: object | None) -> None:
        """Give up a host that does not answer any more: each of its unfinished tests fails, and the others go on."""
        self.config.hook.pytest_testnodedown(node=node, error=error)
        name = node.gateway.id
        unfinished = self.sched.lose(node)
        if unfinished is None:
            report = pytest.CollectReport(name, "failed", without_tests(name, error), [])
            self._failed_worker_collectreport(node, report)
        else:
            self._lost.append(name)
            count = f"{len(unfinished)} of its tests have not ended" if unfinished else "no test is lost with it"
            self.report_line(f"\nedgeload: {name} was lost; {count}")
            for nodeid in unfinished:
                self._fail(node, nodeid, f"{name} was lost before this test ended; run it again with --lf")
        self._active_nodes.discard(node)
        if not self._active_nodes:
            self.triggershutdown()
        elif self.sched.collection_is_completed and not self.shuttingdown:
            self.sched.schedule()

    def _fail(self, node: Any, nodeid: str, reason: str) -> None:
        path, _, test = nodeid.partition("::")
        report = pytest.TestReport(nodeid, (path, None, test), {}, "failed", reason, "call")
        report.node = node  # type: ignore[attr-defined]
        self.config.hook.pytest_runtest_logreport(report=report)


def begin(config: pytest.Config, plugins: Plugins) -> None:
    """Register the session on the hosts. Raises pytest.UsageError."""
    setup, reporting = plugins.running.setup, plugins.reporting
    assert reporting is not None  # the owner reports
    if config.getoption("numprocesses", None) or config.getoption("tx", None):
        source = setup.given["hosts"].source
        raise pytest.UsageError(f"{source}: each host has one process; leave out -n and --tx, or {source}")
    if (dist := config.getoption("dist")) not in {"no", "each", "load"}:
        hint = "leave it out, or give --dist=load to share the tests between equal hosts"
        raise pytest.UsageError(f"--dist={dist}: each host runs all tests, or hosts share them; {hint}")
    with as_pytest_errors():
        fleet = Fleet(config, setup)
    config.pluginmanager.register(HostsSession(config, fleet, reporting), "dsession")
