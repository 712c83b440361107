"""The comparison with plain PyTorch: its words, and the noise that it allows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from pytest_edgeload.engine.compare import compare
from pytest_edgeload.engine.network import OpenNetwork
from tests.builders import stored

TOLERANCE = 1e-4


@pytest.mark.parametrize(
    ("outputs", "expected", "detail"),
    [
        ([[1.0, 2.0]], [[1.0, 2.5]], "output 0 at [1] is 2 instead of 2.5"),
        ([[1.0], [0.1]], [[1.0], [0.3]], "output 1 at [0] is 0.1 instead of 0.3"),
        ([[[1.0, 2.0], [3.0, 4.0]]], [[[1.0, 2.0], [torch.nan, 4.0]]], "output 0 at [1, 0] is 3 instead of nan"),
        ([torch.nan], [1.0], "output 0 is nan instead of 1"),
        ([[7]], [[8]], "output 0 at [0] is 7 instead of 8"),
        ([[1.0]], [[1]], "output 0 has type float32 instead of int64"),
        ([[1.0]], [[1.0, 2.0]], "output 0 has shape [1] instead of [2]"),
        ([[1.0]], [[1.0], [2.0]], "it has 1 outputs instead of 2"),
    ],
)
def test_words_name_the_place_and_both_values(outputs: list[Any], expected: list[Any], detail: str) -> None:
    """The words name the output that differs most, the place, and both values."""
    compared = compare([*map(torch.tensor, outputs)], [*map(torch.tensor, expected)], TOLERANCE)
    assert compared.error is None or compared.error > TOLERANCE
    assert compared.detail == detail


@pytest.mark.parametrize(("noise", "within"), [(0.0, False), (1e-9, False), (1e-7, True)])
def test_differences_that_noise_explains_are_tolerated(noise: float, within: bool) -> None:  # noqa: FBT001
    """An output of 1e-7 may differ by 1e-7 if plain PyTorch's does when its inputs move by one rounding step."""
    compared = compare([torch.tensor([1e-7])], [torch.tensor([2e-7])], TOLERANCE, [noise])
    assert compared.error is not None
    assert (compared.error <= TOLERANCE) == within


class _Difference(nn.Module):
    """The difference of two equal sums of large numbers, added in another order, and one of the sums."""

    def __init__(self) -> None:
        super().__init__()
        self.one = nn.Linear(300, 40)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Compute the sums by rows and by halves of rows."""
        weight, left, right = self.one.weight, x[:, :150], x[:, 150:]
        whole = nn.functional.linear(x, weight)
        return whole - left @ weight[:, :150].T - right @ weight[:, 150:].T, whole


def test_noise_shows_the_size_of_the_values_inside(tmp_path: Path) -> None:
    """The noise of a difference is as large as the difference; that of a sum is within the tolerance."""
    opened = OpenNetwork(stored(tmp_path, _Difference(), (100 * torch.rand(1, 300),)), "read")
    sample = opened.sample(0)
    assert sample.noise is not None
    difference, whole = opened.tensors(sample.outputs)
    noise = opened.tensors((sample.noise,))[0].tolist()
    assert 0 < difference.abs().max() < 1e-3
    assert noise[0] > difference.abs().max() / 10
    assert noise[1] < whole.abs().max() * TOLERANCE / 4
    assert opened.compare([torch.zeros_like(difference), whole], 0).error == pytest.approx(0, abs=TOLERANCE)
    bent = whole.clone()
    bent[0, 0] += whole.abs().max() * 2e-4
    compared = opened.compare([difference, bent], 0)
    assert compared.error == pytest.approx(2e-4, rel=0.01)
    assert compared.detail.startswith("output 1 at [0, 0] is ")


@pytest.mark.parametrize("dtype", [torch.float8_e4m3fn, torch.float8_e5m2])
def test_outputs_of_eight_bits_are_compared(dtype: torch.dtype) -> None:
    """Floating-point outputs of 8 bits are equal to themselves, and differ from others by the share of the largest."""
    one, other = torch.tensor([1.0, 2.0]).to(dtype), torch.tensor([1.0, 1.5]).to(dtype)
    assert compare([one], [one], 1e-4).error == 0
    assert compare([other], [one], 1e-4).error == 0.25
