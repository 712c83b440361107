"""Measures how planning, plans, workers and records grow with the steps of a request: `python -m tests.accuracy.loops`.

The worker's memory is that of a process of its own, which executes the plan as a worker does, without a limit.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import msgspec
import torch
from tabulate import tabulate
from torch import nn

from pytest_edgeload.engine.lanes import LaneResult, TaskPerformer, run
from pytest_edgeload.engine.ledger import Ledger
from pytest_edgeload.engine.perform import Performer
from pytest_edgeload.job import Job
from pytest_edgeload.networks.feed import Feed
from pytest_edgeload.networks.folder import read_graph
from pytest_edgeload.networks.inputs import Inputs
from pytest_edgeload.planning.plan import Budget
from pytest_edgeload.planning.simulate import peak_bytes
from pytest_edgeload.policies import POLICIES, make_plan
from pytest_edgeload.workload import Request, Workload
from tests.builders import job_of, stored
from tests.engine.performers import CallbackPerformer, anonymous_bytes

STEPS = (10, 100, 1000, 10_000)
WIDTH, TOKENS, LAYERS = 64, 32, 8
HEADERS = ("steps", "planning ms", "plan bytes", "worker KiB", "record bytes", "us per task", "overhead us")


class Decoder(nn.Module):
    """A chain of small linear layers from a token to the numbers of the next one."""

    def __init__(self) -> None:
        super().__init__()
        self.table, self.head = nn.Embedding(TOKENS, WIDTH), nn.Linear(WIDTH, TOKENS)
        self.layers = nn.Sequential(*(nn.Linear(WIDTH, WIDTH) for _ in range(LAYERS)))

    def forward(self, token: torch.Tensor) -> torch.Tensor:
        """Return a number for each token."""
        return torch.as_tensor(self.head(torch.tanh(self.layers(self.table(token)))))


def _row(folder: Path, steps: int) -> tuple[str, ...]:
    """Return the figures of a request with so many steps, under `stream` with memory for half of the weights."""
    asked = Workload("loop", (Request(read_graph(folder), steps=steps),))
    begin_s = time.process_time()
    plan = make_plan("stream", POLICIES["stream"], asked, Budget(asked.requests[0].network.weight_bytes // 2))
    peak_bytes(plan, asked)
    planning_s = time.process_time() - begin_s
    job = folder / "job.json"
    job.write_bytes(msgspec.json.encode(job_of(plan, asked, folder)))
    worker = subprocess.run([sys.executable, __file__, str(job)], check=True, capture_output=True, text=True)
    memory_bytes, record_bytes, task_s, overhead_s = map(float, worker.stdout.split())
    return (
        f"{steps:,}",
        f"{1e3 * planning_s:.0f}",
        f"{len(msgspec.json.encode(plan)):,}",
        f"{memory_bytes / 1024:,.0f}",
        f"{record_bytes:,.0f}",
        f"{1e6 * task_s:.0f}",
        f"{1e6 * overhead_s:.0f}",
    )


class _Bookkeeper(CallbackPerformer):
    """Performs no task, but keeps the ledger."""

    def __init__(self, job: Job, ledger: Ledger) -> None:
        super().__init__()
        self._tasks, self._ledger = job.plan.tasks, ledger

    def perform(self, index: int) -> None:
        """Count what the task would hold."""
        self._ledger.begin(self._tasks[index])
        self._ledger.end(self._tasks[index])


def _work(path: str) -> None:
    """Execute a job, and print its costs.

    These are private memory and the bytes of the record; and the processor time per task, with the work and without.
    """
    job = msgspec.json.decode(Path(path).read_bytes(), type=Job)
    torch.set_num_threads(1)
    before_bytes, performer = anonymous_bytes(), Performer.of(job)
    result, task_s = _timed(job, performer)
    memory_bytes, record = anonymous_bytes() - before_bytes, msgspec.json.encode((result.spans, result.totals))
    networks = [read_graph(Path(job.networks[request.network])) for request in job.requests]
    ledger = Ledger(networks, job.plan.arena_bytes, [request.steps for request in job.requests])
    _, overhead_s = _timed(job, _Bookkeeper(job, ledger))
    print(memory_bytes, len(record), task_s, overhead_s)  # noqa: T201


def _timed(job: Job, performer: TaskPerformer) -> tuple[LaneResult, float]:
    """Return the result of the lanes, and their processor time per task in seconds."""
    begin_s = time.process_time()
    result = run(job.plan, performer, job.requests)
    runs = len(result.spans) + sum(total.runs for total in result.totals)
    return result, (time.process_time() - begin_s) / runs


def main() -> None:
    """Print the table."""
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as folder:
        sample = Inputs((torch.tensor([[1]]),), steps=max(STEPS), feeds=(Feed(0, rule="argmax"),))
        network = stored(Path(folder), Decoder(), sample)
        rows = [_row(network, steps) for steps in STEPS]
    print(tabulate(rows, HEADERS, tablefmt="github", colalign=["right"] * len(HEADERS)))  # noqa: T201


if __name__ == "__main__":
    _work(sys.argv[1]) if sys.argv[1:] else main()
