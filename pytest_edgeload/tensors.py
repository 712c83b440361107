"""Conversion between tensors and the bytes that store them. Imports torch."""

from __future__ import annotations

import ctypes
from typing import Any

import torch

from pytest_edgeload.networks.layer import TensorSpec


def spec_and_bytes(name: str, tensor: torch.Tensor) -> tuple[TensorSpec, memoryview]:
    """Return the spec of `tensor` and a view of its bytes; the view keeps the tensor alive."""
    dense = tensor.detach().contiguous()
    buffer = (ctypes.c_ubyte * dense.nbytes).from_address(dense.data_ptr()) if dense.nbytes else (ctypes.c_ubyte * 0)()
    buffer.tensor = dense  # type: ignore[attr-defined]
    dtype = str(dense.dtype).removeprefix("torch.")
    return TensorSpec(name, dtype, tuple(dense.shape), 0, dense.nbytes), memoryview(buffer).cast("B")


def dtype_of(spec: TensorSpec) -> torch.dtype:
    """Return the dtype that `spec` names."""
    dtype: torch.dtype = getattr(torch, spec.dtype)
    return dtype


def tensor_in(memory: Any, spec: TensorSpec, start: int = 0) -> torch.Tensor:
    """Return the tensor whose bytes begin at `start` in `memory`, as a view; `memory` may be None for zero bytes.

    The bytes must be aligned for the tensor's type: a copy would be memory that no plan counts.
    """
    dtype = dtype_of(spec)
    if not spec.size_bytes:
        return torch.empty(spec.shape, dtype=dtype)
    data = torch.frombuffer(memory, dtype=torch.uint8, count=spec.size_bytes, offset=start)
    assert data.data_ptr() % dtype.itemsize == 0, spec.name
    return data.view(dtype).view(spec.shape)
