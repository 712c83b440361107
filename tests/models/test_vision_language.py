"""The language models that see have the published sizes, and generate the tokens that transformers generates."""

from __future__ import annotations

from typing import Any

import pytest
import torch

pytest.importorskip("transformers")

from models.decoders import without_weights
from models.vision_language import SMALL, SMOLVLM, WORDS, Encoder, small_vlm_image, small_vlm_text
from pytest_edgeload import Inputs

TOKENS = 12


def test_sizes_are_those_of_smolvlm() -> None:
    """The encoder with its projection, and the decoder with its head, have the 256,484,928 published parameters."""
    with torch.device("meta"):
        parts = Encoder(SMOLVLM), without_weights(SMOLVLM.text)
    assert [sum(weight.numel() for weight in part.parameters()) for part in parts] == [93_510_912, 162_974_016]
    assert SMOLVLM.rows == 64


def test_steps_generate_the_tokens_of_transformers() -> None:
    """The rows of the image, then the prompt, then a step for each token find the same tokens as `generate`."""
    encoder, [pixels] = small_vlm_image()
    module, [sample] = small_vlm_text()
    with torch.inference_mode():
        rows = encoder(*pixels)
        assert torch.equal(rows, sample.args[2])
        tokens = _tokens(module, sample, rows)
        assert tokens != _tokens(*_of(small_vlm_text()), rows.flip(1))
    step: Any = module
    prompt = torch.cat([rows, step.model.model.embed_tokens(sample.args[0])], 1)
    expected = step.model.generate(
        inputs_embeds=prompt, max_new_tokens=TOKENS, do_sample=False, eos_token_id=None, pad_token_id=0
    )
    assert prompt.shape == (1, SMALL.rows + WORDS, SMALL.text.hidden)
    assert tokens == expected[0].tolist()


def _of(made: Any) -> tuple[Any, Inputs]:
    module, [sample] = made
    return module, sample


def _tokens(step: Any, sample: Inputs, rows: torch.Tensor) -> list[int]:
    """Return the tokens of the first steps after a prompt of `rows` and the words of the sample."""
    tokens, places, _ = sample.args
    found = []
    for _ in range(TOKENS):
        tokens, places = step(tokens, places, rows)[:, -1].argmax(-1, keepdim=True), places[-1:] + 1
        found.append(tokens.item())
    return found
