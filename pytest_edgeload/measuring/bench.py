"""The road from a case to its measurement: the plan is made and checked, then one worker carries it out."""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

import msgspec

from pytest_edgeload.base.errors import Setting, UsageError
from pytest_edgeload.engine.reader_choice import accept_direct, best_reader, check_reader
from pytest_edgeload.job import Job, Program, job_requests
from pytest_edgeload.measuring.calibration import Calibration
from pytest_edgeload.measuring.fed_samples import check_fed_samples
from pytest_edgeload.measuring.launcher import Launcher
from pytest_edgeload.networks.compressed import COMPRESSED, PLAIN, SCRATCH_BYTES, stored_share
from pytest_edgeload.networks.folder import weight_files
from pytest_edgeload.networks.layer import Network
from pytest_edgeload.networks.preparation import ShowProgress
from pytest_edgeload.networks.registry import Registry
from pytest_edgeload.peers.peer import Peer, check_askable
from pytest_edgeload.planning.budget import budget_bytes, speeds
from pytest_edgeload.planning.plan import Budget, InvalidPlan, Plan
from pytest_edgeload.planning.reader_names import THROUGH_CACHE
from pytest_edgeload.planning.simulate import peak_bytes
from pytest_edgeload.policies import Policy, make_plan
from pytest_edgeload.results.case import AUTO, Case
from pytest_edgeload.results.derived import complete
from pytest_edgeload.results.measurement import Measurement
from pytest_edgeload.results.steps import with_steps
from pytest_edgeload.sandbox.command import Command, launch_command
from pytest_edgeload.sandbox.enclosure import Enclosure
from pytest_edgeload.sandbox.launch import Calling, launch_call
from pytest_edgeload.workload import Mix, Workload
from pytest_edgeload.workload.conditions import check_conditions, check_last_arrival, check_step_counts

_UNKNOWN_BYTES = 1 << 30

_PLAIN_STORE = ("choose ", Setting("store", PLAIN))

_Stored = Mapping[str, tuple[Path, Network]]
"""Networks by name, each with its folder."""

_NOT_COMPARED = "its outputs were not compared with those of plain PyTorch"

_PEER_COPIES = 2  # of the weights, in a peer that copies them into a module


_PlanQuestion = tuple[str, Mapping[str, Policy], Budget, Workload]
"""All that a plan depends on: the policy's name, the policies, the budget and the workload."""


class _Method(NamedTuple):
    """How a worker answers a workload: a plan, or a peer's program and an empty plan; and the peak of either."""

    plan: Plan
    peak_bytes: int
    program: Program | None = None


@dataclass(frozen=True)
class Bench:
    """Everything that all measurements of a session on this host share. `folder` is the session's folder.

    `needs` has the most bytes that the program of a test and row has taken so far, and `plans` the last plan that was
    made, after the question that it answers.
    """

    launcher: Launcher
    registry: Registry
    policies: Mapping[str, Policy]
    folder: Path
    progress: ShowProgress
    peers: Mapping[str, Peer] = field(default_factory=dict)
    needs: dict[tuple[str, str], int] = field(default_factory=dict)
    plans: list[tuple[_PlanQuestion, Plan]] = field(default_factory=list)

    @property
    def calibration(self) -> Calibration:
        """The figures of this machine that the session has measured or will measure."""
        return Calibration(self.launcher, self.registry, self.progress, self.folder)

    def measure(self, case: Case, mix: Mix) -> Measurement:
        """Carry out `case` once, in this session's turn on the host, and return its measurement.

        A failure of the worker is an outcome. Raises UnknownNetwork, PreparationFailed, DamagedNetwork, InvalidPlan or
        Unsupported, and UsageError if a condition refers to an output that does not exist or if a peer cannot answer
        the workload, or if the last request arrives after the timeout.
        """
        service_s, stored, workload = self._prepare(case, mix)
        check_conditions(workload)
        check_step_counts(workload)
        check_fed_samples(workload, [stored[ask.network][0] for ask in mix.asks])
        method = self._method(case, workload, stored)
        indices = {name: index for index, name in enumerate(stored)}
        job = Job(
            plan=method.plan,
            networks=tuple(str(folder) for folder, _ in stored.values()),
            requests=job_requests(workload, [indices[ask.network] for ask in mix.asks]),
            reader=case.reader,
            threads=case.threads,
            program=method.program,
            store=case.store,
        )
        cached_bytes = sum(network.distinct_bytes for _, network in stored.values())  # of the page cache, at most
        measurement = self.launcher.launch(job, case.enforced, cached_bytes + method.peak_bytes, case.view)
        measurement = msgspec.structs.replace(measurement, service_time_s=service_s)
        for name in stored:  # raises if the weights changed meanwhile, because then the figures mean nothing
            self.registry.get(name, self.progress)
        if method.program is not None:
            return with_steps(measurement, sum(network.distinct_bytes for _, network in stored.values()))
        return complete(measurement, method.plan, workload, method.peak_bytes)

    def with_reader(self, case: Case, mix: Mix) -> Case:
        """Return `case` with the requests of `mix`; if its reader is `auto`, with the best reader for its policy.

        Peers and functions read as they like. Raises the errors of `measure`.
        """
        case = with_mix(case, mix)
        if case.reader != AUTO:
            return case
        reader = THROUGH_CACHE
        if case.policy in self.policies:
            _, stored, workload = self._prepare(case, mix)
            if accept_direct(file for folder, _ in stored.values() for file in weight_files(folder)):
                plan = self._plan(case, workload, stored)
                reader = best_reader(plan, workload, self._budget_bytes(case, workload))
        return msgspec.structs.replace(case, reader=reader, is_reader_auto=True)

    def _prepare(self, case: Case, mix: Mix) -> tuple[float | None, _Stored, Workload]:
        """Return the service time if it is the clock, the networks with their folders, and the workload."""
        service_s = self.calibration.service_s(mix, case.enforced) if mix.clock == "service" else None
        check_last_arrival(mix, service_s, self.launcher.timeout_s)
        check_store(case, self.peers)
        stored = {name: self.registry.get(name, self.progress) for name in mix.networks}
        for name in stored:
            self.registry.check_form(name, case.store, self.progress)
        workload = mix.workload({name: network for name, (_, network) in stored.items()}, service_s=service_s or 1.0)
        return service_s, stored, workload

    def run(self, case: Case, program: Calling | Command) -> Measurement:
        """Call the function or run the command once, in this session's turn on the host; return its measurement.

        Raises Unsupported, and UsageError if a service is ready before it has started.
        """

        def start(enclosure: Enclosure) -> Measurement:
            if isinstance(program, Command):
                return launch_command(program, case.threads, enclosure)
            return launch_call(program, case.threads, enclosure)

        row, files = (case.test, case.policy), program.files or [Path.cwd()]
        known_bytes = self.needs.get(row, 0)
        expected_bytes = program_bytes(case.limit_bytes, known_bytes)
        measurement = self.launcher.launch_with(start, files, case.enforced, expected_bytes, case.view)
        self.needs[row] = max(known_bytes, measurement.peak_charged_bytes or measurement.peak_bytes or 0)
        return measurement

    def answer(self, case: Case, mix: Mix, function: Calling) -> Measurement:
        """Have the user's own function answer `mix` once, with the weights of its networks not in the page cache.

        Its outputs are not compared. Raises the errors of `run`, and UsageError for a workload that no function can
        answer.
        """
        _check_own_code(case.policy, mix, function)
        folders = [self.registry.get(name, self.progress)[0] for name in mix.networks]
        files = [*function.files, *(file for folder in folders for file in weight_files(folder))]
        measurement = self.run(case, replace(function, files=files))
        return msgspec.structs.replace(measurement, notices=(*measurement.notices, _NOT_COMPARED))

    def _method(self, case: Case, workload: Workload, stored: _Stored) -> _Method:
        """Return how to answer `workload`.

        Raises InvalidPlan, PreparationFailed or UsageError.
        """
        peer = self.peers.get(case.policy)
        if peer is not None:
            check_askable(case.policy, peer, workload)
            folders = {name: str(folder) for name, (folder, _) in stored.items()}
            program = peer.program_for(folders, self.registry, self.folder / "skeletons", self.progress)
            largest_bytes = max(request.network.peak_bytes for request in workload.requests)
            return _Method(Plan(()), _PEER_COPIES * largest_bytes, program)
        plan = self._plan(case, workload, stored)
        try:
            return _Method(plan, peak_bytes(plan, workload))
        except InvalidPlan as error:
            raise error.within(f"policy {case.policy}") from None

    def _plan(self, case: Case, workload: Workload, stored: _Stored) -> Plan:
        """Return the plan of a case. A plan that was made to choose the case's reader is not made again."""
        share = stored_share(stored.values()) if case.store == COMPRESSED else 1.0
        budget = Budget(self._budget_bytes(case, workload), speeds=speeds(case.enforced.read_bps, share))
        question = case.policy, self.policies, budget, workload
        for known, plan in self.plans:
            if known == question:
                return plan
        plan = make_plan(case.policy, self.policies[case.policy], workload, budget)
        self.plans[:] = [(question, plan)]
        return plan

    def _budget_bytes(self, case: Case, workload: Workload) -> int | None:
        if case.limit_bytes is None:
            return None
        scratch_bytes = SCRATCH_BYTES if case.store == COMPRESSED else 0
        return budget_bytes(case.limit_bytes, self.calibration.idle_bytes(), workload, scratch_bytes)


def check_store(case: Case, peers: Container[str]) -> None:
    """Raise UsageError if the weights are compressed and the reader or the peer cannot read them so."""
    if case.store == PLAIN:
        return
    if case.policy in peers:
        raise UsageError(f"peer {case.policy}", "it reads files of its own, which are not compressed", _PLAIN_STORE)
    check_reader(case.store, case.reader)


def _check_own_code(name: str, mix: Mix, function: Calling) -> None:
    """Raise UsageError if a function whose row has this name cannot answer `mix`."""
    subject = f"program {name}, workload {mix.name}"
    if mix.loop != "once":
        reason = "a function cannot answer requests that arrive over time"
        raise UsageError(subject, reason, "let all requests arrive at once, or leave workload= out")
    if function.repeat > 1:
        raise UsageError(subject, f"a workload is answered once, not {function.repeat} times", "leave repeat= out")


def program_bytes(limit_bytes: int | None, known_bytes: int) -> int:
    """Return the memory that a program is expected to take: as much as before, and at first its limit, up to 1 GiB.

    Nothing is known about its first run, which may use a small part of a large limit.
    """
    return max(known_bytes, min(limit_bytes or 0, _UNKNOWN_BYTES))


def with_mix(case: Case, mix: Mix) -> Case:
    """Return `case` with the requests of `mix` and their arrivals."""
    return msgspec.structs.replace(
        case,
        requests=mix.timeless,
        loop=mix.loop,
        arrivals=mix.arrivals,
        seed=mix.seed,
        conditions=mix.conditions,
        clock=mix.clock,
    )
