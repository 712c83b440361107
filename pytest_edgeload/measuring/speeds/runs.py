"""Runs plans over one network, to measure the machine by their tasks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pytest_edgeload.base.errors import Unsupported
from pytest_edgeload.devices.constraints import Constraints
from pytest_edgeload.job import Job, job_requests
from pytest_edgeload.measuring.launcher import Launcher
from pytest_edgeload.measuring.speeds.timed_plan import TimedPlan
from pytest_edgeload.networks.preparation import ShowProgress
from pytest_edgeload.networks.registry import Registry
from pytest_edgeload.planning.plan import Plan
from pytest_edgeload.planning.simulate import peak_bytes
from pytest_edgeload.workload import Mix, Workload

READER = "direct"


@dataclass(frozen=True)
class PlanRuns:
    """Everything that the runs share. Workers are held to `constraints`, but to no memory limit."""

    launcher: Launcher
    registry: Registry
    progress: ShowProgress
    constraints: Constraints

    def run(
        self, name: str, make_plan: Callable[[Workload], Plan], *, threads: int, requests: int, max_steps: int = 1
    ) -> TimedPlan:
        """Run the plan for so many requests of a network, of at most `max_steps` steps. Raises Refusal."""
        folder, network = self.registry.get(name, self.progress)
        steps = min(max_steps, *(sample.steps for sample in network.samples))
        workload = Mix.of(name, [name], images=requests, steps=steps).workload({name: network})
        plan = make_plan(workload)
        job = Job(plan, (str(folder),), job_requests(workload, [0] * requests), READER, threads)
        held = self.constraints | Constraints(threads=threads)
        run = self.launcher.launch(job, held, network.distinct_bytes + peak_bytes(plan, workload))
        if run.outcome != "ok":
            raise Unsupported(f"network {name}", f"its layers cannot be measured: {run.detail}")
        return TimedPlan(plan, workload, threads, run.tasks, run.startup_s or 0.0)
