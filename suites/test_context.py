"""How much does it save to run a network only if an earlier answer calls for it? Measures requests with conditions.

Gender and age, for example, are computed only if the first network finds a face. A policy can wait for the condition,
load weights early, or ignore the condition; each of the three is one case.
"""

from __future__ import annotations

import pytest

from models.mixes import MIN_FACE, MIN_PERSON, fga, yfgae
from pytest_edgeload import Conditions, Edge, Limit, Mix

DROPPED = {"FGA": (4, 5), "YFGAE": (6, 7, 8, 9)}
"""The requests whose condition fails on the networks' own samples, as plain PyTorch's outputs decide.

face_net's output exceeds MIN_FACE for the first and third image, and tiny_yolo's exceeds MIN_PERSON for the same two.
Every policy must drop the same requests.
"""


def _case(mix: Mix, conditions: Conditions) -> object:
    return pytest.param(mix.deciding(conditions), id=f"{mix.name}-{conditions}")


@pytest.mark.full
@pytest.mark.parametrize(
    "mix", [_case(mix, conditions) for mix in (fga(), yfgae()) for conditions in ("wait", "early", "ignore")]
)
def test_context(
    edge: Edge, mix: Mix, edge_policy: str, edge_mem: Limit | None, edge_reader: str, edge_store: str
) -> None:
    """Exactly the requests whose condition fails are dropped; if conditions are ignored, all are answered."""
    measurement = edge.run(mix, policy=edge_policy, memory=edge_mem, reader=edge_reader, store=edge_store)
    assert measurement.outcome == "ok", measurement.detail
    expected = () if mix.conditions == "ignore" else DROPPED[mix.name]
    assert edge.disabled or measurement.dropped == expected, f"face > {MIN_FACE}, person > {MIN_PERSON}"
