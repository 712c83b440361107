"""Launches the processes of a session under its cap and swap: one at a time on this host, or on cores of their own."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import msgspec
import psutil

from pytest_edgeload.base.errors import Setting, Unsupported, pieces
from pytest_edgeload.base.locks import QUIET_S, silent
from pytest_edgeload.base.text import printable
from pytest_edgeload.base.units import exact_size, format_size
from pytest_edgeload.devices import Device
from pytest_edgeload.devices.constraints import Constraints, Shortfall
from pytest_edgeload.engine.reader_choice import accept_direct
from pytest_edgeload.job import Job
from pytest_edgeload.measuring.progress import in_words
from pytest_edgeload.measuring.sharing import Overlap, host_room, identities, without_machine_totals
from pytest_edgeload.networks.compressed import read_weight_files
from pytest_edgeload.planning.reader_names import DIRECT
from pytest_edgeload.results.case import HOST, Visible
from pytest_edgeload.results.measurement import Measurement, ThrottledRun
from pytest_edgeload.results.sharing import Sharing
from pytest_edgeload.sandbox import visible
from pytest_edgeload.sandbox.board.monitor import Board
from pytest_edgeload.sandbox.caps import Cap
from pytest_edgeload.sandbox.caps.outer import OuterLimit, tighter
from pytest_edgeload.sandbox.constraints import Limits, cores_of, limits_of, unthrottled
from pytest_edgeload.sandbox.cores import on_cores
from pytest_edgeload.sandbox.enclosure import Enclosure
from pytest_edgeload.sandbox.environment import inherited
from pytest_edgeload.sandbox.launch import launch
from pytest_edgeload.sandbox.lock import host_lock, shared_turn
from pytest_edgeload.sandbox.owner import PREFIX
from pytest_edgeload.sandbox.scratch import Scratch
from pytest_edgeload.sandbox.sharing import MachinePart, SharedMachine
from pytest_edgeload.sandbox.swap import Swap
from pytest_edgeload.sandbox.trial import can_open, shortfalls
from pytest_edgeload.sandbox.user import User, ourselves

_BY_AFFINITY = "no cpuset held it to its cores, only an affinity, which a program can change"


@dataclass(frozen=True)
class Launcher:
    """The cap, the swap and the user of all processes of a session.

    They inherit the environment without the variables of instruments, except those that `keep` names.
    `session` is the tag of the session's owner, and part of the name of each group. `say` receives a line about each
    wait of more than `quiet_s` for another run. With `overlap`, runs overlap that fit in its room side by side. A run
    alone during which the processor was throttled is repeated up to `repeats` times, if that has no effects, each time
    after a wait for the board to cool; `tell` receives a line about each such wait.
    """

    cap: Cap
    swap: Swap
    session: str
    timeout_s: float
    user: User = field(default_factory=ourselves)
    say: Callable[[str], None] = silent
    quiet_s: float = QUIET_S
    overlap: Overlap | None = None
    keep: Sequence[str] = ()
    repeats: int = 0
    tell: Callable[[str], None] = silent
    board: Board = field(default_factory=Board.of_host)
    _serial: itertools.count[int] = field(default_factory=itertools.count)
    _waits_s: list[float] = field(default_factory=list)  # since the last measurement

    def launch(self, job: Job, constraints: Constraints, expected_bytes: int, view: Visible = HOST) -> Measurement:
        """Start a worker that carries out `job` and return its measurement. Raises Unsupported."""
        weights = [path for folder in job.networks for path in read_weight_files(Path(folder), job.store)]
        is_direct = job.program is None and job.reader == DIRECT and self.overlap is not None and _all_direct(weights)
        start = partial(launch, job)
        return self.launch_with(
            start, weights, constraints, expected_bytes, view, is_direct=is_direct, is_repeatable=True
        )

    def launch_with(
        self,
        start: Callable[[Enclosure], Measurement],
        files: Sequence[Path],
        constraints: Constraints,
        expected_bytes: int,
        view: Visible = HOST,
        *,
        is_direct: bool = False,
        is_repeatable: bool = False,
    ) -> Measurement:
        """Wait for this session's turn, and `start` a process that reads `files`. Raises Unsupported.

        See `Enclosure` for `expected_bytes`. `view` is the memory that the process sees. All its reads pass the page
        cache if `is_direct`, and a run that `is_repeatable` can be started again.
        """
        free = unthrottled(constraints, files)
        throttled = [file for file in files if file not in free]

        def run(part: MachinePart | None, cores: tuple[int, ...]) -> Measurement:
            # The limits are computed in our turn: the swap of others may have come or gone.
            limits = self._limits(constraints, throttled, part, cores)
            if not cores:
                self.board.rest()
            with visible.shown(view, limits) as behind, on_cores(cores):
                return start(self.enclosure(limits, expected_bytes, behind, cores))

        part: MachinePart | str = ""
        if self.overlap is not None:
            part = self.overlap.room.part(constraints, identities(files), is_direct=is_direct)
        if self.overlap is not None and isinstance(part, MachinePart):
            measurement = self._next_to_others(self.overlap, part, partial(run, part), is_repeatable=is_repeatable)
        else:
            with self.turn():
                measurement = self._unthrottled(partial(run, None, ()), self.repeats if is_repeatable else 0)
            measurement = msgspec.structs.replace(measurement, sharing=Sharing(reason=str(part)))
        notices = [
            printable(f"{file} is not on a disk that can be throttled, so it was read at full speed") for file in free
        ]
        notices += [f"a group around it held it to {limit}" for limit in self._held_to(constraints)]
        notices += _beyond_machine(constraints)
        if measurement.repeated:
            waits = ", then ".join(f"{each.cooled_s:.0f} s" for each in measurement.repeated)
            notices.append(f"the processor was throttled in a round, which was repeated after a wait of {waits}")
        if self.user.notice:
            notices.append(self.user.notice)
        waited_s = sum(self._waits_s)
        self._waits_s.clear()
        return msgspec.structs.replace(measurement, waited_s=waited_s, notices=(*measurement.notices, *notices))

    def _next_to_others(
        self, overlap: Overlap, part: MachinePart, run: Callable[[tuple[int, ...]], Measurement], *, is_repeatable: bool
    ) -> Measurement:
        """Run once there is room for this part of the machine; repeat it alone if the session needs such a pair."""
        with shared_turn(part, overlap.room, self.say, self.quiet_s) as seat:
            self._waits_s.append(seat.waited_s)
            before = seat.neighbours()
            measurement = run(seat.cores)
            ready = measurement.started + (measurement.startup_s or 0.0)
            has_neighbour = seat.neighbours(since=ready) > 0  # during the whole plan
            neighbours = max(before, seat.neighbours())
        sharing = Sharing(seat.cores, neighbours, seat.reason)
        if is_repeatable and has_neighbour and measurement.outcome == "ok" and overlap.take_pair():
            with suppress(Unsupported), self.turn():  # the first run stays
                alone = run(seat.cores)
                if alone.outcome == "ok":
                    sharing = msgspec.structs.replace(sharing, alone_s=alone.makespan_s)
        measurement = without_machine_totals(measurement, sharing)
        notices = () if overlap.room.by_cpuset else (_BY_AFFINITY,)
        return msgspec.structs.replace(measurement, notices=(*measurement.notices, *notices))

    def _unthrottled(self, run: Callable[[], Measurement], repeats: int) -> Measurement:
        """Return the run, repeated while the processor was throttled during it, with the figures of those before."""
        measurement = run()
        while measurement.throttled_s and len(measurement.repeated) < repeats:
            number = f"repeat {len(measurement.repeated) + 1} of at most {repeats}"
            limit = f"waiting up to {in_words(self.board.cool_s)} until it is cool"
            self.tell(f"edgeload: the processor was throttled for {measurement.throttled_s:.1f} s; {limit}, {number}")
            cooled_s = self.board.cool()
            throttled = ThrottledRun(
                throttled_s=measurement.throttled_s,
                cooled_s=cooled_s,
                makespan_s=measurement.makespan_s,
                max_temperature_c=measurement.max_temperature_c,
            )
            measurement = msgspec.structs.replace(run(), repeated=(*measurement.repeated, throttled))
        return measurement

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Hold the lock that lets one measured run at a time happen on this host. Raises Unsupported."""
        with host_lock(self.say, self.quiet_s) as waited_s:
            self._waits_s.append(waited_s)
            yield

    def enclosure(
        self, limits: Limits, expected_bytes: int = 0, behind: tuple[str, ...] = (), cores: tuple[int, ...] = ()
    ) -> Enclosure:
        """Return a new enclosure with these limits. Start a process in it only in this session's `turn`."""
        return Enclosure(
            cap=self.cap,
            name=self._group_name(),
            limits=limits,
            timeout_s=self.timeout_s,
            expected_bytes=expected_bytes,
            user=self.user,
            env=inherited(self.keep),
            scratch=Scratch.of_host(cores),
            behind=behind,
            board=self.board,
        )

    def check_reads(self, read_bps: int, folder: Path) -> None:
        """Raise Unsupported if reads of the files in `folder` cannot be throttled to `read_bps`."""
        limits = self._limits(Constraints(read_bps=read_bps), [folder])
        try:
            self.cap.open(self._group_name(), limits).close()
        except Unsupported as error:
            hint = (*pieces(error.hint), ", or leave it out") if error.hint else "leave it out"
            raise error.within(Setting("read-bw", exact_size(read_bps)), hint) from error

    def room_of_host(self) -> SharedMachine:
        """Return this machine as runs share it, after a trial of the cpuset. Raises Unsupported."""
        cores = Limits(own_cores=cores_of(os.cpu_count() or 1))
        by_cpuset = can_open(self.cap, self._group_name(), lambda: cores)
        return host_room(self.cap, self.swap, by_cpuset=by_cpuset)

    def shortfalls(self, device: Device, folder: Path) -> tuple[Shortfall, ...]:
        """Return the device's constraints that this machine does not enforce for a worker that reads in `folder`."""
        return shortfalls(
            self.cap,
            self._group_name,
            device.constraints,
            lambda alone: self._limits(alone, [folder]),
            self.swap,
            device.swap_kind,
        )

    def _limits(
        self,
        constraints: Constraints,
        files: Iterable[Path],
        part: MachinePart | None = None,
        cores: tuple[int, ...] = (),
    ) -> Limits:
        """Return the limits of a worker that reads `files` and has these cores and this part of the machine.

        Raises Unsupported.
        """
        limits = limits_of(constraints, files, self.swap)
        if part is None:
            return limits
        held = msgspec.structs.replace(constraints, swap_bytes=part.swap_bytes)
        by_cpuset = self.overlap is not None and self.overlap.room.by_cpuset
        return replace(limits, constraints=held, own_cores=cores if by_cpuset else ())

    def _held_to(self, constraints: Constraints) -> list[OuterLimit]:
        """Return the limits of outer groups that hold a worker tighter than `constraints` and the swap do."""
        swap_bytes = self.swap.size_bytes if self.swap.usable else 0
        if constraints.swap_bytes is not None:
            swap_bytes = min(swap_bytes, constraints.swap_bytes)
        return tighter(self.cap.outer().limits, constraints, swap_bytes, len(cores_of(os.cpu_count() or 1)))

    def _group_name(self) -> str:
        return f"{PREFIX}{self.session}-{os.getpid()}-{next(self._serial)}"


def _all_direct(files: Iterable[Path]) -> bool:
    with suppress(OSError):  # the run itself fails with it
        return accept_direct(files)
    return False


def _beyond_machine(constraints: Constraints) -> list[str]:
    """Return a sentence about a memory limit that is more than the machine has."""
    limit_bytes, total_bytes = constraints.memory_bytes or 0, psutil.virtual_memory().total
    if limit_bytes <= total_bytes:
        return []
    return [f"its limit of {exact_size(limit_bytes)} has no effect: this machine has {format_size(total_bytes)}"]
