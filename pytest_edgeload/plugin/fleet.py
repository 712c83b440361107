"""The session on several hosts: pytest-xdist with one process on each host, which runs all tests.

xdist's own session does the work. What differs: the project travels by execnet's RSync instead of xdist's, the options
are sent for each host, and a host that is lost only loses its own tests.
"""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import execnet
import pytest
import xdist.remote
from xdist.dsession import DSession
from xdist.scheduler import EachScheduling
from xdist.workermanage import Marker, NodeManager, WorkerController

from pytest_edgeload.base.errors import Refusal, UsageError
from pytest_edgeload.hosts import project
from pytest_edgeload.hosts.check import Examined, Facts, examine, refuse_mismatches
from pytest_edgeload.hosts.connection import address, on_each
from pytest_edgeload.hosts.file import Host
from pytest_edgeload.plugin.on_host import GROUPS
from pytest_edgeload.plugin.options import SENT, Given, as_pytest_errors
from pytest_edgeload.plugin.reporting import Reporting
from pytest_edgeload.plugin.settings import OPTIONS
from pytest_edgeload.plugin.setup import Setup
from pytest_edgeload.plugin.start import Plugins
from pytest_edgeload.results.document import Machine


class Fleet:
    """The hosts of a session, examined, and the messages for them."""

    def __init__(self, config: pytest.Config, setup: Setup) -> None:
        self._config = config
        self._given = setup.given
        self.hosts = setup.hosts
        self.is_shared = config.getoption("dist") == "load"
        self.examined: dict[str, Examined] = {}

    def examine(self) -> None:
        """Connect to all hosts. Raises Unsupported if one is not fit to measure."""
        for found in on_each(self.hosts, _fit):
            if isinstance(found, Refusal):
                raise found
            self.examined[found.host.name] = found
        kinds = {_kind(found): found.host.name for found in self.examined.values()}
        if self.is_shared and len(kinds) > 1:
            different = " and ".join(list(kinds.values())[:2])
            raise UsageError(different, "different machines or devices", "leave out --dist=load, or choose equal hosts")

    @property
    def root(self) -> Path:
        """The folder of the project, which travels."""
        return self._config.rootpath

    def folder(self, name: str) -> str:
        """Return the folder on a host that corresponds to the current folder here."""
        here = Path(os.path.relpath(self._config.invocation_params.dir, self.root))
        return os.path.normpath(os.path.join(project.folder_of(self.examined[name], self.root), here))  # noqa: PTH118

    def arguments(self, name: str) -> list[str]:
        """Return pytest's arguments for a host, on which the project is elsewhere."""
        there = project.folder_of(self.examined[name], self.root)
        words = [*shlex.split(os.environ.get("PYTEST_ADDOPTS", "")), *map(str, self._config.invocation_params.args)]
        return [word.replace(f"{self.root}{os.sep}", f"{there}{os.sep}") for word in words]

    def message(self, name: str) -> str:
        """Return the options for a host. Files of reports and folders of this machine are not among them."""
        found, source = self.examined[name], f"[{name}] of {self._given['hosts'].text}"
        given = {option: value for option, value in self._given.items() if not OPTIONS[option].is_path}
        if "devices" in self._given:
            there = project.folder_of(found, self.root)
            inside = os.path.relpath(Path(self._given["devices"].folder, self._given["devices"].text), self.root)
            given["devices"] = self._given["devices"]._replace(text=os.path.join(there, inside))  # noqa: PTH118
        given["cache-dir"] = Given(project.cache_of(found), source)
        if found.host.device is not None:
            given["device"] = Given(found.host.device, source)
        return json.dumps({"given": given, "directories": None, "host": name, "is_shared": self.is_shared})


def _fit(host: Host) -> Examined:
    """Return the facts of a host that can measure. Raises Unsupported."""
    found = examine(host)
    refuse_mismatches(found)
    return found


def _kind(found: Examined) -> tuple[str, str | None]:
    """Return the kind of machine that a host is, and the device that it emulates."""
    return _machine(found.facts).key, found.host.device


class _Tests(EachScheduling):  # type: ignore[misc]  # xdist has no types
    """The tests of all hosts. Each runs all that it collected."""

    def lose(self, node: Any) -> list[str] | None:
        """Forget a host. Return the ids of its tests that have not ended; None if it had not collected them."""
        pending, known = self.node2pending.pop(node, []), self.node2collection.get(node)
        if known is not None:
            return [known[index] for index in pending]
        self.numnodes -= 1
        self.collection_is_completed = len(self.node2collection) >= self.numnodes > 0
        return None

    @property
    def count(self) -> int:
        """The number of tests, of all hosts."""
        return sum(map(len, self.node2collection.values()))


class _SharedTests(_Tests):
    """Tests that equal hosts share. Each group goes to the host with the fewest tests so far, before any test runs."""

    @property
    def count(self) -> int:
        """The number of tests, each of which runs on one host."""
        return max(map(len, self.node2collection.values()), default=0)

    def schedule(self) -> None:
        """Send each host its tests. Raises pytest.UsageError."""
        nodes = [node for node in self.node2pending if node not in self._started]
        if len({tuple(self.node2collection[node]) for node in nodes}) > 1:
            raise pytest.UsageError("--dist=load: the hosts collected different tests; leave it out")
        groups: dict[str, list[int]] = {}
        for index, group in enumerate(nodes[0].groups if nodes else ()):
            groups.setdefault(group, []).append(index)
        for tests in groups.values():
            self.node2pending[min(nodes, key=lambda node: len(self.node2pending[node]))] += tests
        for node in nodes:
            self.node2pending[node].sort()
            node.send_runtest_some(self.node2pending[node])
            node.shutdown()
            self._started.append(node)


class _HostProcess(WorkerController):  # type: ignore[misc]
    """The process of pytest on a host, as xdist controls it."""

    def __init__(self, manager: Any, gateway: Any, config: pytest.Config, put: Any, fleet: Fleet) -> None:
        super().__init__(manager, gateway, config, put)
        self._fleet = fleet
        self.groups: list[str] = []

    def process_from_remote(self, eventcall: Any) -> None:
        """Take the groups of the tests, and leave everything else to xdist."""
        if eventcall is not Marker.END and eventcall[0] == GROUPS:
            self.groups = eventcall[1]["groups"]
        else:
            super().process_from_remote(eventcall)

    def setup(self) -> None:
        """Start pytest on the host."""
        name = self.gateway.id
        self.gateway._rinfo()  # noqa: SLF001  # as xdist does, for plugins that ask for it later
        project.enter(self.gateway, self._fleet.folder(name))
        self.config.hook.pytest_configure_node(node=self)
        self.workerinput[SENT] = self._fleet.message(name)
        self.channel = self.gateway.remote_exec(xdist.remote)
        self.channel.send((self.workerinput, self._fleet.arguments(name), {}, None))
        self.channel.setcallback(self.process_from_remote, endmarker=Marker.END)


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
        gateways = {spec.id: self.group.makegateway(spec) for spec in self.specs}
        for failure in on_each(self._fleet.hosts, lambda host: self._send(gateways[host.name], host)):
            if isinstance(failure, Refusal):
                raise failure
        return [self._start(gateway, putevent) for gateway in gateways.values()]

    def _send(self, gateway: Any, host: Host) -> None:
        project.send(self._fleet.root, gateway, self._fleet.examined[host.name])

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

    @pytest.hookimpl(trylast=True)
    def pytest_sessionstart(self, session: pytest.Session) -> None:
        """Connect to the hosts and start pytest on them. Raises pytest.UsageError."""
        self.config.option.tx = [address(host) for host in self._fleet.hosts]
        with as_pytest_errors():
            self._fleet.examine()
            machines = {name: _machine(found.facts) for name, found in self._fleet.examined.items()}
            self._reporting.use_machines(machines)
            self.nodemanager = _Manager(self.config, self._fleet)
            self._active_nodes.update(self.nodemanager.setup_nodes(putevent=self.queue.put))
        self._session = session

    @pytest.hookimpl(tryfirst=True)
    def pytest_xdist_make_scheduler(self, config: pytest.Config, log: Any) -> Any:
        """Return the tests of all hosts."""
        return (_SharedTests if self._fleet.is_shared else _Tests)(config, log)

    def worker_collectionfinish(self, node: Any, ids: Sequence[str]) -> None:
        """Expect the tests of a host; all hosts begin when the last one has collected."""
        if not self.shuttingdown:
            self._reporting.expect(ids)
        super().worker_collectionfinish(node, ids)
        self._session.testscollected = self.sched.count

    def worker_errordown(self, node: Any, error: object | None) -> None:
        """Give up a host that does not answer any more: each of its unfinished tests fails, and the others go on."""
        self.config.hook.pytest_testnodedown(node=node, error=error)
        name = node.gateway.id
        unfinished = self.sched.lose(node)
        if unfinished is None:
            reason = f"{name} was lost before it had collected its tests"
            self._failed_worker_collectreport(node, pytest.CollectReport(name, "failed", reason, []))
        else:
            count = f"{len(unfinished)} of its tests have not ended" if unfinished else "all of its tests had ended"
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
    config.pluginmanager.register(HostsSession(config, Fleet(config, setup), reporting), "dsession")


def _machine(known: Facts) -> Machine:
    return Machine(
        processor=known.processor,
        processors=known.processors,
        memory_bytes=known.memory_bytes,
        kernel=known.kernel,
        python=known.python,
        torch=known.versions.get("torch", ""),
    )
