"""Is every mix of the networks served right under every policy? Hypothesis draws mixes, and shrinks one that is not.

`--edge-examples` says how many; a session prints its seed, and `--edge-seed` draws the same mixes again.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

pytest.importorskip("hypothesis", reason="drawn mixes need pip install 'pytest-edgeload[hypothesis]'")

from hypothesis import HealthCheck, Phase, given, seed, settings

from models import NETWORKS
from pytest_edgeload import Edge, Limit, Mix
from pytest_edgeload.strategies import arrivals, workloads

MOST_REQUESTS = 5
LONGEST_INTERVAL_S = 0.5

DRAWN = workloads(
    list(NETWORKS),
    max_requests=MOST_REQUESTS,
    max_samples=3,
    arrivals=arrivals(max_interval_s=LONGEST_INTERVAL_S, count=MOST_REQUESTS),
)


@pytest.mark.full
@pytest.mark.quick
def test_drawn_mix(
    edge: Edge,
    edge_policies: tuple[str, ...],
    edge_mem: Limit | None,
    edge_reader: str,
    edge_examples: int,
    edge_seed: int,
) -> None:
    """Nothing is killed, every request is answered or dropped, the same ones under all policies, with equal outputs."""

    @seed(edge_seed)
    @settings(
        max_examples=edge_examples,
        deadline=None,
        database=None,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )
    @given(DRAWN)
    def every_policy_serves(mix: Mix) -> None:
        runs = {
            policy: edge.run(replace(mix, name=_words(mix)), policy=policy, memory=edge_mem, reader=edge_reader)
            for policy in edge_policies
        }
        for policy, run in runs.items():
            assert run.outcome == "ok", f"{policy}: {run.outcome}: {run.detail}"
            assert run.response_s is not None
            assert [r for r, response_s in enumerate(run.response_s) if response_s is None] == list(run.dropped)
        assert len({run.dropped for run in runs.values()}) == 1, {policy: run.dropped for policy, run in runs.items()}

    every_policy_serves()


def _words(mix: Mix) -> str:
    """Return what is asked, as the mix's name: `2 age_net, 1 sos_net`."""
    asked = [ask.network for ask in mix.asks]
    return ", ".join(f"{asked.count(network)} {network}" for network in mix.networks)
