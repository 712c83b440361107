"""Uses of the public names, checked by mypy and never run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from torch import nn

from pytest_edgeload import (
    POLICIES,
    Answers,
    Ask,
    Budget,
    Builder,
    Condition,
    Constant,
    Edge,
    Exponential,
    Inputs,
    Job,
    Limit,
    Load,
    Measurement,
    Mix,
    NetworkFiles,
    Plan,
    Poisson,
    Policy,
    RegisterNetwork,
    RegisterPeer,
    RegisterPolicy,
    Speeds,
    Trace,
    Workload,
    assign_weights,
    network_by_network,
)


def mine(workload: Workload, budget: Budget) -> Plan:
    """Return a plan, like any policy."""
    speeds: Speeds = budget.speeds
    plan = Builder(workload, lanes=budget.lanes, order="ready", memory_bytes=budget.memory_bytes, patience=8)
    for r, request in enumerate(workload.requests):
        step = plan.add("init", r, priority=(speeds.service_s(request.network),))
        for i, layer in enumerate(request.network.layers):
            step = plan.add("load", r, i, after=[step, None], lane=0, reserve=layer.weight_bytes)
    return plan.done()


policy: Policy = mine
bulk: Policy = POLICIES["bulk"]
mix: Mix = Mix.of("twice", ["net"], images=2)
open_loop: Mix = mix.arriving(Poisson(2.0), seed=1).due(0.5)
recorded: Mix = mix.arriving(Trace((0.0, 0.5)))
recorded = mix.arriving(Trace.of(["2026-11-16 18:15:46", "2026-11-16 18:15:47"]))
recorded = mix.arriving(Trace.load("trace.jsonl", column="timestamp", unit="ms"))
relative: Mix = mix.in_service_times().arriving(Exponential(0.8)).due(3)
closed_loop: Mix = mix.closed()
face = Condition(0, 0.8, ">", output=0, at=(0, 1))
context: Mix = Mix("context", (Ask("face"), Ask("age", when=face))).arriving(Constant(1.0)).deciding("early")
limit: Limit = Limit.parse("base+64M")


def pytest_edge_networks(register: RegisterNetwork) -> None:
    """Register a network."""
    register("net", "models:net")
    register("saved", "saved.pt2")
    register("large", "models:large", checkpoint=Path("weights"))


def pytest_edge_policies(register: RegisterPolicy) -> None:
    """Register a policy."""
    register("mine", mine)


def pytest_edge_peers(register: RegisterPeer) -> None:
    """Register a peer with and without a conversion."""
    register("mine", "my_runtime:program")
    register("other", "my_runtime:program", prepare="my_runtime:convert")


def program(job: Job) -> Callable[[], Answers]:
    """Return the function that answers, like any program."""

    def prepare(network: NetworkFiles) -> Load:
        weights: tuple[Path, ...] = network.weights
        module: nn.Module = network.module()
        assign_weights(module, {})
        return lambda: lambda image: module(image) + weights[0].stat().st_size

    return network_by_network(job, prepare)


def test(edge: Edge, edge_policy: str, edge_mem: Limit | None, edge_network: Callable[..., str]) -> None:
    """Measure."""
    measurement: Measurement = edge.run(mix, policy=edge_policy, memory=edge_mem)
    live: str = edge_network("live", object(), (1,), {"x": 1}, Inputs((1,), {"x": 1}))
    measurement = edge.run([live], memory="512M", reader="read")
    seconds: float | None = measurement.makespan_s
    assert seconds is not None
    measurement = edge.run(context, memory=edge_mem)
    responses: tuple[float | None, ...] | None = measurement.response_s
    assert responses is not None
    is_disabled: bool = edge.disabled
    assert is_disabled or measurement.dropped == (1,)
    mean_s: float | None = measurement.service["face"].response_mean_s
    assert mean_s is not None
    in_time: float | None = measurement.streams["camera"].in_time
    assert in_time is not None


def test_programs(edge: Edge, edge_mem: Limit | None) -> None:
    """Measure functions and programs."""
    measurement: Measurement = edge.call(pow, 2, exp=10, memory=edge_mem, name="power")
    assert measurement.returned == 1024
    measurement = edge.command(["ls", Path("/")], memory="64M", env={"LANG": "C"}, cwd=Path("/"), stdin="text")
    measurement = edge.command(["./serve"], memory=edge_mem, ready="tcp:127.0.0.1:80", ask=lambda: None)
    startup_s: float | None = measurement.startup_s
    assert startup_s is not None
    edge.command(["sleep", 0.1, b"-x"], memory=64 << 20, env={"N": 4})
    edge.command(["./serve"], ready=Path("ready").exists, name="serve")
