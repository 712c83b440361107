"""The decoder that takes and returns its cache generates the tokens that transformers generates."""

from __future__ import annotations

from typing import Any

import pytest
import torch

pytest.importorskip("transformers")

from models.cached import cached_step
from models.decoders import Sizes, with_weights

SMALL = Sizes(hidden=64, intermediate=96, layers=2, heads=2, key_heads=1, seed=7, vocabulary=512, has_head=True)
TOKENS = 12


def test_steps_generate_the_tokens_of_transformers() -> None:
    """A step for each token, with the cache passed on, finds the same tokens as `generate`, and changes no input."""
    model = with_weights("small", SMALL)
    step, [sample] = cached_step(model, SMALL)
    token, place, cache = sample.args
    prompt: Any = token
    expected = model.generate(prompt, max_new_tokens=TOKENS, do_sample=False, eos_token_id=None, pad_token_id=0)
    found = [token.item()]
    with torch.inference_mode():
        for _ in range(TOKENS):
            logits, cache = step(token, place, cache)
            token, place = logits[:, -1].argmax(-1, keepdim=True), place + 1
            found.append(token.item())
    assert found == expected[0].tolist()
    assert not any(tensor.any() for tensor in sample.args[2])
