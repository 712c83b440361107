"""The check of --edge-parallel before anything is collected: whether two runs of the session could overlap at all."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pytest_edgeload.base.errors import Setting, UsageError
from pytest_edgeload.devices.constraints import Constraints
from pytest_edgeload.measuring.sharing import host_room
from pytest_edgeload.plugin.devices import SessionDevices
from pytest_edgeload.plugin.options import Given, source
from pytest_edgeload.plugin.settings import Settings
from pytest_edgeload.sandbox.caps import CAPS
from pytest_edgeload.sandbox.sharing import MachinePart
from pytest_edgeload.sandbox.swap import Swap


def check(settings: Settings, given: Mapping[str, Given], devices: SessionDevices, cap: str) -> None:
    """Raise UsageError if --edge-parallel is given and no two runs could overlap."""
    if not settings.parallel.overlaps:
        return
    subject = source("parallel", given)
    if settings.hosts is not None:
        hint = ("leave it out, or leave out ", Setting("hosts"))
        raise UsageError(subject, "each host has one process, so no runs could overlap", hint)
    if settings.repeat_throttled:
        hint = ("leave it out, or leave out ", Setting("repeat-throttled"))
        raise UsageError(subject, "runs that overlap are not repeated, because their neighbours heat the board", hint)
    if settings.disable or settings.simulate:
        return
    if not CAPS[cap].enforces:
        raise UsageError(
            subject, "no cap keeps runs within their memory here", ("leave it out, or change ", Setting("cap"))
        )
    room = host_room(CAPS[cap], Swap(0))
    parts = [room.part(constraints) for constraints in _constraints(settings, devices)]
    reasons = [part for part in parts if not isinstance(part, MachinePart)]
    if len(reasons) == len(parts):
        less = ("try ", Setting("threads", "1"), " and a small ", Setting("mem"))
        raise UsageError(subject, f"no runs could overlap: {reasons[0]}", less)


def _constraints(settings: Settings, devices: SessionDevices) -> Iterator[Constraints]:
    """Yield the constraints of the session's runs, without those of limits that tests choose themselves."""
    for name, limits in devices.memory.items():
        device = devices.devices[name]
        for limit in limits:
            own = Constraints(None if limit is None else limit.size_bytes, threads=settings.threads)
            yield own if device is None else own | device.constraints.without(["memory_bytes"])
