r"""Prints the share in time of the mixes of today in virtual time, under policies and limits. Measures nothing.

    python -m tests.accuracy.stream_virtual
    python -m tests.accuracy.stream_virtual --mix=consumer --limit=768M --read-gb-per-s=0.5 --gflops=20

A share in brackets belongs to a plan that exceeds the memory: a device would swap. A cell in which `stream` is not the
best of the others is marked. Networks that are not stored yet are made, which takes minutes and needs transformers.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from tabulate import tabulate

from models.today import TODAY_MIXES
from pytest_edgeload.base.units import Limit, parse_size
from pytest_edgeload.cli import arguments
from pytest_edgeload.cli.project import Project, networks_of
from pytest_edgeload.networks.store import Store
from pytest_edgeload.planning.budget import MARGIN_BYTES, budget_bytes
from pytest_edgeload.planning.plan import Budget, Speeds
from pytest_edgeload.policies import POLICIES
from pytest_edgeload.workload import Workload
from tests.accuracy.shared_machine import outcome
from tests.accuracy.stream_goals import CASES, DURATION_S, LIMITS


def main(given: Sequence[str] | None = None) -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="stream_virtual", description="Simulate the mixes of today.")
    parser.add_argument("--mix", action="append", choices=TODAY_MIXES, help="a mix; several times for several mixes")
    parser.add_argument("--limit", action="append", help=f"a memory limit; default: {', '.join(LIMITS)}")
    parser.add_argument("--idle", type=parse_size, default=parse_size("245M"), help="the memory of an idle worker")
    parser.add_argument("--read-gb-per-s", type=float, default=1.0, help="the speed of the disk")
    parser.add_argument("--gflops", type=float, default=40.0, help="the speed of the processors, 10^9 per second")
    options = parser.parse_args(given)
    speeds = Speeds(options.read_gb_per_s * 1e9, options.gflops * 1e9)
    registry = Project(Path.cwd()).registry(Store(arguments.cache()))
    rows = []
    for name in options.mix or TODAY_MIXES:
        mix = TODAY_MIXES[name](duration_s=DURATION_S)
        workload = mix.workload(networks_of(mix, registry))
        policies = [policy for of, policy in CASES if of == name]
        rows += [
            (name, limit, *_shares(workload, policies, _memory_bytes(limit, options.idle, workload), speeds))
            for limit in options.limit or LIMITS
        ]
    names = [policy.partition("(")[0] for of, policy in CASES if of == next(iter(TODAY_MIXES))]
    sys.stdout.write(tabulate(rows, ("mix", "limit", *names, ""), tablefmt="github", disable_numparse=True) + "\n")
    return 0


def _memory_bytes(limit: str, idle_bytes: int, workload: Workload) -> int | None:
    """Return the budget of a policy."""
    return None if limit == "none" else budget_bytes(Limit.parse(limit).resolve(idle_bytes), idle_bytes, workload)


def _shares(workload: Workload, policies: Sequence[str], memory_bytes: int | None, speeds: Speeds) -> Iterator[str]:
    """Yield the share in time of each policy, and whether that of `stream` is lower than another."""
    fitting: dict[str, float] = {}
    for policy in policies:
        found = outcome(POLICIES[policy](workload, Budget(memory_bytes)), workload, speeds)
        if memory_bytes is None or found.peak_bytes <= memory_bytes + MARGIN_BYTES:
            fitting[policy] = found.share
        yield f"{found.share:.0%}" if policy in fitting else f"({found.share:.0%})"
    yield "lower" if fitting.get("stream", 0.0) < max(fitting.values(), default=0.0) else ""


if __name__ == "__main__":
    sys.exit(main())
