"""The header of a session, and the line on its waits. Pure functions."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from pytest_edgeload.base.text import printable
from pytest_edgeload.base.units import exact_size
from pytest_edgeload.plugin.parallel import obstacle
from pytest_edgeload.plugin.setup import Setup
from pytest_edgeload.results.case import HOST
from pytest_edgeload.results.record import Entry
from pytest_edgeload.sandbox.caps import CAPS
from pytest_edgeload.sandbox.caps.outer import below_machine
from pytest_edgeload.sandbox.environment import removed

_MIN_WAIT_S, _MIN_SHARE = 1.0, 0.05


def header(setup: Setup, *, is_interleaved: bool) -> str | None:
    """Return the lines of the header, with the limits and what enforces them; None under --edge-skip."""
    settings, seed = setup.settings, setup.seed
    if settings.skip:
        return None
    if setup.hosts:
        names = ", ".join(host.name if host.device is None else f"{host.name} ({host.device})" for host in setup.hosts)
        return f"edgeload: on hosts {names}, rounds {settings.rounds}, seed {seed}"
    if settings.disable:
        return f"edgeload: disabled, every case runs once without a limit and nothing is recorded, seed {seed}"
    if settings.simulate:
        return f"edgeload: {setup.devices}, simulated: no worker starts and nothing is measured, seed {seed}"
    enforced = f"enforced by {setup.cap}" if setup.is_enforced else "NOT enforced (cap none)"
    reads = "" if settings.read_bw is None else f"reads at {exact_size(settings.read_bw)}/s, "
    view = "" if settings.view == HOST else f"view {settings.view}, "
    threads = f"threads {settings.threads}, " if setup.devices.devices.keys() == {None} else ""
    order = "" if is_interleaved else " not interleaved (xdist)"
    overlap = "runs may overlap, " if settings.parallel.overlaps else ""
    # As another user than root, there is no choice of a user, so the header does not name it.
    user = "" if setup.user.ids is None and os.geteuid() != 0 else f"workers as {setup.user.name}, "
    instruments = removed(settings.keep_env)
    without = f"runs without {instruments} (see --edge-keep-env), " if instruments else ""
    line = (
        f"edgeload: {setup.devices} {enforced}, swap {settings.swap}, "
        f"{reads}{view}{threads}rounds {settings.rounds}{order}, {overlap}{user}{without}seed {seed}"
    )
    return "\n".join(filter(None, [line, _obstacle(setup), _outer(setup)]))


def waits(entries: Iterable[Entry], option: str, *, may_overlap: bool, is_on_hosts: bool = False) -> list[str]:
    """Return a line on the time that runs waited for their turns, if it is noticeable.

    `option` is the one that set the number of processes, such as `-n 3`; empty if nothing did. `is_on_hosts`: each
    process has a host for itself, so only other sessions keep it waiting.
    """
    entries = list(entries)
    processes = {Path(entry.file).stem.rpartition("-")[2] for entry in entries}
    if may_overlap and len(processes) == 1:
        return ["one process measured, so its runs could overlap only with those of other sessions; add -n 2"]
    waited_s = sum(entry.measurement.waited_s for entry in entries)
    ran_s = sum(entry.measurement.ended - entry.measurement.started for entry in entries)
    if waited_s < max(_MIN_WAIT_S, _MIN_SHARE * ran_s):
        return []
    if is_on_hosts or len(processes) == 1:
        return [f"runs waited {waited_s:.0f} s for runs of other sessions, because they take turns"]
    what = f"{waited_s:.0f} s of waiting over {len(processes)} processes{option and f' ({option})'}"
    hint = "; --edge-parallel lets runs overlap that fit side by side"
    return [f"runs waited for memory or cores: {what}" if may_overlap else f"runs took turns: {what}{hint}"]


def _obstacle(setup: Setup) -> str:
    """Return a line about limits that keep runs from overlapping; empty if some could, or none should."""
    reason = obstacle(setup.settings, setup.devices, setup.cap)
    return f"edgeload: runs with the limits of the session do not overlap: {reason}" if reason else ""


def _outer(setup: Setup) -> str:
    """Return a line about the limits of the groups around pytest; empty without any."""
    words = ", ".join(map(str, below_machine(CAPS[setup.cap].outer().limits)))
    return printable(f"edgeload: groups around pytest hold every run to {words}") if words else ""
