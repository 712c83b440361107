"""`edgeload plan`: the plan that a policy makes for some networks and a limit, before anything is measured."""

from __future__ import annotations

import argparse
from pathlib import Path

import msgspec

from pytest_edgeload.base.units import Limit, format_size
from pytest_edgeload.cli import arguments, terminal
from pytest_edgeload.cli.project import Project, explaining, mix_of, networks_of
from pytest_edgeload.cli.subcommand import CommandResult, Subcommand
from pytest_edgeload.devices import Device
from pytest_edgeload.measuring.calibration import measure_idle_bytes
from pytest_edgeload.measuring.speeds.store import load_speeds
from pytest_edgeload.networks.store import Store
from pytest_edgeload.planning.budget import budget_bytes, enforced_bytes
from pytest_edgeload.planning.calibrated import CalibratedMachine, WorkerSetup
from pytest_edgeload.planning.machine_speeds import MachineSpeeds
from pytest_edgeload.planning.plan import Budget, InvalidPlan
from pytest_edgeload.planning.simulate import simulate
from pytest_edgeload.policies import make_plan
from pytest_edgeload.report import graph
from pytest_edgeload.results.case import REFERENCE
from pytest_edgeload.sandbox.caps import CAPS
from pytest_edgeload.sandbox.constraints import Limits
from pytest_edgeload.sandbox.enclosure import Enclosure
from pytest_edgeload.sandbox.lock import host_lock
from pytest_edgeload.sandbox.user import AUTO, choose
from pytest_edgeload.workload import Workload
from pytest_edgeload.workload.conditions import check_conditions, check_step_counts
from pytest_edgeload.workload.pipelines import check_feeds

_IDLE_TIMEOUT_S = 60.0


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    arguments.add_workload(parser)
    add = parser.add_argument
    add("--policy", default=REFERENCE, metavar="NAME", help="loading policy (default: %(default)s)")
    add("--mem", type=arguments.limit, metavar="SIZE", help="memory limit: 512M, 1G, base+256M or none (default: none)")
    add("--lanes", type=arguments.count, default=2, metavar="N", help="maximum number of lanes (default: 2)")
    add("--format", choices=("text", *graph.FORMATS), default="text", help="output format (default: %(default)s)")
    arguments.add_cache(parser)


def _run(args: argparse.Namespace) -> CommandResult:
    project = Project(Path.cwd())
    policy = project.policy(args.policy)
    mix = mix_of(args.networks, args.images)
    registry = project.registry(Store(args.cache_dir or arguments.cache()))
    networks, speeds = networks_of(mix, registry), Budget().speeds
    service_s = mix.per_batch({name: speeds.service_s(network) for name, network in networks.items()})
    workload = mix.workload(networks, service_s=service_s)
    memory_bytes = None if args.mem is None else _memory_bytes(args.mem, workload)
    check_conditions(workload)
    check_step_counts(workload)
    check_feeds(workload)
    with explaining(f"policy {args.policy}"):
        plan = make_plan(args.policy, policy, workload, Budget(memory_bytes=memory_bytes, lanes=args.lanes))
    if args.format != "text":
        return CommandResult(graph.FORMATS[args.format](plan, workload))
    memory = "no memory limit" if memory_bytes is None else f"memory {args.mem}, budget {format_size(memory_bytes)}"
    loaded = load_speeds(args.cache_dir or arguments.cache())
    if loaded.stored is not None:  # else the text says that the speeds are nominal
        for fault in loaded.faults:
            terminal.say(f"edgeload: {fault}; try edgeload calibrate")
    calibrated = CalibratedMachine(plan, workload, loaded.speeds, WorkerSetup())
    try:
        simulation = simulate(plan, workload, machine=None if loaded.stored is None else calibrated)
    except InvalidPlan as error:
        raise error.within(f"policy {args.policy}") from None
    times = "at nominal speeds" if loaded.stored is None else "at the calibrated speeds of this machine"
    return CommandResult(graph.text(plan, workload, simulation, f"policy {args.policy}, {memory}", times))


def _memory_bytes(limit: Limit, workload: Workload) -> int:
    """Return the memory budget of a policy for `workload` under `limit`. Raises UsageError or Unsupported."""
    idle = idle_bytes()
    return budget_bytes(enforced_bytes(limit, idle), idle, workload)


def idle_bytes() -> int:
    """Return the memory of an idle worker, which is measured. Raises Unsupported."""
    terminal.show("edgeload: measuring the memory of an idle worker")
    with host_lock(terminal.say):
        return measure_idle_bytes(Enclosure(CAPS["none"], "", Limits(), _IDLE_TIMEOUT_S, user=choose(AUTO)))


def known_speeds(cache: Path, device: Device | None) -> tuple[MachineSpeeds, tuple[str, ...]]:
    """Return the speeds of this machine or device, and sentences about why they may be others. Raises Unsupported.

    The memory of an idle worker is measured now if the machine was not calibrated.
    """
    loaded = load_speeds(cache, device)
    if loaded.speeds.layers:
        return loaded.speeds, loaded.faults
    worker = msgspec.structs.replace(loaded.speeds.worker, idle_bytes=idle_bytes())
    return msgspec.structs.replace(loaded.speeds, worker=worker), loaded.faults


SUBCOMMAND = Subcommand(
    "show the plan that a policy makes, and its simulated time and memory",
    "No layer is loaded.",
    _add_arguments,
    _run,
)
