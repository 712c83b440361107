"""The check of --edge-parallel before anything is collected: whether two runs of the session could overlap at all."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from pytest_edgeload.base.errors import Setting, UsageError
from pytest_edgeload.devices.constraints import Constraints
from pytest_edgeload.measuring.sharing import host_room
from pytest_edgeload.plugin.devices import SessionDevices
from pytest_edgeload.plugin.options import Given, source
from pytest_edgeload.plugin.settings import Settings
from pytest_edgeload.sandbox.caps import CAPS
from pytest_edgeload.sandbox.sharing import MachinePart, SharedMachine
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
    # Tests may choose limits of their own, but not the number of cores. So only the cores count here, with no memory.
    reasons = _reasons(room, [each | Constraints(0) for each in _constraints(settings, devices)])
    if reasons:
        raise UsageError(subject, f"no runs could overlap: {reasons[0]}", ("try ", Setting("threads", "1")))


def obstacle(settings: Settings, devices: SessionDevices, cap: str) -> str:
    """Return why no two runs with the session's own limits could overlap; empty if some could, or none should."""
    if not settings.parallel.overlaps:
        return ""
    return next(iter(_reasons(host_room(CAPS[cap], Swap(0)), _constraints(settings, devices))), "")


def _reasons(room: SharedMachine, constraints: Iterable[Constraints]) -> list[str]:
    """Return why runs with these constraints have the machine for themselves; none if one of them could share it."""
    parts = [room.part(each) for each in constraints]
    reasons = [part for part in parts if not isinstance(part, MachinePart)]
    return reasons if len(reasons) == len(parts) else []


def _constraints(settings: Settings, devices: SessionDevices) -> Iterator[Constraints]:
    """Yield the constraints of the session's runs, without those of limits that tests choose themselves."""
    for name, limits in devices.memory.items():
        device = devices.devices[name]
        for limit in limits:
            own = Constraints(None if limit is None else limit.size_bytes, threads=settings.threads)
            yield own if device is None else own | device.constraints.without(["memory_bytes"])
