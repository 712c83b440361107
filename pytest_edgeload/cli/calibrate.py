"""`edgeload calibrate`: measures the speeds of this machine or of a device on it, and keeps them for simulations."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import psutil

from pytest_edgeload.base.errors import Setting, UsageError
from pytest_edgeload.cli import arguments, machine, terminal
from pytest_edgeload.cli.project import Project, mix_of, networks_of
from pytest_edgeload.cli.subcommand import CommandResult, Subcommand
from pytest_edgeload.devices import Device
from pytest_edgeload.measuring.speeds.measure import SpeedTools, measure_speeds
from pytest_edgeload.measuring.speeds.store import load_speeds, origin_now, store_speeds
from pytest_edgeload.networks.store import Store
from pytest_edgeload.report import speeds as texts
from pytest_edgeload.results.stored_speeds import LoadedSpeeds

_SWAP = "auto"
_STALE_STATUS = 1
_LOOK_S, _MAX_BUSY = 0.5, 0.2  # the time to look at other programs, and the share of the processors they may use
_BUSY = "other programs used {:.0%} of the processors before; calibrate again when the machine is idle"


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    networks = "registered networks, comma-separated, or a workload file; their layers are measured as well"
    add("networks", nargs="?", metavar="NETWORKS", help=networks)
    add("--device", metavar="NAME", help="calibrate this device instead of the machine itself")
    show = "show the stored speeds, and measure nothing; the exit status is 1 if they are stale"
    add("--show", action="store_true", help=show)
    add("--json", action="store_true", help="write the speeds as JSON")
    swap = "swap of the worker that swaps: existing, auto, off, zram:SIZE, or a size (default: auto)"
    add("--swap", type=arguments.swap, metavar="KIND", help=swap)
    add("--timeout", type=arguments.duration, default=machine.TIMEOUT_S, metavar="TIME",
        help="maximum time of one worker (default: 300s)")  # fmt: skip
    machine.add_user(parser)
    arguments.add_cache(parser)
    parser.set_defaults(threads=None)


def _run(args: argparse.Namespace) -> CommandResult:
    cache = args.cache_dir or arguments.cache()
    device = machine.device_of(args)
    loaded = _stored(cache, device) if args.show else _measured(args, cache, device)
    assert loaded.stored is not None  # as both see to
    text = texts.json(loaded.stored) if args.json else texts.text(loaded.stored, loaded.faults, time.time())
    return CommandResult(text, _STALE_STATUS if loaded.faults else 0)


def _stored(cache: Path, device: Device | None) -> LoadedSpeeds:
    """Return the stored speeds. Raises UsageError if there are none."""
    loaded = load_speeds(cache, device)
    if loaded.stored is None:
        subject = "this machine" if device is None else f"device {device.name}"
        raise UsageError(Setting("show"), f"{subject} is not calibrated", "leave it out to measure the speeds")
    return loaded


def _measured(args: argparse.Namespace, cache: Path, device: Device | None) -> LoadedSpeeds:
    """Measure the speeds, store and return them. Raises Refusal."""
    registry = Project(Path.cwd()).registry(Store(cache))
    names = () if args.networks is None else tuple(networks_of(mix_of(args.networks, None), registry))
    args.swap = args.swap or _SWAP
    busy = psutil.cpu_percent(_LOOK_S) / 100
    terminal.say(f"edgeload: calibrates {'this machine' if device is None else device.name}, which takes a minute")
    with machine.set_up(args, device) as prepared:
        tools = SpeedTools(prepared.launcher, registry, terminal.show_making, prepared.directories.folder, _show)
        origin = origin_now(cache, device)
        measured = measure_speeds(tools, names, origin.constraints)
        remarks = (*measured.remarks, *((_BUSY.format(busy),) if busy > _MAX_BUSY else ()))
        stored = store_speeds(cache, origin, measured.speeds, remarks)
    terminal.show("")
    return LoadedSpeeds(stored.speeds, stored)


def _show(step: str, number: int, total: int) -> None:
    terminal.show(f"edgeload: calibrating, step {number + 1} of {total}: {step}")


SUBCOMMAND = Subcommand(
    "measure the speeds of this machine, or of a device on it, for simulations",
    "The disk, memory, swap, layers of networks and the worker are measured, in about a minute. The cache folder keeps "
    "the speeds. They are stale after 30 days, or after a change of anything that they depend on.",
    _add_arguments,
    _run,
)
