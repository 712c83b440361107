"""`edgeload search`: the workload under which a policy loses most to others, found in virtual time and then run."""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from pytest_edgeload.base import files
from pytest_edgeload.base.errors import Setting, Unsupported, UsageError
from pytest_edgeload.base.interrupts import Interrupts
from pytest_edgeload.base.units import Limit
from pytest_edgeload.cli import arguments, machine, measuring, terminal
from pytest_edgeload.cli.plan import known_speeds
from pytest_edgeload.cli.project import Project, mix_of, networks_of, registered
from pytest_edgeload.cli.subcommand import CommandResult, Subcommand
from pytest_edgeload.measuring.predictor import Predictor, main_objective
from pytest_edgeload.measuring.stored_mix import StoredMix, read_stored
from pytest_edgeload.networks.compressed import PLAIN
from pytest_edgeload.networks.registry import Registry
from pytest_edgeload.networks.store import Store
from pytest_edgeload.planning.budget import enforced_bytes
from pytest_edgeload.planning.machine_speeds import MachineSpeeds
from pytest_edgeload.policies import Policy
from pytest_edgeload.report import losses as texts
from pytest_edgeload.results.advice import ChoiceRun, Objective, PolicyChoice
from pytest_edgeload.results.case import AUTO
from pytest_edgeload.workload import Mix
from pytest_edgeload.workload.file import parse
from pytest_edgeload.workload.writing import yaml_text

if TYPE_CHECKING:
    from pytest_edgeload.worst_mix import WorkloadForm, WorstMix

_ANY = "any"
_SECONDS = 60.0
_ROUNDS = 3
_NAME = "worst.yaml"


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--policy", required=True, metavar="NAME", help="the policy that shall lose")
    against = f"a policy to compare with, several, or {_ANY} for the best of all (default: {_ANY})"
    add("--against", type=arguments.names, default=(_ANY,), metavar="NAMES", help=against)
    mem = "memory limit: 512M, 1G or base+256M"
    add("--mem", type=arguments.refusing(Limit.parse), required=True, metavar="SIZE", help=mem)
    networks = "networks of the workloads, comma-separated (default: all registered ones)"
    add("--networks", type=arguments.names, metavar="NAMES", help=networks)
    seconds = f"time of the search (default: {_SECONDS:.0f}s)"
    add("--seconds", type=arguments.duration, default=_SECONDS, metavar="TIME", help=seconds)
    add("-o", "--output", type=arguments.output, metavar="FILE", help="file for the workload, such as worst.yaml")
    add("--no-confirm", action="store_true", help="do not run the policies under the workload that was found")
    machine.add_arguments(parser)
    parser.set_defaults(reader=None, store=None)


class _Rivalry(NamedTuple):
    """The policy that shall lose, its rivals, and everything that their predictions depend on."""

    policy: str
    rivals: Sequence[str]
    stored: StoredMix
    policies: Mapping[str, Policy]
    machine: MachineSpeeds
    swap_bytes: int
    limit_bytes: int
    threads: int

    def predictions(self, mix: Mix) -> dict[str, ChoiceRun]:
        """Return the prediction of each policy that works under `mix`."""
        own = self.stored._replace(networks={name: self.stored.networks[name] for name in mix.networks})
        predictor = Predictor(mix, own, self.policies, self.machine, self.swap_bytes)
        objective, found = main_objective(mix), {}
        for policy in (self.policy, *self.rivals):
            choice = PolicyChoice(policy, AUTO, self.threads)
            run = predictor.predict(choice, self.limit_bytes)
            if run is not None:
                prediction = ChoiceRun.of(choice, self.limit_bytes, objective, run)
                if prediction.value is not None:
                    found[policy] = prediction
        return found

    def values(self, mix: Mix) -> dict[str, float]:
        """Return the predicted value of each policy that works under `mix`."""
        return {policy: each.value for policy, each in self.predictions(mix).items() if each.value is not None}


def _run(args: argparse.Namespace) -> CommandResult:
    try:
        from pytest_edgeload import worst_mix  # noqa: PLC0415  # needs hypothesis, which other subcommands do not
    except ModuleNotFoundError as error:
        raise Unsupported("edgeload search", "needs hypothesis", "pip install 'pytest-edgeload[hypothesis]'") from error
    if args.output is not None:
        with files.named_by(Setting("output", str(args.output))):
            files.try_beside(args.output)
    project = Project(Path.cwd())
    registry = project.registry(Store(args.cache_dir or arguments.cache()))
    rivalry = _rivalry(args, project, registry)

    def loss(document: WorkloadForm) -> float:
        mix = _mix(document)
        return _loss(rivalry.values(mix), rivalry, main_objective(mix))

    drawn = worst_mix.documents(tuple(rivalry.stored.networks), _alone_s(rivalry))
    search = worst_mix.MixSearch(drawn, loss, args.seconds, _show)
    measured: dict[str, list[float | None]] = {}
    try:
        found = search.run()
        if found is not None and not args.no_confirm:
            _confirm(args, project, registry, rivalry, found, measured)
    except BaseException:
        with Interrupts():  # nothing that was found or measured is lost
            terminal.show("")
            if search.found is not None:
                terminal.write(_finish(args, rivalry, search.found, measured))
        raise
    terminal.show("")
    if found is None:
        return CommandResult(f"{args.policy} lost to {', '.join(args.against)} under no workload tried at {args.mem}")
    return CommandResult(_finish(args, rivalry, found, measured))


def _finish(
    args: argparse.Namespace,
    rivalry: _Rivalry,
    found: WorstMix,
    measured: Mapping[str, Sequence[float | None]],
) -> str:
    """Write the file; return the workload and its figures as text. Raises Unsupported after it printed the text."""
    mix, workload = _mix(found.document), yaml_text(found.document)
    predicted = rivalry.values(mix)
    best = _best(predicted, rivalry.rivals, main_objective(mix))
    shown = texts.FoundLoss(rivalry.policy, best, str(args.mem), main_objective(mix), found.tried, predicted, measured)
    text = texts.text(shown, _NAME if args.output is None else args.output.name, workload)
    if args.output is not None:
        try:
            with files.named_by(Setting("output", str(args.output))):
                files.write(args.output, workload.encode())
        except Unsupported:
            terminal.write(text)
            raise
    return text


def _rivalry(args: argparse.Namespace, project: Project, registry: Registry) -> _Rivalry:
    """Return the policies, networks and speeds of the arguments. Raises Refusal."""
    names = [*project.policies()] if _ANY in args.against else [*args.against]
    rivals = [name for name in names if name != args.policy]
    if not rivals:
        raise UsageError(Setting("against", ",".join(args.against)), "no other policy", f"name one, or {_ANY}")
    policies = {name: project.explained_policy(name) for name in (args.policy, *rivals)}
    words = args.networks or registry.names
    names = [registered(word, registry) for word in words]
    every = mix_of(",".join(names), None)
    networks_of(every, registry)
    speeds, faults = known_speeds(args.cache_dir or arguments.cache(), None)
    for fault in faults:
        terminal.say(f"edgeload: {fault}")
    return _Rivalry(
        args.policy,
        rivals,
        read_stored(every, PLAIN, registry, terminal.show_making),
        policies,
        speeds,
        machine.swap_bytes(args.swap, None),
        enforced_bytes(args.mem, speeds.worker.idle_bytes),
        args.threads or machine.processors(),
    )


def _alone_s(rivalry: _Rivalry) -> float:
    """Return the mean time of one request of a network alone, under the quickest policy. Raises UsageError."""
    times = []
    for name in rivalry.stored.networks:
        values = [each.value for each in rivalry.predictions(Mix.of(name, [name])).values() if each.value is not None]
        if not values:
            raise UsageError(f"network {name}", "no policy works with it under this limit", "give more memory")
        times.append(min(values))
    return statistics.fmean(times)


def _mix(document: WorkloadForm) -> Mix:
    return parse(msgspec.json.encode(document).decode(), "worst.json")


def _loss(values: Mapping[str, float], rivalry: _Rivalry, objective: Objective) -> float:
    """Return how much worse the policy is than its best rival; -1 if it does not work, or no rival does."""
    if rivalry.policy not in values or not any(rival in values for rival in rivalry.rivals):
        return -1.0
    best = _best(values, rivalry.rivals, objective)
    return max(-1.0, objective.excess(values[rivalry.policy], values[best]))


def _best(values: Mapping[str, float], rivals: Sequence[str], objective: Objective) -> str:
    better = max if objective.kind.better == "higher" else min
    return better((rival for rival in rivals if rival in values), key=lambda rival: values[rival])


def _confirm(
    args: argparse.Namespace,
    project: Project,
    registry: Registry,
    rivalry: _Rivalry,
    found: WorstMix,
    values: dict[str, list[float | None]],
) -> None:
    """Add to `values` those of the policy and its best rival in some runs; None if a run failed. Raises Refusal."""
    mix = _mix(found.document)
    objective = main_objective(mix)
    policies = [rivalry.policy, _best(rivalry.values(mix), rivalry.rivals, objective)]
    values.update({policy: [] for policy in policies})
    with measuring.prepare(args, project, registry, mix, policies) as prepared:
        for number in range(_ROUNDS):
            for policy in policies:
                terminal.show(f"edgeload: running {policy}, round {number + 1} of {_ROUNDS}")
                run = prepared.measure(prepared.case(policy, args.mem))
                values[policy].append(objective.value(run) if run.outcome == "ok" else None)


def _show(tried: int, loss: float) -> None:
    terminal.show(f"edgeload: {tried} workloads tried, largest loss {loss:.0%}")


SUBCOMMAND = Subcommand(
    "find the workload under which a policy loses most to others",
    "Hypothesis searches in virtual time and simplifies the workload; then the policies are run under it.",
    _add_arguments,
    _run,
)
