"""Plans carried out: by the real performer, or by one that does as a test says."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec

from pytest_edgeload.engine.lanes import LaneResult, run
from pytest_edgeload.engine.perform import Performer
from pytest_edgeload.planning.plan import Plan
from pytest_edgeload.workload import Workload
from tests.builders import job_of


class Calling:
    """Carries out tasks by calling a function, lets another one decide conditions, and notes what is discarded."""

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
        """Note."""
        self.discarded.append(request)


def carried_out(plan: Plan, asked: Workload, *folders: Path, reader: str = "read") -> tuple[Performer, LaneResult]:
    """Carry out `plan` for real, of a workload whose networks are in `folders`; return what is left, and what ran."""
    made = msgspec.structs.replace(job_of(plan, asked, *folders), reader=reader)
    performer = Performer(made)
    return performer, run(plan, performer, made.requests)


def on_one_lane(plan: Plan) -> Plan:
    """Return the plan for one lane, also where its policy always wants two."""
    tasks = tuple(msgspec.structs.replace(task, lane=None) for task in plan.tasks)
    return msgspec.structs.replace(plan, lanes=1, tasks=tasks)
