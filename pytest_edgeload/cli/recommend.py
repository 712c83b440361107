"""`edgeload recommend`: the policy, reader and threads for each memory limit, and the smallest limit that will do."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from pytest_edgeload.base.errors import Setting, UsageError
from pytest_edgeload.base.units import Limit
from pytest_edgeload.cli import advice_files, arguments, confirming, machine, measuring, terminal
from pytest_edgeload.cli.next_steps import next_steps
from pytest_edgeload.cli.plan import known_speeds
from pytest_edgeload.cli.project import Project, is_workload_file, listed, mix_of, networks_of, registered
from pytest_edgeload.cli.subcommand import CommandResult, Subcommand
from pytest_edgeload.devices import Device
from pytest_edgeload.engine.reader_choice import check_reader
from pytest_edgeload.engine.readers import READERS
from pytest_edgeload.measuring.advising import Advisor
from pytest_edgeload.measuring.choosing import Chooser, SearchSpace
from pytest_edgeload.measuring.confirmations import Confirmations
from pytest_edgeload.measuring.predictor import Predictor, main_objective
from pytest_edgeload.measuring.stored_mix import read_stored
from pytest_edgeload.networks.compressed import COMPRESSED, PLAIN
from pytest_edgeload.networks.registry import Registry
from pytest_edgeload.networks.store import Store
from pytest_edgeload.planning.budget import enforced_bytes
from pytest_edgeload.planning.machine_speeds import MachineSpeeds
from pytest_edgeload.planning.reader_names import DIRECT, MAPPING
from pytest_edgeload.policies import Policy
from pytest_edgeload.report import advice as texts
from pytest_edgeload.results import document
from pytest_edgeload.results.advice import SLOWEST, Advice, Objective, certainty
from pytest_edgeload.results.case import AUTO
from pytest_edgeload.workload import Mix
from pytest_edgeload.workload.arrivals import Periodic
from pytest_edgeload.workload.streams import Stream

_FAILURE_STATUS = 1
_REQUESTS = 20  # of each network at a rate
_RATE_SHARE = 0.9
"""The share of requests to answer in time at a rate: the first ones find no weights in memory."""


def _rate(text: str) -> float:
    try:
        rate = float(text)
    except ValueError:
        rate = 0.0
    if not 0 < rate <= 1000:  # noqa: PLR2004  # requests per second
        raise ValueError("not a rate; try 5, which is 5 requests a second")
    return rate


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    measuring.add_workload(parser)
    add = parser.add_argument
    add("--device", metavar="NAME", help="device to run on: rpi4-1g, rpi3, ..., or one of edge-devices.toml here")
    within = "a goal: the slowest response takes at most this time; with --rate, the deadline of each request"
    add("--within", type=arguments.duration, metavar="TIME", help=within)
    rate = (
        f"a goal: each network is asked N times a second, and {_RATE_SHARE:.0%}% of the requests are answered in time"
    )
    add("--rate", type=arguments.refusing(_rate), metavar="N", help=rate)
    mem = "memory limits, comma-separated: 256M,512M (default: from the least that a policy needs to everything)"
    add("--mem", type=arguments.limits, metavar="SIZES", help=mem)
    add("--policy", type=arguments.names, metavar="NAMES", help="policies to choose from (default: all)")
    add("--confirm", action="store_true", help="also run the best choices, and show prediction and measurement")
    add("--html", type=arguments.output, metavar="FILE", help="also write the advice as a page with its chart")
    add("--json", type=arguments.output, metavar="FILE", help="also write the advice as JSON")
    machine.add_arguments(parser)


def _run(args: argparse.Namespace) -> CommandResult:
    if args.mem is not None and None in args.mem:
        raise UsageError(Setting("mem", "none"), "the advice is about limits", "leave it out to see the largest")
    advice_files.check(args.html, args.json)
    project = Project(Path.cwd())
    cache = args.cache_dir or arguments.cache()
    registry = project.registry(Store(cache))
    device, sources = machine.device_of(args), _sources(args, registry)
    mix = _mix(args, sources)
    policies = {name: project.explained_policy(name) for name in args.policy or project.policies()}
    speeds, faults = known_speeds(cache, device)
    predictor = _predictor(args, mix, registry, policies, device, speeds)
    objective = _objective(args, mix)
    space = _search_space(args, predictor, device)
    advisor = Advisor(Chooser(predictor, objective, space), _show)
    limits = _limits(args, advisor, device)
    best, changes = advisor.advise(limits)
    terminal.show("")
    kept, kind = Confirmations(cache), document.machine().key
    device_name = None if device is None else device.name
    advice = Advice(
        workload=mix.name,
        networks=mix.networks,
        device=device_name,
        objective=objective,
        idle_bytes=predictor.idle_bytes,
        is_calibrated=bool(speeds.layers),
        faults=faults,
        limits=tuple(advisor.limits[limit] for limit in sorted(advisor.limits)),
        recommended=None if best is None else best.best,
        tied=() if best is None else best.tied,
        changes=changes,
    )
    if args.confirm:
        with measuring.prepare(args, project, registry, mix, [], device) as prepared:
            confirmations = confirming.confirm(advice, prepared, kept, kind)
        advice = msgspec.structs.replace(advice, confirmations=confirmations)
    errors = kept.errors(kind, device_name, is_calibrated=advice.is_calibrated)
    advice = msgspec.structs.replace(advice, certainty=certainty(errors))
    steps = next_steps(
        advice, sources or {name: name for name in mix.networks}, project.policies(), args.store or PLAIN
    )
    shown = "\n    ".join(["next:", *steps]) if steps else ""
    text = "\n\n".join(
        filter(None, [texts.text(advice), shown, advice_files.write(args.html, args.json, advice, steps)])
    )
    return CommandResult(text, 0 if advice.recommended else _FAILURE_STATUS)


def _sources(args: argparse.Namespace, registry: Registry) -> dict[str, str]:
    """Return the words of the arguments by the names of their networks; {} for a workload file. Raises UsageError."""
    if is_workload_file(args.networks):
        return {}
    return {registered(word, registry): word for word in dict.fromkeys(listed(args.networks))}


def _mix(args: argparse.Namespace, sources: Mapping[str, str]) -> Mix:
    """Return the workload that the arguments name, at their rate. Raises UsageError."""
    if is_workload_file(args.networks):
        if args.rate is not None:
            reason = f"the file {args.networks} sets when requests arrive"
            raise UsageError(Setting("rate", f"{args.rate:g}"), reason, "leave it out")
        return mix_of(args.networks, args.images)
    names = {word: name for name, word in sources.items()}
    mix = mix_of(",".join(names[word] for word in listed(args.networks)), args.images)
    if args.rate is None:
        return mix
    if args.images is not None:
        raise UsageError(Setting("images", str(args.images)), "a rate sets the number of requests", "leave it out")
    process, deadline_s = Periodic(1 / args.rate), args.within or 1 / args.rate
    streams = [Stream(name, name, process, deadline_s=deadline_s, queue=1) for name in mix.networks]
    return Mix.of_streams(mix.name, streams, duration_s=(_REQUESTS - 0.5) / args.rate)


def _objective(args: argparse.Namespace, mix: Mix) -> Objective:
    """Return the goal of the arguments; without one, the metric that policies are compared by."""
    if args.rate is not None:
        return Objective("in_time", _RATE_SHARE)
    if args.within is not None:
        return Objective(SLOWEST, args.within)
    return main_objective(mix)


def _predictor(
    args: argparse.Namespace,
    mix: Mix,
    registry: Registry,
    policies: Mapping[str, Policy],
    device: Device | None,
    speeds: MachineSpeeds,
) -> Predictor:
    """Return the predictor; networks that are not stored yet are made. Raises Refusal."""
    check_reader(args.store or PLAIN, args.reader or AUTO)
    networks_of(mix, registry)
    return Predictor(
        mix,
        read_stored(mix, args.store or PLAIN, registry, terminal.show_making),
        policies,
        speeds,
        swap_bytes=machine.swap_bytes(args.swap, device),
        read_bps=None if device is None else device.constraints.read_bps,
    )


def _search_space(args: argparse.Namespace, predictor: Predictor, device: Device | None) -> SearchSpace:
    """Return the choices that arguments and files allow. Only measured speeds differ between readers and threads."""
    is_calibrated = bool(predictor.machine.layers)
    possible = dict.fromkeys(READERS, True)
    possible |= {MAPPING: args.store != COMPRESSED, DIRECT: predictor.stored.is_direct_possible}
    readers = tuple(name for name in READERS if possible[name]) if is_calibrated else ()
    if args.reader not in (None, AUTO):
        readers = (args.reader,)
    most = (None if device is None else device.constraints.threads) or machine.processors()
    threads = tuple(dict.fromkeys((most, 1) if is_calibrated else (most,)))
    return SearchSpace(tuple(predictor.policies), readers, (args.threads,) if args.threads else threads)


def _limits(args: argparse.Namespace, advisor: Advisor, device: Device | None) -> Sequence[int]:
    """Return the limits to predict for. Raises UsageError if no policy works, or a limit is too small."""
    idle = advisor.predictor.idle_bytes
    if args.mem is not None:
        return sorted(enforced_bytes(limit, idle) for limit in args.mem)
    steps = advisor.ladder(None if device is None else enforced_bytes(device.memory, idle))
    if not steps:
        raise UsageError(advisor.predictor.mix.name, "no policy has a plan for it", "name other policies")
    return steps


def _show(limit_bytes: int) -> None:
    terminal.show(f"edgeload: predicting at {Limit(limit_bytes)}")


SUBCOMMAND = Subcommand(
    "choose the policy, reader and threads for each memory limit, and the smallest limit that will do",
    "Everything is predicted in virtual time; with --confirm the best choices are run as well.",
    _add_arguments,
    _run,
)
