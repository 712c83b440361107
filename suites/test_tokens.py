"""How long does a token take if a decoder's weights do not fit in memory? Measures token loops by policy and limit.

A dense decoder needs all of its weights for each token. A policy can keep them all, read them all again for each token,
or keep what fits and read the rest.
"""

from __future__ import annotations

from importlib.util import find_spec

import pytest

from pytest_edgeload import Edge, Limit, Mix

pytestmark = pytest.mark.skipif(find_spec("transformers") is None, reason="the decoders need the package transformers")

FEW = Mix.of("8 tokens", ["smol_135m"], steps=8)
MANY = [
    *(
        Mix.of(f"{name} 32 tokens", [name], steps=32)
        for name in ("smol_135m", "smol_360m", "smol_360m_bf16", "smol_360m_int8")
    ),
    Mix.of("two sequences", ["smol_360m", "smol_360m"], steps=32),  # a policy can read each weight once for both
]


@pytest.mark.parametrize("edge_policy", ["bulk", "linear", "stream"])
def test_few_tokens(edge: Edge, edge_policy: str, edge_mem: Limit | None, edge_reader: str, edge_store: str) -> None:
    """Keeping all weights, none, or what fits: each gives the tokens of plain PyTorch."""
    measurement = edge.run(FEW, policy=edge_policy, memory=edge_mem, reader=edge_reader, store=edge_store)
    assert measurement.outcome == "ok", measurement.detail
    assert edge.disabled or measurement.step_mean_s is not None


@pytest.mark.full
@pytest.mark.parametrize("mix", [pytest.param(mix, id=mix.name) for mix in MANY])
def test_tokens(
    edge: Edge, mix: Mix, edge_policy: str, edge_mem: Limit | None, edge_reader: str, edge_store: str
) -> None:
    """Every policy gives the tokens of plain PyTorch, also for two sequences at once."""
    measurement = edge.run(mix, policy=edge_policy, memory=edge_mem, reader=edge_reader, store=edge_store)
    assert measurement.outcome == "ok", measurement.detail
