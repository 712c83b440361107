"""Promises of some policies beyond their row: a bound on memory, and that no request waits for ever."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_edgeload.planning.plan import Budget
from pytest_edgeload.planning.simulate import simulate
from pytest_edgeload.policies import POLICIES
from pytest_edgeload.workload import Request, Workload
from tests.builders import BUDGETS, SPEEDS, network, timed_workloads, workload

LIMITED = BUDGETS.filter(lambda budget: budget.memory_bytes is not None)


@pytest.mark.parametrize("policy", ["masa", "masa-hrrn"])
@given(asked=timed_workloads(), budget=LIMITED, data=st.data())
def test_networks_stay_within_the_budget(policy: str, asked: Workload, budget: Budget, data: st.DataObject) -> None:
    """The peak is at most the budget, or the peak of the largest network if that is larger, plus the answers."""
    found = simulate(POLICIES[policy](asked, budget), asked, speeds=SPEEDS, holds=lambda _: data.draw(st.booleans()))
    peaks = [request.network.peak_bytes for request in asked.requests]
    answers = sum(request.network.answer_bytes for request in asked.requests)
    assert found.peak_bytes <= max(budget.memory_bytes or 0, *peaks) + answers


@pytest.mark.parametrize("policy", ["masa", "masa-hrrn"])
@pytest.mark.parametrize(("memory_bytes", "peak_bytes"), [(119, 60 + 1), (120, 120)])
def test_activations_are_part_of_a_networks_peak(policy: str, memory_bytes: int, peak_bytes: int) -> None:
    """Two networks run together if their peaks fit, to the byte; otherwise one after the other."""
    asked = workload(*[network((10, 50, 1), flops=[8])] * 2)
    budget = Budget(memory_bytes, 2, SPEEDS)
    assert simulate(POLICIES[policy](asked, budget), asked, speeds=SPEEDS).peak_bytes == peak_bytes


@given(asked=timed_workloads(), budget=LIMITED, data=st.data())
def test_mema_stays_within_the_budget(asked: Workload, budget: Budget, data: st.DataObject) -> None:
    """The peak of the weights is at most the budget, or the largest layer if that is larger."""
    found = simulate(POLICIES["mema"](asked, budget), asked, speeds=SPEEDS, holds=lambda _: data.draw(st.booleans()))
    layers = [layer.weight_bytes for request in asked.requests for layer in request.network.layers]
    assert found.peak_weight_bytes <= max([budget.memory_bytes or 0, *layers])


SMALL = network((4, 1, 1), (4, 1, 1), kinds=["conv2d", "linear"], flops=[4, 4])
LARGE = network((8, 1, 1), (24, 1, 1), (8, 1, 1), kinds=["conv2d", "conv2d", "linear"], flops=[8, 24, 8])
"""Networks that take 2 s and 10 s alone on one lane."""


def _answered_s(policy: str, budget: Budget, every_s: float, *, patient: bool = True) -> tuple[float, float]:
    """Return when LARGE, which arrives with the first of 50 SMALL, is answered, and when the last of these arrives."""
    stream = [Request(SMALL, arrival_s=every_s * k) for k in range(50)]
    asked = Workload("stream", (stream[0], Request(LARGE), *stream[1:]))
    plan = POLICIES[policy](asked, budget)
    if not patient:
        plan = msgspec.structs.replace(plan, patience=None)
    spans = simulate(plan, asked, speeds=SPEEDS).spans
    answered_s = max(s.end_s for s in spans if plan.tasks[s.task].request == 1 and plan.tasks[s.task].kind == "exec")
    return answered_s, stream[-1].arrival_s


@pytest.mark.parametrize("lanes", [1, 2, 4])
@pytest.mark.parametrize("policy", POLICIES)
def test_a_large_request_does_not_starve(policy: str, lanes: int) -> None:
    """A large request is answered before the last small one arrives, even if these arrive faster than served."""
    budget = Budget(lanes=lanes, speeds=SPEEDS)
    lanes = POLICIES[policy](Workload("none", ()), budget).lanes
    # By response ratio a long request gains on the others only if these do not wait longer and longer.
    every_s = (2.0 if policy == "masa-hrrn" else 1.6) / lanes
    answered_s, last_s = _answered_s(policy, budget, every_s)
    assert answered_s < last_s


@pytest.mark.parametrize("policy", ["masa", "masa-hrrn", "mema"])
def test_patience_with_smaller_requests_ends(policy: str) -> None:
    """A large request that needs all memory is answered while small ones arrive; without patience it is not."""
    budget = Budget(memory_bytes=20, lanes=4, speeds=SPEEDS)
    answered_s, last_s = _answered_s(policy, budget, 1.0)
    assert answered_s < last_s
    answered_s, last_s = _answered_s(policy, budget, 1.0, patient=False)
    assert answered_s > last_s
