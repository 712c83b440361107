"""Which policy finishes a pipeline of networks first when memory is scarce? Measures the 2020 study's main experiment.

Five networks analyze three images each, fifteen inferences in total.
"""

from __future__ import annotations

import pytest

from models.mixes import run_pipeline
from pytest_edgeload import Edge, Limit


@pytest.mark.full
@pytest.mark.quick
def test_run_pipeline(edge: Edge, edge_policy: str, edge_mem: Limit | None, edge_reader: str, edge_store: str) -> None:
    """All fifteen requests are answered, with the outputs of plain PyTorch."""
    measurement = edge.run(run_pipeline(), policy=edge_policy, memory=edge_mem, reader=edge_reader, store=edge_store)
    assert measurement.outcome == "ok", measurement.detail
    response_s = measurement.response_s  # one time per request; None for a peer, which is measured from outside
    assert edge.disabled or response_s is None or len(response_s) == len(run_pipeline().asks)
