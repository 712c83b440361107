"""Plans that are made while requests arrive: of past and new requests, as if others were to follow. Pure."""

from __future__ import annotations

import heapq
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import NamedTuple

import msgspec

from pytest_edgeload.networks.layer import Network
from pytest_edgeload.networks.tile import WHOLE, copies_bytes
from pytest_edgeload.planning.plan import Budget, Plan, Speeds
from pytest_edgeload.planning.simulate import simulate
from pytest_edgeload.planning.span_log import KEPT_STEPS
from pytest_edgeload.policies import Policy, make_plan
from pytest_edgeload.runtime.open_plan import KnownPlans, OpenPlan
from pytest_edgeload.workload import Request, Workload

LATER_S = 1.0
"""Seconds from the last request to the imagined ones after it."""

_INSTANT = Speeds(read_bytes_per_s=1e18, flops_per_s=1.0)
"""Reads that take no time run as far ahead as a plan lets them: then it holds the most weights that it can."""


class TimedAsk(NamedTuple):
    """A request as it is planned: its network, and its arrival by a clock of the caller."""

    network: str
    arrived_s: float = 0.0
    steps: int = 1
    deadline_s: float | None = None


@dataclass(frozen=True)
class Planner:
    """Makes plans by the policy of this name, for networks by name.

    `spare_bytes` of memory are left out of the budget, for the copies of weights that operators make.

    With `is_by_order`, plans of requests without deadlines depend on the order of their arrivals only, not on times.
    With `is_checked`, each plan is checked, which takes as long as planning; plans of the policies of this package are
    checked by its tests.
    """

    networks: Mapping[str, Network]
    name: str
    policy: Policy
    budget: Budget
    is_by_order: bool = False
    is_checked: bool = True
    spare_bytes: int = 0
    _known: KnownPlans = field(default_factory=KnownPlans, init=False, repr=False, compare=False)

    def plan(self, asked: Sequence[TimedAsk]) -> OpenPlan:
        """Return the plan of requests, in order of arrival, as if each network were asked once more afterwards.

        So it has no frees of weights that the policy would keep for these. A policy that creates tasks of requests
        after tasks of later ones keeps nothing. Raises InvalidPlan.
        """
        return self._known.plan(self._pattern(asked), lambda: self._plan(asked))

    def plan_ahead(self) -> None:
        """Plan the likely first requests, so that they do not wait for it: each network alone, and all together."""
        asks = [TimedAsk(name) for name in self.networks]
        for likely in (*([ask] for ask in asks), asks) if self.is_by_order else ():
            if self.fit(likely):
                self.plan(likely)

    def _pattern(self, asked: Sequence[TimedAsk]) -> Hashable | None:
        """Return all that a plan depends on, or None if that includes times."""
        if not self.is_by_order or any(each.deadline_s is not None for each in asked):
            return None
        turns = {arrived_s: turn for turn, arrived_s in enumerate(dict.fromkeys(each.arrived_s for each in asked))}
        return tuple((each.network, each.steps, turns[each.arrived_s]) for each in asked)

    def _plan(self, asked: Sequence[TimedAsk]) -> OpenPlan:
        requests = self.requests(asked)
        last = {name: TimedAsk(name) for name in self.networks} | {each.network: each for each in asked}
        later_s = requests[-1].arrival_s + LATER_S
        imagined = [self._request(each, later_s) for each in last.values()]
        plan = self.whole_plan([*requests, *imagined])
        count = len(requests)
        end = next((i for i, task in enumerate(plan.tasks) if task.request >= count), len(plan.tasks))
        end = min([end, *(loop.first for loop in plan.loops if loop.first < end < loop.end)])
        if any(task.kind != "free" and task.request < count for task in plan.tasks[end:]):
            plan = self.whole_plan(requests)
            end = len(plan.tasks)
        return OpenPlan(plan, end)

    def requests(self, asked: Sequence[TimedAsk], begin_s: float | None = None) -> list[Request]:
        """Return requests whose times count from `begin_s`, or from the first of them."""
        begin_s = asked[0].arrived_s if begin_s is None else begin_s
        return [self._request(each, each.arrived_s - begin_s) for each in asked]

    def _request(self, ask: TimedAsk, arrival_s: float) -> Request:
        network = self.networks[ask.network]
        return Request(network, arrival_s=arrival_s, deadline_s=ask.deadline_s, steps=ask.steps)

    def whole_plan(self, requests: Sequence[Request]) -> Plan:
        """Return the plan of these requests, as if none were to follow. Raises InvalidPlan."""
        workload = Workload("runtime", tuple(requests))
        if self.is_checked:
            return make_plan(self.name, self.policy, workload, self.budget)
        return self.policy(workload, self.budget)

    def fit(self, asked: Sequence[TimedAsk]) -> bool:
        """Return whether requests fit in memory together. Raises InvalidPlan."""
        memory_bytes = self.memory_bytes
        if memory_bytes is None or sum(self._whole_bytes[each.network] for each in asked) <= memory_bytes:
            return True  # even if all of their weights were loaded at once, and mostly found without a plan
        return self.peak_bytes(asked) <= memory_bytes

    @cached_property
    def _whole_bytes(self) -> Mapping[str, int]:
        """The most bytes that a request of each network takes if all of its weights are loaded at once."""
        return {
            name: network.peak_bytes
            + max((copies_bytes(network, i, WHOLE) for i in range(len(network.layers))), default=0)
            for name, network in self.networks.items()
        }

    @property
    def memory_bytes(self) -> int | None:
        """The memory for weights, activations and copies."""
        return None if self.budget.memory_bytes is None else self.budget.memory_bytes + self.spare_bytes

    def peak_bytes(self, asked: Sequence[TimedAsk]) -> int:
        """Return the most bytes of weights, activations and copies that the plan of requests can hold at a time.

        Raises InvalidPlan.
        """
        return self._known.peak_bytes(self._pattern(asked), lambda: self._peak_bytes(asked))

    def copies_bytes(self, asked: Sequence[TimedAsk]) -> int:
        """Return the most bytes of copies of weights that the plan of requests makes at a time. Raises InvalidPlan.

        Each lane that may execute makes those of one request, whose tasks run one after the other.
        """
        plan, end = self.plan(asked)
        execs = [task for task in plan.tasks[:end] if task.kind == "exec"]
        largest = [0] * len(asked)
        for r, layer, tile in {(t.request, t.layer, t.tile) for t in execs if t.layer is not None}:
            largest[r] = max(largest[r], copies_bytes(self.networks[asked[r].network], layer, tile))
        lanes = {task.lane for task in execs}
        return sum(heapq.nlargest(plan.lanes if None in lanes else len(lanes), largest))

    def _peak_bytes(self, asked: Sequence[TimedAsk]) -> int:
        plan, end = self.plan(asked)
        plan = plan.shortened(KEPT_STEPS)  # later steps hold what the first ones do
        loops = tuple(loop for loop in plan.loops if loop.end <= end)
        plan = msgspec.structs.replace(plan, tasks=plan.tasks[:end], loops=loops)
        requests = (replace(request, steps=min(request.steps, KEPT_STEPS)) for request in self.requests(asked))
        workload = Workload("runtime", tuple(requests))
        return simulate(plan, workload, speeds=_INSTANT).peak_bytes + self.copies_bytes(asked)
