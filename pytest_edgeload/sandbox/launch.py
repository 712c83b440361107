"""Launches a worker that carries out a job or calls a function, and has the conversation with it; see `job`."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from pytest_edgeload.base import decoding
from pytest_edgeload.base.errors import Unsupported
from pytest_edgeload.base.functions import search_path
from pytest_edgeload.base.text import printable
from pytest_edgeload.base.units import format_size
from pytest_edgeload.job import CHECK, GO, Call, Checked, Done, Event, Failed, Job, Ready, Returned
from pytest_edgeload.networks.compressed import read_weight_files
from pytest_edgeload.networks.folder import samples_path
from pytest_edgeload.networks.layer import OUTPUT_TOLERANCE
from pytest_edgeload.results.measurement import Measurement, Outcome
from pytest_edgeload.results.reported import ReportedValue
from pytest_edgeload.results.source import JsonPath, MetricSource
from pytest_edgeload.sandbox import page_cache
from pytest_edgeload.sandbox.enclosure import Enclosure, Start
from pytest_edgeload.sandbox.life import THREADS, live
from pytest_edgeload.sandbox.worker import Worker, with_words

_HUGE_PAGES = {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"}
"""Activations in huge pages save page faults."""

_SPINS, _LOOP_SPINS = 1_000, 3_000
"""How often an OpenMP thread that waits looks for work before it sleeps: for 27 and 80 us here.

It should sleep soon, because a lane that reads may need the processor. A step of a decoder has hundreds of products,
and the small operators between two of them take longer than 27 us.
"""

_EXIT_S = 5.0
_MAX_DETAIL_CHARACTERS = 200
_SLACK_S = 0.01  # both processes read the same clock
_ANSWER_BYTES, _TASK_BYTES = 1 << 20, 256
"""The size that an answer of a worker may have, and the addition for each task and request of its job."""


def launch(job: Job, enclosure: Enclosure) -> Measurement:
    """Carry out `job` in a new worker and return its measurement. Its failure is a value, not an exception.

    Nothing of the worker is left when this returns or raises. Raises Unsupported if the cap cannot be set up.
    """
    _drop(_files(job))
    command = (sys.executable, "-P", "-m", "pytest_edgeload.engine.worker")
    max_bytes = _ANSWER_BYTES + _TASK_BYTES * (len(job.plan.tasks) + len(job.requests))
    talk = _Dialogue(msgspec.json.encode(job) + b"\n", max_bytes)
    return live(talk, Start(command, {**environment(job), **enclosure.env}), enclosure)


def environment(job: Job) -> dict[str, str]:
    """Return the variables of a worker, unless the user sets them."""
    has_loops = any(request.steps > 1 for request in job.requests)
    return {**_HUGE_PAGES, "GOMP_SPINCOUNT": str(_LOOP_SPINS if has_loops else _SPINS)}


@dataclass(frozen=True, slots=True)
class Calling:
    """A function with its arguments, pickled as a tuple of three, and the files that the arguments name.

    It is called `repeat` times. `metrics` are paths in the value that it returns.
    """

    pickled: bytes
    files: Sequence[Path] = ()
    repeat: int = 1
    metrics: Mapping[str, MetricSource] = field(default_factory=dict)

    @property
    def key(self) -> object:
        """The identity of this call."""
        return self.pickled


def launch_call(calling: Calling, threads: int, enclosure: Enclosure) -> Measurement:
    """Call a function in a new worker without PyTorch and return its measurement.

    OpenMP may use this many `threads`, unless the environment sets another number. Raises as `launch`.
    """
    _drop(calling.files)
    command = (sys.executable, "-P", "-m", "pytest_edgeload.engine.call")
    paths = {name: source.place.steps for name, source in calling.metrics.items() if isinstance(source.place, JsonPath)}
    opening = msgspec.json.encode(Call(search_path(), calling.repeat, paths)) + b"\n" + calling.pickled
    max_bytes = _ANSWER_BYTES * (1 + len(paths))
    return live(
        _Dialogue(opening, max_bytes, calling.metrics),
        Start(command, {THREADS: str(threads), **enclosure.env}),
        enclosure,
    )


def _drop(files: Iterable[Path]) -> None:
    """Drop the files from the page cache. Raises Unsupported for a file that was removed."""
    try:
        page_cache.drop(files)
    except OSError as error:
        reason = f"{error.strerror}, just before it was measured"
        raise Unsupported(str(error.filename), reason, "restore it") from error


def _files(job: Job) -> list[Path]:
    """Return the files of the weights and samples that the worker may read."""
    stored = [path for n in map(Path, job.networks) for path in (*read_weight_files(n, job.store), samples_path(n))]
    folders = [Path(folder) for folder in job.program.files if folder] if job.program is not None else []
    made = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    return [*stored, *made]


class _Dialogue:
    """The conversation with a worker: the messages to it, and its answers so far."""

    def __init__(self, opening: bytes, max_bytes: int, metrics: Mapping[str, MetricSource] | None = None) -> None:
        self._opening = opening
        self._metrics = metrics or {}
        self._max_bytes = max_bytes
        self._is_gone = False
        self._done: Done | None = None
        self._last: Checked | Returned | None = None
        self._failed: Failed | None = None

    def converse(self, worker: Worker) -> None:
        """Send each message and wait for its answer, until the last answer or the end of the worker."""
        with worker.timed():
            self._converse(worker)
        if self._is_gone:  # wait for its own exit status
            worker.wait(_EXIT_S)

    def _converse(self, worker: Worker) -> None:
        if not isinstance(self._ask(worker, self._opening, Ready), Ready):
            return
        worker.report_ready()
        page_cache.back(worker.enclosure.max_bytes, worker.enclosure.timeout_s)
        with worker.on_the_clock():
            begin_s = time.monotonic()
            done = self._ask(worker, GO, Done)
            took_s = time.monotonic() - begin_s
        if not isinstance(done, Done):
            return
        if done.makespan_s > took_s + _SLACK_S:
            self._failed = Failed(f"the worker says it took {done.makespan_s:g} s, but answered after {took_s:.3f} s")
            return
        self._done = done
        last = self._ask(worker, CHECK, Checked, Returned)
        self._last = last if isinstance(last, Checked | Returned) else None

    def _ask(self, worker: Worker, message: bytes, *kinds: type[Event]) -> Event | None:
        """Send `message` and return the answer if it is of these kinds; None if not, or if the worker is gone."""
        assert worker.process.stdin is not None  # both are pipes
        assert worker.process.stdout is not None
        with suppress(BrokenPipeError):  # it may have answered before it read the whole message
            worker.process.stdin.write(message)
            worker.process.stdin.flush()
        line = worker.process.stdout.readline(self._max_bytes)
        if not line.endswith(b"\n") and len(line) < self._max_bytes:
            self._is_gone = True
            return None
        event = parse_event(line)
        if isinstance(event, kinds):
            return event
        self._failed = event if isinstance(event, Failed) else Failed("the code in the worker answered out of turn")
        return None

    def measurement(self, worker: Worker, outcome: Outcome, detail: str) -> Measurement:  # noqa: ARG002
        """Return the measurement with the figures in the worker's answers."""
        done, last = self._done or Done(makespan_s=0.0), self._last
        errors = last.output_error.values() if isinstance(last, Checked) else ()
        return Measurement(
            outcome=outcome,
            detail=detail,
            traceback="" if self._failed is None else self._failed.traceback,
            makespan_s=None if self._done is None else done.makespan_s,
            ledger_peak_bytes=done.ledger_peak_bytes,
            tasks=done.spans,
            totals=done.totals,
            step_ends_s=done.step_ends_s if any(len(ends_s) > 1 for ends_s in done.step_ends_s) else (),
            arrived_s=done.arrived_s,
            dropped=done.dropped,
            overrun=done.overrun,
            output_error=max((error for error in errors if error is not None), default=None),
            returned=last.value if isinstance(last, Returned) else None,
            notices=(*done.notices, *(last.notices if isinstance(last, Returned | Checked) else ())),
        )

    def reports(self, worker: Worker) -> Iterator[ReportedValue]:  # noqa: ARG002
        """Yield the metrics that a function returned, and the times of its repetitions."""
        if self._done is not None and self._done.repetitions_s:
            yield ReportedValue("repetition_s", self._done.repetitions_s)
        if isinstance(self._last, Returned):
            for name, source in self._metrics.items():
                value, fault = self._last.metrics.get(name), self._last.faults.get(name, "")
                yield ReportedValue(name, value, source.unit, source.better, fault=fault)

    def outcome(self, worker: Worker) -> tuple[Outcome, str]:
        """Return the outcome by the worker's own account, or else by its end."""
        if self._failed is not None:
            failed = self._failed
            return ("oom" if failed.memory else "wrong" if failed.wrong else "crashed"), failed.message
        if self._last is None:
            return "crashed", with_words(worker.ending("the worker"), worker.errors)
        return _judge(self._last) if isinstance(self._last, Checked) else ("ok", "")


def parse_event(line: bytes) -> Event:
    """Return the event in a line from a worker; Failed if the line is cut or not an event."""
    if not line.endswith(b"\n"):
        return Failed(f"the code in the worker wrote more than {format_size(len(line))} instead of an answer")
    try:
        event: Event = decoding.decode(line, Event)  # type: ignore[arg-type]  # mypy does not accept a union as a type
    except ValueError:
        return Failed("the code in the worker wrote between its answers")
    return event


def _judge(checked: Checked) -> tuple[Outcome, str]:
    """Return `ok` if all outputs are near enough to those of plain PyTorch, else `wrong`."""
    for r, error in checked.output_error.items():
        tolerance = checked.tolerance.get(r, OUTPUT_TOLERANCE)
        if error is None or error > tolerance:
            how = "" if error is None else f" by {error:.3g} of its largest value, more than {tolerance:.3g}"
            detail = printable(checked.details.get(r, "")[:_MAX_DETAIL_CHARACTERS])
            return "wrong", f"request {r} differs from plain PyTorch{how}{detail and f': {detail}'}"
    return "ok", ""
