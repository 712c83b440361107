"""Executes plans for tests: with the real performer, or with one that calls the test's functions."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import msgspec

from pytest_edgeload.engine.lanes import LaneResult, run
from pytest_edgeload.engine.perform import Performer
from pytest_edgeload.networks.compressed import PLAIN, StoreForm
from pytest_edgeload.planning.plan import Plan
from pytest_edgeload.workload import Workload
from tests.builders import job_of


def anonymous_bytes() -> int:
    """Return the private memory of this process, without pages of files."""
    match = re.search(r"RssAnon:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert match is not None
    return int(match[1]) << 10


class CallbackPerformer:
    """Performs tasks by calling `call`, decides conditions by calling `decide`, and lists the discarded requests."""

    def __init__(
        self, call: Callable[[int], object] = lambda _: None, decide: Callable[[int], bool] = lambda _: True
    ) -> None:
        self._call = call
        self._decide = decide
        self.discarded: list[int] = []

    def perform(self, index: int) -> None:
        """Call."""
        self._call(index)

    def holds(self, request: int) -> bool:
        """Decide."""
        return self._decide(request)

    def discard(self, request: int) -> None:
        """Add to the list."""
        self.discarded.append(request)


def execute(
    plan: Plan, workload: Workload, *folders: Path, reader: str = "read", store: StoreForm = PLAIN
) -> tuple[Performer, LaneResult]:
    """Execute `plan` with the networks of `workload` in `folders`; return the performer and the result of its lanes."""
    job = msgspec.structs.replace(job_of(plan, workload, *folders), reader=reader, store=store)
    performer = Performer.of(job)
    return performer, run(plan, performer, job.requests)


def on_one_lane(plan: Plan) -> Plan:
    """Return the plan for one lane, even if its policy always uses two."""
    tasks = tuple(msgspec.structs.replace(task, lane=None) for task in plan.tasks)
    return msgspec.structs.replace(plan, lanes=1, tasks=tasks)
