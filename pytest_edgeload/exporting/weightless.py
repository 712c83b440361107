"""Pickle a module without its weights, for a worker of the same session; see `skeleton`. Imports torch.

The tensors of `state_dict` are left out. Other tensors, such as tables of positions, are in no file of weights, so the
skeleton contains them.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import nn

from pytest_edgeload.base import files
from pytest_edgeload.base.errors import Refusal
from pytest_edgeload.base.pickling import Pickler, by_value
from pytest_edgeload.skeleton import FILE
from pytest_edgeload.tensors import check_plain


class NoSkeleton(Refusal):
    """A module cannot be sent to a worker."""


def write_skeleton(module: nn.Module, _samples: object, folder: Path, own: Iterable[ModuleType] = ()) -> None:
    """Pickle `module` into `folder` without its weights; definitions of the modules `own` are pickled by value.

    Raises NoSkeleton, or NotPlain for a weight whose values are not its own bytes.
    """
    if isinstance(module, torch.fx.GraphModule):  # its hooks refer to the whole of torch.export
        hint = "give the module itself, or run it under a policy"
        raise NoSkeleton("it is an exported program, which no worker can load", hint=hint)
    weights = {name: value for name, value in module.state_dict(keep_vars=True).items() if torch.is_tensor(value)}
    for name, tensor in weights.items():
        check_plain(name, tensor)
    try:
        with files.create(folder / FILE) as file, by_value(own):
            _WeightlessPickler(file, {id(tensor) for tensor in weights.values()}).dump(module)
    except Exception as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise NoSkeleton(f"its module cannot be pickled ({reason})", hint="run it under a policy") from error


class _WeightlessPickler(Pickler):
    """Pickles tensors with these ids as tensors on the device `meta`, which have no data."""

    def __init__(self, file: Any, weights: set[int]) -> None:
        super().__init__(file)
        self._weights = weights

    def reducer_override(self, obj: object) -> Any:
        """Return how to pickle `obj`."""
        if isinstance(obj, torch.Tensor) and id(obj) in self._weights:
            return _weightless, (tuple(obj.shape), obj.stride(), obj.dtype, isinstance(obj, nn.Parameter))
        return super().reducer_override(obj)


def _weightless(
    shape: tuple[int, ...],
    stride: tuple[int, ...],
    dtype: torch.dtype,
    is_parameter: bool,  # noqa: FBT001  # pickle calls this by position
) -> torch.Tensor:
    tensor = torch.empty_strided(shape, stride, dtype=dtype, device="meta")
    return nn.Parameter(tensor, requires_grad=False) if is_parameter else tensor
