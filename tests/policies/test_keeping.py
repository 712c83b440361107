"""The policies that keep networks in memory between requests: what they load again, and what they free."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given

from pytest_edgeload.base.errors import UsageError
from pytest_edgeload.networks.layer import Network
from pytest_edgeload.planning.check import check_plan
from pytest_edgeload.planning.plan import Budget, InvalidPlan, Plan
from pytest_edgeload.planning.simulate import simulate
from pytest_edgeload.policies import POLICIES
from pytest_edgeload.workload import Request, Workload
from tests.builders import BUDGETS, SPEEDS, network, timed_workloads

A, B, C = (network((20, 1, 1), (20, 1, 1), name=name) for name in "abc")
"""Networks of 40 bytes in two layers, with an activation of 1 byte."""


def _asked(*networks: Network, every_s: float = 1.0, batches: bool = False, steps: int = 1) -> Workload:
    return Workload(
        "mix",
        tuple(
            Request(net, arrival_s=0.0 if batches else every_s * k, batch=k if batches else 0, steps=steps)
            for k, net in enumerate(networks)
        ),
    )


def _loads(policy: str, asked: Workload, memory_bytes: int | None = 100) -> list[str]:
    """Return the layers that are loaded, in order, as the name of the network and the index of the layer."""
    plan = _plan(policy, asked, memory_bytes)
    return [f"{asked.requests[t.request].network.name}{t.layer}" for t in plan.tasks if t.kind == "load"]


def _plan(policy: str, asked: Workload, memory_bytes: int | None) -> Plan:
    plan = POLICIES[policy](asked, Budget(memory_bytes, speeds=SPEEDS))
    check_plan(plan, asked)
    return plan


@pytest.mark.parametrize("batches", [False, True])
@pytest.mark.parametrize("policy", ["lru", "lru-layers", "ttl(10s)", "pin(a)"])
def test_a_network_is_loaded_once_if_all_fit(policy: str, *, batches: bool) -> None:
    """Without a limit each network is loaded for its first request only, in an open and in a closed loop."""
    loads = _loads(policy, _asked(A, B, A, B, A, batches=batches), None)
    assert loads == ["a0", "a1", "b0", "b1"]


@pytest.mark.parametrize("batches", [False, True])
def test_the_network_used_longest_ago_is_freed_first(*, batches: bool) -> None:
    """Where two networks fit, the third takes the place of the one that was used longest ago."""
    asked = _asked(A, B, A, C, A, B, batches=batches)
    assert _loads("lru", asked, 120) == ["a0", "a1", "b0", "b1", "c0", "c1", "b0", "b1"]
    simulated = simulate(_plan("lru", asked, 120), asked, speeds=SPEEDS)
    assert simulated.peak_weight_bytes == 80


def test_layers_are_freed_one_by_one() -> None:
    """By layer, only as much is freed as the next layer needs; by network, all of it."""
    asked = _asked(A, B)
    plans = [_plan(policy, asked, 100) for policy in ("lru", "lru-layers")]
    kinds = ["".join(task.kind[0] for task in plan.tasks if task.kind != "init") for plan in plans]
    assert kinds == ["llee" + "ff" + "llee" + "ff", "lele" + "le" + "f" + "le" + "fff"]


def test_an_idle_network_is_freed() -> None:
    """A network that was not asked for longer than the time is loaded again, otherwise not."""
    asked = _asked(A, A, B, A, every_s=2.0)
    assert _loads("ttl(4s)", asked, None) == ["a0", "a1", "b0", "b1"]
    assert _loads("ttl(3s)", asked, None) == ["a0", "a1", "b0", "b1", "a0", "a1"]


def test_a_pinned_network_stays() -> None:
    """Others take turns in the memory that a pinned network leaves, even if it was used longest ago."""
    asked = _asked(A, B, C, B, A)
    assert _loads("lru", asked, 120) == ["a0", "a1", "b0", "b1", "c0", "c1", "a0", "a1"]
    assert _loads("pin(a)", asked, 120) == ["a0", "a1", "b0", "b1", "c0", "c1", "b0", "b1"]
    assert _loads("pin(a+b)", asked, 120) == ["a0", "a1", "b0", "b1", "c0", "c1"]


def test_an_unknown_pinned_network_is_named() -> None:
    """A pinned name that no network of the workload has is refused with the names that there are."""
    with pytest.raises(InvalidPlan, match=r"^network x: not in this workload; pin one of a, b$"):
        POLICIES["pin(x)"](_asked(A, B), Budget())


@pytest.mark.parametrize(
    ("policy", "sentence"),
    [
        ("ttl(soon)", r"^policy=ttl\(soon\): no duration; write one, as in ttl\(30s\) or ttl\(5m\)$"),
        ("ttl", r"^policy=ttl\(\): no duration; write one, as in ttl\(30s\) or ttl\(5m\)$"),
        ("pin()", r"^policy=pin\(\): lacks a name; write names of networks, as in pin\(vad\+faces\)$"),
        ("pin(a+)", r"^policy=pin\(a\+\): lacks a name; write names of networks, as in pin\(vad\+faces\)$"),
    ],
)
def test_wrong_parameters_are_named(policy: str, sentence: str) -> None:
    """Parameters that a family cannot use are refused in one sentence."""
    with pytest.raises(UsageError, match=sentence):
        assert policy in POLICIES


def test_unknown_families_are_unknown_policies() -> None:
    """A name with parentheses is a policy only if its family is known."""
    assert "bulk(2)" not in POLICIES
    with pytest.raises(KeyError):
        POLICIES["bulk(2)"]


@pytest.mark.parametrize(("policy", "loads"), [("lru", 2), ("lru-layers", 2)])
def test_a_sequence_keeps_its_weights(policy: str, loads: int) -> None:
    """A request with steps loads its network once if it fits, and an earlier request's weights serve it, too."""
    asked = _asked(A, A, steps=3)
    plan = _plan(policy, asked, 100)
    assert sum(task.kind == "load" for task in plan.tasks) == loads
    assert [loop.steps for loop in plan.loops] == [3, 3]


def test_a_sequence_by_layer_reads_again_what_does_not_fit() -> None:
    """The layer used longest ago is the next one, so a network that does not fit is read in each step."""
    asked = replace(_asked(B, A, steps=2))
    plan = _plan("lru-layers", asked, 40)
    simulated = simulate(plan, asked, speeds=SPEEDS)
    assert simulated.peak_weight_bytes == 20
    assert [plan.tasks[s.task].kind for s in simulated.spans].count("load") == 8


@given(asked=timed_workloads(max_steps=3), budget=BUDGETS)
def test_weights_stay_within_the_budget(asked: Workload, budget: Budget) -> None:
    """The peak of the weights is at most the budget, or the largest network, or layer, if that is larger."""
    networks = [request.network for request in asked.requests]
    largest_layer = max([layer.weight_bytes for network in networks for layer in network.layers], default=0)
    largest = max(network.weight_bytes for network in networks)
    for policy, at_least in (("lru", largest), ("lru-layers", largest_layer), ("ttl(2s)", largest)):
        plan = POLICIES[policy](asked, budget)
        check_plan(plan, asked)
        if budget.memory_bytes is not None:
            found = simulate(plan, asked, speeds=SPEEDS, holds=lambda _: True)
            assert found.peak_weight_bytes <= max(budget.memory_bytes, at_least)
