"""The machine of a subcommand that measures: the arguments about it, and its preparation."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from pytest_edgeload.base.errors import Setting, UsageError, suggestion
from pytest_edgeload.base.locks import once
from pytest_edgeload.cli import arguments, terminal
from pytest_edgeload.devices import OWN_FILE, Device, known_devices
from pytest_edgeload.measuring.devices import common_swap, overruled
from pytest_edgeload.measuring.directories import SessionDirectories
from pytest_edgeload.measuring.launcher import Launcher
from pytest_edgeload.measuring.machine import prepared
from pytest_edgeload.sandbox import caps
from pytest_edgeload.sandbox.environment import removed
from pytest_edgeload.sandbox.swap import planned
from pytest_edgeload.sandbox.user import AUTO, choose

_SWAP = "existing"
TIMEOUT_S = 300.0
"""The default maximum time of a run in seconds."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments about swap, threads, time and user. Those that a device may set are None if not given."""
    add = parser.add_argument
    swap = (
        "swap of the workers: existing, auto, off, zram:SIZE for compressed memory, or the size of a temporary swap "
        f"file (default: {_SWAP}, or that of the device)"
    )
    add("--swap", type=arguments.swap, metavar="KIND", help=swap)
    threads = "threads of one operator (default: the number of CPU cores)"
    add("--threads", type=arguments.count, metavar="N", help=threads)
    timeout = "maximum time of one worker (default: 300s)"
    add("--timeout", type=arguments.duration, default=TIMEOUT_S, metavar="TIME", help=timeout)
    add_user(parser)
    arguments.add_cache(parser)


def add_user(parser: argparse.ArgumentParser) -> None:
    """Add the option for the user of the workers."""
    user = (
        "user of the workers, if root starts them: a name, same for root, or auto for the user who called sudo, "
        "else nobody (default: auto)"
    )
    parser.add_argument("--user", default=AUTO, metavar="NAME", help=user)


class PreparedMachine(NamedTuple):
    """The launcher of measured processes, the name of its cap, the threads of an operator, and the folders."""

    launcher: Launcher
    cap: str
    threads: int
    directories: SessionDirectories


@contextmanager
def set_up(args: argparse.Namespace, device: Device | None = None) -> Iterator[PreparedMachine]:
    """Prepare the machine for the arguments of a subcommand, and restore it in every case. Raises Refusal."""
    user = choose(args.user)
    if user.notice:
        terminal.say(f"edgeload: {user.notice}")
    if names := removed():
        terminal.say(f"edgeload: runs without {names}, which would change their figures")
    directories = SessionDirectories.new(args.cache_dir or arguments.cache())
    name, cap = caps.choose("auto")
    with prepared(directories, args.swap or _SWAP, terminal.say, cap.outer(), common_swap([device])) as swap:
        launcher = Launcher(
            cap=cap,
            swap=swap,
            session=directories.session,
            timeout_s=args.timeout,
            user=user,
            say=once(terminal.say),
        )
        yield PreparedMachine(launcher, name, args.threads or processors(), directories)


def processors() -> int:
    """Return the number of processors that this process may use."""
    return len(os.sched_getaffinity(0))


def device_of(args: argparse.Namespace) -> Device | None:
    """Return the device that the arguments name, if any, without constraints that other arguments set.

    Raises UsageError.
    """
    if args.device is None:
        return None
    own = Path(OWN_FILE)
    known = known_devices(own if own.exists() else None)
    if args.device not in known:
        raise UsageError(Setting("device", args.device), "no such device", suggestion(args.device, known))
    options = {"swap_bytes": args.swap, "threads": args.threads}
    return overruled(known[args.device], [name for name, given in options.items() if given is not None])


def swap_bytes(swap: str | None, device: Device | None) -> int:
    """Return the bytes of swap that the arguments, the device or the machine will give a worker."""
    own_bytes = None if device is None else device.constraints.swap_bytes
    return planned(swap or _SWAP, common_swap([device])).size_bytes if own_bytes is None else own_bytes
