"""What a plan holds at most, against formulas that know nothing of plans."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_edgeload.networks.layer import Network
from pytest_edgeload.plan import Plan, Task
from pytest_edgeload.policies import POLICIES
from pytest_edgeload.simulate import peak_bytes
from pytest_edgeload.workload import Workload
from tests.builders import network, plan_of, workload, workloads


def _one_layer_at_a_time(network: Network) -> int:
    return max((layer.weight_bytes + layer.activation_bytes for layer in network.layers), default=0)


def _whole_network(network: Network) -> int:
    return network.weight_bytes + max((layer.activation_bytes for layer in network.layers), default=0)


def _rest_of_the_network(network: Network) -> int:
    """Every layer is loaded before the first is executed, and freed when it was."""
    rest = [sum(layer.weight_bytes for layer in network.layers[i:]) for i in range(len(network.layers))]
    return max((w + layer.activation_bytes for w, layer in zip(rest, network.layers, strict=True)), default=0)


@pytest.mark.parametrize(
    ("policy", "formula"),
    [("linear", _one_layer_at_a_time), ("bulk", _whole_network), ("partial", _rest_of_the_network)],
)
@given(asked=workloads())
def test_one_lane_is_exact(policy: str, formula: object, asked: Workload) -> None:
    """On one lane the peak is that of the greediest network beside the outputs of the networks before it."""
    assert callable(formula)
    answers = peak = 0
    for request in asked.requests:
        peak = max(peak, answers + max(request.network.input_bytes, formula(request.network)))
        layers = request.network.layers
        answers += layers[-1].carry_bytes if layers else request.network.input_bytes
    assert peak_bytes(plan_of(policy, asked, lanes=1), asked) == peak


@given(workloads().filter(lambda asked: len(asked.requests) == 1))
def test_bulk_unchained_alone(asked: Workload) -> None:
    """A network that is alone in bulk-unchained holds what is not executed yet."""
    network = asked.requests[0].network
    peak = max(network.input_bytes, _rest_of_the_network(network))
    assert peak_bytes(plan_of("bulk-unchained", asked), asked) == peak


@given(workloads(), st.sampled_from(sorted(POLICIES)), st.integers(1, 4))
def test_bounds(asked: Workload, policy: str, lanes: int) -> None:
    """Any plan holds at least the greediest layer, and at most all networks with all they need."""
    networks = [request.network for request in asked.requests]
    least = max(_one_layer_at_a_time(network) for network in networks)
    most = sum(max(network.input_bytes, _whole_network(network)) for network in networks)
    assert least <= peak_bytes(plan_of(policy, asked, lanes), asked) <= most


@pytest.mark.parametrize(("lanes", "peak"), [(1, 1 + 30), (2, 1 + 10 + 30)])
def test_tasks_that_run_together_are_held_together(lanes: int, peak: int) -> None:
    """Two layers are held one after the other on one lane, and both at once where two lanes load them at once."""
    tasks = (
        Task("init", 0),
        Task("load", 0, 0, (0,)),
        Task("exec", 0, 0, (1,)),
        Task("free", 0, 0, (2,)),
        Task("load", 0, 1, (0,)),
        Task("exec", 0, 1, (2, 4)),
        Task("free", 0, 1, (5,)),
    )
    assert peak_bytes(Plan(tasks, lanes), workload(network((10, 1, 1), (30, 1, 1)))) == peak


@pytest.mark.parametrize(
    "tasks", [(Task("init", 0, None, (0,)),), (Task("init", 0, None, (1,)), Task("init", 0, None, (0,)))]
)
def test_a_plan_that_stops(tasks: tuple[Task, ...]) -> None:
    """A plan whose tasks wait for each other raises instead of going on forever."""
    with pytest.raises(ValueError, match="the plan stops"):
        peak_bytes(Plan(tasks), workload(network()))


def test_nothing_holds_nothing() -> None:
    """A plan without tasks, which an idle worker carries out, holds nothing."""
    assert peak_bytes(Plan(()), workload()) == 0
