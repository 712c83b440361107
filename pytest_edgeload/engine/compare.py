"""Compares the outputs of a request with those of plain PyTorch. Imports torch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch

_TINY = torch.finfo(torch.float32).tiny
"""A smaller difference is none: some kernels replace smaller numbers by zero."""

_NOISES = 4
"""Differences of this many times the noise are explained by it; see `networks.layer.Sample`."""


class Deviation(NamedTuple):
    """The output error of an answer, see `job.Checked`, and words for the number that differs most."""

    error: float | None
    detail: str = ""


def compare(
    outputs: Sequence[torch.Tensor], expected: Sequence[torch.Tensor], tolerance: float, noise: Sequence[float] = ()
) -> Deviation:
    """Compare `outputs` with plain PyTorch's, whose `noise` is given for each output; without it there is none.

    Differences that the noise explains are within the tolerance.
    """
    if len(outputs) != len(expected):
        return Deviation(None, f"it has {len(outputs)} outputs instead of {len(expected)}")
    noise = noise or [0.0] * len(outputs)
    worst = Deviation(0.0)
    for i, (output, correct) in enumerate(zip(outputs, expected, strict=True)):
        error, detail = _compare(output, correct, _NOISES * noise[i] / tolerance)
        if error is None:
            return Deviation(None, f"output {i} {detail}")
        if worst.error is not None and error > worst.error:
            worst = Deviation(error, f"output {i} {detail}")
    return worst


def _compare(output: torch.Tensor, expected: torch.Tensor, min_scale: float) -> Deviation:
    """Compare one output. Its error is the largest difference over the largest expected value, or over `min_scale`.

    NaN is right where plain PyTorch has it. The error is None if no finite number expresses it.
    """
    if output.shape != expected.shape:
        return Deviation(None, f"has shape {[*output.shape]} instead of {[*expected.shape]}")
    if output.dtype != expected.dtype:
        return Deviation(None, f"has type {_name(output.dtype)} instead of {_name(expected.dtype)}")
    if output.numel() == 0:
        return Deviation(0.0)
    if output.is_floating_point() and output.itemsize == 1:
        output, expected = output.float(), expected.float()  # types of 8 bits lack most operators
    is_same = (output == expected) | (output.isnan() & expected.isnan())  # inf - inf is NaN
    differences = torch.where(is_same, 0.0, (output.double() - expected.double()).abs())
    differences = torch.where(differences < _TINY, 0.0, differences)
    position = int(differences.nan_to_num(nan=math.inf).argmax())
    detail = _words(output, expected, position)
    scale = torch.where(expected.isfinite(), expected.double().abs(), 0.0).max().item()
    error = differences.max().item() / (max(scale, min_scale) or 1.0)
    if error and not expected.is_floating_point():
        return Deviation(max(error, 1.0), detail)  # an integer is right or wrong, even if coarse types computed it
    return Deviation(error if math.isfinite(error) else None, detail)


def _words(output: torch.Tensor, expected: torch.Tensor, position: int) -> str:
    """Return both values at a position: `at [0, 2] is 1.5 instead of 1`."""
    at = [int(index) for index in torch.unravel_index(torch.tensor(position), output.shape)]
    values = (tensor.flatten()[position].item() for tensor in (output, expected))
    actual, correct = (f"{value:.7g}" if isinstance(value, float) else str(value) for value in values)
    return f"{f'at {at} ' if at else ''}is {actual} instead of {correct}"


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
