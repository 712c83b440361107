"""Each policy against its row of the study's table, and all policies against the rules for policies."""

from __future__ import annotations

import ast
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_edgeload import policies
from pytest_edgeload.planning.plan import Budget, Order, Plan, Task
from pytest_edgeload.policies import BY_ORDER, FAMILIES, POLICIES
from pytest_edgeload.results.case import REFERENCE
from pytest_edgeload.workload import Request, Workload
from tests.builders import BUDGETS, SPEEDS, network, timed_workloads

CAFFE = network(
    (8, 4, 4), (16, 6, 4), (80, 5, 3), (24, 5, 2), kinds=["conv2d", "conv2d", "linear", "linear"], flops=[32, 64, 8, 8]
)
"""Two convolutional layers (0 and 1), then two fully connected ones (2 and 3)."""

BUDGET = Budget(memory_bytes=1000, lanes=3, speeds=SPEEDS)

SIDES = "I>l0 l0>e0 e0>f0 f0>l1 l1>e1 e1>f1  I>l2 l2>l3 l2>e2 e1>e2 e2>e3 l3>e3 e2>f2 e3>f3"
PRELOADED = "I>l0 l0>l1 l1>e0 e0>e1 e0>f0 e1>f1  I>l2 l2>l3 l2>e2 e1>e2 e2>e3 l3>e3 e2>f2 e3>f3"
OVERLAPPED = "I>l0 I>l1 I>l2 I>l3 l0>e0 l1>e1 l2>e2 l3>e3 e0>e1 e1>e2 e2>e3 e0>f0 e1>f1 e2>f2 e3>f3"
CHAIN_OF_LAYERS = "I>l0 l0>e0 e0>f0 f0>l1 l1>e1 e1>f1 f1>l2 l2>e2 e2>f2 f2>l3 l3>e3 e3>f3"
CHAIN_OF_KINDS = "I>l0 l0>l1 l1>l2 l2>l3 l3>e0 e0>e1 e1>e2 e2>e3 e3>f0 f0>f1 f1>f2 f2>f3"
LOADS_THEN_EXECS = "I>l0 l0>l1 l1>l2 l2>l3 l3>e0 e0>e1 e1>e2 e2>e3 e0>f0 e1>f1 e2>f2 e3>f3"
LOADS_BESIDE_EXECS = "I>l0 l0>l1 l1>l2 l2>l3 l0>e0 l1>e1 l2>e2 l3>e3 e0>e1 e1>e2 e2>e3 e0>f0 e1>f1 e2>f2 e3>f3"


@dataclass(frozen=True)
class Row:
    """The edges of a policy's plan for two requests, 0 and 1, of CAFFE (I init, l load, e exec, f free).

    `inside` has the edges within a request, and `between` the edges from one request to the other. `apart` replaces
    `between` if the requests do not arrive together. The kinds in `first` go before all others, and the kinds in
    `reserves` reserve memory.
    """

    inside: str
    between: str = ""
    apart: str | None = None
    lanes: int = 3
    order: Order = "created"
    sides: bool = False
    first: str = "Ilef"
    reserves: str = ""


ROWS = {
    # I, load everything, execute everything; I(k) after the last task of k-1; freed when the network ends
    "bulk": Row(CHAIN_OF_KINDS, "0f3>1I", lanes=1),
    # I, l_0..l_n chained, e_0 after l_n, then e_i chained; nothing between networks; freed after each e_i
    "bulk-unchained": Row(LOADS_THEN_EXECS, lanes=1, order="ready"),
    # like bulk; nothing between networks; n lanes, one shared queue
    "multi-bulk": Row(CHAIN_OF_KINDS),
    # I, l_0, e_0, l_1, e_1: a strict chain through all networks; freed after each e_i
    "linear": Row(CHAIN_OF_LAYERS, "0f3>1I", lanes=1),
    # every l_i after I; e_i after l_i and e_(i-1); nothing between networks; freed after each e_i
    "partial": Row(OVERLAPPED),
    # as partial, but any ready exec goes before any load or init
    "execprio": Row(OVERLAPPED, first="ef"),
    # as execprio; chained like linear
    "execprio-inter": Row(OVERLAPPED, "0f3>1I", first="ef"),
    # lane 0: I, l_0, e_0, l_1 ... through the convolutions; lane 1: the other loads chained from I; the first of those
    # execs after the last convolution; nothing between networks
    "deepeye": Row(SIDES, lanes=2, sides=True),
    # lane 0: all convolutional loads of all networks, then their execs, network by network; lane 1: the other loads
    # chained, each network's execs when its convolutions are done
    "deepeye-preload": Row(PRELOADED, "0l1>1I 1l1>0e0 0e1>1e0 0l3>1l2", apart="", lanes=2, sides=True),
    # and the first fully connected load of k after the last fully connected layer of k-1
    "deepeye-frugal": Row(PRELOADED, "0l1>1I 1l1>0e0 0e1>1e0 0f3>1l2", apart="0f3>1l2", lanes=2, sides=True),
    # the partial graph, shortest network first, no memory gate
    "sjf": Row(OVERLAPPED, first="ef"),
    # the partial graph, shortest first; its peak is reserved at init and released at the end of the network
    "masa": Row(OVERLAPPED, first="ef", reserves="I"),
    # masa with the highest response ratio next instead of the shortest first
    "masa-hrrn": Row(OVERLAPPED, order="response-ratio", first="ef", reserves="I"),
    # our own design: loads of one network in order, each as soon as its layer fits
    "mema": Row(LOADS_BESIDE_EXECS, first="ef", reserves="l"),
}


OWN_TESTS = {"stream", "lru", "lru-layers"}
"""Policies whose tasks depend on the memory; they have their own files of tests."""

STUDY = [name for name in POLICIES if name not in OWN_TESTS]
"""All other policies, which have a row each."""

KEEPING = ["lru", "lru-layers", "ttl(2s)"]
"""Policies that keep weights from one request to another, and free the last of them at the end."""

EVERY_ROW = pytest.mark.parametrize("policy", STUDY)


def _closed(edges: set[tuple[str, str]]) -> set[tuple[str, str]]:
    """Return all pairs (before, after) that follow from `edges`."""
    while more := {(a, d) for a, b in edges for c, d in edges if b == c} - edges:
        edges = edges | more
    return edges


def _letter(task: Task) -> str:
    return {"init": "I", "load": "l", "exec": "e", "free": "f"}[task.kind]


def _name(task: Task) -> str:
    return f"{task.request}{_letter(task)}{'' if task.layer is None else task.layer}"


def _edges(plan: Plan) -> set[tuple[str, str]]:
    return {(_name(plan.tasks[awaited]), _name(task)) for task in plan.tasks for awaited in task.after}


def _expected(inside: str, between: str) -> set[tuple[str, str]]:
    own = {(f"{r}{a}", f"{r}{b}") for a, b in (edge.split(">") for edge in inside.split()) for r in range(2)}
    return own | {(a, b) for a, b in (edge.split(">") for edge in between.split())}


def _two(arrival_s: float = 0.0, batch: int = 0) -> Workload:
    return Workload("two", (Request(CAFFE), Request(CAFFE, arrival_s=arrival_s, batch=batch)))


@EVERY_ROW
def test_tasks_wait_as_the_row_says(policy: str) -> None:
    """A policy's tasks wait for exactly the tasks of its row, with the row's lanes and order."""
    row, plan = ROWS[policy], POLICIES[policy](_two(), BUDGET)
    assert _closed(_edges(plan)) == _closed(_expected(row.inside, row.between))
    assert (plan.lanes, plan.order) == (row.lanes, row.order)


@pytest.mark.parametrize(("arrival_s", "batch"), [(1.5, 0), (0.0, 1)])
@EVERY_ROW
def test_requests_apart_wait_as_the_row_says(policy: str, arrival_s: float, batch: int) -> None:
    """Requests at different times or in different batches are chained as the row says."""
    row, plan = ROWS[policy], POLICIES[policy](_two(arrival_s, batch), BUDGET)
    assert _closed(_edges(plan)) == _closed(_expected(row.inside, row.between if row.apart is None else row.apart))


@EVERY_ROW
def test_policies_with_sides_fix_the_lanes(policy: str) -> None:
    """If the row has sides, convolutions and inits are for lane 0 and all else for lane 1; otherwise for any lane."""
    for task in POLICIES[policy](_two(), BUDGET).tasks:
        side = int(task.layer is not None and task.layer >= 2)
        assert task.lane == (side if ROWS[policy].sides else None)


@EVERY_ROW
def test_kinds_of_the_row_go_first(policy: str) -> None:
    """Tasks of the kinds that the row puts first have the same priority, which is before all others."""
    plan = POLICIES[policy](_two(), BUDGET)
    first = {task.priority for task in plan.tasks if _letter(task) in ROWS[policy].first}
    later = {task.priority for task in plan.tasks if _letter(task) not in ROWS[policy].first}
    assert len(first) == 1
    assert all(max(first) < priority for priority in later)


@EVERY_ROW
def test_tasks_reserve_as_the_row_says(policy: str) -> None:
    """If the row says so, an init reserves its network's peak and a load its weights; otherwise nothing."""
    plan = POLICIES[policy](_two(), BUDGET)
    size = {"I": CAFFE.weight_bytes + 6, **{f"l{i}": layer.weight_bytes for i, layer in enumerate(CAFFE.layers)}}
    for task in plan.tasks:
        assert task.reserve == (size[_name(task)[1:]] if _letter(task) in (ROWS[policy].reserves or " ") else 0)
    gated = bool(ROWS[policy].reserves)
    assert plan.memory_bytes == (BUDGET.memory_bytes if gated else None)
    assert (plan.patience is not None) == gated


SHORT, LONG = network((8, 1, 1), flops=[8]), network((80, 1, 1), flops=[80])
"""Networks of one layer that take 2 s and 20 s."""


def _next(policy: str, *requests: Request) -> int:
    """Return the request whose init goes first when all of `requests` have arrived."""
    plan = POLICIES[policy](Workload("mix", requests), BUDGET)
    return min((task.priority, i, task.request) for i, task in enumerate(plan.tasks) if task.kind == "init")[2]


@pytest.mark.parametrize("policy", ["sjf", "masa"])
def test_the_shortest_goes_first(policy: str) -> None:
    """Of two requests at once the shorter goes first, and of equals the first; a long one does not wait for ever."""
    assert _next(policy, Request(LONG), Request(SHORT)) == 1
    assert _next(policy, Request(LONG), Request(LONG)) == 0
    assert _next(policy, Request(LONG), Request(SHORT, arrival_s=17.875)) == 1
    assert _next(policy, Request(LONG), Request(SHORT, arrival_s=18.125)) == 0
    assert _next(policy, Request(LONG), Request(SHORT, batch=1)) == 0


@pytest.mark.parametrize("policy", ["sjf", "masa"])
def test_loads_go_before_the_inits_of_the_same_length(policy: str) -> None:
    """A network that has begun is loaded before another of the same length begins, but after a shorter one."""
    asked = Workload("mix", (Request(LONG), Request(LONG), Request(SHORT)))
    of = {_name(task): task.priority for task in POLICIES[policy](asked, BUDGET).tasks}
    assert of["2I"] < of["0l0"] < of["0I"] == of["1I"]


def test_response_ratios_are_of_service_times() -> None:
    """The plan by response ratio contains the time that each request takes alone."""
    asked = Workload("mix", (Request(LONG), Request(SHORT), Request(network())))
    assert POLICIES["masa-hrrn"](asked, BUDGET).service_s == (20.0, 2.0, 0.0)


def test_mema_loads_small_layers_first() -> None:
    """Of the loads of networks at once the smallest goes first, and a large one goes before much newer ones."""
    asked = Workload("mix", (Request(CAFFE), Request(LONG), Request(SHORT, arrival_s=9.5)))
    of = {_name(task): task.priority for task in POLICIES["mema"](asked, BUDGET).tasks if task.kind == "load"}
    assert sorted(of, key=of.__getitem__) == ["0l0", "0l1", "0l3", "0l2", "1l0", "2l0"]


CONVOLUTIONAL, CONNECTED = "conv2d", "linear"


@pytest.mark.parametrize("policy", [policy for policy, row in ROWS.items() if row.sides])
@pytest.mark.parametrize(
    ("kinds", "lanes"),
    [
        ([CONVOLUTIONAL, CONVOLUTIONAL], [0, 0]),
        ([CONNECTED, CONNECTED], [1, 1]),
        ([CONNECTED, CONVOLUTIONAL, CONNECTED], [0, 0, 1]),
        ([], []),
    ],
)
def test_layers_up_to_the_last_convolution_are_on_its_side(policy: str, kinds: list[str], lanes: list[int]) -> None:
    """All layers up to the last convolution are on the convolutional side; either side may be missing."""
    mixed = network(*[(1, 1, 1)] * len(kinds), kinds=kinds)
    plan = POLICIES[policy](Workload("mix", (Request(mixed), Request(mixed))), BUDGET)
    for task in plan.tasks:
        assert task.lane == (0 if task.layer is None else lanes[task.layer])


FILES = sorted(Path(policies.__path__[0]).glob("*.py"))


def test_the_table_is_the_folder() -> None:
    """Every file of the folder is a policy of the table under the file's name, and most have their row."""
    files = {path.stem for path in FILES} - {"__init__", "keeping", "parameters", "parts"}
    made = [*POLICIES.values(), *FAMILIES.values()]
    assert files == {policy.__module__.rpartition(".")[2] for policy in made}
    assert files == {name.replace("-", "_") for name in [*POLICIES, *FAMILIES]}
    assert list(ROWS) == STUDY
    assert REFERENCE in POLICIES


@pytest.mark.parametrize("file", [path for path in FILES if path.stem != "__init__"], ids=lambda path: path.stem)
def test_no_policy_imports_another(file: Path) -> None:
    """A policy imports from its own room only shared parts and its own folder, never another policy."""
    imports = [node for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.ImportFrom)]
    inside = [
        str(node.module).split(".")[2] for node in imports if str(node.module).startswith(f"{policies.__name__}.")
    ]
    assert {*inside} <= {"keeping", "parameters", "parts", "streaming"}


@given(timed_workloads(), BUDGETS)
def test_plans_are_deterministic(asked: Workload, budget: Budget) -> None:
    """A policy that is called twice returns the same plan."""
    for policy in POLICIES.values():
        assert policy(asked, budget) == policy(asked, budget)


@given(timed_workloads(), BUDGETS, st.integers(0))
def test_no_policy_looks_ahead(asked: Workload, budget: Budget, at: int) -> None:
    """The plan for the requests up to a moment is the beginning of the plan for all requests, except for `stream`.

    `stream` knows how often each network will be asked, to choose the tiles that it keeps, and whether all requests
    arrive at once, to choose orders.
    """
    requests = asked.requests
    moments = [(request.batch, request.arrival_s) for request in requests]
    until = moments[at % len(moments)]
    known = replace(asked, requests=tuple(r for r, moment in zip(requests, moments, strict=True) if moment <= until))
    for name in [*STUDY, *KEEPING]:
        plan, first = POLICIES[name](asked, budget), POLICIES[name](known, budget)
        tasks = list(first.tasks)
        while name in KEEPING and tasks and tasks[-1].kind == "free":  # what is kept until the end
            tasks.pop()
        assert list(plan.tasks[: len(tasks)]) == tasks
        assert plan.service_s[: len(first.service_s)] == first.service_s


@given(timed_workloads(), BUDGETS, st.floats(0.1, 10))
def test_plans_by_order_need_no_times(asked: Workload, budget: Budget, power: float) -> None:
    """The plans in BY_ORDER stay the same if requests arrive in the same order at other times."""
    plain = replace(asked, requests=tuple(replace(request, deadline_s=None) for request in asked.requests))
    others = (replace(request, arrival_s=request.arrival_s**power) for request in plain.requests)
    stretched = replace(plain, requests=tuple(others))
    for name in BY_ORDER - {"pin"} | {f"pin({plain.requests[0].network.name})"}:
        assert POLICIES[name](stretched, budget) == POLICIES[name](plain, budget), name


def test_policies_need_no_torch() -> None:
    """Importing the table of policies imports neither torch nor numpy nor hypothesis."""
    code = "import sys, pytest_edgeload.policies; sys.exit(bool({'torch', 'numpy', 'hypothesis'} & set(sys.modules)))"
    subprocess.run([sys.executable, "-c", code], check=True, env={"PYTHONPATH": ":".join(sys.path)})
