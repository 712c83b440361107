"""Does every policy serve every mix of the networks correctly? Measures random mixes.

Hypothesis draws the mixes and shrinks a failing one to the smallest that still fails. `--edge-examples` sets the number
of mixes. A session prints its seed, and `--edge-seed` repeats the same mixes.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

pytest.importorskip("hypothesis", reason="needs hypothesis; pip install 'pytest-edgeload[hypothesis]'")

from hypothesis import HealthCheck, Phase, given, seed, settings

from models import NETWORKS
from pytest_edgeload import Edge, Limit, Mix
from pytest_edgeload.strategies import arrivals, workloads

MAX_REQUESTS = 5
MAX_INTERVAL_S = 0.5

MIXES = workloads(
    list(NETWORKS),
    max_requests=MAX_REQUESTS,
    max_samples=3,
    arrivals=arrivals(max_interval_s=MAX_INTERVAL_S, count=MAX_REQUESTS),
)


@pytest.mark.full
def test_drawn_mix(
    edge: Edge,
    edge_policies: tuple[str, ...],
    edge_mem: Limit | None,
    edge_reader: str,
    edge_examples: int,
    edge_seed: int,
) -> None:
    """Under every policy the same requests are answered and the same dropped, and outputs equal plain PyTorch's."""

    @seed(edge_seed)
    @settings(
        max_examples=edge_examples,
        deadline=None,
        database=None,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )
    @given(MIXES)
    def every_policy_serves(mix: Mix) -> None:
        runs = {
            policy: edge.run(replace(mix, name=_name(mix)), policy=policy, memory=edge_mem, reader=edge_reader)
            for policy in edge_policies
        }
        for policy, run in runs.items():
            assert run.outcome == "ok", f"{policy}: {run.outcome}: {run.detail}"
            assert run.response_s is not None
            assert [r for r, response_s in enumerate(run.response_s) if response_s is None] == list(run.dropped)
        assert len({run.dropped for run in runs.values()}) == 1, {policy: run.dropped for policy, run in runs.items()}

    every_policy_serves()


def _name(mix: Mix) -> str:
    """Return a name that lists the networks of `mix`: `2 age_net, 1 sos_net`."""
    networks = [ask.network for ask in mix.asks]
    return ", ".join(f"{networks.count(network)} {network}" for network in mix.networks)
