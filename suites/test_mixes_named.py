"""Which policy serves the mixes of the 2020 study best? Measures every named mix, with all requests arriving at once.

One more mix, of the two largest networks, needs more than 1 GiB even under policies that free each layer after its
exec. `test_pipeline.py` measures the main mix, and `test_context.py` the mixes with conditions.
"""

from __future__ import annotations

import pytest

from models.mixes import MIXES
from pytest_edgeload import Edge, Limit, Mix

LARGE_2 = Mix.of("large-2", ["object_net"] * 3 + ["emotion_net"] * 3)
"""Each network is asked three times before the next, so that loads can run ahead of execs."""

MEASURED_ELSEWHERE = {"run-pipeline", "FGA", "YFGAE"}


@pytest.mark.full
@pytest.mark.parametrize(
    "mix",
    [
        *(pytest.param(make(), id=name) for name, make in MIXES.items() if name not in MEASURED_ELSEWHERE),
        pytest.param(LARGE_2, id=LARGE_2.name, marks=pytest.mark.quick),
    ],
)
def test_mix(edge: Edge, mix: Mix, edge_policy: str, edge_mem: Limit | None, edge_reader: str) -> None:
    """All requests are answered, with the outputs of plain PyTorch, and none is dropped."""
    measurement = edge.run(mix, policy=edge_policy, memory=edge_mem, reader=edge_reader)
    assert measurement.outcome == "ok", measurement.detail
    assert measurement.dropped == ()
