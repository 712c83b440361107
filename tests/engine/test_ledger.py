"""The ledger equals the byte account, and several lanes can use it at the same time."""

from __future__ import annotations

import sys
import threading

from hypothesis import given
from hypothesis import strategies as st

from pytest_edgeload.engine.ledger import Ledger
from pytest_edgeload.planning.account import Account
from pytest_edgeload.planning.plan import Task
from pytest_edgeload.policies import POLICIES
from pytest_edgeload.workload import Workload
from tests.builders import network, plan_of, workloads

POLICY_NAMES = st.sampled_from(sorted(POLICIES))


@given(workloads(), POLICY_NAMES, st.data())
def test_ledger_equals_the_account(workload: Workload, policy: str, data: st.DataObject) -> None:
    """After each begin, end and discard the ledger has the bytes and the peak of an account."""
    networks = [request.network for request in workload.requests]
    plan = plan_of(policy, workload)
    ledger, account = Ledger(networks, plan.arena_bytes), Account(networks, plan.arena_bytes)
    for task in plan.tasks:
        for method in ("begin", "end"):
            getattr(ledger, method)(task)
            getattr(account, method)(task)
            assert (ledger.held_bytes, ledger.peak_bytes) == (account.held_bytes, account.peak_bytes)
    request = data.draw(st.sampled_from(range(len(networks))))
    ledger.discard(request)
    account.discard(request)
    assert (ledger.held_bytes, ledger.peak_bytes) == (account.held_bytes, account.peak_bytes)


def test_held_bytes_are_replaced_not_added() -> None:
    """The activations of an exec replace the input of its request and are replaced by its outputs."""
    ledger = Ledger([network((10, 100, 90), input_bytes=40)])
    for task in (Task("init", 0), Task("load", 0, 0), Task("exec", 0, 0), Task("free", 0, 0)):
        ledger.begin(task)
        ledger.end(task)
    assert (ledger.held_bytes, ledger.peak_bytes) == (90, 110)


def test_freed_memory_is_returned_if_memory_is_short() -> None:
    """Only if new memory would not fit beside all that malloc keeps, and then once."""
    mib = 1 << 20
    asked = network((1 * mib, 8 * mib, 1 * mib), (1 * mib, 8 * mib, 1 * mib), input_bytes=mib)
    chain = [Task("init", 0), *(Task(kind, 0, i) for i in range(2) for kind in ("load", "exec"))]
    due: dict[int | None, list[int]] = {}
    for memory_bytes in (None, 17 * mib, 16 * mib):
        ledger = Ledger([asked], memory_bytes=memory_bytes)
        due[memory_bytes] = []
        for index, task in enumerate(chain):
            if ledger.begin(task):
                due[memory_bytes].append(index)
            ledger.end(task)
    assert due == {None: [], 17 * mib: [], 16 * mib: [4]}


def test_copies_of_weights_stay_until_their_exec_ends() -> None:
    """Copies that another lane's exec makes now cannot be returned to the system, unlike those of execs that ended."""
    mib = 1 << 20
    asked = network((4 * mib, mib, mib), input_bytes=mib, kinds=["conv2d"])
    chain = [Task("load", 0, 0), Task("init", 0), Task("init", 1)]
    ledger = Ledger([asked, asked], memory_bytes=12 * mib)
    for task in chain:
        assert not ledger.begin(task)
        ledger.end(task)
    executing = [Task("exec", r, 0, weights_of=0) for r in range(2)]
    assert not ledger.begin(executing[0])
    assert not ledger.begin(executing[1])  # there is nothing to return
    assert ledger.heap_bytes == 2 * mib + 2 * 8 * mib
    ledger.end(executing[0])
    assert ledger.begin(Task("load", 1, 0))
    assert ledger.heap_bytes == 2 * mib + 8 * mib
    ledger.discard(1)  # its exec has failed
    assert ledger.begin(Task("init", 1))
    assert ledger.heap_bytes == 2 * mib


def test_lanes_do_not_lose_bytes() -> None:
    """Bytes that several lanes hold at the same time all count."""
    lanes, turns = 4, 3000
    ledger, before = Ledger([network(*[(1, 0, 0)] * turns)] * lanes), sys.getswitchinterval()

    def work(lane: int) -> None:
        for turn in range(turns):
            task = Task("load", lane, turn)
            ledger.begin(task)
            ledger.end(task)

    threads = [threading.Thread(target=work, args=(lane,)) for lane in range(lanes)]
    sys.setswitchinterval(1e-6)
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(before)
    assert ledger.held_bytes == ledger.peak_bytes == lanes * turns
