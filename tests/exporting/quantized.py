"""A quantized weight as torchao has them: a tensor without values that wraps numbers and a scale."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Self

import torch
from torch import nn


class Int8Weight(torch.Tensor):
    """A matrix of 8-bit numbers and a scale, which a linear layer multiplies."""

    numbers: torch.Tensor
    scale: torch.Tensor

    def __new__(cls, numbers: torch.Tensor, scale: torch.Tensor) -> Self:
        """Return the tensor of these parts."""
        made: Self = torch.Tensor._make_wrapper_subclass(cls, numbers.shape, dtype=scale.dtype)
        made.numbers, made.scale = numbers, scale
        return made

    @classmethod
    def of(cls, weight: torch.Tensor) -> Int8Weight:
        """Return `weight` quantized."""
        scale = weight.detach().abs().amax() / 127
        return cls((weight.detach() / scale).round().to(torch.int8), scale)

    def __tensor_flatten__(self) -> tuple[list[str], None]:
        """Return the names of the inner tensors."""
        return ["numbers", "scale"], None

    @staticmethod
    def __tensor_unflatten__(inner: dict[str, torch.Tensor], *_: object) -> Int8Weight:
        """Return the tensor that consists of `inner`."""
        return Int8Weight(inner["numbers"], inner["scale"])

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]  # torch declares it as a method of objects
        cls, function: Callable[..., Any], _types: Any, args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        """Compute with the product of numbers and scale, except copies of the tensor itself."""
        if function in {torch.ops.aten.detach.default, torch.ops.aten.clone.default}:
            return Int8Weight(function(args[0].numbers), function(args[0].scale))
        plain = [each.numbers * each.scale if isinstance(each, Int8Weight) else each for each in args]
        return function(*plain, **(kwargs or {}))


def quantized(layer: nn.Linear) -> nn.Linear:
    """Return `layer` with its weight quantized."""
    layer.weight = nn.Parameter(Int8Weight.of(layer.weight), requires_grad=False)
    return layer
