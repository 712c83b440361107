"""The life of a capped process, whatever is said to it: its group, its sampler, its time, its end."""

from __future__ import annotations

import os
import resource
import select
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Protocol

import msgspec

from pytest_edgeload.base.errors import Unsupported
from pytest_edgeload.base.interrupts import Interrupts
from pytest_edgeload.base.text import printable
from pytest_edgeload.base.units import format_size
from pytest_edgeload.results.record import Measurement, Outcome
from pytest_edgeload.sandbox import counters
from pytest_edgeload.sandbox.caps import Cap, Group
from pytest_edgeload.sandbox.constraints import Limits
from pytest_edgeload.sandbox.sampler import Sampler
from pytest_edgeload.sandbox.tail import Tail
from pytest_edgeload.sandbox.user import User, ourselves

THREADS = "OMP_NUM_THREADS"
"""What tells a program how many threads it may use; most libraries that compute obey."""

_PERIOD_S = 0.005
_KILL_S = 5.0
_MOST_POLL_S = 2_000_000.0  # what poll takes, which counts milliseconds
_MOST_WORDS = 1000  # characters of a detail
_STATE, _GROUP, _SESSION = 0, 2, 3  # fields of /proc/PID/stat after the command


@dataclass(frozen=True, slots=True)
class Enclosure:
    """What a worker is put into: the cap, the name of its group, its limits, and its time.

    `expected_bytes` is how much memory the run will take from the system if it may; `user` whom it runs as.
    """

    cap: Cap
    name: str
    limits: Limits
    timeout_s: float
    expected_bytes: int = 0
    user: User = field(default_factory=ourselves)

    @property
    def most_bytes(self) -> int:
        """How much the run can take of that."""
        return min(self.expected_bytes, self.limits.constraints.memory_bytes or self.expected_bytes)


@dataclass(frozen=True, slots=True)
class Start:
    """What to start, with which environment and in which folder; `stdin` and `stdout` are as for `subprocess`."""

    command: Sequence[str]
    env: Mapping[str, str]
    cwd: str | None = None
    stdin: int | IO[bytes] = subprocess.PIPE
    stdout: int = subprocess.PIPE


class Conversation(Protocol):
    """What is said to a worker and heard from it."""

    def converse(self, worker: Worker) -> None:
        """Speak until everything is answered or the worker is gone."""

    def outcome(self, worker: Worker) -> tuple[Outcome, str]:
        """Return how it ended, and why, where it was ended neither for its memory nor for its time."""

    def figures(self, worker: Worker) -> Mapping[str, Any]:
        """Return what was heard, by fields of a Measurement."""


def live(conversation: Conversation, start: Start, enclosure: Enclosure) -> Measurement:
    """Start a process, have the conversation with it, end it, and return everything seen of it.

    Its failure is a value, not an exception. Nothing of it is left when this returns or raises. Raises Unsupported
    where the cap cannot be set up or no process be started.
    """
    with Interrupts() as interrupts:
        group = enclosure.cap.open(enclosure.name, enclosure.limits)
        started = time.time()
        try:
            worker = Worker(start, group, enclosure)
            try:
                with Sampler(group, worker.pid) as sampler, interrupts.allowed():
                    conversation.converse(worker)
            finally:
                worker.end()
            outcome, detail = worker.ended_by() or conversation.outcome(worker)
            if outcome == "crashed":
                detail = enclosure.user.explain(detail)
            figures = worker.seen(sampler) | {**conversation.figures(worker)}
            ended = started + (time.monotonic() - worker.began_s)  # the clock may have been set meanwhile
            seen = Measurement(outcome=outcome, detail=_sentence(detail), started=started, ended=ended, **figures)
            return worker.explained(seen)
        finally:
            group.kill()
            with suppress(OSError):  # what is still busy is removed when the session ends
                group.close()


class Worker:
    """A process in its group, and what is known of it so far.

    `figures` are by fields of a Measurement. After `end`: `status` is the exit status, negative for a signal; `usage`
    what the process and its children took that it waited for; `ended` the totals of its group.
    """

    def __init__(self, start: Start, group: Group, enclosure: Enclosure) -> None:
        self.group = group
        self.enclosure = enclosure
        self.errors = Tail()
        self.figures: dict[str, Any] = {}
        self.awaited = "done"
        self.status: int | None = None
        self.usage: resource.struct_rusage | None = None
        self.ended: dict[str, float] = {}
        self._alive: dict[str, float] = {}
        self._timed_out = False
        self._lives_on = False
        self._timer: threading.Timer | None = None
        self._clock_s: float | None = None
        self.began_s = time.monotonic()
        user = enclosure.user
        try:
            for output in (self.errors.fd, start.stdout):
                if output != subprocess.PIPE:  # which no program sees: a worker's own answers
                    user.own(output)
            command, env = user.command_line(group.enter, start.command, start.env)
            self.process = subprocess.Popen(
                command,
                stdin=start.stdin,
                stdout=start.stdout,
                stderr=self.errors.fd,
                env=env,
                cwd=start.cwd,
                start_new_session=True,  # Ctrl-C is pytest's to handle; it ends the worker below
            )
        except BaseException as error:
            self.errors.close()
            if isinstance(error, OSError):  # no memory or process left, or more arguments than the kernel takes
                raise Unsupported(f"{start.command[0]} could not be started: {error.strerror}") from error
            raise
        self.pid = self.process.pid
        try:
            self.errors.started()
        except BaseException:  # no thread could be started; nobody else would wait for the process
            self.end()
            raise

    @contextmanager
    def timed(self) -> Iterator[None]:
        """Kill the worker if what is done in this context takes longer than it may."""
        self._timer = threading.Timer(self._left_s(), self._time_out)
        self._timer.daemon = True
        try:
            self._timer.start()
            yield
        finally:
            self._stop_timer()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            if self._timer.ident is not None:  # Ctrl-C may have come before it had started
                self._timer.join()

    @contextmanager
    def on_the_clock(self) -> Iterator[None]:
        """Take down what each running total grows by in this context."""
        before = self.totals()
        self._clock_s = time.monotonic()
        yield
        self.grown_since(before)

    def grown_since(self, before: Mapping[str, float]) -> None:
        """Take down what each running total has grown by."""
        self.figures |= _difference(before, self.totals())

    def totals(self) -> dict[str, float]:
        """Return all running totals; the group's own go before the process's, and these before the machine's."""
        return counters.machine() | counters.process(self.pid) | self.group.totals()

    def start_clock(self) -> dict[str, float]:
        """Return the totals at the very start, when the process itself has done nothing yet."""
        self._clock_s = self.began_s
        return counters.machine() | dict.fromkeys(counters.process(self.pid), 0.0) | self.group.totals()

    def wait(self, at_most_s: float) -> bool:
        """Wait for the end of the process, which leaves its /proc files readable; tell whether it came."""
        deadline = time.monotonic() + at_most_s
        while not self.is_over():
            if time.monotonic() > deadline:
                return False
            time.sleep(_PERIOD_S)
        return True

    def wait_in_time(self) -> None:
        """Wait for the end of the process as long as it can take."""
        watched = os.pidfd_open(self.pid)
        try:
            poll = select.poll()
            poll.register(watched, select.POLLIN)
            while (left_s := self._patience_s()) > 0 and not poll.poll(1000 * min(left_s, _MOST_POLL_S)):
                pass
        finally:
            os.close(watched)

    def can_end_yet(self) -> bool:
        """Tell whether it is not long past its time: one that has gained other rights lives on when it is killed."""
        return self._patience_s() > 0

    def _patience_s(self) -> float:
        return self._left_s() + _KILL_S

    def _left_s(self) -> float:
        return self.enclosure.timeout_s - (time.monotonic() - self.began_s)

    def is_over(self) -> bool:
        """Tell whether the process has ended."""
        return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is not None

    def _time_out(self) -> None:
        self._timed_out = True
        self._kill()

    def _kill(self) -> None:
        if not self._alive:  # what it was refused by its limit; a group that is killed may not fork at all
            self._alive = self.group.totals()
        self.group.kill()
        _kill_session(self.pid)  # all there is where no group knows its processes

    def end(self) -> None:
        """End the worker and all that it started, and wait for it."""
        self._stop_timer()  # again, for Ctrl-C may have come just before it was; nothing comes here
        self._kill()
        self._lives_on = self._is_of_another() and not self.wait(_KILL_S)
        if not self._lives_on:
            _, status, self.usage = os.wait4(self.pid, 0)
            self.status = self.process.returncode = os.waitstatus_to_exitcode(status)
        self.ended = self.group.totals()  # the group is about to be removed
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                with suppress(BrokenPipeError):
                    pipe.close()

    def _is_of_another(self) -> bool:
        """Tell whether it has gained other rights, as by sudo, so that it is not ours to end."""
        try:
            os.kill(self.pid, 0)
        except PermissionError:
            return True
        return False

    def ended_by(self) -> tuple[Outcome, str] | None:
        """Return the outcome of a worker that lost its group, or was ended for its time or its memory."""
        if self.enclosure.cap.enforces and not self.ended:
            return "crashed", f"somebody else removed its group {self.enclosure.name}, so nothing held its limits"
        if self._lives_on:
            return (
                "crashed",
                f"it has gained other rights than pytest's, which could not end it: process {self.pid} lives on",
            )
        if self._timed_out:
            return "timeout", f"not {self.awaited} after {self.enclosure.timeout_s:g} s; raise the timeout"
        if self.ended.get("oom_kills"):
            limit = self.enclosure.limits.constraints.memory_bytes
            return "oom", f"killed by the kernel at its limit of {format_size(limit) if limit else 'the machine'}"
        return None

    def explained(self, seen: Measurement) -> Measurement:
        """Return what was seen, and in words whether it was refused processes."""
        if not self._alive.get("fork_refusals"):
            return seen
        words = f"it reached its limit of {self._alive['max_processes']} processes and threads"
        if seen.outcome == "ok":
            return msgspec.structs.replace(seen, notices=(*seen.notices, words))
        return msgspec.structs.replace(seen, detail=f"{seen.detail}; {words}")

    def seen(self, sampler: Sampler) -> dict[str, Any]:
        """Return all that was seen from outside, by fields of a Measurement."""
        timeline = sampler.timeline(self._clock_s)
        peak, baseline = self.ended.get("peak_charged_bytes"), self.figures.get("baseline_bytes")
        return self.figures | {
            "peak_bytes": max(sampler.highest_resident, self._highest_resident(), baseline or 0) or None,
            "peak_charged_bytes": None if peak is None else int(peak),
            "peak_anon_bytes": max(timeline.anon_bytes, default=None),
            "peak_file_bytes": max(timeline.file_bytes, default=None),
            "peak_swap_bytes": max(timeline.swap_bytes, default=None),
            "sampler_cpu_share": round(sampler.cpu_share, 4),
            "machine_wide": tuple(n for n in counters.machine() if n in self.figures and n not in self.ended),
            "timeline": timeline,
        }

    def _highest_resident(self) -> int:
        """Return the high-water mark of the largest process, 0 where that is not known.

        The kernel counts a process before it executes anything as large as the one it came from, which is us.
        """
        own = counters.resident(counters.status(os.getpid()))
        highest = 0 if self.usage is None else self.usage.ru_maxrss * 1024
        return highest if own is not None and highest > own.highest else 0

    def ending(self, who: str) -> str:
        """Return in words how the process ended, and its last words."""
        assert self.status is not None  # it has ended
        how = f"was ended by signal {-self.status}" if self.status < 0 else f"ended with status {self.status}"
        return f"{who} {how}"


def _difference(before: Mapping[str, float], after: Mapping[str, float]) -> dict[str, float]:
    """Return what each running total grew by; marks and unknown totals are left out."""
    kept = before.keys() & after.keys() - {"peak_charged_bytes", "oom_kills", "fork_refusals", "max_processes"}
    kept = {name for name in kept if after[name] >= before[name]}  # one that went back tells nothing
    return {n: after[n] - before[n] if n.endswith("_s") else int(after[n] - before[n]) for n in sorted(kept)}


def _sentence(detail: str) -> str:
    """Return what others may have said of an ending on one line that no terminal obeys, cut where it is long."""
    return printable(" ".join(detail[:_MOST_WORDS].split()))


def with_words(ending: str, *tails: Tail) -> str:
    """Return `ending` and the last words of the first that has some."""
    words = next((words for tail in tails if (words := tail.words())), "")
    return f"{ending}: {words}" if words else ending


def _kill_session(leader: int) -> None:
    """Kill every process of the session of `leader`, which nobody has waited for yet, until none is left.

    By groups: a fork is not outrun by a signal to all of its group, and one that is being killed does not fork.
    """
    groups, deadline = {leader}, time.monotonic() + _KILL_S
    while groups and time.monotonic() < deadline:
        for group in groups:
            with suppress(ProcessLookupError, PermissionError):  # what gained other rights is not ours to end
                os.killpg(group, signal.SIGKILL)
        time.sleep(_PERIOD_S)
        groups = _groups(leader)


def _groups(leader: int) -> set[int]:
    """Return the process groups of a session that have processes which have not ended."""
    found = set()
    for name in filter(str.isdecimal, os.listdir("/proc")):  # noqa: PTH208  # names are all it takes, often
        with suppress(OSError, IndexError):
            fields = Path(f"/proc/{name}/stat").read_text().rpartition(")")[2].split()
            if int(fields[_SESSION]) == leader and fields[_STATE] not in {"Z", "X"}:
                found.add(int(fields[_GROUP]))
    return found
