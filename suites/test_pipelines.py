"""What does a pipeline of networks cost if one needs the output of another? Measures speech and vision by policy.

An encoder runs once, and a decoder takes its output and writes a token in each step: Whisper's decoder takes the states
of a sound in each step, and that of a language model the rows of an image in its prompt.
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
SMALL, FULL = (
    Mix(
        f"{name} describes an image",
        (Ask(f"{name}_image"), Ask(f"{name}_text", steps=STEPS, feeds=(Feed("images", request=0),))),
    )
    for name in ("small_vlm", "smolvlm")
)


@pytest.mark.parametrize("edge_policy", ["stream"])
def test_small_image(edge: Edge, edge_policy: str, edge_mem: Limit | None, edge_reader: str, edge_store: str) -> None:
    """The rows of an image begin the prompt of the decoder, which gives the tokens of plain PyTorch."""
    measurement = edge.run(SMALL, policy=edge_policy, memory=edge_mem, reader=edge_reader, store=edge_store)
    assert measurement.outcome == "ok", measurement.detail


@pytest.mark.full
def test_image(edge: Edge, edge_policy: str, edge_mem: Limit | None, edge_reader: str, edge_store: str) -> None:
    """The encoder and decoder of SmolVLM, under each policy, give the tokens of plain PyTorch."""
    measurement = edge.run(FULL, policy=edge_policy, memory=edge_mem, reader=edge_reader, store=edge_store)
    assert measurement.outcome == "ok", measurement.detail


@pytest.mark.full
def test_speech(edge: Edge, edge_policy: str, edge_mem: Limit | None, edge_reader: str, edge_store: str) -> None:
    """Under each policy the decoder waits for the states of the encoder, and gives the tokens of plain PyTorch."""
    measurement = edge.run(SPEECH, policy=edge_policy, memory=edge_mem, reader=edge_reader, store=edge_store)
    assert measurement.outcome == "ok", measurement.detail
