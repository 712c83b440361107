"""Which policy serves the mixes of the 2020 study best? Measures every named mix, with all requests arriving at once.

`test_pipeline.py` measures the main mix, and `test_context.py` the mixes with conditions.
"""

from __future__ import annotations

import pytest

from models.mixes import MIXES
from pytest_edgeload import Edge, Limit, Mix

MEASURED_ELSEWHERE = {"run-pipeline", "FGA", "YFGAE"}


@pytest.mark.full
@pytest.mark.parametrize(
    "mix", [pytest.param(make(), id=name) for name, make in MIXES.items() if name not in MEASURED_ELSEWHERE]
)
def test_mix(edge: Edge, mix: Mix, edge_policy: str, edge_mem: Limit | None, edge_reader: str, edge_store: str) -> None:
    """All requests are answered, with the outputs of plain PyTorch, and none is dropped."""
    measurement = edge.run(mix, policy=edge_policy, memory=edge_mem, reader=edge_reader, store=edge_store)
    assert measurement.outcome == "ok", measurement.detail
    assert measurement.dropped == ()
