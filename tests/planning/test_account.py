"""The byte account against sums over the tasks that have begun and not ended, which know nothing of running totals."""

from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from pytest_edgeload.networks.layer import Layer, TensorSpec
from pytest_edgeload.networks.tile import tile_bytes
from pytest_edgeload.planning.account import Account
from pytest_edgeload.planning.plan import Budget, Kind, Task
from pytest_edgeload.policies import POLICIES
from pytest_edgeload.workload import Workload
from tests.builders import BUDGETS, network, shared_workloads

PAIR = network((10, 5, 2), (30, 4, 1), input_bytes=3)
"""Two layers of 10 and 30 bytes."""


def _run(account: Account, *tasks: Task) -> list[int]:
    """Return the bytes that are held after each of `tasks` has begun, and after it has ended."""
    held: list[int] = []
    for task in tasks:
        account.begin(task)
        held.append(account.held_bytes)
        account.end(task)
        held.append(account.held_bytes)
    return held


def test_each_task_holds_its_bytes() -> None:
    """An init holds its input, a load its weights, an exec its activations, and a free gives the weights back."""
    account = Account([PAIR])
    chain = [Task("init", 0), *(Task(kind, 0, i) for i in range(2) for kind in ("load", "exec", "free"))]
    assert _run(account, *chain) == [3, 3, 13, 13, 15, 12, 12, 2, 32, 32, 34, 31, 31, 1]
    assert (account.peak_bytes, account.peak_weight_bytes) == (34, 30)


def test_the_arena_is_held_from_the_start_and_its_loads_add_nothing() -> None:
    """An arena counts as weights before the first task; a load with a place in it, and its free, change nothing."""
    account = Account([PAIR], arena_bytes=4096)
    assert (account.peak_bytes, account.peak_weight_bytes) == (4096, 4096)
    assert _run(account, Task("load", 0, 0, place=0), Task("free", 0, 0)) == [4096] * 4


def test_a_tied_weight_is_held_once() -> None:
    """Layers of a request that share a weight hold it once, until both are freed; other requests hold their own."""
    table, *others = (TensorSpec(name, "uint8", (size,), 0, size) for name, size in (("t", 100), ("a", 7), ("b", 5)))
    weights = [(table, others[0]), (others[1],), (table,)]
    layers = tuple(Layer(f"layer{i}", "linear", own, (), 0, 0, 0) for i, own in enumerate(weights))
    tied = msgspec.structs.replace(PAIR, layers=layers)
    assert (tied.weight_bytes, tied.distinct_bytes, tied.peak_bytes) == (212, 112, 115)
    account = Account([tied, tied])
    kinds: list[tuple[Kind, int, int]] = [("load", 0, 0), ("load", 0, 1), ("load", 0, 2), ("load", 1, 2)]
    kinds += [("free", 0, 0), ("free", 0, 2), ("free", 0, 1), ("free", 1, 2)]
    assert _run(account, *(Task(*kind) for kind in kinds))[1::2] == [107, 112, 112, 212, 205, 105, 100, 0]
    assert [account.begin(Task("load", 0, i)) for i in range(3)] == [107, 5, 0]


def test_a_discarded_request_holds_its_weights_but_no_activations() -> None:
    """Discarding a request removes its activations; its weights stay until they are freed."""
    account = Account([PAIR, PAIR])
    _run(account, Task("init", 0), Task("init", 1), Task("load", 0, 1))
    account.discard(0)
    assert (account.weight_bytes, account.activation_bytes) == (30, 3)


@given(shared_workloads(), st.sampled_from(sorted(POLICIES)), BUDGETS)
def test_weights_are_the_loads_without_a_free(asked: Workload, policy: str, budget: Budget) -> None:
    """The weights are those that are loaded and not freed, outside the arena; each peak is the largest total so far."""
    plan = POLICIES[policy](asked, budget)
    account = Account([request.network for request in asked.requests], plan.arena_bytes)
    loads: list[Task] = []
    totals, weights = [account.held_bytes], [account.weight_bytes]
    for task in plan.tasks:
        account.begin(task)
        totals.append(account.held_bytes)
        weights.append(account.weight_bytes)
        account.end(task)
        if task.kind == "load" and task.place is None:
            loads.append(task)
        elif task.kind == "free":
            loads = [load for load in loads if load.weights != task.weights]
        sizes = [tile_bytes(asked.requests[load.request].network, load.layer or 0, load.tile) for load in loads]
        assert account.weight_bytes == plan.arena_bytes + sum(sizes)
    assert (account.peak_bytes, account.peak_weight_bytes) == (max(totals), max(weights))
