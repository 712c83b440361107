"""`partial`: loads run ahead of execs on several lanes; the 2020 study's interleaving of loading and execution.

Source: the study. init -> every l_i; l_i and e_(i-1) -> e_i -> f_i per request; nothing between requests. The policies
that only choose differently among what is ready (execprio, sjf, masa) add their requests by `overlap`.
"""

from __future__ import annotations

from pytest_edgeload.planning.plan import Budget, Builder, Plan
from pytest_edgeload.workload import Workload

FIRST, LATER = 0.0, 1.0
"""Priorities: what makes progress or gives memory back, and what takes more."""


def partial(workload: Workload, budget: Budget) -> Plan:
    """Per network: every load after init, each exec after its own load and the exec before it, then its free.

    Nothing chains the networks and nothing holds loads back: the lanes take whichever ready task was created first.
    """
    plan = Builder(workload, lanes=budget.lanes)
    for r in range(len(workload.requests)):
        overlap(plan, workload, r)
    return plan.done()


def overlap(
    plan: Builder,
    workload: Workload,
    request: int,
    *,
    after: int | None = None,
    before: tuple[float, ...] = (),
    load: tuple[float, ...] = (),
    run: tuple[float, ...] = (),
    reserve: int = 0,
) -> int:
    """Add the tasks of `request`, its init waiting for `after`; return the last one.

    `before` is the priority of its init, which reserves `reserve` bytes; `load` that of loads; `run` of the rest.
    """
    last = step = init = plan.add("init", request, after=after, priority=before, reserve=reserve)
    layers = range(len(workload.requests[request].network.layers))
    loads = [plan.add("load", request, i, after=init, priority=load) for i in layers]
    for i in layers:
        step = plan.add("exec", request, i, after=(loads[i], step), priority=run)
        last = plan.add("free", request, i, after=step, priority=run)
    return last
