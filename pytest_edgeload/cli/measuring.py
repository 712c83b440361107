"""Common parts of the subcommands that measure networks: their arguments, and the preparation of networks."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from pytest_edgeload.base.units import Limit
from pytest_edgeload.cli import arguments, machine, terminal
from pytest_edgeload.cli.project import Project, check_policies, mix_of, networks_of
from pytest_edgeload.devices import Device
from pytest_edgeload.devices.constraints import Constraints, Shortfall
from pytest_edgeload.engine.readers import READERS
from pytest_edgeload.measuring.bench import Bench
from pytest_edgeload.measuring.devices import on_device
from pytest_edgeload.networks.compressed import PLAIN, STORES, StoreForm
from pytest_edgeload.networks.registry import Registry
from pytest_edgeload.networks.store import Store
from pytest_edgeload.results.case import AUTO, Case
from pytest_edgeload.results.measurement import Measurement
from pytest_edgeload.sandbox.swap import Swap
from pytest_edgeload.workload import Mix


def add_workload(parser: argparse.ArgumentParser, *, is_optional: bool = False) -> None:
    """Add the arguments about networks. The reader and the store are None unless they are given."""
    arguments.add_workload(parser, is_optional=is_optional)
    parser.add_argument("--reader", choices=(AUTO, *READERS), help=f"how weights are read (default: {AUTO})")
    parser.add_argument("--store", choices=STORES, help=f"how weights are stored (default: {PLAIN})")


@dataclass(frozen=True)
class PreparedWorkload:
    """A prepared machine, perhaps as an emulated device, one workload, and how it is measured there."""

    bench: Bench
    mix: Mix
    cap: str
    reader: str
    threads: int
    store: StoreForm = PLAIN
    device: Device | None = None
    unenforced: tuple[Shortfall, ...] = ()

    def case(self, policy: str, limit: Limit | None, swap: Swap | None = None) -> Case:
        """Return the case of this policy and limit, with `swap` instead of the machine's if it is given."""
        case = Case(
            test="",
            workload=self.mix.name,
            policy=policy,
            limit=None if limit is None else str(limit),
            constraints=Constraints(self.bench.calibration.limit_bytes(limit), threads=self.threads),
            reader=self.reader,
            store=self.store,
            cap=self.cap,
            swap=str(swap or self.bench.launcher.swap),
        )
        if self.device is not None:
            case = on_device(case, self.device, self.unenforced, sets_memory=limit == self.device.memory)
        return self.bench.with_reader(case, self.mix)

    def with_reader(self, reader: str, threads: int) -> PreparedWorkload:
        """Return the same workload with another reader and number of threads."""
        return replace(self, reader=reader, threads=threads)

    def measure(self, case: Case, swap: Swap | None = None) -> Measurement:
        """Measure once, with `swap` instead of the machine's if it is given. Raises Refusal."""
        launcher = self.bench.launcher if swap is None else replace(self.bench.launcher, swap=swap)
        return replace(self.bench, launcher=launcher).measure(case, self.mix)


@contextmanager
def set_up(args: argparse.Namespace, policies: tuple[str, ...]) -> Iterator[PreparedWorkload]:
    """Prepare machine and networks for the arguments of a subcommand, and restore the machine. Raises Refusal."""
    project = Project(Path.cwd())
    registry = project.registry(Store(args.cache_dir or arguments.cache()))
    mix = mix_of(args.networks, args.images)
    with prepare(args, project, registry, mix, policies) as prepared:
        yield prepared


@contextmanager
def prepare(
    args: argparse.Namespace,
    project: Project,
    registry: Registry,
    mix: Mix,
    policies: Sequence[str],
    device: Device | None = None,
) -> Iterator[PreparedWorkload]:
    """Prepare the machine, perhaps as a device, and the networks of `mix`, and restore it. Raises Refusal."""
    known_policies, peers = project.policies(), project.peers()
    check_policies(policies, known_policies, peers)
    with machine.set_up(args, device) as prepared:
        networks_of(mix, registry)
        bench = Bench(
            launcher=prepared.launcher,
            registry=registry,
            policies=known_policies,
            folder=prepared.directories.folder,
            progress=terminal.show_making,
            peers=peers,
        )
        unenforced = () if device is None else bench.launcher.shortfalls(device, Path.cwd())
        forms = args.reader or AUTO, prepared.threads, args.store or PLAIN
        yield PreparedWorkload(bench, mix, prepared.cap, *forms, device, unenforced)
