"""A capped process from outside: it is started, timed and killed, and its totals are read."""

from __future__ import annotations

import os
import resource
import select
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from typing import cast

import msgspec

from pytest_edgeload.base.errors import Unsupported
from pytest_edgeload.base.text import printable
from pytest_edgeload.base.tracebacks import bounded_lines
from pytest_edgeload.base.units import format_size
from pytest_edgeload.results.measurement import Measurement, Outcome, Timeline
from pytest_edgeload.sandbox import counters, peak
from pytest_edgeload.sandbox.board.monitor import Monitor
from pytest_edgeload.sandbox.caps import Group
from pytest_edgeload.sandbox.counters import Memory, Totals
from pytest_edgeload.sandbox.enclosure import Enclosure, Start
from pytest_edgeload.sandbox.inbox import Inbox
from pytest_edgeload.sandbox.process import ChildProcess, spawn
from pytest_edgeload.sandbox.sampler import Sampler
from pytest_edgeload.sandbox.tail import Tail

_PERIOD_S = 0.005
_KILL_S = 5.0
_MAX_POLL_S = 2_000_000.0  # poll(2) counts milliseconds in an int
_MAX_DETAIL_CHARACTERS = 1000
_SWAP = frozenset({"swap_in_bytes", "swap_out_bytes"})
_THROTTLED = "the processor was throttled during a round; cool the board, or use a stronger power supply"


class Worker:
    """A process in its group, and the observations of it so far.

    `awaited` is the state that a worker that runs out of time has not reached, and `notices` are sentences for its row.
    After `end`, `status` is the exit status, negative for a signal, and `usage` the resources of the process and of the
    children that it waited for.
    """

    def __init__(self, start: Start, group: Group, enclosure: Enclosure, inbox: Inbox) -> None:
        self.enclosure = enclosure
        self.inbox = inbox
        self.errors = Tail()
        self.monitor = Monitor(enclosure.board)
        self.awaited = "done"
        self.notices: tuple[str, ...] = ()
        self.startup_s: float | None = None
        self.baseline_bytes: int | None = None
        self.status: int | None = None
        self.usage: resource.struct_rusage | None = None
        self._group = group
        self._growth = Totals()
        self._totals_before_kill = Totals()
        self._final_totals = Totals()
        self._is_timed_out = False
        self._lives_on = False
        self._timer: threading.Timer | None = None
        self._clock_s: float | None = None
        self._outer = enclosure.cap.outer()
        self._outer_hits = self._outer.hits()
        self.process = self._start(start)
        self.began_s = self.process.began_s
        self.pid = self.process.pid
        try:
            self.errors.drain()
        except BaseException:  # no thread could be started, and no one else would wait for the process
            self.end()
            raise

    def _start(self, start: Start) -> ChildProcess:
        user = self.enclosure.user
        try:
            for output in (self.errors.fd, start.stdout):
                if output != subprocess.PIPE:  # a pipe is for a worker's own answers, which programs do not see
                    user.own(output)
            enter = (*self._group.enter, *self.enclosure.behind)
            command, env = user.command_line(enter, start.command, start.env)
            return spawn(command, env, stdin=start.stdin, stdout=start.stdout, stderr=self.errors.fd, cwd=start.cwd)
        except BaseException as error:
            self.errors.close()
            if isinstance(error, OSError):  # no memory or process left, or more arguments than the kernel takes
                raise Unsupported(start.command[0], f"could not be started: {error.strerror}") from error
            raise

    # ---- its time ----------------------------------------------------------------------------------------------

    @contextmanager
    def timed(self) -> Iterator[None]:
        """Kill the worker if it runs out of time in this context."""
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

    def _time_out(self) -> None:
        self._is_timed_out = True
        self._kill()

    def _left_s(self) -> float:
        return self.enclosure.timeout_s - (time.monotonic() - self.began_s)

    def _patience_s(self) -> float:
        return self._left_s() + _KILL_S

    def can_end_yet(self) -> bool:
        """Return whether it is not long past its time: a process that gained other rights survives a kill."""
        return self._patience_s() > 0

    # ---- its totals --------------------------------------------------------------------------------------------

    def report_ready(self) -> None:
        """Record that the worker is ready: its startup time and its resident memory."""
        self.startup_s = time.monotonic() - self.began_s
        idle, group = counters.resident(counters.status(self.pid)), self._group.memory(self.pid)
        self.baseline_bytes = max(idle.now, group.anon if group else 0) if idle else None

    @contextmanager
    def on_the_clock(self) -> Iterator[None]:
        """Record the growth of each running total in this context, and the board's sensors."""
        before = self._totals()
        with self.monitor:
            self._clock_s = time.monotonic()
            yield
            self.record_growth(before)

    def start_clock(self) -> Totals:
        """Return the totals at the start, when the process itself has done nothing yet."""
        self._clock_s = self.began_s
        zero = Totals(minor_faults=0, major_faults=0, cpu_s=0.0, read_bytes=0)
        return counters.machine() | self._group.totals(self.pid) | zero

    def record_growth(self, before: Totals) -> None:
        """Record the growth of each running total since `before`."""
        self._growth |= counters.growth(before, self._totals())

    def _totals(self) -> Totals:
        """Return all running totals: the group's own rather than the machine's."""
        return counters.machine() | self._group.totals(self.pid)

    # ---- its end -----------------------------------------------------------------------------------------------

    def is_over(self) -> bool:
        """Return whether the process has ended."""
        return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is not None

    def wait(self, max_s: float) -> bool:
        """Wait for the end of the process, which keeps its /proc files readable; return whether it came."""
        deadline = time.monotonic() + max_s
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
            while (left_s := self._patience_s()) > 0 and not poll.poll(1000 * min(left_s, _MAX_POLL_S)):
                pass
        finally:
            os.close(watched)

    def _kill(self) -> None:
        with ExitStack() as steps:  # the last one first, and each even if another fails
            steps.callback(_kill_session, self.pid)  # without a group the session is all that is known of its processes
            steps.callback(self._group.kill)
            if not self._totals_before_kill:  # a group that is being killed refuses every fork
                self._totals_before_kill = self._group.totals(self.pid)

    def end(self) -> None:
        """End the worker and all that it started, and wait for it."""
        with ExitStack() as steps:  # the last one first, and each even if another fails
            steps.callback(self._close_pipes)
            steps.callback(self._reap)
            steps.callback(self._kill)
            self._stop_timer()  # again, because Ctrl-C may have come just before it was; none comes here

    def _reap(self) -> None:
        self._lives_on = self._has_other_rights() and not self.wait(_KILL_S)
        if not self._lives_on:
            _, status, self.usage = os.wait4(self.pid, 0)
            self.status = os.waitstatus_to_exitcode(status)
        self._final_totals = self._group.totals(self.pid)  # the group is about to be removed

    def _close_pipes(self) -> None:
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                with suppress(BrokenPipeError):
                    pipe.close()

    def left(self) -> Memory | None:
        """Return the memory of the group, now that it has ended; None if it is not known, or some process lives on."""
        return None if self._lives_on else self._group.memory(self.pid)

    def _has_other_rights(self) -> bool:
        """Return whether it gained other rights, as by sudo, so that this process cannot end it."""
        try:
            os.kill(self.pid, 0)
        except PermissionError:
            return True
        return False

    def ending(self, who: str) -> str:
        """Return a sentence about how the process ended. `who` is its subject."""
        if self.status is None:
            return f"{who} did not end"
        how = f"was ended by signal {-self.status}" if self.status < 0 else f"ended with status {self.status}"
        return f"{who} {how}"

    # ---- its measurement ---------------------------------------------------------------------------------------

    def complete(self, reported: Measurement, sampler: Sampler, started: float) -> Measurement:
        """Return the measurement that a conversation reported with the observations of the worker and the sampler.

        Of a total that was reported and observed, the larger counts: each of them misses some processes. `started` is
        the Unix time of the start.
        """
        timeline = sampler.timeline(self._clock_s)
        growth = {**cast("Mapping[str, float]", self._growth)}
        machine_cpu_s = growth.pop("machine_cpu_s", None)
        machine_wide = [name for name in counters.machine() if name in growth and name not in self._final_totals]
        if self._cannot_have_swapped(timeline):
            growth |= dict.fromkeys(_SWAP & {*machine_wide}, 0)
            machine_wide = [name for name in machine_wide if name not in _SWAP]
        totals = {name: max(value, getattr(reported, name) or 0) for name, value in growth.items()}
        if machine_cpu_s is not None and "cpu_s" in totals:
            totals["others_cpu_s"] = max(0.0, machine_cpu_s - totals["cpu_s"])
        board = self.monitor.metrics()
        throttled = (_THROTTLED,) if board.get("throttled_s") else ()
        group_peak_bytes = peak.group_peak_bytes(timeline, self._final_totals)
        highest = max(sampler.highest_resident, self._highest_resident(), group_peak_bytes)
        return self._with_refusals(
            msgspec.structs.replace(
                reported,
                detail=_one_line(reported.detail),
                traceback=bounded_lines(reported.traceback),
                notices=(*reported.notices, *self.notices, *throttled),
                started=started,
                ended=started + (time.monotonic() - self.began_s),  # the system's clock may have been set meanwhile
                startup_s=self.startup_s,
                baseline_bytes=self.baseline_bytes,
                peak_bytes=max(highest, self.baseline_bytes or 0) or None,
                peak_charged_bytes=self._final_totals.get("peak_charged_bytes"),
                peak_anon_bytes=group_peak_bytes or None,
                peak_file_bytes=max(timeline.file_bytes, default=None),
                peak_swap_bytes=max(timeline.swap_bytes, default=None),
                sampler_cpu_share=round(sampler.cpu_share, 4),
                machine_wide=tuple(machine_wide),
                timeline=timeline,
                **totals,
                **board,
            )
        )

    def _cannot_have_swapped(self, timeline: Timeline) -> bool:
        """Return whether no limit made the group swap, and none of its memory was seen in swap, which it counts.

        Then the swap traffic of the machine is that of other programs, or the kernel swapped memory that nobody used.
        """
        if not self._group.counts_swap or any(timeline.swap_bytes):
            return False
        if any(limit.resource == "memory_bytes" for limit in self._outer.limits):
            return False
        return peak.is_below(self.enclosure.limits.constraints.memory_bytes, self._final_totals)

    def outside_end(self) -> tuple[Outcome, str] | None:
        """Return the outcome of a worker that lost its group, or was ended for its time or its memory."""
        if self.enclosure.cap.enforces and not self._final_totals:
            return "crashed", f"its group {self.enclosure.name} was removed by another program, so it had no limits"
        if self._lives_on:
            return (
                "crashed",
                f"it gained other rights than pytest's, which could not end it: process {self.pid} lives on",
            )
        if self._is_timed_out:
            return "timeout", f"not {self.awaited} after {self.enclosure.timeout_s:g} s; raise the timeout"
        if self._final_totals.get("oom_kills"):
            return "oom", f"killed by the kernel {self._reached()}"
        return None

    def _reached(self) -> str:
        """Return the limit at which the kernel killed a process of the group."""
        limit_bytes = self.enclosure.limits.constraints.memory_bytes
        if limit_bytes and self._final_totals.get("limit_hits") != 0:
            return f"at its limit of {format_size(limit_bytes)}"
        outer = self._outer.reached(self._outer_hits)
        if outer is None:
            return "because the machine had no memory left"
        own = f", before its own of {format_size(limit_bytes)}" if limit_bytes else ""
        return f"at the limit of the groups around it, {outer}{own}"

    def _with_refusals(self, measurement: Measurement) -> Measurement:
        """Return the measurement, with a sentence if the worker reached its limit of processes."""
        totals = self._totals_before_kill
        if not totals.get("fork_refusals"):
            return measurement
        words = f"it reached its limit of {totals['max_processes']} processes and threads"
        if measurement.outcome == "ok":
            return msgspec.structs.replace(measurement, notices=(*measurement.notices, words))
        return msgspec.structs.replace(measurement, detail=f"{measurement.detail}; {words}")

    def _highest_resident(self) -> int:
        """Return the high-water mark of the largest process that was waited for; 0 if it is not known."""
        highest = 0 if self.usage is None else self.usage.ru_maxrss * 1024
        return highest if highest > self.process.inherited_bytes else 0


def _one_line(detail: str) -> str:
    """Return a detail, which may quote a program, as one printable line of limited length."""
    return printable(" ".join(detail[:_MAX_DETAIL_CHARACTERS].split()))


def with_words(ending: str, *tails: Tail) -> str:
    """Return `ending` and the last words of the first tail that has some."""
    words = next((words for tail in tails if (words := tail.words())), "")
    return f"{ending}: {words}" if words else ending


def _kill_session(leader: int) -> None:
    """Kill every process of the session of `leader`, which was not waited for yet, until none is left.

    By groups: a signal to a whole group outruns a fork, and a process that is being killed does not fork.
    """
    groups, deadline = {leader}, time.monotonic() + _KILL_S
    while groups and time.monotonic() < deadline:
        for group in groups:
            with suppress(ProcessLookupError, PermissionError):  # a process that gained other rights is not ours to end
                os.killpg(group, signal.SIGKILL)
        time.sleep(_PERIOD_S)
        groups = _groups(leader)


def _groups(leader: int) -> set[int]:
    """Return the process groups of a session that have processes which have not ended."""
    groups = set()
    try:
        names = os.listdir("/proc")  # noqa: PTH208  # paths would cost more, many times a second
    except OSError:  # too many open files, for now
        return {leader}
    for name in filter(str.isdecimal, names):
        with suppress(OSError):
            fields = counters.stat(name)
            if fields.session == leader and fields.state not in {"Z", "X"}:
                groups.add(fields.process_group)
    return groups
