"""Starts a worker under a cap, speaks with it, watches it, and says how it ended. The worker's whole life is here."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import msgspec

from pytest_edgeload.job import CHECK, GO, Checked, Done, Event, Failed, Job, Ready
from pytest_edgeload.networks.layer import OUTPUT_TOLERANCE
from pytest_edgeload.networks.store import SAMPLES, weight_files
from pytest_edgeload.results.record import Measurement, Outcome
from pytest_edgeload.sandbox import counters, steady
from pytest_edgeload.sandbox.caps import Cap, Group
from pytest_edgeload.sandbox.limits import Limits
from pytest_edgeload.sandbox.sampler import Sampler
from pytest_edgeload.units import format_size

_ENVIRONMENT = {
    "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",
    "GOMP_SPINCOUNT": "1000",
}
"""What a worker finds unless the user says otherwise: activations in huge pages, which saves page faults, and OpenMP
threads that soon stop spinning where they wait, for a lane that reads may need the processor.
"""

_LAST_WORDS = 400
_EXIT_S = 5.0


@dataclass(frozen=True, slots=True)
class Enclosure:
    """What a worker is put into: the cap, the name of its group, its limits, and its time.

    `expected_bytes` is how much memory the run will take from the system if it may.
    """

    cap: Cap
    name: str
    limits: Limits
    timeout_s: float
    expected_bytes: int = 0


def launch(job: Job, enclosure: Enclosure) -> Measurement:
    """Carry out `job` in a fresh worker and return everything seen of it; its failure is a value, not an exception.

    Nothing of the worker is left when this returns or raises. Raises Unsupported where the cap cannot be set up.
    """
    steady.drop(_files(job))
    group = enclosure.cap.open(enclosure.name, enclosure.limits)
    started = time.time()
    try:
        with tempfile.TemporaryFile() as errors:
            process = subprocess.Popen(
                [*group.enter, sys.executable, "-P", "-m", "pytest_edgeload.engine.worker"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                env=_ENVIRONMENT | os.environ,
                start_new_session=True,  # Ctrl-C is pytest's to handle; it ends the worker below
            )
            run = _Run(process, group, enclosure)
            try:
                with Sampler(group, process.pid) as sampler:
                    run.converse(job)
            finally:
                run.end()
            return run.measurement(sampler, started, errors)
    finally:
        group.kill()
        group.close()


def _files(job: Job) -> list[Path]:
    """Return the files that weights and samples may be read from."""
    made = [Path(folder) for folder in job.program.files if folder] if job.program is not None else []
    found = [path for folder in made for path in folder.rglob("*") if path.is_file()]
    stored = [path for n in map(Path, job.networks) for path in (*weight_files(n), n / SAMPLES)]
    return [*stored, *found]


class _Run:
    """One worker and what is known of it so far."""

    def __init__(self, process: subprocess.Popen[bytes], group: Group, enclosure: Enclosure) -> None:
        self._process = process
        self._group = group
        self._enclosure = enclosure
        self._timed_out = False
        self._gone = False
        self._plan_start_s: float | None = None
        self._figures: dict[str, Any] = {}
        self._done: Done | None = None
        self._checked: Checked | None = None
        self._failed: Failed | None = None
        self._ended: dict[str, float] = {}

    def converse(self, job: Job) -> None:
        """Speak with the worker as `job` lays down, until it has answered everything or is gone."""
        begin = time.monotonic()
        timer = threading.Timer(self._enclosure.timeout_s, self._time_out)
        timer.daemon = True
        timer.start()
        try:
            if not isinstance(self._ask(msgspec.json.encode(job) + b"\n"), Ready):
                return
            self._figures["startup_s"] = time.monotonic() - begin
            idle = counters.resident(counters.status(self._process.pid))
            self._figures["baseline_bytes"] = idle.now if idle else None
            expected = self._enclosure.expected_bytes
            steady.back(min(expected, self._enclosure.limits.memory_bytes or expected))
            before = self._totals()
            self._plan_start_s = time.monotonic()
            done = self._ask(GO)
            self._figures |= _difference(before, self._totals())
            if isinstance(done, Done):
                self._done = done
                checked = self._ask(CHECK)
                self._checked = checked if isinstance(checked, Checked) else None
        finally:
            timer.cancel()
            self._ended = self._group.totals()  # the group is about to be removed

    def _ask(self, message: bytes) -> Event | None:
        """Send `message` and return the worker's answer; None if it is gone."""
        assert self._process.stdin is not None  # both are pipes
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(message)
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = b""
        if not line.endswith(b"\n"):
            self._gone = True
            return None
        event: Event = msgspec.json.decode(line, type=Event)
        if isinstance(event, Failed):
            self._failed = event
        return event

    def _totals(self) -> dict[str, float]:
        """Return all running totals; the group's own go before the process's, and these before the machine's."""
        return counters.machine() | counters.process(self._process.pid) | self._group.totals()

    def _time_out(self) -> None:
        self._timed_out = True
        self._group.kill()
        self._process.kill()

    def end(self) -> None:
        """End the worker, which has answered all it will, and wait for it."""
        if self._gone:  # its own exit status is worth waiting for
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(_EXIT_S)
        self._group.kill()
        self._process.kill()
        self._process.communicate()

    def measurement(self, sampler: Sampler, started: float, errors: IO[bytes]) -> Measurement:
        """Return all that was seen."""
        outcome, detail = self._outcome(errors)
        timeline = sampler.timeline(self._plan_start_s)
        figures = self._figures | {
            "peak_bytes": sampler.highest_resident or None,
            "peak_charged_bytes": _whole(self._ended.get("peak_charged_bytes")),
            "peak_anon_bytes": max(timeline.anon_bytes, default=None),
            "peak_file_bytes": max(timeline.file_bytes, default=None),
            "peak_swap_bytes": max(timeline.swap_bytes, default=None),
            "sampler_cpu_share": round(sampler.cpu_share, 4),
            "machine_wide": tuple(n for n in counters.machine() if n in self._figures and n not in self._ended),
            "timeline": timeline,
        }
        if self._done is not None:
            figures |= {"makespan_s": self._done.makespan_s, "ledger_peak_bytes": self._done.ledger_peak_bytes}
            figures |= {"tasks": self._done.spans, "arrived_s": self._done.arrived_s, "dropped": self._done.dropped}
            figures["notices"] = self._done.notices
        if self._checked is not None:
            found = [error for error in self._checked.output_error.values() if error is not None]
            figures["output_error"] = max(found, default=None)
        return Measurement(outcome=outcome, detail=detail, started=started, ended=time.time(), **figures)

    def _outcome(self, errors: IO[bytes]) -> tuple[Outcome, str]:
        if self._timed_out:
            return "timeout", f"not done after {self._enclosure.timeout_s:g} s; --edge-timeout gives it longer"
        if self._failed is not None:
            return ("oom" if self._failed.memory else "crashed"), self._failed.message
        if self._ended.get("oom_kills"):
            limit = self._enclosure.limits.memory_bytes
            return "oom", f"killed by the kernel at its limit of {format_size(limit) if limit else 'the machine'}"
        if self._checked is None:
            return "crashed", f"{_ending(self._process.returncode)}{_last_words(errors)}"
        for r, error in self._checked.output_error.items():
            if error is None or error > self._checked.tolerance.get(r, OUTPUT_TOLERANCE):
                how = "in shape, type or NaN" if error is None else f"by {error:.3g} of its largest value"
                return "wrong", f"request {r} differs from plain PyTorch {how}"
        return "ok", ""


def _difference(before: Mapping[str, float], after: Mapping[str, float]) -> dict[str, float]:
    """Return what each running total grew by; marks and unknown totals are left out."""
    kept = before.keys() & after.keys() - {"peak_charged_bytes", "oom_kills"}
    return {n: after[n] - before[n] if n.endswith("_s") else int(after[n] - before[n]) for n in sorted(kept)}


def _whole(value: float | None) -> int | None:
    return None if value is None else int(value)


def _ending(status: int) -> str:
    return f"the worker was ended by signal {-status}" if status < 0 else f"the worker ended with status {status}"


def _last_words(errors: IO[bytes]) -> str:
    size = errors.seek(0, 2)
    errors.seek(max(0, size - _LAST_WORDS))
    words = errors.read().decode(errors="replace").strip()
    return f": {words}" if words else ""
