"""Has a worker carry out a job, or call a function: what is said to it and heard from it, line by line."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import msgspec

from pytest_edgeload.base import decoding
from pytest_edgeload.base.errors import Unsupported
from pytest_edgeload.base.functions import search_path
from pytest_edgeload.base.units import format_size
from pytest_edgeload.job import CHECK, GO, Call, Checked, Done, Event, Failed, Job, Ready, Returned
from pytest_edgeload.networks.layer import OUTPUT_TOLERANCE
from pytest_edgeload.networks.store import SAMPLES, weight_files
from pytest_edgeload.results.record import Measurement, Outcome
from pytest_edgeload.sandbox import page_cache
from pytest_edgeload.sandbox.life import THREADS, Enclosure, Start, live
from pytest_edgeload.sandbox.worker import Worker, with_words

__all__ = ["Calling", "Enclosure", "launch", "launch_call"]

_ENVIRONMENT = {
    "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",
    "GOMP_SPINCOUNT": "1000",
}
"""What a worker finds unless the user says otherwise: activations in huge pages, which saves page faults, and OpenMP
threads that soon stop spinning where they wait, for a lane that reads may need the processor.
"""

_EXIT_S = 5.0
_SLACK_S = 0.01  # both clocks are the same one
_ANSWER_BYTES, _TASK_BYTES = 1 << 20, 256
"""What a worker may answer: so much, and for each task and request of its job so much more."""


def launch(job: Job, enclosure: Enclosure) -> Measurement:
    """Carry out `job` in a fresh worker and return everything seen of it; its failure is a value, not an exception.

    Nothing of the worker is left when this returns or raises. Raises Unsupported where the cap cannot be set up.
    """
    _drop(_files(job))
    command = (sys.executable, "-P", "-m", "pytest_edgeload.engine.worker")
    most_bytes = _ANSWER_BYTES + _TASK_BYTES * (len(job.plan.tasks) + len(job.requests))
    talk = _Dialogue(msgspec.json.encode(job) + b"\n", most_bytes)
    return live(talk, Start(command, _ENVIRONMENT | os.environ), enclosure)


@dataclass(frozen=True, slots=True)
class Calling:
    """A function with its arguments, pickled as a tuple of three, and the files that these name."""

    pickled: bytes
    files: Sequence[Path] = ()

    @property
    def key(self) -> object:
        """What tells this call from another one."""
        return self.pickled


def launch_call(calling: Calling, threads: int, enclosure: Enclosure) -> Measurement:
    """Call a function in a fresh worker without PyTorch and return everything seen of it.

    `threads` is what OpenMP may use unless the environment says otherwise. Raises as `launch`.
    """
    _drop(calling.files)
    command = (sys.executable, "-P", "-m", "pytest_edgeload.engine.call")
    opening = msgspec.json.encode(Call(search_path())) + b"\n" + calling.pickled
    return live(_Dialogue(opening), Start(command, {THREADS: str(threads)} | os.environ), enclosure)


def _drop(files: Iterable[Path]) -> None:
    """Have the files read from storage again. Raises Unsupported for one that has gone meanwhile."""
    try:
        page_cache.drop(files)
    except OSError as error:
        raise Unsupported(f"{error.filename}: {error.strerror}, just before it was measured; put it back") from error


def _files(job: Job) -> list[Path]:
    """Return the files that weights and samples may be read from."""
    made = [Path(folder) for folder in job.program.files if folder] if job.program is not None else []
    found = [path for folder in made for path in folder.rglob("*") if path.is_file()]
    stored = [path for n in map(Path, job.networks) for path in (*weight_files(n), n / SAMPLES)]
    return [*stored, *found]


class _Dialogue:
    """What a worker is asked and what it has answered so far; see `job`."""

    def __init__(self, opening: bytes, most_bytes: int = _ANSWER_BYTES) -> None:
        self._opening = opening
        self._most_bytes = most_bytes
        self._gone = False
        self._done: Done | None = None
        self._last: Checked | Returned | None = None
        self._failed: Failed | None = None

    def converse(self, worker: Worker) -> None:
        """Ask for everything, until it is answered or the worker is gone."""
        with worker.timed():
            self._converse(worker)
        if self._gone:  # its own exit status is worth waiting for
            worker.wait(_EXIT_S)

    def _converse(self, worker: Worker) -> None:
        if not isinstance(self._ask(worker, self._opening, Ready), Ready):
            return
        worker.report_ready()
        page_cache.back(worker.enclosure.max_bytes)
        with worker.on_the_clock():
            asked_s = time.monotonic()
            done = self._ask(worker, GO, Done)
            took_s = time.monotonic() - asked_s
        if not isinstance(done, Done):
            return
        if done.makespan_s > took_s + _SLACK_S:
            self._failed = Failed(f"the worker says it took {done.makespan_s:g} s, but answered after {took_s:.3f} s")
            return
        self._done = done
        last = self._ask(worker, CHECK, Checked, Returned)
        self._last = last if isinstance(last, Checked | Returned) else None

    def _ask(self, worker: Worker, message: bytes, *wanted: type[Event]) -> Event | None:
        """Send `message` and return the worker's answer; None if it is gone, has failed, or answers anything else."""
        assert worker.process.stdin is not None  # both are pipes
        assert worker.process.stdout is not None
        with suppress(BrokenPipeError):  # it may have answered before it had read everything
            worker.process.stdin.write(message)
            worker.process.stdin.flush()
        line = worker.process.stdout.readline(self._most_bytes)
        if not line.endswith(b"\n") and len(line) < self._most_bytes:
            self._gone = True
            return None
        event = parse_event(line)
        if isinstance(event, wanted):
            return event
        self._failed = event if isinstance(event, Failed) else Failed("what ran in the worker answered out of turn")
        return None

    def measurement(self, worker: Worker, outcome: Outcome, detail: str) -> Measurement:  # noqa: ARG002
        """Return the measurement with the figures in the worker's answers."""
        done, last = self._done or Done(makespan_s=0.0), self._last
        errors = last.output_error.values() if isinstance(last, Checked) else ()
        return Measurement(
            outcome=outcome,
            detail=detail,
            makespan_s=None if self._done is None else done.makespan_s,
            ledger_peak_bytes=done.ledger_peak_bytes,
            tasks=done.spans,
            arrived_s=done.arrived_s,
            dropped=done.dropped,
            output_error=max((error for error in errors if error is not None), default=None),
            returned=last.value if isinstance(last, Returned) else None,
            notices=last.notices if isinstance(last, Returned) else done.notices,
        )

    def outcome(self, worker: Worker) -> tuple[Outcome, str]:
        """Return what became of the worker, by its own account or by its end."""
        if self._failed is not None:
            failed = self._failed
            return ("oom" if failed.memory else "wrong" if failed.wrong else "crashed"), failed.message
        if self._last is None:
            return "crashed", with_words(worker.ending("the worker"), worker.errors)
        return _judged(self._last) if isinstance(self._last, Checked) else ("ok", "")


def parse_event(line: bytes) -> Event:
    """Return what a worker said in a line: that it failed, where the line is cut or no event."""
    if not line.endswith(b"\n"):
        return Failed(f"what ran in the worker wrote more than {format_size(len(line))} in place of an answer")
    try:
        event: Event = decoding.decode(line, Event)  # type: ignore[arg-type]  # a union is no type to mypy
    except ValueError:
        return Failed("what ran in the worker wrote between its answers")
    return event


def _judged(checked: Checked) -> tuple[Outcome, str]:
    """Return what the outputs say: whether all are near enough to plain PyTorch's."""
    for r, error in checked.output_error.items():
        if error is None or error > checked.tolerance.get(r, OUTPUT_TOLERANCE):
            how = "in shape, type or NaN" if error is None else f"by {error:.3g} of its largest value"
            return "wrong", f"request {r} differs from plain PyTorch {how}"
    return "ok", ""
