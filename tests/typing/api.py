"""How the public names are used, for mypy to check; never run."""

from __future__ import annotations

from pytest_edgeload import POLICIES, Budget, Builder, Edge, Limit, Measurement, Mix, Plan, Policy, Workload
from pytest_edgeload.plugin.hookspecs import RegisterNetwork, RegisterPolicy


def mine(workload: Workload, budget: Budget) -> Plan:
    """Be a policy."""
    plan = Builder(workload, lanes=budget.lanes)
    for r, request in enumerate(workload.requests):
        step = plan.add("init", r)
        for i, _ in enumerate(request.network.layers):
            step = plan.add("load", r, i, after=[step, None])
    return plan.done()


policy: Policy = mine
bulk: Policy = POLICIES["bulk"]
mix: Mix = Mix.of("twice", ["net"], images=2)
limit: Limit = Limit.parse("base+64M")


def pytest_edge_networks(register: RegisterNetwork) -> None:
    """Register a network."""
    register("net", "models:net")


def pytest_edge_policies(register: RegisterPolicy) -> None:
    """Register a policy."""
    register("mine", mine)


def test(edge: Edge, edge_policy: str, edge_mem: Limit | None) -> None:
    """Measure."""
    measurement: Measurement = edge.run(mix, policy=edge_policy, memory=edge_mem)
    measurement = edge.run(["net"], memory="512M", reader="read")
    seconds: float | None = measurement.makespan_s
    assert seconds is not None
