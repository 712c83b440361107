"""Operators that a worker lacks are replaced by those of their Python code, or refused by name before any run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from pytest_edgeload.exporting.export import export
from pytest_edgeload.exporting.model import CannotExport
from pytest_edgeload.exporting.operators import missing_in_worker
from tests.exporting.test_export import Composed, linear, rows, run_layers

pytest.importorskip("torch.ao.quantization.fx._decomposed")  # registers the operators of pt2e
DECOMPOSED = torch.ops.quantized_decomposed


@pytest.fixture(scope="module")
def ours() -> Iterator[None]:
    """Register operators that only this process has: in Python by either way, and in code that cannot be traced."""

    def doubled(x: torch.Tensor) -> torch.Tensor:
        return x * 2

    def halved_twice(x: torch.Tensor) -> torch.Tensor:
        return torch.mul(torch.ops.edgeload_test.doubled(x), 0.125)

    def opaque(x: torch.Tensor) -> torch.Tensor:
        return torch.from_numpy(x.numpy() * 3)

    with torch.library._scoped_library("edgeload_test", "FRAGMENT") as library:
        for function, key in (
            (doubled, "CompositeExplicitAutograd"),
            (halved_twice, "CompositeImplicitAutograd"),
            (opaque, "CPU"),
        ):
            library.define(f"{function.__name__}(Tensor x) -> Tensor")
            library.impl(function.__name__, function, key)
        for name in ("doubled", "opaque"):
            torch.library.register_fake(f"edgeload_test::{name}", torch.empty_like, lib=library)
        yield


def test_worker_lacks_operators_that_others_register(ours: None) -> None:
    """A worker has the operators of PyTorch, and lacks those that a test or a part of PyTorch registers later."""
    names = ["aten.add.Tensor", "prims.view_of.default", "edgeload_test.doubled.default"]
    quantize = "quantized_decomposed.quantize_per_tensor.default"
    assert missing_in_worker([*names, quantize]) == ("edgeload_test.doubled.default", quantize)


def quantized(m: Any, x: torch.Tensor) -> Any:
    numbers = DECOMPOSED.quantize_per_tensor(m.a(x), 0.05, 3, -128, 127, torch.int8)
    return DECOMPOSED.dequantize_per_tensor(numbers, 0.05, 3, -128, 127, torch.int8)


def own(_: Any, x: torch.Tensor) -> Any:
    return torch.ops.edgeload_test.halved_twice(torch.ops.edgeload_test.doubled(x))


@pytest.mark.parametrize("forward", [quantized, own])
def test_operators_in_python_are_replaced(tmp_path: Path, ours: None, forward: object) -> None:
    """Operators of pt2e's quantization and of the model's own Python code compute the same in a worker's operators."""
    seen = run_layers(tmp_path, Composed(forward, a=linear()), (rows(),))  # type: ignore[arg-type]  # a function
    assert seen.errors == [0.0]
    assert {op.target.split(".")[0] for layer in seen.network.layers for op in layer.ops} <= {"aten", "prims"}


def test_operator_that_cannot_be_replaced_is_refused(ours: None) -> None:
    """An operator whose code cannot be traced is refused with its name and a way out."""
    module = nn.Sequential(Composed(lambda _, x: torch.ops.edgeload_test.opaque(x)))
    words = r"^edgeload_test.opaque.default: not part of PyTorch, and a worker imports nothing else; compute it with"
    with pytest.raises(CannotExport, match=words):
        export(module, (rows(),))
