"""Reads stored samples with NumPy, because the process that measures imports no torch."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_edgeload.networks.folder import samples_path
from pytest_edgeload.networks.layer import TensorSpec
from pytest_edgeload.workload import Workload

if TYPE_CHECKING:
    import numpy as np

_COMPARISONS = {">": operator.gt, ">=": operator.ge, "<": operator.lt, "<=": operator.le}


def read_sample(folder: Path, spec: TensorSpec) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Return a tensor of the samples of a network as numbers of 64 bits."""
    import numpy as np  # noqa: PLC0415  # only pipelines and conditions need it

    with samples_path(folder).open("rb") as file:
        file.seek(spec.offset)
        data = file.read(spec.size_bytes)
    if spec.dtype == "bfloat16":  # the first half of a float32; NumPy has no type for it
        numbers = (np.frombuffer(data, np.uint16).astype(np.uint32) << 16).view(np.float32)
    else:
        numbers = np.frombuffer(data, spec.dtype)
    return numbers.astype(np.float64).reshape(spec.shape)


def truths(workload: Workload, folders: Sequence[Path]) -> list[bool]:
    """Return for each request whether its condition holds on the outputs of plain PyTorch, which are stored.

    `folders` has the folder of each request's network. A request without a condition, or with one on an output of a
    later step that is not stored, counts as one whose condition holds.
    """
    return [_holds(workload, r, folders) for r in range(len(workload.requests))]


def _holds(workload: Workload, r: int, folders: Sequence[Path]) -> bool:
    when = workload.asked[r].when
    if when is None:
        return True
    source = workload.requests[when.request]
    spec = source.network.expected(source.sample, source.steps - 1).get(when.output)
    if spec is None:
        return True
    part = read_sample(folders[when.request], spec)[when.at]
    return bool(_COMPARISONS[when.comparison](part.max(), when.value))
