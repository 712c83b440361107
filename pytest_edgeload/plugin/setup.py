"""The values of a session that are made once, before anything is collected, and then handed on."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_edgeload.base.errors import UsageError, suggestion
from pytest_edgeload.hosts.file import Host, load
from pytest_edgeload.measuring.directories import SessionDirectories
from pytest_edgeload.plugin import options, parallel
from pytest_edgeload.plugin.axes import AXES
from pytest_edgeload.plugin.devices import SessionDevices, devices_in, session_devices
from pytest_edgeload.plugin.options import Given
from pytest_edgeload.plugin.registrations import check_readers, peers, policy_names
from pytest_edgeload.plugin.settings import Settings
from pytest_edgeload.plugin.values import Rounds
from pytest_edgeload.sandbox import caps, user, visible
from pytest_edgeload.sandbox.user import User

if TYPE_CHECKING:
    from pluggy import HookRelay


@dataclass(frozen=True)
class Setup:
    """The settings of a session, and the values that follow from them on this machine.

    The owner is the process that writes the results: pytest itself, or xdist's controller. It also prepares the
    machine, unless the session measures on `hosts`. There the process on the host, whose name is `host`,
    prepares its machine. If hosts share the tests (`is_shared`), the cases do not have the name of a host.
    """

    settings: Settings
    given: Mapping[str, Given]
    devices: SessionDevices
    cap: str
    user: User
    directories: SessionDirectories
    seed: int
    is_owner: bool
    host: str | None = None
    hosts: tuple[Host, ...] = ()
    is_shared: bool = False

    @classmethod
    def of(cls, config: pytest.Config, directories: SessionDirectories) -> Setup:
        """Return the values for the options of this process. Raises UsageError."""
        given = options.read(config)
        settings = options.parse(given, config.rootpath)
        check_readers(settings, given)
        sent, hosts = options.sent(config), _hosts(settings, config.rootpath)
        starts_workers = not (settings.disable or settings.simulate or hosts)  # under a limit, in this process
        cap = caps.choose(settings.cap, settings.read_bw)[0] if starts_workers else "none"
        if starts_workers:
            visible.check(settings.view, is_enforced=caps.CAPS[cap].enforces)
        devices = session_devices(settings, given, config.rootpath)
        parallel.check(settings, given, devices, cap)
        return cls(
            settings=settings,
            given=given,
            devices=devices,
            cap=cap,
            user=user.ourselves() if hosts else user.choose(settings.user),
            directories=directories,
            seed=zlib.crc32(directories.folder.name.encode()) if settings.seed is None else settings.seed,
            is_owner=sent is None,
            host=None if sent is None else sent.get("host"),
            hosts=hosts,
            is_shared=sent is not None and sent.get("is_shared", False),
        )

    @property
    def is_enforced(self) -> bool:
        """Whether the kernel enforces the limits."""
        return caps.CAPS[self.cap].enforces

    @property
    def rounds(self) -> Rounds:
        """The rounds of each case. A simulation gives the same figures in each, so one is enough."""
        settings = self.settings
        return Rounds(1, 1) if settings.disable or settings.simulate else settings.rounds

    @property
    def case_host(self) -> str | None:
        """The host that is a coordinate of the cases."""
        return None if self.is_shared else self.host

    def axes(self, hook: HookRelay) -> dict[str, Sequence[Any]]:
        """Return the values of the parametrized fixtures, by name, with the policies and peers that `hook` knows."""
        settings, names = self.settings, policy_names(self.settings, hook)
        policies_and_peers = names if settings.peer else tuple(dict.fromkeys([*names, *peers(hook)]))
        rounds = range(self.rounds.max)
        devices = tuple(self.devices.devices)
        values = (
            (self.case_host,),
            devices,
            settings.mem,
            settings.reader,
            settings.store,
            names,
            policies_and_peers,
            rounds,
        )
        return dict(zip(AXES, values, strict=True))


def _hosts(settings: Settings, rootdir: Path) -> tuple[Host, ...]:
    """Return the hosts that measure instead of this machine. Raises UsageError."""
    if settings.hosts is None:
        return ()
    hosts = load(settings.hosts.path, settings.hosts.chosen)
    devices = devices_in(settings, rootdir)
    for host in hosts:
        if host.device is not None and host.device not in devices:
            subject = f"{settings.hosts.path}: [{host.name}] device = {host.device!r}"
            raise UsageError(subject, "no such device", suggestion(host.device, devices))
    return hosts
