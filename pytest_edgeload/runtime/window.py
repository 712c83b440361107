"""A window: requests that are planned and carried out together, after a few past ones. Imports torch."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import msgspec

from pytest_edgeload.engine.lanes import Lanes
from pytest_edgeload.engine.network import OpenNetwork
from pytest_edgeload.engine.perform import OpenRequest, Performer
from pytest_edgeload.planning.plan import Plan, StepLoop
from pytest_edgeload.runtime.memory import WeightMemory
from pytest_edgeload.runtime.open_plan import OpenPlan
from pytest_edgeload.runtime.pending import PendingRequest
from pytest_edgeload.runtime.planning import Planner, TimedAsk
from pytest_edgeload.runtime.remainder import Remainder

OPEN, FULL = 16, 32
"""A window waits for more requests until it has OPEN of them, and takes more while it is busy until it is FULL."""


class Window:
    """The requests `pending`, after those of `past`, with the weights that are in `memory`.

    Raises InvalidPlan.
    """

    def __init__(
        self,
        networks: Mapping[str, OpenNetwork],
        planner: Planner,
        past: Sequence[TimedAsk],
        pending: Sequence[PendingRequest],
        memory: WeightMemory,
    ) -> None:
        self._planner = planner
        self._memory = memory
        self._has_failed = False
        self._past = len(past)
        self._pending = [*pending]
        self.asked = [*past, *(each.ask for each in pending)]
        self._open = planner.plan(self.asked)
        plan = self._open.plan
        self._left = Remainder([ask.network for ask in past], memory.places(plan.arena_bytes))
        loops = self._left.add(*self._open)
        arena = memory.keep(self._left.kept, plan.arena_bytes)
        requests = [*(OpenRequest(networks[ask.network]) for ask in past), *(each.opened for each in pending)]
        limits = planner.memory_bytes, memory.heap_bytes
        self._performer = Performer(self._left.tasks, requests, arena, plan.arena_bytes, *limits)
        for load, tensors in memory.take(self._left.kept):
            self._performer.adopt(load, tensors)
        self._lanes = Lanes(
            self._rest(plan, loops, 0),
            self._performer,
            planner.requests(self.asked),
            begin_s=self.asked[0].arrived_s,
            fail=self._fail,
            is_open=len(pending) < OPEN,
        )

    def _rest(self, plan: Plan, loops: Sequence[StepLoop], first: int) -> Plan:
        """Return the plan with the tasks that are left, from the one with index `first` on."""
        return msgspec.structs.replace(plan, tasks=tuple(self._left.tasks[first:]), loops=tuple(loops))

    def run(self) -> None:
        """Carry out the plan, and put the weights that are left in memory; raise the exception that ended it."""
        try:
            self._lanes.run()
        finally:
            tasks = [*self._left.kept.values(), *self._left.tasks]
            places = {task.weights: task.place for task in tasks if task.kind == "load"}
            self._memory.heap_bytes = self._performer.ledger.heap_bytes
            for key, tensors in self._performer.release().items():
                request, layer, tile = key
                self._memory.put((self.asked[request].network, layer, tile), tensors, places[key])

    def extend(self, pending: Sequence[PendingRequest]) -> bool:
        """Serve `pending` as well; return False if this window cannot, and let it end when its requests are over.

        It cannot if it is full, if the plan of more requests does not begin with the plan that is being carried out, or
        if the memory is too small for all of its requests at once.
        """
        asked = [*self.asked, *(each.ask for each in pending)]
        try:
            found = self._continued(asked) if self._has_room(pending) else None
        except Exception:  # noqa: BLE001  # of a policy; the next window plans them again and reports it
            found = None
        if found is None:
            self.close()
            return False
        first, first_request = len(self._left.tasks), len(self.asked)
        loops = self._left.add(*found)
        for each in pending:
            self._performer.add(each.opened)
        requests = self._planner.requests(asked[first_request:], asked[0].arrived_s)
        rest, is_open = self._rest(found.plan, loops, first), len(self._pending) + len(pending) < OPEN
        pending_before = len(self._pending)
        self._pending += pending  # before the lanes see them
        if not self._lanes.extend(rest, requests, first_request, is_open=is_open):
            del self._pending[pending_before:]
            return False
        self.asked, self._open = asked, found
        return True

    def close(self) -> None:
        """Let the window end when its requests are over."""
        self._lanes.close()

    def abandon_all(self) -> None:
        """Let all requests end after their next step."""
        for each in self._pending:
            each.abandon()

    def fail_all(self, error: BaseException) -> None:
        """Let all requests that are left fail with `error`."""
        for each in self._pending:
            each.fail(error)

    def _has_room(self, pending: Sequence[PendingRequest]) -> bool:
        busy = [each.ask for each in self._pending if not each.is_over]
        if self._has_failed or len(self._pending) + len(pending) > FULL:
            return False
        return not busy or self._planner.fit([*busy, *(each.ask for each in pending)])

    def _continued(self, asked: Sequence[TimedAsk]) -> OpenPlan | None:
        """Return the plan of more requests if it begins with the plan of those before."""
        found, before = self._planner.plan(asked), self._open
        return found if found.continues(before) else None

    def _fail(self, index: int, error: Exception) -> Collection[int]:
        """Let the requests that need task `index` fail with its `error`; return them."""
        task = self._left.tasks[index]
        failed = {task.request}
        if task.kind == "load":
            failed = {t.request for t in self._left.tasks if t.kind == "exec" and t.weights == task.weights}
        failed = {r for r in failed if r >= self._past and not self._pending[r - self._past].is_over}
        if task.kind == "free" or not failed:
            raise error
        for r in failed:
            self._pending[r - self._past].fail(error)
        self._has_failed = True  # weights may be missing that the plan counts on
        self.close()
        return failed
