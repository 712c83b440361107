"""Common parts of the subcommands that measure: their arguments, and the preparation of the machine."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from pytest_edgeload.base.locks import once
from pytest_edgeload.base.units import Limit
from pytest_edgeload.cli import arguments, terminal
from pytest_edgeload.cli.project import Project, check_policies, mix_of, networks_of
from pytest_edgeload.devices.constraints import Constraints
from pytest_edgeload.engine.readers import READERS
from pytest_edgeload.measuring.bench import Bench, with_mix
from pytest_edgeload.measuring.directories import SessionDirectories
from pytest_edgeload.measuring.launcher import Launcher
from pytest_edgeload.measuring.machine import prepared
from pytest_edgeload.networks.store import Store
from pytest_edgeload.results.case import Case
from pytest_edgeload.results.measurement import Measurement
from pytest_edgeload.sandbox import caps
from pytest_edgeload.sandbox.environment import removed
from pytest_edgeload.sandbox.swap import Swap
from pytest_edgeload.sandbox.user import AUTO, choose
from pytest_edgeload.workload import Mix

_TIMEOUT_S = 300.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that every subcommand which measures has."""
    arguments.add_workload(parser)
    add = parser.add_argument
    add("--reader", choices=tuple(READERS), default="read", help="how weights are read (default: %(default)s)")
    swap = "swap of the workers: existing, auto, off, or the size of a temporary swap file (default: %(default)s)"
    add("--swap", type=arguments.swap, default="existing", metavar="KIND", help=swap)
    threads = "threads of one operator (default: the number of CPU cores)"
    add("--threads", type=arguments.count, default=len(os.sched_getaffinity(0)), metavar="N", help=threads)
    timeout = "maximum time of one worker (default: 300s)"
    add("--timeout", type=arguments.duration, default=_TIMEOUT_S, metavar="TIME", help=timeout)
    user = (
        "user of the workers, if root starts them: a name, same for root, or auto for the user who called sudo, "
        "else nobody (default: auto)"
    )
    add("--user", default=AUTO, metavar="NAME", help=user)
    arguments.add_cache(parser)


@dataclass(frozen=True)
class PreparedWorkload:
    """A prepared machine, one workload, and how it is measured there."""

    bench: Bench
    mix: Mix
    cap: str
    reader: str
    threads: int
    weight_bytes: int

    def case(self, policy: str, limit: Limit | None, swap: Swap | None = None) -> Case:
        """Return the case of this policy and limit, with `swap` instead of the machine's if it is given."""
        case = Case(
            test="",
            workload=self.mix.name,
            policy=policy,
            limit=None if limit is None else str(limit),
            constraints=Constraints(self.bench.calibration.limit_bytes(limit), threads=self.threads),
            reader=self.reader,
            cap=self.cap,
            swap=str(swap or self.bench.launcher.swap),
        )
        return with_mix(case, self.mix)

    def measure(self, case: Case, swap: Swap | None = None) -> Measurement:
        """Measure once, with `swap` instead of the machine's if it is given. Raises Refusal."""
        launcher = self.bench.launcher if swap is None else replace(self.bench.launcher, swap=swap)
        return replace(self.bench, launcher=launcher).measure(case, self.mix)


@contextmanager
def set_up(args: argparse.Namespace, policies: tuple[str, ...]) -> Iterator[PreparedWorkload]:
    """Prepare the machine for the arguments of a subcommand, and restore it in every case. Raises Refusal."""
    user = choose(args.user)
    if user.notice:
        terminal.say(f"edgeload: {user.notice}")
    if names := removed():
        terminal.say(f"edgeload: runs without {names}, which would change their figures")
    project = Project(Path.cwd())
    directories = SessionDirectories.new(args.cache_dir or arguments.cache())
    mix, registry = mix_of(args.networks, args.images), project.registry(Store(directories.cache))
    known_policies, peers = project.policies(), project.peers()
    check_policies(policies, [*known_policies, *peers])
    networks = networks_of(mix, registry)
    name, cap = caps.choose("auto")
    with prepared(directories, args.swap, terminal.say, cap.outer()) as swap:
        launcher = Launcher(
            cap=cap,
            swap=swap,
            session=directories.session,
            timeout_s=args.timeout,
            user=user,
            say=once(terminal.say),
        )
        bench = Bench(
            launcher=launcher,
            registry=registry,
            policies=known_policies,
            folder=directories.folder,
            progress=terminal.show_making,
            peers=peers,
        )
        weight_bytes = sum(network.distinct_bytes for network in networks.values())
        yield PreparedWorkload(bench, mix, name, args.reader, args.threads, weight_bytes)
