"""The capped process: carries out one plan or program, once, and speaks as `job` lays down."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from typing import BinaryIO

import msgspec
import torch

from pytest_edgeload.engine.lanes import run
from pytest_edgeload.engine.perform import Performer
from pytest_edgeload.engine.program import Programmed
from pytest_edgeload.job import CHECK, GO, Checked, Done, Event, Failed, Job, Ready

_PR_SET_PDEATHSIG = 1


def main() -> int:
    """Carry out the job on standard input; return the exit status."""
    # A parent that is killed cannot end its worker, so the kernel does.
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    commands, events = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)  # what a library prints goes to standard error, never between the events
    try:
        _work(commands, events)
    except MemoryError as error:
        _send(events, Failed(str(error) or "out of memory", memory=True))
        return 1
    except Exception as error:  # noqa: BLE001  # the parent makes it an outcome
        _send(events, Failed(f"{type(error).__name__}: {error}", memory="can't allocate memory" in str(error)))
        return 1
    return 0


def _work(commands: BinaryIO, events: BinaryIO) -> None:
    job = msgspec.json.decode(commands.readline(), type=Job)
    torch.set_num_threads(job.threads)
    performer = Performer(job) if job.program is None else Programmed(job, job.program)
    _send(events, Ready())
    if commands.readline() != GO:
        return
    done = performer.run() if isinstance(performer, Programmed) else _carry_out(job, performer)
    _send(events, done)
    if commands.readline() != CHECK:
        return
    answered = [r for r in range(len(job.requests)) if r not in done.dropped]
    tolerance = {r: performer.tolerance(r) for r in answered}
    _send(events, Checked({r: performer.output_error(r) for r in answered}, tolerance))


def _carry_out(job: Job, performer: Performer) -> Done:
    ran = run(job.plan, performer, job.requests)
    makespan_s = max((span.end_s for span in ran.spans), default=0.0)
    peak_bytes = performer.ledger.peak_bytes
    return Done(makespan_s, ran.spans, peak_bytes, ran.arrived_s, ran.dropped, performer.notices)


def _send(events: BinaryIO, event: Event) -> None:
    data = memoryview(msgspec.json.encode(event) + b"\n")
    while data:
        data = data[events.write(data) or 0 :]


if __name__ == "__main__":
    sys.exit(main())
