"""The capped process: executes one plan or program, once, and follows the protocol in `job`."""

from __future__ import annotations

from pytest_edgeload.engine import lean_torch  # noqa: F401  # first, because it imports PyTorch

# isort: split
import sys
from typing import BinaryIO

import msgspec
import torch

from pytest_edgeload.engine.channel import Send, serve
from pytest_edgeload.engine.compare import PartedSteps
from pytest_edgeload.engine.lanes import run
from pytest_edgeload.engine.perform import Performer
from pytest_edgeload.engine.program import ProgramJob
from pytest_edgeload.job import CHECK, GO, Checked, Done, Job, Ready
from pytest_edgeload.planning.span_log import makespan_s

_PARTED = "which rounding explains; later steps were not compared"


def _work(commands: BinaryIO, send: Send) -> None:
    """Execute the job in the first message."""
    job = msgspec.json.decode(commands.readline(), type=Job)
    torch.set_num_threads(job.threads)
    performer = Performer.of(job) if job.program is None else ProgramJob(job, job.program)
    send(Ready())
    if commands.readline() != GO:
        return
    done = performer.run() if isinstance(performer, ProgramJob) else _execute(job, performer)
    send(done)
    if commands.readline() != CHECK:
        return
    answered = [r for r in range(len(job.requests)) if r not in done.dropped]
    tolerance = {r: performer.tolerance(r) for r in answered}
    compared = {r: performer.compare(r) for r in answered}
    details = {r: c.detail for r, c in compared.items() if c.error is None or c.error > tolerance[r]}
    parted = [r for r, c in compared.items() if isinstance(c, PartedSteps) and r not in details]
    notices = tuple(f"request {r}: {compared[r].detail}, {_PARTED}" for r in parted)
    send(Checked({r: c.error for r, c in compared.items()}, tolerance, details, notices))


def _execute(job: Job, performer: Performer) -> Done:
    result = run(job.plan, performer, job.requests)
    performer.free_arena()  # before the report of all tasks takes memory
    return Done(
        makespan_s(result.spans, result.totals),
        result.spans,
        performer.ledger.peak_bytes,
        result.arrived_s,
        result.dropped,
        performer.notices,
        totals=result.totals,
        overrun=result.overrun,
        step_ends_s=tuple(tuple(end_s - result.begin_s for end_s in own.ends_s) for own in performer.steps),
    )


if __name__ == "__main__":
    sys.exit(serve(_work))
