"""The largest output error that the types of a network explain. Imports torch."""

from __future__ import annotations

from collections.abc import Iterable

import torch

from pytest_edgeload.networks.layer import OUTPUT_TOLERANCE

_HALF_TYPES = {torch.bfloat16, torch.float16}
_STEPS = 8
"""Runs in a half type differ by one step from 1 to the next number; this many are allowed."""


def tolerance_of(dtypes: Iterable[torch.dtype]) -> float:
    """Return the largest `output_error` of a network whose weights and values have these types."""
    return max([OUTPUT_TOLERANCE, *(_STEPS * torch.finfo(dtype).eps for dtype in dtypes if dtype in _HALF_TYPES)])
