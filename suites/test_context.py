"""What does it save to ask only where it makes sense? Requests that depend on what another one answered."""

from __future__ import annotations

import pytest

from models.mixes import FACE_FOUND, PERSON_SEEN, fga, yfgae
from pytest_edgeload import Conditions, Edge, Limit, Mix

DROPPED = {"FGA": (4, 5), "YFGAE": (6, 7, 8, 9)}
"""What the networks' own samples decide: face_net is surer than FACE_FOUND of the first image and the third, tiny_yolo
than PERSON_SEEN of the same two. Plain PyTorch's outputs say so; every policy must come to the same."""


def _case(mix: Mix, conditions: Conditions) -> object:
    quick = mix.name == "FGA" and conditions == "wait"
    return pytest.param(
        mix.deciding(conditions), id=f"{mix.name}-{conditions}", marks=[pytest.mark.quick] if quick else []
    )


@pytest.mark.full
@pytest.mark.parametrize(
    "mix", [_case(mix, conditions) for mix in (fga(), yfgae()) for conditions in ("wait", "early", "ignore")]
)
def test_context(edge: Edge, mix: Mix, edge_policy: str, edge_mem: Limit | None, edge_reader: str) -> None:
    """What is not wanted is dropped, the rest is answered, and nothing is dropped where conditions are ignored."""
    measurement = edge.run(mix, policy=edge_policy, memory=edge_mem, reader=edge_reader)
    assert measurement.outcome == "ok", measurement.detail
    expected = () if mix.conditions == "ignore" else DROPPED[mix.name]
    assert edge.disabled or measurement.dropped == expected, f"face > {FACE_FOUND}, person > {PERSON_SEEN}"
