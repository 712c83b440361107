"""Weights of int8 are multiplied as they are stored, as precisely as in plain PyTorch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F  # noqa: N812  # its customary name

from pytest_edgeload.engine.integers import IntegerProduct, find_integer_product
from pytest_edgeload.engine.network import OpenNetwork
from pytest_edgeload.networks.tile import WHOLE, cut
from tests.builders import stored
from tests.engine.test_row_cuts import BIAS, NUMBERS, ROWS, SCALES, Stored
from tests.engine.test_tiles import execute

NARROW = {torch.float32: 0.0, torch.bfloat16: 2**-8, torch.float16: 2**-11}
"""The largest relative error of one rounding to each type."""


@given(
    dtype=st.sampled_from(sorted(NARROW, key=str)),
    batch=st.sampled_from([(), (1,), (1, 1), (2, 3), (16,)]),
    sizes=st.tuples(st.integers(1, 200), st.integers(1, 70)),
    magnitude=st.sampled_from([0.0, 1e-6, 1.0, 3e4]),
    parts=st.tuples(st.booleans(), st.booleans()),
    seed=st.integers(0, 99),
)
def test_products_are_as_precise_as_those_of_widened_weights(
    dtype: torch.dtype,
    batch: tuple[int, ...],
    sizes: tuple[int, int],
    magnitude: float,
    parts: tuple[bool, bool],
    seed: int,
) -> None:
    """The error is at most that of sums in float32 and one rounding, for any numbers, scales, bias and input."""
    inputs, outputs = sizes
    random = torch.Generator().manual_seed(seed)
    x = (torch.randn(*batch, inputs, generator=random) * magnitude).clamp(-6e4, 6e4).to(dtype)
    numbers = torch.randint(-128, 128, (outputs, inputs), dtype=torch.int8, generator=random)
    scales, bias = torch.rand(outputs, 1, generator=random) / (1 + 128 * magnitude), torch.rand(outputs)
    weights = {"q": numbers, "s": scales.to(dtype), "b": bias.to(dtype)}
    has_scales, has_bias = parts
    if not has_scales:
        x = x / (1 + 128 * magnitude)
    product = IntegerProduct("x", "q", "s" if has_scales else None, "b" if has_bias else None)
    actual = product({"x": x}, weights)
    matrix = numbers.double() * (weights["s"].double() if has_scales else 1)
    offset = weights["b"].double() if has_bias else torch.zeros(outputs).double()
    exact = F.linear(x.double(), matrix, offset)
    assert (actual.dtype, actual.shape, actual.is_contiguous()) == (dtype, exact.shape, True)
    size = F.linear(x.double().abs(), matrix.abs(), offset.abs())
    assert ((actual.double() - exact).abs() <= 1e-5 * size + NARROW[dtype] * exact.abs() + 1e-7).all()


@pytest.mark.parametrize("offset", [1, 2, 8, 16])
def test_numbers_may_begin_at_any_address(offset: int) -> None:
    """The product is right wherever the numbers of a tile begin in memory."""
    memory = torch.arange(37 * 64 + 80).remainder(201).sub(100).to(torch.int8)
    numbers = memory[-memory.data_ptr() % 64 + offset :][: 37 * 64].view(37, 64)
    x = torch.linspace(-1, 1, 64)[None]
    actual = IntegerProduct("x", "q", None, None)({"x": x}, {"q": numbers})
    torch.testing.assert_close(actual, (x.double() @ numbers.double().t()).float(), rtol=1e-5, atol=1e-4)


def test_a_row_of_zeros_gives_zeros() -> None:
    """The outputs of an input that is zero are exactly zero, beside those of another row."""
    x = torch.stack([torch.zeros(64), torch.ones(64)])
    actual = IntegerProduct("x", "q", None, None)({"x": x}, {"q": NUMBERS})
    assert torch.equal(actual[0], torch.zeros(ROWS))
    assert actual[1].count_nonzero() > 0


def _linear(m: Any, x: torch.Tensor) -> torch.Tensor:
    return F.linear(x, m.q.to(x.dtype) * m.s, m.b)


FORMS: dict[str, tuple[Callable[[Any, torch.Tensor], torch.Tensor], bool]] = {
    "a scale for each row and a bias": (_linear, True),
    "a scale for each row": (lambda m, x: F.linear(x, m.q.to(x.dtype) * m.s), True),
    "no scale": (lambda m, x: F.linear(x, m.q.to(x.dtype)), True),
    "a zero point for each row": (lambda m, x: F.linear(x, (m.q.to(x.dtype) - m.z) * m.s), False),
    "a scale for each column": (lambda m, x: F.linear(x, m.q.to(x.dtype) * m.c), False),
    "a product with the matrix on the right": (lambda m, x: x @ (m.q.to(x.dtype) * m.s).t(), False),
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("form", FORMS)
def test_layers_of_numbers_and_scales_for_each_row_are_not_widened(
    tmp_path: Path, form: str, dtype: torch.dtype
) -> None:
    """Such a layer is found, no other is, and each has plain PyTorch's outputs, whole and in tiles, for many rows."""
    function, expected = FORMS[form]
    parts = {"s": SCALES, "b": BIAS, "z": NUMBERS[:, :1].float(), "c": SCALES[:64].view(1, 64)}
    module = Stored(function, q=NUMBERS, **{name: part.to(dtype).contiguous() for name, part in parts.items()})
    for count in (1, 17):
        x = torch.linspace(-1, 1, 64 * count).view(count, 64).to(dtype)
        opened = OpenNetwork(stored(tmp_path / str(count), module, (x,)), "read")
        (layer,) = opened.network.layers
        assert (find_integer_product(layer) is not None) == expected
        for tiles in ((WHOLE,), cut(opened.network, 0, ROWS * 16)):
            error = opened.compare(execute(opened, {0: tiles}), 0).error
            assert error == pytest.approx(0, abs=opened.network.tolerance)
