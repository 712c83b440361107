"""Decoders have the published sizes, and their steps generate the tokens that transformers generates."""

from __future__ import annotations

from typing import Any

import pytest
import torch

pytest.importorskip("transformers")

from models.decoders import PROMPT, SMOL_135M, SMOL_360M, Int8Linear, Sizes, _decoder

SMALL = Sizes(hidden=64, intermediate=96, layers=2, heads=2, key_heads=1, seed=7)
VOCABULARY = 49_152
TOKENS = 12


@pytest.mark.parametrize(("sizes", "numbers"), [(SMOL_135M, 134_515_008), (SMOL_360M, 361_821_120)])
def test_sizes_are_published_ones(sizes: Sizes, numbers: int) -> None:
    """The matrices and norms of each layer, the embedding and the last norm add up to the published parameters."""
    heads = sizes.hidden + 2 * sizes.key_heads * (sizes.hidden // sizes.heads)
    layer = sizes.hidden * (heads + sizes.hidden + 3 * sizes.intermediate + 2)
    assert sizes.layers * layer + (VOCABULARY + 1) * sizes.hidden == numbers


def test_steps_generate_the_tokens_of_transformers() -> None:
    """The prompt at once and a step for each token, with the cache in buffers, find the same tokens as `generate`."""
    module, [sample] = _decoder("small", SMALL, torch.float32)
    step: Any = module
    tokens, places = sample.args
    expected = step.model.generate(tokens, max_new_tokens=TOKENS, do_sample=False, eos_token_id=None, pad_token_id=0)
    found = tokens
    with torch.inference_mode():
        for _ in range(TOKENS):
            tokens, places = step(tokens, places)[:, -1].argmax(-1, keepdim=True), places[-1:] + 1
            found = torch.cat([found, tokens], 1)
    assert found.shape == (1, PROMPT + TOKENS)
    assert torch.equal(found, expected)
    assert sum(weight.numel() for weight in step.parameters()) == (VOCABULARY + 1) * 64 + 2 * 64 * (128 + 64 + 288 + 2)


def test_int8_matrix_is_near_the_one_it_stands_for() -> None:
    """The widened numbers are within half a step of the weights, and take a byte each."""
    weight = torch.randn(5, 16, generator=torch.Generator().manual_seed(0))
    matrix = Int8Linear(weight)
    widened = matrix(torch.eye(16)).T
    assert matrix.numbers.dtype == torch.int8
    assert ((widened - weight).abs() <= 0.5001 * matrix.scales).all()
