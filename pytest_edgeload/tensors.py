"""Conversion between tensors and the bytes that store them. Imports torch."""

from __future__ import annotations

import ctypes
import math
from collections.abc import Sequence
from typing import Any

import torch
from torch.nn.parameter import is_lazy
from torch.utils._python_dispatch import is_traceable_wrapper_subclass
from torch.utils._pytree import tree_leaves

from pytest_edgeload.base.errors import Refusal
from pytest_edgeload.networks.feed import Feed
from pytest_edgeload.networks.layer import TensorSpec


class NotPlain(Refusal):
    """The values of a tensor are not its own bytes in memory; the message names the tensor and the reason."""


def spec_and_bytes(name: str, tensor: torch.Tensor) -> tuple[TensorSpec, memoryview]:
    """Return the spec of `tensor` and a view of its bytes; the view keeps the tensor alive. Raises NotPlain."""
    check_plain(name, tensor)
    dense = tensor.detach().resolve_conj().resolve_neg().contiguous()
    buffer = (ctypes.c_ubyte * dense.nbytes).from_address(dense.data_ptr()) if dense.nbytes else (ctypes.c_ubyte * 0)()
    buffer.tensor = dense  # type: ignore[attr-defined]
    dtype = str(dense.dtype).removeprefix("torch.")
    return TensorSpec(name, dtype, tuple(dense.shape), 0, dense.nbytes), memoryview(buffer).cast("B")


def check_plain(name: str, tensor: torch.Tensor) -> None:
    """Raise NotPlain, about `name`, if the values of `tensor` are not its own bytes in memory."""
    reason, hint = _not_plain(tensor)
    if reason:
        raise NotPlain(name, reason, hint)


def is_plain(tensor: torch.Tensor) -> bool:
    """Return whether the values of `tensor` are its own bytes in memory."""
    return not _not_plain(tensor)[0]


def inner_tensors(tensor: torch.Tensor) -> list[torch.Tensor]:
    """Return the plain tensors that `tensor` consists of, such as the numbers and scales of a quantized weight."""
    if not is_traceable_wrapper_subclass(tensor):
        return [tensor]
    names, _ = tensor.__tensor_flatten__()
    parts = (getattr(tensor, name) for name in names)
    return [inner for part in parts if isinstance(part, torch.Tensor) for inner in inner_tensors(part)]


def _not_plain(tensor: torch.Tensor) -> tuple[str, str]:
    """Return the reason why the values of `tensor` are not its own bytes, and a hint; empty texts if they are.

    A pointer to the values of such a tensor would be null, or lead to other bytes.
    """
    if is_lazy(tensor):
        return "it has no shape yet", "call the module once"
    if tensor.is_nested or tensor.layout is not torch.strided:
        layout = "nested" if tensor.is_nested else str(tensor.layout).removeprefix("torch.").lstrip("_")
        return f"of the layout {layout}, whose values are not in one piece", "give a dense tensor"
    if tensor.device.type != "cpu":
        return f"it is on the device {tensor.device}", "give it on the CPU"
    if is_traceable_wrapper_subclass(tensor):
        return f"a {type(tensor).__name__}, which consists of other tensors", "give a plain tensor"
    if tensor.is_quantized:
        hint = "give its int_repr() and its scales as two tensors, and widen them in forward"
        return f"of type {str(tensor.dtype).removeprefix('torch.')}, with a scale apart", hint
    return ("", "") if _has_bytes(tensor) else (f"a {type(tensor).__name__} without values in memory", "")


def _has_bytes(tensor: torch.Tensor) -> bool:
    """Return whether the storage of a strided tensor has all of its bytes. Tensors of tracing have no data."""
    if not tensor.numel():
        return True
    last = tensor.storage_offset() + sum((n - 1) * step for n, step in zip(tensor.shape, tensor.stride(), strict=True))
    try:
        storage = tensor.untyped_storage()
        enough = storage.device.type == "cpu" and storage.nbytes() >= (last + 1) * tensor.element_size()
        return enough and storage.data_ptr() != 0
    except (NotImplementedError, RuntimeError):  # of a wrapper without any storage
        return False


def tensors_in(nest: Any) -> list[torch.Tensor]:
    """Return the tensors of a nest, in the order in which they are exported."""
    return [leaf for leaf in tree_leaves(nest) if isinstance(leaf, torch.Tensor)]


def fed(feed: Feed, outputs: Sequence[torch.Tensor], before: torch.Tensor | None) -> torch.Tensor:
    """Return the input of a step, given the outputs and the same input of the step before. Raises ValueError.

    The rule `same` needs the input before only to compare it with the output.
    """
    if before is None:
        return outputs[feed.output]
    if feed.last and not before.ndim:
        raise ValueError("the input is a single number, which has no last one")
    shape = (*before.shape[:-1], 1) if feed.last else before.shape
    if feed.rule == "next":
        return (before + 1)[..., -1:] if feed.last else before + 1
    if feed.output >= len(outputs):
        raise ValueError(f"there is no output {feed.output}, but {len(outputs)} outputs")
    output = outputs[feed.output]
    if feed.rule == "argmax":
        if not output.ndim:
            raise ValueError(f"output {feed.output} is a single number, which has no largest")
        largest = output.argmax(-1)
        # The numbers of all positions come from a prompt; the next token follows the last of them.
        count = math.prod(shape)
        last = largest if largest.numel() == count and not feed.last else largest[..., -1:]
        if last.numel() == count:
            return last.reshape(shape).to(before.dtype)
        raise ValueError(f"output {feed.output} gives {last.numel()} numbers, but the input has {count}")
    if (output.shape, output.dtype) != (before.shape, before.dtype):
        kinds = (f"{str(tensor.dtype).removeprefix('torch.')} {[*tensor.shape]}" for tensor in (output, before))
        raise ValueError("output {} is {}, but the input is {}".format(feed.output, *kinds))
    return output


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
