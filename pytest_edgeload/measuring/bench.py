"""The only place that knows the whole road from a case to its measurement."""

from __future__ import annotations

import hashlib
import itertools
import os
import pickle
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import msgspec

from pytest_edgeload.base.errors import Unsupported, UsageError
from pytest_edgeload.base.files import OURS, noting, write
from pytest_edgeload.base.locks import silent
from pytest_edgeload.base.text import printable
from pytest_edgeload.base.units import Limit, exact_size
from pytest_edgeload.job import Job, JobRequest, Program, search_path
from pytest_edgeload.measuring.peers import Peer, check_askable
from pytest_edgeload.networks.registry import Progress, Registry
from pytest_edgeload.networks.store import weight_files
from pytest_edgeload.networks.tile import needed
from pytest_edgeload.planning.budget import budget_bytes, enforced_bytes, speeds
from pytest_edgeload.planning.plan import Budget, InvalidPlan, Plan
from pytest_edgeload.planning.simulate import peak_bytes
from pytest_edgeload.policies import Policy, make_plan
from pytest_edgeload.results.derived import Bound, complete
from pytest_edgeload.results.record import Case, Measurement
from pytest_edgeload.sandbox.caps import Cap
from pytest_edgeload.sandbox.command import Command, launch_command
from pytest_edgeload.sandbox.hold import Hold, limits_of, loose, unenforced
from pytest_edgeload.sandbox.launch import Calling, launch, launch_call
from pytest_edgeload.sandbox.life import Enclosure
from pytest_edgeload.sandbox.limits import Limits
from pytest_edgeload.sandbox.lock import host_lock
from pytest_edgeload.sandbox.owner import PREFIX
from pytest_edgeload.sandbox.swap import Swap
from pytest_edgeload.sandbox.user import User, ourselves
from pytest_edgeload.workload import Mix, Workload
from pytest_edgeload.workload.conditions import check_conditions

_IDLE, _IDLE_CALL = "idle_bytes", "idle_call_bytes"
_SERVICE_RUNS = 3
_COPIES = 2  # of the weights, in a peer that copies them into a module
_PROBES = 3  # workers, of which the quickest counts: whatever disturbs one makes it slower
_COMPUTED = 5  # requests, of which the mean is taken


@dataclass(frozen=True)
class Bench:
    """What stays the same for all measurements of a session on this host.

    `session` is the tag of the process that owns the session, `folder` what its processes share.
    """

    registry: Registry
    policies: Mapping[str, Policy]
    cap: Cap
    swap: Swap
    session: str
    folder: Path
    timeout_s: float
    progress: Progress
    peers: Mapping[str, Peer] = field(default_factory=dict)
    user: User = field(default_factory=ourselves)
    say: Callable[[str], None] = silent
    _said: set[str] = field(default_factory=set)
    _serial: itertools.count[int] = field(default_factory=itertools.count)

    @property
    def names(self) -> tuple[str, ...]:
        """All that the policy of a case can be."""
        return (*self.policies, *self.peers)

    def idle_bytes(self) -> int:
        """Return the resident memory of a worker that does nothing; measured once in a session. Raises Unsupported."""
        return self._noted_idle(_IDLE, measure_idle_bytes)

    def _noted_idle(self, name: str, measured: Callable[[Enclosure], int]) -> int:
        note = self.folder / name
        with host_lock(self._say_once):
            if note.exists():
                return int(note.read_text())
            idle = measured(self._enclosure(Limits(swap=self.swap.usable)))
            with noting(self.folder):
                write(note, str(idle).encode(), OURS)
            return idle

    def limit_bytes(self, limit: Limit | None) -> int | None:
        """Return the bytes to enforce for `limit`. Raises UsageError for a limit that even an idle worker exceeds."""
        return None if limit is None else enforced_bytes(limit, self.idle_bytes())

    def program_bytes(self, limit: Limit | None, program: Calling | Command) -> int | None:
        """Return the bytes to enforce for `limit` on a program; `base` is what the worker that calls functions needs.

        Raises UsageError for a limit that this exceeds, or that is relative to it where there is no such worker.
        """
        if limit is None:
            return None
        if isinstance(program, Calling):
            return enforced_bytes(limit, self._noted_idle(_IDLE_CALL, measure_idle_call_bytes), 0, "it calls anything")
        if limit.above_base:
            raise UsageError(
                f"memory limit {limit}: a command has no idle worker to be above; give a size such as 512M"
            )
        return limit.size_bytes

    def check_reads(self, read_bps: int, folder: Path) -> None:
        """Raise Unsupported where reads of what `folder` holds cannot be held to `read_bps`."""
        limits = self._limits(None, Hold(read_bps), [folder])
        try:
            self.cap.open(self._name(), limits).close()
        except Unsupported as error:
            raise Unsupported(f"--edge-read-bw={exact_size(read_bps)}: {error}; leave it out") from error

    def unenforced(self, asked: Hold, memory_bytes: int, folder: Path) -> tuple[str, ...]:
        """Return what of `asked` this machine cannot do, see `Case.unenforced`; `folder` is where weights are."""
        return unenforced(
            self.cap, self._name, asked, lambda hold: self._limits(memory_bytes, hold, [folder]), self.swap
        )

    def service_s(self, mix: Mix, threads: int, hold: Hold) -> float:
        """Return the seconds that one batch of `mix` takes in the mean when it has the machine to itself.

        The sum over its requests of what their network takes alone, from a cold cache and held to `hold`, under bulk
        and without a limit on memory: the median of three runs. The session keeps to what it measured first. Raises
        what `measure` raises.
        """
        seconds = {name: self._network_s(name, threads, hold) for name in mix.networks}
        return sum(seconds[ask.network] for ask in mix.asks) / len({ask.batch for ask in mix.asks})

    def _network_s(self, name: str, threads: int, hold: Hold) -> float:
        def alone() -> float:
            case = Case("", name, "bulk", None, None, "read", threads, "none", "none", **hold._asdict())
            runs = [self.measure(case, Mix.of(name, [name])) for _ in range(_SERVICE_RUNS)]
            found = [run.makespan_s for run in runs if run.outcome == "ok" and run.makespan_s is not None]
            if not found:
                raise Unsupported(f"the service time of {name} cannot be measured: {runs[-1].detail}")
            return statistics.median(found)

        return self._noted(f"service of {name} by {threads} held to {hold}", alone)

    def _noted(self, what: str, measured_s: Callable[[], float]) -> float:
        """Return the seconds that the session has noted for `what`, which it measures when it is first asked."""
        note = self.folder / f"seconds-{hashlib.sha256(what.encode()).hexdigest()[:16]}"
        if not note.exists():
            measured, own = repr(measured_s()), note.with_name(f"{note.name}.{os.getpid()}")
            with noting(self.folder):
                write(own, measured.encode(), OURS)
                with suppress(FileExistsError):  # another process of the session was first, and decides for all
                    os.link(own, note)
                own.unlink()
        return float(note.read_text())

    def bound(self, case: Case, mix: Mix) -> Bound | None:
        """Return what no run of `mix` can beat with the case's threads and device, whatever its policy and limit.

        None for a mix that comes over time or has conditions: nothing of the kind follows there. Each network is read
        and computed by itself, without a limit on memory; where reads are held back, one worker reads all of them. The
        session keeps to what it measured first. Raises Unsupported where that cannot be done, and what `Registry.get`
        raises.
        """
        if not mix.is_at_once:
            return None
        networks = {name: self.registry.get(name, self.progress)[1] for name in mix.networks}
        hold = Hold.of(case)
        compute_s = {name: self._compute_s(name, case.threads, hold.computing) for name in networks}
        return Bound(
            read_bytes=sum(size_bytes for network in networks.values() for _, size_bytes in needed(network)),
            read_s=self._read_s(sorted(networks), hold._replace(write_bps=None, swap_bytes=None)),
            compute_s=sum(compute_s[ask.network] for ask in mix.asks),
        )

    def _read_s(self, names: list[str], hold: Hold) -> float:
        if hold.read_bps is not None:
            # A throttle lets the first bytes of a process pass; only one that reads everything says what that takes.
            return self._noted(f"reading of {names} held to {hold}", lambda: self._probe_s("reading", names, hold))

        def least_s(name: str) -> float:
            return min(self._probe_s("reading", [name], hold) for _ in range(_PROBES))

        return sum(self._noted(f"reading of {name} held to {hold}", partial(least_s, name)) for name in names)

    def _compute_s(self, name: str, threads: int, hold: Hold) -> float:
        def least_s() -> float:
            asked = (self._probe_s("computing", [name], hold, _COMPUTED, threads) for _ in range(_PROBES))
            return min(asked) / _COMPUTED

        return self._noted(f"computing of {name} by {threads} held to {hold}", least_s)

    def _probe_s(self, function: str, names: list[str], hold: Hold, requests: int = 0, threads: int = 1) -> float:
        """Return the seconds that a function of `engine.probes` takes on the clock. Raises Unsupported."""
        found = [self.registry.get(name, self.progress) for name in names]
        program = Program(f"pytest_edgeload.engine.probes:{function}", search_path())
        asked = tuple(JobRequest(0, sample) for sample in range(requests))
        job = Job(Plan(()), tuple(str(folder) for folder, _ in found), asked, "read", threads, program)
        run = self._carry_out(job, None, hold, sum(network.peak_bytes for _, network in found))
        if run.outcome != "ok" or run.makespan_s is None:
            what = f"{function} {', '.join(names)} by itself"
            raise Unsupported(f"--edge-bound: {what} failed: {run.detail}; leave it out")
        return run.makespan_s

    def measure(self, case: Case, mix: Mix) -> Measurement:
        """Carry out `case` once and return everything seen.

        Waits for its turn on this host. Raises UnknownNetwork, PreparationFailed, DamagedNetwork, InvalidPlan,
        Unsupported, or UsageError for a condition about an output that is not there, or a workload that a peer cannot
        be asked; whatever happens to the worker itself is an outcome.
        """
        found = {name: self.registry.get(name, self.progress) for name in mix.networks}
        workload = mix.workload({name: network for name, (_, network) in found.items()})
        check_conditions(workload)
        folders = {name: str(folder) for name, (folder, _) in found.items()}
        plan, program, peak = self._way(case, workload, folders)
        indices = {name: index for index, name in enumerate(found)}
        job = Job(
            plan=plan,
            networks=tuple(folders.values()),
            requests=tuple(
                JobRequest(indices[ask.network], asked.sample, asked.arrival_s, asked.batch, asked.when)
                for ask, asked in zip(mix.asks, workload.asked, strict=True)
            ),
            reader=case.reader,
            threads=case.threads,
            program=program,
        )
        files = sum(network.weight_bytes for _, network in found.values())  # the page cache keeps what it can of them
        measurement = self._carry_out(job, case.limit_bytes, Hold.of(case), files + peak)
        for name in found:  # what was changed while it was read would make the figures those of nothing
            self.registry.get(name, self.progress)
        return complete(measurement, plan, workload, peak) if program is None else measurement

    def run(self, case: Case, program: Calling | Command) -> Measurement:
        """Call the function or run the command once, when it is its turn on this host; return everything seen.

        Raises Unsupported, or UsageError for a service that is ready before it has started.
        """

        def launched(enclosure: Enclosure) -> Measurement:
            if isinstance(program, Command):
                return launch_command(program, case.threads, enclosure)
            return launch_call(program, case.threads, enclosure)

        files = program.files or [Path.cwd()]
        return self._enclosed(launched, files, case.limit_bytes, Hold.of(case), case.limit_bytes or 0)

    def _carry_out(self, job: Job, limit_bytes: int | None, hold: Hold, expected_bytes: int) -> Measurement:
        """Launch `job` when it is its turn on this host; see `Enclosure` for `expected_bytes`. Raises Unsupported."""
        weights = [path for folder in job.networks for path in weight_files(Path(folder))]
        return self._enclosed(partial(launch, job), weights, limit_bytes, hold, expected_bytes)

    def _enclosed(
        self,
        launched: Callable[[Enclosure], Measurement],
        files: Sequence[Path],
        limit_bytes: int | None,
        hold: Hold,
        expected_bytes: int,
    ) -> Measurement:
        """Have a process that reads `files` `launched` when it is its turn on this host. Raises Unsupported."""
        free = loose(hold, files)
        with host_lock(self._say_once):
            # Swap of others may have come or gone.
            limits = self._limits(limit_bytes, hold, [file for file in files if file not in free])
            found = launched(self._enclosure(limits, expected_bytes))
        free_of = "is on no disk that could be throttled, so it was read as fast as it is"
        words = [printable(f"{file} {free_of}") for file in free]
        told = [self.user.notice] if self.user.notice else []
        return msgspec.structs.replace(found, notices=(*found.notices, *words, *told))

    def _way(self, case: Case, workload: Workload, folders: dict[str, str]) -> tuple[Plan, Program | None, int]:
        """Return the plan, or an empty one and the peer's program, and the most bytes that it holds.

        `folders` are those of the networks by name. Raises InvalidPlan, PreparationFailed or UsageError.
        """
        peer = self.peers.get(case.policy)
        if peer is None:
            plan, peak = self._plan(case, workload)
            return plan, None, peak
        check_askable(case.policy, workload)
        program = peer.made_for(folders, self.registry, self.progress)
        return Plan(()), program, _COPIES * max(request.network.peak_bytes for request in workload.requests)

    def _plan(self, case: Case, workload: Workload) -> tuple[Plan, int]:
        """Return the plan and the most bytes it holds. Raises InvalidPlan."""
        memory = None if case.limit_bytes is None else budget_bytes(case.limit_bytes, self.idle_bytes())
        budget = Budget(memory, speeds=speeds(Hold.of(case).read_bps))
        plan = make_plan(case.policy, self.policies[case.policy], workload, budget)
        try:
            return plan, peak_bytes(plan, workload)
        except InvalidPlan as error:
            raise InvalidPlan(f"policy {case.policy}: {error}") from None

    def _limits(self, memory_bytes: int | None, hold: Hold, files: Iterable[Path]) -> Limits:
        """Return what to hold a worker to that reads `files`. Raises Unsupported."""
        return limits_of(memory_bytes, hold, files, self.swap)

    def _enclosure(self, limits: Limits, expected_bytes: int = 0) -> Enclosure:
        return Enclosure(self.cap, self._name(), limits, self.timeout_s, expected_bytes, self.user)

    def _say_once(self, line: str) -> None:
        if line not in self._said:
            self._said.add(line)
            self.say(line)

    def _name(self) -> str:
        return f"{PREFIX}{self.session}-{os.getpid()}-{next(self._serial)}"


def asking(case: Case, mix: Mix) -> Case:
    """Return `case` with what `mix` asks, and when."""
    return msgspec.structs.replace(
        case,
        requests=mix.timeless,
        loop=mix.loop,
        arrivals=mix.arrivals,
        seed=mix.seed,
        conditions=mix.conditions,
    )


def measure_idle_bytes(enclosure: Enclosure) -> int:
    """Return the resident memory of a worker that does nothing in `enclosure`, which is to have no limit.

    Raises Unsupported. For the holder of the host's lock.
    """
    return _idle_bytes(launch(Job(Plan(()), (), (), "read", 1), enclosure))


def measure_idle_call_bytes(enclosure: Enclosure) -> int:
    """Return the same of a worker that calls functions."""
    return _idle_bytes(launch_call(Calling(pickle.dumps((int, (), {}))), 1, enclosure))


def _idle_bytes(idle: Measurement) -> int:
    if idle.outcome != "ok" or idle.baseline_bytes is None:
        raise Unsupported(f"an idle worker could not be started: {idle.detail}")
    return idle.baseline_bytes
