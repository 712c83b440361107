"""Plans are data: they survive JSON, and a Builder builds them task by task."""

from __future__ import annotations

import re
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_edgeload.planning.plan import Budget, Builder, InvalidPlan, Plan, Speeds, Task, plain_plan
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


def test_numbers_of_other_libraries_become_plain() -> None:
    """A plan made with numbers of NumPy is the same plan as with Python's own, which a worker can receive."""
    asked, one = workload(network((1, 1, 1), (1, 1, 1))), np.int64(1)
    builder = Builder(asked, memory_bytes=np.int64(5), service_s=(np.float64(1.0),))  # type: ignore[arg-type]
    builder.add("init", np.int64(0), priority=(np.float32(0.5),))  # type: ignore[arg-type]
    builder.add("load", 0, one, after=np.int64(0), reserve=np.uint8(4))  # type: ignore[arg-type]
    tasks = (Task("init", 0, priority=(0.5,)), Task("load", 0, 1, (0,), reserve=4))
    assert plain_plan(builder.done()) == Plan(tasks, memory_bytes=5, service_s=(1.0,))


@given(timed_workloads(), POLICY, BUDGETS)
def test_plain_plans_stay_the_same(asked: Workload, policy: str, budget: Budget) -> None:
    """A plan of Python's own numbers is returned as it is."""
    plan = POLICIES[policy](asked, budget)
    assert plain_plan(plan) == plan


@pytest.mark.parametrize(
    ("plan", "message"),
    [
        (None, "returned NoneType, not a Plan; let it end with `return plan.done()`"),
        (Plan((Task("init", "0"),)), "returned a plan with other values: "),  # type: ignore[arg-type]
        (Plan((Task("init", 0, priority=(object(),)),)), "returned a plan with other values: <object"),  # type: ignore[arg-type]
        (Plan((), order="first"), "returned a plan with other values: Invalid enum value 'first'"),  # type: ignore[arg-type]
    ],
)
def test_other_plans_are_refused(plan: Any, message: str) -> None:
    """A policy that returns anything but plain tasks is refused before a worker starts."""
    with pytest.raises(InvalidPlan, match=f"^{re.escape(message)}"):
        plain_plan(plan)


def test_budgets_and_speeds_have_plain_numbers() -> None:
    """Numbers of NumPy in a budget become Python's own; anything else is refused by name."""
    budget = Budget(np.int64(5), np.uint8(1), Speeds(np.float32(2.0), 4))  # type: ignore[arg-type]
    assert [type(value) for value in (budget.memory_bytes, budget.lanes, budget.speeds.flops_per_s)] == [
        int,
        int,
        float,
    ]
    with pytest.raises(ValueError, match=r"^memory_bytes='1G': not a whole number; give one such as 2$"):
        Budget("1G")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"^flops_per_s=0.0: not a speed; give a positive number$"):
        Speeds(1e9, 0)
