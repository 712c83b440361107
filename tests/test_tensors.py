"""Tensors become bytes if their values are bytes in memory; all others are refused with their name."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import pytest
import torch
from torch import nn
from torch._subclasses import FakeTensorMode

from pytest_edgeload.tensors import NotPlain, inner_tensors, spec_and_bytes
from tests.exporting.quantized import Int8Weight

VALUES = torch.tensor([[1.0, 2.0], [3.0, 4.0]])


def resized() -> torch.Tensor:
    tensor = VALUES.clone()
    tensor.untyped_storage().resize_(0)
    return tensor


def shortened() -> torch.Tensor:
    tensor = VALUES.clone()
    tensor.untyped_storage().resize_(12)
    return tensor


def fake() -> torch.Tensor:
    with FakeTensorMode():
        return torch.ones(3)


def nested(layout: torch.layout) -> torch.Tensor:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch calls both kinds prototypes
        return torch.nested.nested_tensor([torch.ones(2), torch.ones(3)], layout=layout)


def quantized_tensor() -> torch.Tensor:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch calls them deprecated
        return torch.quantize_per_tensor(VALUES, 0.1, 0, torch.qint8)


def compressed() -> torch.Tensor:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch calls the layout beta
        return VALUES.to_sparse_csr()


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (resized, "a Tensor without values in memory$"),
        (shortened, "a Tensor without values in memory$"),
        (fake, "a FakeTensor without values in memory$"),
        (VALUES.to_sparse, "of the layout sparse_coo, whose values are not in one piece; give a dense tensor$"),
        (compressed, "of the layout sparse_csr, whose values"),
        (VALUES.to_mkldnn, "of the layout mkldnn, whose values"),
        (lambda: nested(torch.strided), "of the layout nested, whose values"),
        (lambda: nested(torch.jagged), "of the layout nested, whose values"),
        (lambda: VALUES.to("meta"), "it is on the device meta; give it on the CPU$"),
        (nn.parameter.UninitializedParameter, "it has no shape yet; call the module once$"),
        (quantized_tensor, r"of type qint8, with a scale apart; give its int_repr\(\) and"),
        (lambda: Int8Weight.of(VALUES), "a Int8Weight, which consists of other tensors; give a plain tensor$"),
    ],
    ids=[
        "resized", "shortened", "fake", "sparse", "compressed", "mkldnn", "nested", "jagged", "meta", "lazy",
        "quantized", "wrapper",
    ],
)  # fmt: skip
def test_tensor_without_bytes_is_refused(make: Callable[[], torch.Tensor], words: str) -> None:
    """A tensor whose values are not its own bytes is refused by its name and the reason."""
    with pytest.raises(NotPlain, match=f"^scale: {words}"):
        spec_and_bytes("scale", make())


class Tagged(torch.Tensor):
    """A subclass that only adds methods, as many libraries have."""


@pytest.mark.parametrize(
    ("tensor", "values"),
    [
        (VALUES.T, [1.0, 3.0, 2.0, 4.0]),
        (VALUES[1:, 1:], [4.0]),
        (VALUES[:, :1].expand(2, 2), [1.0, 1.0, 3.0, 3.0]),
        (torch.view_as_complex(VALUES).conj().imag, [-2.0, -4.0]),
        (nn.Parameter(VALUES), [1.0, 2.0, 3.0, 4.0]),
        (VALUES.as_subclass(Tagged), [1.0, 2.0, 3.0, 4.0]),
        (torch.empty(0, 3), []),
    ],
    ids=["transposed", "slice", "expanded", "negated view", "parameter", "subclass", "empty"],
)
def test_bytes_are_the_values_in_order(tensor: torch.Tensor, values: list[float]) -> None:
    """The bytes are the values in the order of the shape, whatever the strides and flags of the tensor are."""
    spec, data = spec_and_bytes("x", tensor)
    assert list(data.cast("f")) == values if values else not data
    assert (spec.dtype, spec.shape, spec.size_bytes) == ("float32", tuple(tensor.shape), 4 * len(values))


def test_wrapper_consists_of_its_inner_tensors() -> None:
    """A quantized weight consists of its numbers and scales; a plain tensor of itself."""
    weight = Int8Weight.of(VALUES)
    assert inner_tensors(weight) == [weight.numbers, weight.scale]
    assert inner_tensors(VALUES) == [VALUES]
