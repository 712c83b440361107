"""A module built without weights gets those of a checkpoint, as views of its files. Imports torch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch

from pytest_edgeload.networks.checkpoint import BadCheckpoint, Checkpoint
from pytest_edgeload.networks.layer import TensorSpec
from pytest_edgeload.networks.store import mapped
from pytest_edgeload.tensors import tensor_in


def fill(module: torch.nn.Module, checkpoint: Checkpoint, path: str) -> dict[str, TensorSpec]:
    """Let the weights of `module` be those of the checkpoint at `path`; return where each stands, by all its names.

    Nothing is read yet: the tensors are views of mapped files, whose pages the kernel fetches when they are used and
    drops when it wants memory. The types are the checkpoint's. Of tied weights it need have one. Raises BadCheckpoint
    for a tensor that is missing, unknown or of another shape, and for one that is left without values.
    """
    names_of: dict[int, list[str]] = {}
    wanted = {name: tensor for name, tensor in module.state_dict(keep_vars=True).items() if _is_tensor(tensor)}
    for name, tensor in wanted.items():
        names_of.setdefault(id(tensor), []).append(name)
    unknown = sorted(checkpoint.tensors.keys() - wanted.keys())
    if unknown:
        raise BadCheckpoint(
            f"{path} has a tensor {unknown[0]}{_more(unknown)}, unknown to the module; build the module it was saved of"
        )
    found = {name: _named(names, checkpoint, path) for names in names_of.values() for name in names}
    views = _views(checkpoint)
    for names in names_of.values():
        _assign(module, names, wanted[names[0]], views[found[names[0]].name], path)
    _check_values(module, path)
    return {name: TensorSpec(name, s.dtype, s.shape, s.offset, s.size_bytes) for name, s in found.items()}


def _is_tensor(found: object) -> bool:
    return isinstance(found, torch.Tensor)


def _more(names: list[str]) -> str:
    return f" and {len(names) - 1} more" if len(names) > 1 else ""


def _named(names: list[str], checkpoint: Checkpoint, path: str) -> TensorSpec:
    """Return the tensor that stands under one of these names. Raises BadCheckpoint."""
    for name in names:
        if name in checkpoint.tensors:
            return checkpoint.tensors[name]
    raise BadCheckpoint(f"{path} has no tensor {names[0]}, which the module needs; build the module it was saved of")


def _views(checkpoint: Checkpoint) -> Mapping[str, torch.Tensor]:
    """Return all tensors, as views of their files."""
    views: dict[str, torch.Tensor] = {}
    for part in checkpoint.parts:
        with Path(part.path).open("rb") as file:
            memory = mapped(file.fileno())
        for name, spec in checkpoint.tensors.items():
            if part.begin <= spec.offset < part.begin + part.size_bytes or (not spec.size_bytes and name not in views):
                views[name] = tensor_in(memory, spec, spec.offset - part.begin)
    return views


def _assign(module: torch.nn.Module, names: list[str], old: torch.Tensor, new: torch.Tensor, path: str) -> None:
    """Put `new` in place of `old`, under all its names. Raises BadCheckpoint."""
    if old.shape != new.shape:
        raise BadCheckpoint(
            f"tensor {names[0]} is of shape {[*new.shape]} in {path}, and of shape {[*old.shape]} in the module; "
            "build the module it was saved of"
        )
    is_parameter = isinstance(old, torch.nn.Parameter)
    placed = torch.nn.Parameter(new, requires_grad=False) if is_parameter else new
    for name in names:
        owner, _, attribute = name.rpartition(".")
        setattr(module.get_submodule(owner), attribute, placed)


def _check_values(module: torch.nn.Module, path: str) -> None:
    """Raise BadCheckpoint for a tensor without values, which is no part of a checkpoint."""
    for name, tensor in module.named_buffers():
        if tensor.is_meta:
            raise BadCheckpoint(
                f"buffer {name} has no values, and {path} does not have it; build it outside of torch.device('meta')"
            )
