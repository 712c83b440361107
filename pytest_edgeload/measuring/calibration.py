"""Figures of this machine that other figures depend on: the memory of an idle worker, service times, bounds.

A session measures each of them once, when it is first needed, and keeps it in a note in its folder.
"""

from __future__ import annotations

import hashlib
import os
import pickle
import statistics
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal

import msgspec

from pytest_edgeload.base.errors import Setting, Unsupported, UsageError
from pytest_edgeload.base.files import OURS, noting, write
from pytest_edgeload.base.functions import search_path
from pytest_edgeload.base.units import Limit
from pytest_edgeload.devices.constraints import Constraints
from pytest_edgeload.job import Job, JobRequest, Program
from pytest_edgeload.measuring.launcher import Launcher
from pytest_edgeload.networks.compressed import COMPRESSED, PLAIN, StoreForm, stored_share
from pytest_edgeload.networks.preparation import ShowProgress
from pytest_edgeload.networks.registry import Registry
from pytest_edgeload.networks.tile import last_required_bytes, required_stretches
from pytest_edgeload.planning.budget import enforced_bytes
from pytest_edgeload.planning.plan import Budget, Plan
from pytest_edgeload.planning.simulate import peak_bytes
from pytest_edgeload.policies import POLICIES, make_plan
from pytest_edgeload.results.bound import Bound, Loop
from pytest_edgeload.results.case import Case
from pytest_edgeload.results.measurement import Measurement
from pytest_edgeload.results.memory_bound import Chain, memory_bound_s
from pytest_edgeload.sandbox.command import Command
from pytest_edgeload.sandbox.constraints import Limits
from pytest_edgeload.sandbox.enclosure import Enclosure
from pytest_edgeload.sandbox.launch import Calling, launch, launch_call
from pytest_edgeload.workload import Mix

_SERVICE_RUNS = 3  # the median counts
_PROBES = 3  # the fastest worker counts, because a disturbance only makes a worker slower
_COMPUTED_REQUESTS = 5  # the mean counts


class FigureKey(msgspec.Struct, frozen=True):
    """The name of a figure, and everything that its value depends on within a session."""

    name: Literal["idle", "idle-call", "service", "read", "compute", "layers"]
    networks: tuple[str, ...] = ()
    constraints: Constraints = Constraints()
    steps: int = 1
    store: StoreForm = PLAIN

    @property
    def file_name(self) -> str:
        """The name of the figure's note."""
        return f"{self.name}-{hashlib.sha256(msgspec.json.encode(self, order='deterministic')).hexdigest()[:16]}"


@dataclass(frozen=True)
class Calibration:
    """The figures of a session. `folder` is the session's folder."""

    launcher: Launcher
    registry: Registry
    progress: ShowProgress
    folder: Path

    def idle_bytes(self) -> int:
        """Return the resident memory of a worker that does nothing. Raises Unsupported."""
        return self._idle_bytes(FigureKey("idle"), measure_idle_bytes)

    def limit_bytes(self, limit: Limit | None) -> int | None:
        """Return the bytes to enforce for `limit`. Raises UsageError if an idle worker already exceeds it."""
        return None if limit is None else enforced_bytes(limit, self.idle_bytes())

    def program_limit_bytes(self, limit: Limit | None, program: Calling | Command) -> int | None:
        """Return the bytes to enforce for `limit` on a program. The base is the idle worker that calls functions.

        Raises UsageError if that worker already exceeds the limit, or if the limit has a base but the program is a
        command, which has no idle worker.
        """
        if limit is None:
            return None
        if isinstance(program, Calling):
            idle_bytes = self._idle_bytes(FigureKey("idle-call"), measure_idle_call_bytes)
            return enforced_bytes(limit, idle_bytes, 0, "it calls anything")
        if limit.above_base:
            raise UsageError(
                f"memory limit {limit}", "a command has no idle worker to be above", "give a size such as 512M"
            )
        return limit.size_bytes

    def service_s(self, mix: Mix, constraints: Constraints) -> float:
        """Return the mean time of one batch of `mix` on an otherwise idle machine: the sum over its requests.

        A request takes the time of its network alone, under bulk, from a cold cache, with these constraints but
        without a memory limit: the median of three runs. Raises Unsupported, and what `Registry.get` raises.
        """
        held = constraints.without(["memory_bytes"])
        network_s = {
            name: self._figure_s(FigureKey("service", (name,), held), partial(self._alone_s, name, held))
            for name in mix.networks
        }
        return mix.per_batch(network_s)

    def bound(self, case: Case, mix: Mix) -> Bound | None:
        """Return the times that no run of `mix` can beat with the case's threads and device, under any policy or limit.

        Returns None for a mix that arrives over time or has conditions, because no bound follows there. Each network is
        read and computed by itself, without a memory limit; if reads are throttled, one worker reads all networks.
        Compressed weights count as the bytes that are stored, and restoring them is part of reading.
        A loop reads again, in each step, the weights that exceed the limit above the idle worker's memory. Without
        loops, the bound that knows the memory is computed if the weights exceed it. Raises Unsupported if a probe
        fails, and what `Registry.get` raises.
        """
        if not mix.is_at_once:
            return None
        stored = {name: self.registry.get(name, self.progress) for name in mix.networks}
        networks = {name: network for name, (_, network) in stored.items()}
        share = stored_share(stored.values()) if case.store == COMPRESSED else 1.0
        computing = case.enforced.only("cpus", "cores", "threads")
        reading = case.enforced.only("cpus", "cores", "read_bps")
        in_steps = {ask.network for ask in mix.asks if ask.steps > 1}
        later_s = {name: self._compute_s(name, computing, 2) for name in in_steps}
        alike_s = {name: step_s for name, step_s in later_s.items() if not networks[name].first_outputs}
        compute_s = {name: alike_s[name] if name in alike_s else self._compute_s(name, computing) for name in networks}
        read_bytes = {
            name: sum(size_bytes for _, size_bytes in required_stretches(network)) for name, network in networks.items()
        }
        once = Bound(
            read_bytes=sum(read_bytes.values()),
            read_s=self._read_s(sorted(networks), reading, case.store),
            compute_s=sum(compute_s[ask.network] for ask in mix.asks)
            + sum((ask.steps - 1) * later_s[ask.network] for ask in mix.asks if ask.steps > 1),
        )
        loops = [
            Loop(ask.network, ask.steps, read_bytes[ask.network], later_s[ask.network])
            for ask in mix.asks
            if ask.steps > 1
        ]
        room_bytes = self._room_bytes(case)
        if loops or room_bytes is None or room_bytes >= once.read_bytes:
            return once.with_loops(loops, room_bytes).of_stored(share)
        chains = [
            Chain(
                last_required_bytes(network),
                self._layers_s(name, computing),
                sum(ask.network == name for ask in mix.asks),
            )
            for name, network in networks.items()
        ]
        memory_s = memory_bound_s(chains, max(0, room_bytes), once.s_per_byte)
        return replace(once, memory_s=memory_s).of_stored(share)

    def _room_bytes(self, case: Case) -> int | None:
        """Return the bytes of weights that fit beside the idle worker; None without a limit that holds them.

        Compressed swap is memory that no limit counts.
        """
        limit_bytes = case.enforced.memory_bytes
        if limit_bytes is None or case.cap == "none" or case.swap.startswith("zram:"):
            return None
        return limit_bytes - self.idle_bytes()

    def _alone_s(self, name: str, constraints: Constraints) -> float:
        runs = [self._run_alone(name, "bulk", constraints) for _ in range(_SERVICE_RUNS)]
        makespans_s = [run.makespan_s for _, run in runs if run.outcome == "ok" and run.makespan_s is not None]
        if not makespans_s:
            raise Unsupported(f"service time of {name}", f"cannot be measured: {runs[-1][1].detail}")
        return statistics.median(makespans_s)

    def _run_alone(
        self, name: str, policy: str, constraints: Constraints, requests: int = 1
    ) -> tuple[Plan, Measurement]:
        """Run requests of one network under a policy without a memory limit; return the plan and the measurement."""
        folder, network = self.registry.get(name, self.progress)
        workload = Mix.of(name, [name], images=requests).workload({name: network})
        plan = make_plan(policy, POLICIES[policy], workload, Budget())
        job_requests = tuple(JobRequest(0, sample) for sample in range(requests))
        job = Job(plan, (str(folder),), job_requests, "read", constraints.threads or 1)
        run = self.launcher.launch(job, constraints, network.distinct_bytes + peak_bytes(plan, workload))
        self.registry.get(name, self.progress)  # raises if the weights changed meanwhile
        return plan, run

    def _read_s(self, names: list[str], constraints: Constraints, store: StoreForm) -> float:
        if constraints.read_bps is not None:
            # A throttle lets the first bytes of a process pass freely, so one worker has to read all networks.
            figure = FigureKey("read", tuple(names), constraints, store=store)
            return self._figure_s(figure, lambda: self._probe_s("reading", names, constraints, store=store))

        def fastest_s(name: str) -> float:
            return min(self._probe_s("reading", [name], constraints, store=store) for _ in range(_PROBES))

        keys = {name: FigureKey("read", (name,), constraints, store=store) for name in names}
        return sum(self._figure_s(key, partial(fastest_s, name)) for name, key in keys.items())

    def _compute_s(self, name: str, constraints: Constraints, steps: int = 1) -> float:
        """Return the time of the last of so many steps."""
        requests = tuple(JobRequest(0, sample, steps=steps) for sample in range(_COMPUTED_REQUESTS))

        def fastest_s() -> float:
            probes = (self._probe_s("computing", [name], constraints, requests) for _ in range(_PROBES))
            return min(probes) / _COMPUTED_REQUESTS

        return self._figure_s(FigureKey("compute", (name,), constraints, steps), fastest_s)

    def _layers_s(self, name: str, constraints: Constraints) -> tuple[float, ...]:
        """Return the time to execute each layer of a network with resident weights: the minimum of five requests.

        The first request makes the operators warm and does not count. Raises Unsupported.
        """

        def measure() -> tuple[float, ...]:
            plan, run = self._run_alone(name, "lru", constraints, 1 + _COMPUTED_REQUESTS)
            if run.outcome != "ok":
                refusal = f"computing {name} by itself failed: {run.detail}"
                raise Unsupported(Setting("bound"), refusal, "leave it out")
            times_s: dict[int, list[float]] = {}
            for span in run.tasks:
                task = plan.tasks[span.task]
                if task.kind == "exec" and task.layer is not None and task.request > 0:
                    times_s.setdefault(task.layer, []).append(span.end_s - span.start_s)
            return tuple(min(times_s[layer]) for layer in sorted(times_s))

        return self._figure(FigureKey("layers", (name,), constraints), measure)

    def _probe_s(
        self,
        function: str,
        names: Iterable[str],
        constraints: Constraints,
        requests: tuple[JobRequest, ...] = (),
        store: StoreForm = PLAIN,
    ) -> float:
        """Return the wall-clock time that a function of `engine.probes` takes. Raises Unsupported."""
        stored = [self.registry.get(name, self.progress) for name in names]
        program = Program(f"pytest_edgeload.engine.probes:{function}", search_path())
        job = Job(
            Plan(()),
            tuple(str(folder) for folder, _ in stored),
            requests,
            "read",
            constraints.threads or 1,
            program,
            store,
        )
        run = self.launcher.launch(job, constraints, sum(network.peak_bytes for _, network in stored))
        if run.outcome != "ok" or run.makespan_s is None:
            raise Unsupported(
                Setting("bound"), f"{function} {', '.join(names)} by itself failed: {run.detail}", "leave it out"
            )
        return run.makespan_s

    def _idle_bytes(self, figure: FigureKey, measure: Callable[[Enclosure], int]) -> int:
        note = self.folder / figure.file_name
        if note.exists():
            return int(note.read_text())
        with self.launcher.turn():
            if note.exists():  # another process of the session measured it while this one waited
                return int(note.read_text())
            idle_bytes = measure(self.launcher.enclosure(Limits(may_swap=self.launcher.swap.usable)))
            with noting(self.folder):
                write(note, str(idle_bytes).encode(), OURS)
            return idle_bytes

    def _figure_s(self, figure: FigureKey, measure_s: Callable[[], float]) -> float:
        """Return the figure in seconds, from its note if there is one."""
        [seconds] = self._figure(figure, lambda: (measure_s(),))
        return seconds

    def _figure(self, figure: FigureKey, measure: Callable[[], tuple[float, ...]]) -> tuple[float, ...]:
        """Return the numbers of a figure, from its note if there is one."""
        note = self.folder / figure.file_name
        if not note.exists():
            text, own = " ".join(map(repr, measure())), note.with_name(f"{note.name}.{os.getpid()}")
            with noting(self.folder):
                write(own, text.encode(), OURS)
                with suppress(FileExistsError):  # another process of the session was first and decides for all
                    os.link(own, note)
                own.unlink()
        return tuple(map(float, note.read_text().split()))


def measure_idle_bytes(enclosure: Enclosure) -> int:
    """Return the resident memory of a worker that does nothing in `enclosure`, which must not limit memory.

    The caller holds the host lock. Raises Unsupported.
    """
    return _baseline_bytes(launch(Job(Plan(()), (), (), "read", 1), enclosure))


def measure_idle_call_bytes(enclosure: Enclosure) -> int:
    """Return the resident memory of a worker that calls functions but has not called one, see `measure_idle_bytes`."""
    return _baseline_bytes(launch_call(Calling(pickle.dumps((int, (), {}))), 1, enclosure))


def _baseline_bytes(run: Measurement) -> int:
    if run.outcome != "ok" or run.baseline_bytes is None:
        raise Unsupported("an idle worker", f"cannot be started: {run.detail}")
    return run.baseline_bytes
