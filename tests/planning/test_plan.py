"""Plans are data: they survive JSON, and a Builder builds them task by task."""

from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from pytest_edgeload.planning.plan import Budget, Builder, Plan, Task
from pytest_edgeload.policies import POLICIES
from pytest_edgeload.workload import Workload
from tests.builders import BUDGETS, network, timed_workloads, workload

POLICY = st.sampled_from(sorted(POLICIES))


@given(timed_workloads(), POLICY, BUDGETS)
def test_plans_survive_json(asked: Workload, policy: str, budget: Budget) -> None:
    """A plan that went through JSON is the same plan."""
    plan = POLICIES[policy](asked, budget)
    assert msgspec.json.decode(msgspec.json.encode(plan), type=Plan) == plan


def test_builder_adds_tasks_in_order() -> None:
    """`add` returns the index to wait for; `after` takes one index, several, or None for none."""
    asked = workload(network((1, 1, 1), (1, 1, 1)))
    service_s = (1.0,)
    builder = Builder(asked, lanes=3, order="ready", memory_bytes=5, patience=2, service_s=service_s)
    assert builder.add("init", 0, reserve=4) == 0
    assert builder.add("load", 0, 0, after=0, lane=2) == 1
    assert builder.add("load", 0, 1, after=None) == 2
    assert builder.add("exec", 0, 0, after=(0, None, 1, 0), priority=(1.0,)) == 3
    tasks = (
        Task("init", 0, reserve=4),
        Task("load", 0, 0, (0,), 2),
        Task("load", 0, 1),
        Task("exec", 0, 0, (0, 1), None, (1.0,)),
    )
    assert builder.done() == Plan(tasks, 3, "ready", 5, 2, service_s)
