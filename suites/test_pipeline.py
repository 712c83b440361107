"""The 2020 study's main experiment: fifteen inferences, five networks asked about three images each."""

from __future__ import annotations

import pytest

from pytest_edgeload import Edge, Limit, Mix

RUN_PIPELINE = Mix.of("run-pipeline", ["sos_net", "sos_googlenet", "age_net", "gender_net", "face_net"], images=3)


@pytest.mark.full
@pytest.mark.quick
def test_run_pipeline(edge: Edge, edge_policy: str, edge_mem: Limit | None, edge_reader: str) -> None:
    """All fifteen are answered, and answered as plain PyTorch answers them."""
    measurement = edge.run(RUN_PIPELINE, policy=edge_policy, memory=edge_mem, reader=edge_reader)
    assert measurement.outcome == "ok", measurement.detail
    assert measurement.response_s is not None
    assert len(measurement.response_s) == len(RUN_PIPELINE.asks)
