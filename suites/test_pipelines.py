"""What does a pipeline of networks cost if one needs the output of another? Measures speech recognition by policy.

The encoder of Whisper runs once, and its decoder takes the encoder's states and writes a token in each step.
"""

from __future__ import annotations

from importlib.util import find_spec

import pytest

from pytest_edgeload import Ask, Edge, Feed, Limit, Mix

pytestmark = pytest.mark.skipif(find_spec("transformers") is None, reason="the networks need the package transformers")

STEPS = 16
SPEECH = Mix(
    "speech",
    (Ask("whisper_tiny_encoder"), Ask("whisper_tiny_decoder", steps=STEPS, feeds=(Feed("states", request=0),))),
)


@pytest.mark.full
def test_speech(edge: Edge, edge_policy: str, edge_mem: Limit | None, edge_reader: str) -> None:
    """Under each policy the decoder waits for the states of the encoder, and gives the tokens of plain PyTorch."""
    measurement = edge.run(SPEECH, policy=edge_policy, memory=edge_mem, reader=edge_reader)
    assert measurement.outcome == "ok", measurement.detail
