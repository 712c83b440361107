"""The 2020 study's main experiment: fifteen inferences, five networks asked about three images each."""

from __future__ import annotations

import pytest

from models.mixes import run_pipeline
from pytest_edgeload import Edge, Limit


@pytest.mark.full
@pytest.mark.quick
def test_run_pipeline(edge: Edge, edge_policy: str, edge_mem: Limit | None, edge_reader: str) -> None:
    """All fifteen are answered, and answered as plain PyTorch answers them."""
    measurement = edge.run(run_pipeline(), policy=edge_policy, memory=edge_mem, reader=edge_reader)
    assert measurement.outcome == "ok", measurement.detail
    answered = measurement.response_s  # of each request; what a peer does inside is not seen
    assert edge.disabled or answered is None or len(answered) == len(run_pipeline().asks)
