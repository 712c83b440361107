"""Which policy serves the study's mixes best? Every named mix without conditions, all at once."""

from __future__ import annotations

import pytest

from models.mixes import MIXES
from pytest_edgeload import Edge, Limit, Mix

QUICK = {"small-3", "mixed-3"}
CONTEXT = {"FGA", "YFGAE"}
"""Those with conditions: test_context.py runs them."""


def _case(name: str) -> object:
    return pytest.param(MIXES[name](), id=name, marks=[pytest.mark.quick] if name in QUICK else [])


@pytest.mark.full
@pytest.mark.parametrize("mix", [_case(name) for name in MIXES if name not in {"run-pipeline", *CONTEXT}])
def test_mix(edge: Edge, mix: Mix, edge_policy: str, edge_mem: Limit | None, edge_reader: str) -> None:
    """Every request is answered, and answered as plain PyTorch answers it."""
    measurement = edge.run(mix, policy=edge_policy, memory=edge_mem, reader=edge_reader)
    assert measurement.outcome == "ok", measurement.detail
    assert measurement.dropped == ()
