"""The way out for a module that cannot be exported, chosen by what the module holds. Imports torch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch.utils._pytree import tree_leaves

from pytest_edgeload.networks.inputs import Inputs

REAL_WEIGHTS = "give a module on the CPU, or one without weights and the checkpoint that contains them"
_OTHER_QUANTIZATION = "quantize the float module with torchao, or measure this one with edge.call"
_NO_CACHE = "set use_cache=False in its config, or give a module around it with keys and values as tensors"
_HOLDINGS = {
    "bitsandbytes": _OTHER_QUANTIZATION,
    "torch.ao.nn": _OTHER_QUANTIZATION,
    "torch.jit": "give the module that it was made of, or measure this one with edge.call",
}
"""The way out by the package of a part or an attribute of the module."""


def way_out(module: torch.nn.Module, sample: Inputs, message: str) -> str:
    """Return the hint for a module that torch cannot trace, by its parts and by torch's `message`."""
    if hint := type_hint(module, sample, message):
        return hint
    packages = set(_packages(module))
    for package, hint in _HOLDINGS.items():
        if any(f"{each}.".startswith(f"{package}.") for each in packages):
            return hint
    if "Cache" in message and getattr(getattr(module, "config", None), "use_cache", False):
        return _NO_CACHE
    if "data-dependent" in message:
        return "give a module whose branches and sizes do not depend on the values of tensors"
    if "pytree" in message or "input type" in message:
        return "give a module around it that takes and returns tensors, in tuples, lists and dicts"
    return "give a module around it whose forward takes tensors, computes, and returns tensors"


def type_hint(module: torch.nn.Module, sample: Inputs, message: str) -> str:
    """Return the hint for a sample of another floating-point type than all weights, or the empty text."""
    weight_types = _floating_types([*module.parameters(), *module.buffers()])
    sample_types = _floating_types((sample.args, dict(sample.kwargs)))
    if "dtype" in message and len(weight_types) == 1 and sample_types - weight_types:
        return f"make the samples {weight_types.pop()}, as the weights are"
    return ""


def packed_part(module: torch.nn.Module) -> str:
    """Return the name of the first part that holds packed weights, and the empty text if there is none."""
    return next((name for name, part in module.named_modules() if _has_packed_weights(part)), "")


def _has_packed_weights(part: torch.nn.Module) -> bool:
    return any(isinstance(value, torch.ScriptObject) for value in vars(part).values())


def _floating_types(nest: Any) -> set[str]:
    """Return the names of the floating-point types of the tensors in a nest."""
    tensors = (leaf for leaf in tree_leaves(nest) if isinstance(leaf, torch.Tensor) and leaf.is_floating_point())
    return {str(tensor.dtype).removeprefix("torch.") for tensor in tensors}


def _packages(module: torch.nn.Module) -> Iterator[str]:
    """Yield the modules in which the classes of all parts and weights are defined."""
    for part in module.modules():
        yield type(part).__module__
        values: list[Any] = [*part.parameters(recurse=False), *vars(part).values()]
        yield from (type(value).__module__ for value in values)
        if _has_packed_weights(part):
            yield "torch.ao.nn"
