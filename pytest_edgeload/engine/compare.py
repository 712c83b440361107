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


class PartedSteps(Deviation):
    """A deviation that gives later steps other inputs than plain PyTorch's, so that these are not compared."""

    __slots__ = ()


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


def index_error(scores: torch.Tensor, found: torch.Tensor, correct: torch.Tensor) -> float | None:
    """Return the least output error of `scores` with which `found` are the indices of the largest, and not `correct`.

    The indices are those of the last rows. Two scores are in the other order if each is wrong by half of their
    difference. The error is None if no finite number expresses it.
    """
    rows = scores.double().reshape(-1, scores.shape[-1])[-correct.numel() :]
    found, correct = found.reshape(-1, 1).long(), correct.reshape(-1, 1).long()
    if not bool(((found >= 0) & (found < rows.shape[1])).all()):
        return None
    gap = (rows.gather(1, correct) - rows.gather(1, found)).max().item()
    error = gap / 2 / (_scale(scores) or 1.0)
    return error if math.isfinite(error) else None


def _scale(expected: torch.Tensor) -> float:
    """Return the largest finite value, without its sign."""
    return torch.where(expected.isfinite(), expected.double().abs(), 0.0).max().item()


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
    error = differences.max().item() / (max(_scale(expected), min_scale) or 1.0)
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
