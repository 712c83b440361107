"""The memory that a planner counts on, and the memory that a refused runtime names, for networks that are numbers."""

from __future__ import annotations

import re

import msgspec
import pytest

from pytest_edgeload.base.errors import UsageError
from pytest_edgeload.base.units import format_size, parse_size
from pytest_edgeload.planning.plan import Budget, Plan
from pytest_edgeload.policies import POLICIES
from pytest_edgeload.policies.linear import linear
from pytest_edgeload.runtime.planning import Planner, TimedAsk
from pytest_edgeload.runtime.runtime import _ChosenPolicy, _planner, _policy
from pytest_edgeload.workload import Workload
from tests.builders import network

MIB = 1 << 20
CONVOLUTIONS = {
    name: network(*[(9 * MIB, 2 * MIB, MIB)] * 3, input_bytes=MIB, name=name, kinds=["conv2d"] * 3, flops=[10**9] * 3)
    for name in "ab"
}
COPIES = 18 * MIB
"""Of the weights of one of these layers."""


@pytest.mark.parametrize(("policy", "lanes"), [("linear", 1), ("lru", 1), ("mema", 2), ("partial", 2)])
def test_copies_count_for_each_lane_that_may_execute(policy: str, lanes: int) -> None:
    """Two requests execute at once if their plan has two lanes for it, and each makes copies of its weights."""
    planner = Planner(CONVOLUTIONS, policy, POLICIES[policy], Budget(100 * MIB))
    assert planner.copies_bytes([TimedAsk("a")]) == COPIES
    assert planner.copies_bytes([TimedAsk("a"), TimedAsk("b")]) == lanes * COPIES
    assert planner.copies_bytes([TimedAsk("a"), TimedAsk("b"), TimedAsk("a")]) == lanes * COPIES


@pytest.mark.parametrize(("spare", "fit"), [(16 * MIB, False), (36 * MIB, True)])
def test_requests_do_not_fit_without_room_for_all_copies(spare: int, *, fit: bool) -> None:
    """Weights and activations of two networks fit, but copies of both need room as well."""
    asked = [TimedAsk("a"), TimedAsk("b")]
    budget = Budget(sum(each.peak_bytes for each in CONVOLUTIONS.values()))
    assert Planner(CONVOLUTIONS, "partial", POLICIES["partial"], budget, spare_bytes=spare).fit(asked) is fit


@pytest.mark.parametrize("policy", ["mema", "bulk", "partial", "stream"])
def test_named_memory_is_more_than_the_memory_at_hand(policy: str) -> None:
    """Whatever a runtime is refused for, the size that it names is larger, and enough."""
    layers = [(k * MIB, 6 * MIB, 3 * MIB) for k in (1, 2, 9, 9)] + [(60 * MIB, MIB, MIB)]
    networks = {"net": network(*layers, input_bytes=MIB, kinds=["conv2d"] * 4 + ["linear"], flops=[10**9] * 5)}
    chosen = _policy(policy)
    for memory_bytes in range(MIB, 120 * MIB, 7 * MIB):
        try:
            _planner(networks, chosen, memory_bytes, 0)
        except UsageError as refused:
            found = re.search(r"needs (\S+) for it, and memory is (\S+);", str(refused))
            assert found is not None
            assert found[2] == format_size(memory_bytes)
            assert parse_size(found[1]) > memory_bytes
            _planner(networks, chosen, parse_size(found[1]), 0)


def test_policy_that_always_needs_more_is_refused() -> None:
    """No memory is enough for plans whose arena is the whole budget."""

    def greedy(workload: Workload, budget: Budget) -> Plan:
        return msgspec.structs.replace(linear(workload, budget), arena_bytes=budget.memory_bytes or 0)

    message = "policy greedy: needs more memory than any amount that it is given; choose another policy"
    with pytest.raises(UsageError, match=message):
        _planner(CONVOLUTIONS, _ChosenPolicy("greedy", greedy), 100 * MIB, 0)
