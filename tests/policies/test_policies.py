"""Each policy against its row of the study's table."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_edgeload import policies
from pytest_edgeload.plan import Budget, Order, Plan, Task
from pytest_edgeload.policies import POLICIES, REFERENCE
from pytest_edgeload.workload import Workload
from tests.builders import network, plan_of, workload, workloads

BUDGETS = st.builds(Budget, memory_bytes=st.none() | st.integers(0, 1 << 40), lanes=st.integers(1, 4))


@dataclass(frozen=True)
class Row:
    """What waits for what in a network of two layers (I init, l load, e exec, f free), and between two networks."""

    inside: str
    between: str
    lanes: int
    order: Order


ROWS = {
    # I, load everything, execute everything; I(k) after the last task of k-1; freed when the network ends
    "bulk": Row("I>l0 l0>l1 l1>e0 e0>e1 e1>f0 f0>f1", "f1>I", 1, "created"),
    # I, l_0..l_n chained, e_0 after l_n, then e_i chained; nothing between networks; freed after each e_i
    "bulk-unchained": Row("I>l0 l0>l1 l1>e0 e0>e1 e0>f0 e1>f1", "", 1, "ready"),
    # I, l_0, e_0, l_1, e_1: a strict chain through all networks; freed after each e_i
    "linear": Row("I>l0 l0>e0 e0>f0 f0>l1 l1>e1 e1>f1", "f1>I", 1, "created"),
    # every l_i after I; e_i after l_i and e_(i-1); nothing between networks; freed after each e_i
    "partial": Row("I>l0 I>l1 l0>e0 l1>e1 e0>e1 e0>f0 e1>f1", "", 3, "created"),
}


def _closed(edges: set[tuple[str, str]]) -> set[tuple[str, str]]:
    """Return all pairs (before, after) that follow from `edges`."""
    while more := {(a, d) for a, b in edges for c, d in edges if b == c} - edges:
        edges = edges | more
    return edges


def _name(task: Task) -> str:
    letter = {"init": "I", "load": "l", "exec": "e", "free": "f"}[task.kind]
    return f"{task.request}{letter}{'' if task.layer is None else task.layer}"


def _edges(plan: Plan) -> set[tuple[str, str]]:
    return {(_name(plan.tasks[awaited]), _name(task)) for task in plan.tasks for awaited in task.after}


@pytest.mark.parametrize("policy", POLICIES)
def test_row(policy: str) -> None:
    """A policy's tasks wait for exactly what its row says, on the lanes and in the order it says."""
    row = ROWS[policy]
    plan = plan_of(policy, workload(*[network((1, 1, 1), (1, 1, 1))] * 2), lanes=3)
    pairs = [edge.split(">") for edge in row.inside.split()]
    expected = {(f"{r}{a}", f"{r}{b}") for a, b in pairs for r in range(2)}
    expected |= {(f"0{a}", f"1{b}") for a, b in (edge.split(">") for edge in row.between.split())}
    assert _closed(_edges(plan)) == _closed(expected)
    assert (plan.lanes, plan.order) == (row.lanes, row.order)


def test_the_table_is_the_folder() -> None:
    """Every file of the folder is a policy of the table under the file's name, and every policy has its file."""
    files = {path.stem for path in Path(policies.__path__[0]).glob("*.py")} - {"__init__"}
    assert files == {policy.__module__.rpartition(".")[2] for policy in POLICIES.values()}
    assert files == {name.replace("-", "_") for name in POLICIES}
    assert REFERENCE in POLICIES


@given(workloads(), BUDGETS)
def test_the_same_question_has_the_same_answer(asked: Workload, budget: Budget) -> None:
    """A policy that is asked twice makes the same plan."""
    for policy in POLICIES.values():
        assert policy(asked, budget) == policy(asked, budget)


@given(workloads(), BUDGETS)
def test_no_policy_looks_ahead(asked: Workload, budget: Budget) -> None:
    """The plan for the first requests is the beginning of the plan for all of them."""
    for policy in POLICIES.values():
        tasks = policy(asked, budget).tasks
        first = policy(Workload(asked.name, asked.requests[:-1]), budget).tasks
        assert tasks[: len(first)] == first


def test_no_torch() -> None:
    """The table of policies, and all it reaches, can be imported without torch."""
    code = "import sys, pytest_edgeload.policies; sys.exit(bool({'torch', 'numpy', 'hypothesis'} & set(sys.modules)))"
    subprocess.run([sys.executable, "-c", code], check=True, env={"PYTHONPATH": ":".join(sys.path)})
