"""How do the policies compare with programs that people use today? Measures peers and policies on the same mixes.

Each peer, or each of `--edge-peer`, runs in the same kind of worker as the policies in `--edge-policy`.
"""

from __future__ import annotations

from importlib.util import find_spec

import pytest

from models.mixes import large_3, run_pipeline
from pytest_edgeload import Edge, Limit, Mix

MIXES = (Mix.of("age_net", ["age_net"]), Mix.of("object_net", ["object_net"]), run_pipeline(), large_3())


@pytest.mark.full
@pytest.mark.parametrize("mix", [pytest.param(mix, id=mix.name) for mix in MIXES])
def test_peers(edge: Edge, mix: Mix, edge_peer: str, edge_mem: Limit | None, edge_reader: str) -> None:
    """All requests are answered, with the outputs of plain PyTorch, by peers and policies alike."""
    measurement = edge.run(mix, policy=edge_peer, memory=edge_mem, reader=edge_reader)
    assert measurement.outcome == "ok", measurement.detail


@pytest.mark.full
@pytest.mark.skipif(find_spec("transformers") is None, reason="the decoder needs the package transformers")
def test_tokens(edge: Edge, edge_peer: str, edge_mem: Limit | None, edge_reader: str) -> None:
    """A decoder that takes and returns its cache gives the tokens of plain PyTorch under peers and policies alike."""
    tokens = Mix.of("8 tokens", ["smol_360m_cached"], steps=8)
    measurement = edge.run(tokens, policy=edge_peer, memory=edge_mem, reader=edge_reader)
    assert measurement.outcome == "ok", measurement.detail
