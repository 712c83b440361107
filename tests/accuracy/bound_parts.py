"""Runs plans of `bound_goals` and divides their times: `python -m tests.accuracy.bound_parts [MIX ...] [--rounds=3]`.

Each round runs a plan in two new processes, with reader `direct` and without a cap, with the memory that limits leave
to plans. The times of execs are compared: in fresh memory; in memory that was written before, so the difference is the
time that *fresh memory* takes; once more in the same process (*first executions*); and without reads at the same time
(*reads beside*). Needs a quiet machine, and networks that are in the cache.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from models import NETWORKS
from pytest_edgeload import Mix
from pytest_edgeload.job import Job
from pytest_edgeload.networks.folder import read_graph
from pytest_edgeload.planning.budget import reserved_bytes
from pytest_edgeload.planning.plan import Budget, Plan, Span
from pytest_edgeload.policies import POLICIES
from pytest_edgeload.runtime.stored import find_network
from pytest_edgeload.sandbox.launch import environment
from pytest_edgeload.workload import Request, Workload
from tests.accuracy.bound_goals import MIXES
from tests.builders import job_of

LIMITS = (None, 192 << 20, 96 << 20)
"""Limits above the idle worker."""

HEADERS = ("workload", "limit", "makespan", "start", "waits", "fresh memory", "first", "reads beside", "alone")


class RunTimes(NamedTuple):
    """A run in milliseconds: the wait for the first exec, later waits of the lane that executes, and all execs."""

    start_ms: float
    waits_ms: float
    exec_ms: float


def _job(mix: Mix, limit_bytes: int | None) -> Job:
    folders = {name: find_network(name, NETWORKS[name]) for name in mix.networks}
    networks = {name: read_graph(folder) for name, folder in folders.items()}
    asked = Workload(mix.name, tuple(Request(networks[ask.network], sample=ask.sample) for ask in mix.asks))
    memory_bytes = None if limit_bytes is None else limit_bytes - reserved_bytes(asked)
    return job_of(POLICIES["stream"](asked, Budget(memory_bytes)), asked, *folders.values())


def _work(file: str, *, is_fresh: bool) -> list[RunTimes]:
    """Execute a job in fresh memory; or in written memory, again, and one task after the other."""
    from pytest_edgeload.engine import lean_torch  # noqa: F401, PLC0415  # first, because it imports PyTorch

    # isort: split
    import torch  # noqa: PLC0415  # only workers need it

    from pytest_edgeload.engine.lanes import run  # noqa: PLC0415
    from pytest_edgeload.engine.memory import arena  # noqa: PLC0415
    from pytest_edgeload.engine.network import OpenNetwork  # noqa: PLC0415
    from pytest_edgeload.engine.perform import OpenRequest, Performer  # noqa: PLC0415

    job = msgspec.json.decode(Path(file).read_bytes(), type=Job)
    torch.set_num_threads(job.threads)
    opened = [OpenNetwork(Path(folder), "direct") for folder in job.networks]
    requests = [OpenRequest(opened[request.network], request.sample) for request in job.requests]
    memory = arena(job.plan.arena_bytes)
    if not is_fresh:
        memory[:] = bytes(len(memory))

    def times(plan: Plan) -> RunTimes:
        performer = Performer(plan.tasks, requests, memory, plan.arena_bytes)
        return _times(plan, run(plan, performer, job.requests).spans)

    return [times(plan) for plan in ([job.plan] if is_fresh else [job.plan, job.plan, _in_turn(job.plan)])]


def _in_turn(plan: Plan) -> Plan:
    """Return the plan with all tasks in one lane."""
    tasks = tuple(msgspec.structs.replace(task, lane=0) for task in plan.tasks)
    return msgspec.structs.replace(plan, tasks=tasks, lanes=1)


def _times(plan: Plan, spans: Iterable[Span]) -> RunTimes:
    execs = [span for span in spans if plan.tasks[span.task].kind == "exec"]
    exec_s = sum(span.end_s - span.start_s for span in execs)
    start_s, end_s = min(span.start_s for span in execs), max(span.end_s for span in execs)
    return RunTimes(1e3 * start_s, 1e3 * (end_s - start_s - exec_s), 1e3 * exec_s)


def _run(file: Path, how: str) -> list[RunTimes]:
    """Return the runs of a new process."""
    command = [sys.executable, "-m", __spec__.name, how, str(file)]
    variables = environment(msgspec.json.decode(file.read_bytes(), type=Job))
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env={**variables, **os.environ})
    return [RunTimes(*times) for times in json.loads(done.stdout)]


def _row(mix: Mix, limit_bytes: int | None, rounds: int) -> tuple[str, ...]:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "job.json"
        file.write_bytes(msgspec.json.encode(_job(mix, limit_bytes)))
        parts = [_parts(*_run(file, "fresh"), *_run(file, "written")) for _ in range(rounds)]
    limit = "none" if limit_bytes is None else f"base+{limit_bytes >> 20}M"
    return mix.name, limit, *(f"{statistics.median(part):.0f}" for part in zip(*parts, strict=True))


def _parts(fresh: RunTimes, first: RunTimes, second: RunTimes, alone: RunTimes) -> Sequence[float]:
    """Return the makespan in fresh memory, and its parts."""
    makespan_ms = sum(fresh)
    parts = (fresh.exec_ms - first.exec_ms, first.exec_ms - second.exec_ms, second.exec_ms - alone.exec_ms)
    return makespan_ms, fresh.start_ms, fresh.waits_ms, *parts, alone.exec_ms


def _show(cells: Sequence[str]) -> None:
    """Print a row at once: a session takes minutes."""
    print(f"| {' | '.join(cells)} |", flush=True)  # noqa: T201


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("mixes", nargs="*", default=[mix.name for mix in MIXES])
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    if arguments.mixes[0] in {"fresh", "written"}:
        how, file = arguments.mixes
        print(json.dumps(_work(file, is_fresh=how == "fresh")))  # noqa: T201
        return
    names = [mix.name for mix in MIXES]
    for name in arguments.mixes:
        if name not in names:
            parser.error(f"{name} is not a mix; choose from {', '.join(names)}")
    _show(HEADERS)
    _show(["---"] * len(HEADERS))
    for mix in MIXES:
        for limit_bytes in LIMITS if mix.name in arguments.mixes else ():
            _show(_row(mix, limit_bytes, arguments.rounds))


if __name__ == "__main__":
    main()
