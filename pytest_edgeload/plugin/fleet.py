"""The hosts of a session: their examination, and the folder, the arguments and the options of pytest on each."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Callable, Collection, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from pytest_edgeload.base.errors import Refusal, UsageError
from pytest_edgeload.hosts import lost, project
from pytest_edgeload.hosts.check import Examined, Facts, examine, mismatches, refuse, shortages
from pytest_edgeload.hosts.connection import on_each
from pytest_edgeload.hosts.doctor import faults
from pytest_edgeload.hosts.file import Host
from pytest_edgeload.hosts.outgoing import Digests, send_checkpoint, send_large
from pytest_edgeload.plugin.options import Given, flag
from pytest_edgeload.plugin.settings import OPTIONS
from pytest_edgeload.plugin.setup import Setup
from pytest_edgeload.plugin.terminal import SessionProgress
from pytest_edgeload.plugin.transfers import Transfers
from pytest_edgeload.results.document import Machine


class Fleet:
    """The hosts of a session, examined, and the messages for them. Raises UsageError outside of the project."""

    def __init__(self, config: pytest.Config, setup: Setup) -> None:
        self._config = config
        self._setup = setup
        self._given = setup.given
        self.hosts = setup.hosts
        here = config.invocation_params.dir
        if not here.is_relative_to(self.root):
            reason = f"outside of the project in {self.root}, which travels to the hosts"
            raise UsageError(str(here), reason, f"start pytest in {self.root}")
        self.is_shared = config.getoption("dist") == "load"
        self.examined: dict[str, Examined] = {}
        self.copies: dict[str, project.Copy] = {}
        self._transfers = Transfers(SessionProgress(config))
        self._digests = Digests(setup.directories.cache / "digests")

    def examine(self) -> None:
        """Connect to all hosts. Raises Unsupported if one is not fit to measure."""
        settings = self._setup.settings
        has_limits = not (settings.cap == "none" or settings.simulate or settings.disable)
        for found in on_each(self.hosts, partial(_fit, has_limits=has_limits)):
            if isinstance(found, Refusal):
                raise found
            self.examined[found.host.name] = found
        kinds = {_kind(found): found.host.name for found in self.examined.values()}
        if self.is_shared and len(kinds) > 1:
            different = " and ".join(list(kinds.values())[:2])
            raise UsageError(different, "different machines or devices", "leave out --dist=load, or choose equal hosts")

    @property
    def machines(self) -> Mapping[str, Machine]:
        """The machines of the examined hosts, by name."""
        return {name: _machine(found.facts) for name, found in self.examined.items()}

    @property
    def root(self) -> Path:
        """The folder of the project, which travels."""
        return self._config.rootpath

    def send_project(self, gateway: Any, host: Host) -> project.Copy:
        """Return a copy of the project on a host, equal to it now. Raises Unsupported."""
        examined = self.examined[host.name]
        copy = project.send(self.root, gateway, examined)
        with self._transfers.to(host.name) as begin:
            send_large(gateway, examined, self.root, copy.folder, self._digests, begin)
        return copy

    def send_checkpoint(self, name: str, channel: Any, path: str) -> None:
        """Send a checkpoint of this machine to a host that lacks it. A relative path starts at the project.

        Raises Unsupported.
        """
        with self._transfers.to(name) as begin:
            send_checkpoint(channel, name, self.root / path, self._digests, begin)

    def folder(self, name: str) -> str:
        """Return the folder on a host that corresponds to the current folder here."""
        here = Path(os.path.relpath(self._config.invocation_params.dir, self.root))
        return os.path.normpath(os.path.join(self.copies[name].folder, here))  # noqa: PTH118

    def arguments(self, name: str) -> list[str]:
        """Return pytest's arguments for a host, on which the project is elsewhere."""
        words = [*shlex.split(os.environ.get("PYTEST_ADDOPTS", "")), *map(str, self._config.invocation_params.args)]
        return [project.relocated(word, str(self.root), self.copies[name].folder) for word in words]

    def message(self, name: str) -> str:
        """Return the options for a host. Files of reports and folders of this machine are not among them."""
        found, source = self.examined[name], f"[{name}] of {self._given['hosts'].text}"
        given = {option: value for option, value in self._given.items() if not OPTIONS[option].is_path}
        if "devices" in self._given:
            inside = os.path.relpath(Path(self._given["devices"].folder, self._given["devices"].text), self.root)
            given["devices"] = self._given["devices"]._replace(text=os.path.join(self.copies[name].folder, inside))  # noqa: PTH118
        given["cache-dir"] = Given(project.cache_of(found), source)
        given["seed"] = Given(str(self._setup.seed), flag("seed"))
        if found.host.device is not None:
            given["device"] = Given(found.host.device, source)
        origin = lost.origin_of(self._setup.directories.folder)
        host = {"host": name, "is_shared": self.is_shared, "origin": origin}
        return json.dumps({"given": given, "directories": None} | host)

    def fetch_earlier(self) -> Iterator[str]:
        """Fetch the runs of dead sessions here from all hosts. Yield a line about each session and each failure."""
        for found in on_each(self.hosts, lambda host: self._fetch(self.examined[host.name], lost.has_ended)):
            yield from [str(found)] if isinstance(found, Refusal) else map(str, found)

    def fetch_own(self, names: Collection[str]) -> Iterator[str]:
        """Fetch the runs of this session from hosts that it lost. Yield a line about each."""
        hosts = [host for host in self.hosts if host.name in names]
        own = self._setup.directories.folder
        for host, found in zip(hosts, on_each(hosts, lambda host: self._fetch(examine(host), own.__eq__)), strict=True):
            if isinstance(found, Refusal):
                yield f"{host.name} still does not answer; its next session fetches the rest of its runs"
            else:
                yield from (f"{host.name} answers again; fetched {each.runs}" for each in found)

    def _fetch(self, examined: Examined, is_wanted: Callable[[Path], bool]) -> list[lost.Fetched]:
        return list(lost.fetch(examined, self._setup.directories.folder.parent, is_wanted))


def _fit(host: Host, *, has_limits: bool) -> Examined:
    """Return the facts of a host that can measure, under limits if the session has them. Raises Unsupported."""
    found = examine(host, with_doctor=has_limits)
    refuse(host, [*mismatches(found), *shortages(found), *(faults(found) if has_limits else ())])
    return found


def _kind(found: Examined) -> tuple[str, str | None]:
    """Return the kind of machine that a host is, and the device that it emulates."""
    return _machine(found.facts).key, found.host.device


def _machine(known: Facts) -> Machine:
    return Machine(
        processor=known.processor,
        processors=known.processors,
        memory_bytes=known.memory_bytes,
        kernel=known.kernel,
        python=known.python,
        torch=known.versions.get("torch", ""),
    )
