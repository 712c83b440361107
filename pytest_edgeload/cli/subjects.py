"""What a subcommand measures, networks or programs; and the subject of `edgeload minmem` on a prepared machine."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import NamedTuple

import msgspec
import psutil

from pytest_edgeload.base.errors import Setting, Unsupported, UsageError
from pytest_edgeload.base.units import Limit
from pytest_edgeload.cli import measuring, programs, sessions
from pytest_edgeload.cli.measuring import PreparedWorkload
from pytest_edgeload.cli.programs import NamedCommand
from pytest_edgeload.cli.recording import Recording
from pytest_edgeload.cli.sessions import ProgramSession
from pytest_edgeload.cli.subcommand import SEPARATOR
from pytest_edgeload.measuring.bench import Bench
from pytest_edgeload.measuring.directories import SessionDirectories
from pytest_edgeload.measuring.launcher import Launcher
from pytest_edgeload.planning.budget import MARGIN_BYTES
from pytest_edgeload.results.case import HOST, REFERENCE, Case
from pytest_edgeload.results.measurement import Measurement
from pytest_edgeload.sandbox.command import MIN_BYTES
from pytest_edgeload.sandbox.swap import Swap

_OF_NETWORKS = ("policy", "reader", "store", "images")
_OF_PROGRAMS = ("name", "device", "cold", "prepare", "ready", "ask", "metric", "view")


def networks_of(args: argparse.Namespace) -> str | None:
    """Return the word that names the networks; None for commands. Raises UsageError for arguments of the other kind."""
    if len(args.networks) > 1:
        hint = f"write {SEPARATOR} before a command, and commas between networks"
        raise UsageError(args.networks[1], "a second word about networks", hint)
    if args.networks and args.commands:
        raise UsageError(args.networks[0], "networks and a command cannot be measured together", "name one of them")
    foreign, owner = (_OF_PROGRAMS, "a command") if args.networks else (_OF_NETWORKS, "networks")
    for name in foreign:
        if getattr(args, name) not in (None, [], HOST):
            raise UsageError(Setting(name), f"for {owner} only", "leave it out")
    return args.networks[0] if args.networks else None


class Subject(NamedTuple):
    """A workload or program to measure, and the limits that make sense for it.

    `case` is that without a limit. `measure` takes a limit, the swap and the timeout in seconds if they are not the
    machine's, and the round; it stores the measurement. `idle_bytes` is the need of an idle worker, None for a program.
    """

    name: str
    case: Case
    has_swap: bool
    measure: Callable[[Limit | None, Swap | None, float | None, int], Measurement]
    recording: Recording
    min_bytes: int
    max_bytes: int
    idle_bytes: int | None = None


@contextmanager
def set_up(args: argparse.Namespace) -> Iterator[Subject]:
    """Prepare the machine for the command or the networks that the arguments name. Raises Refusal."""
    if args.networks is None:
        command, *others = programs.commands_of(args)
        if others:
            raise UsageError(f"command {others[0].name}", "a search is of a single command", "search each by itself")
        with sessions.set_up(args) as session:
            yield _program(session, command)
    else:
        policy = args.policy or REFERENCE
        with measuring.set_up(args, (policy,)) as setup:
            directories = SessionDirectories.of(setup.bench.folder)
            yield _workload(setup, policy, Recording.begin(args, directories))


def _program(session: ProgramSession, command: NamedCommand) -> Subject:
    def measure(limit: Limit | None, swap: Swap | None, timeout_s: float | None, round_: int) -> Measurement:
        timed = replace(session, bench=_within(session.bench, timeout_s))
        return timed.measure(command, limit, round_, swap)

    launcher = _enforcing(session.bench.launcher)
    return Subject(
        name=f"command {command.name}",
        case=session.case(command.name, None),
        has_swap=_has_swap(launcher),
        measure=measure,
        recording=session.recording,
        min_bytes=MIN_BYTES,
        max_bytes=_max_bytes(launcher),
    )


def _workload(setup: PreparedWorkload, policy: str, recording: Recording) -> Subject:
    def measure(limit: Limit | None, swap: Swap | None, timeout_s: float | None, round_: int) -> Measurement:
        case = setup.case(policy, limit, swap)
        timed = replace(setup, bench=_within(setup.bench, timeout_s))
        measurement = msgspec.structs.replace(timed.measure(case, swap), round=round_)
        recording.add(case, measurement)
        return measurement

    launcher, idle_bytes = _enforcing(setup.bench.launcher), setup.bench.calibration.idle_bytes()
    return Subject(
        name=f"{setup.mix.name} under {policy}",
        case=setup.case(policy, None),
        has_swap=_has_swap(launcher),
        measure=measure,
        recording=recording,
        min_bytes=idle_bytes + MARGIN_BYTES + 1,
        max_bytes=_max_bytes(launcher),
        idle_bytes=idle_bytes,
    )


def _enforcing(launcher: Launcher) -> Launcher:
    """Return the launcher. Raises Unsupported if it cannot enforce limits."""
    if not launcher.cap.enforces:
        raise Unsupported(
            "memory limits", "cannot be enforced here", "run as root, or in a delegated cgroup; see edgeload doctor"
        )
    return launcher


def _within(bench: Bench, timeout_s: float | None) -> Bench:
    if timeout_s is None:
        return bench
    return replace(bench, launcher=replace(bench.launcher, timeout_s=timeout_s))


def _has_swap(launcher: Launcher) -> bool:
    return launcher.swap.usable and launcher.swap.size_bytes > 0


def _max_bytes(launcher: Launcher) -> int:
    """Return the memory of this machine, or that of the groups around this process if they have less."""
    outer = [int(limit.value) for limit in launcher.cap.outer().limits if limit.resource == "memory_bytes"]
    return min([psutil.virtual_memory().total, *outer])
