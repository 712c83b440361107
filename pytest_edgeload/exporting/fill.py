"""Fill a module that was built without weights from a checkpoint, with views of its files. Imports torch."""

from __future__ import annotations

import mmap
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import msgspec
import torch

from pytest_edgeload.exporting.blocks import StoredWeight
from pytest_edgeload.networks.checkpoint import BadCheckpoint, Checkpoint
from pytest_edgeload.networks.folder import map_file
from pytest_edgeload.networks.layer import TensorSpec
from pytest_edgeload.networks.tensor_file import write_tensors
from pytest_edgeload.tensors import tensor_in

_COPIES = "copies.safetensors"
_BUILD_SAME = "build the module that it was saved from"


def fill(
    module: torch.nn.Module,
    checkpoint: Checkpoint,
    path: str,
    folder: Path,
    names: Mapping[str, str] = MappingProxyType({}),
) -> dict[str, TensorSpec]:
    """Set the weights of `module` to those of the checkpoint at `path`; return the place of each by all its names.

    The tensors are views of mapped files, whose pages the kernel reads when they are used and drops when it needs
    memory. A tensor that is not aligned for its type has no place: a worker would have to copy it, so it must be stored
    again. Until then it is a view of a file in `folder`. `names` has the names of tensors in the checkpoint by those in
    the module, if they differ. Types are those of the checkpoint. Tied weights need one of
    their names in it. Raises BadCheckpoint for a tensor that is missing, unknown, of another shape, or left without
    values.
    """
    tensors = {name: tensor for name, tensor in module.state_dict(keep_vars=True).items() if _is_tensor(tensor)}
    checkpoint = checkpoint.with_names(names, tensors, path).named_as(tensors)
    unknown = sorted(checkpoint.tensors.keys() - tensors.keys())
    if unknown:
        more = f" and {len(unknown) - 1} more" if len(unknown) > 1 else ""
        raise BadCheckpoint(path, f"it has a tensor {unknown[0]}{more}, unknown to the module", _BUILD_SAME)
    tied_names: dict[int, list[str]] = {}
    for name, tensor in tensors.items():
        tied_names.setdefault(id(tensor), []).append(name)
    places: dict[str, TensorSpec] = {}
    views = _views(checkpoint, folder)
    for own in tied_names.values():
        spec = _find(own, checkpoint, path)
        _check_tied(spec.name, [name for name in own if name in views], views, path)
        old, new = tensors[own[0]], views[spec.name]
        if spec.name in checkpoint.widened:
            new = _widened(new, *checkpoint.widened[spec.name], old.dtype)
        _assign(module, own, old, new, path)
        if not spec.padding_bytes:
            exported = [_exported_name(name) if isinstance(new, StoredWeight) else name for name in own]
            places |= {name: msgspec.structs.replace(spec, name=name) for name in exported}
    _check_values(module, path)
    return places


def _widened(stored: torch.Tensor, kind: str, shape: tuple[int, ...], dtype: torch.dtype) -> torch.Tensor:
    """Return a tensor of a file as the module uses it: in the module's type."""
    return stored if (stored.dtype, stored.shape) == (dtype, shape) else StoredWeight(stored, kind, shape, dtype)


def _exported_name(name: str) -> str:
    """Return the name that torch.export gives to the tensor that a weight consists of."""
    owner, _, attribute = name.rpartition(".")
    return f"{owner}{'.' if owner else ''}parametrizations.{attribute}.original0"


def _check_tied(name: str, others: Sequence[str], views: Mapping[str, torch.Tensor], path: str) -> None:
    """Raise BadCheckpoint if the checkpoint has other values for the same weight under another name."""
    for other in others:
        if not _is_same(views[name], views[other]):
            reason = f"it has different values for {name} and {other}, which are one weight of the module"
            raise BadCheckpoint(path, reason, "build the module without tying them")


def _is_same(one: torch.Tensor, other: torch.Tensor) -> bool:
    """Return whether two tensors have the same bytes."""
    bytes_of = (tensor.reshape(-1).view(torch.uint8) for tensor in (one, other))
    return one is other or ((one.dtype, one.shape) == (other.dtype, other.shape) and torch.equal(*bytes_of))


def _is_tensor(value: object) -> bool:
    return isinstance(value, torch.Tensor)


def _find(names: list[str], checkpoint: Checkpoint, path: str) -> TensorSpec:
    """Return the tensor that has one of these names. Raises BadCheckpoint."""
    for name in names:
        if name in checkpoint.tensors:
            return checkpoint.tensors[name]
    raise BadCheckpoint(path, f"it has no tensor {names[0]}, which the module needs", _BUILD_SAME)


def _views(checkpoint: Checkpoint, folder: Path) -> Mapping[str, torch.Tensor]:
    """Return all tensors, as views of their files, or of an aligned copy in `folder`."""
    views: dict[str, torch.Tensor] = {}
    unaligned: list[tuple[TensorSpec, memoryview]] = []
    for file in checkpoint.files:
        memory = _mapped(Path(file.path))
        for name, spec in checkpoint.tensors.items():
            if file.begin <= spec.offset < file.begin + file.size_bytes or (not spec.size_bytes and name not in views):
                start = spec.offset - file.begin
                if spec.padding_bytes and spec.size_bytes:
                    unaligned.append((spec, memoryview(memory)[start : start + spec.size_bytes]))
                else:
                    views[name] = tensor_in(memory, spec, start)
    return {**views, **_aligned_copies(unaligned, folder / _COPIES)}


def _aligned_copies(tensors: Sequence[tuple[TensorSpec, memoryview]], path: Path) -> Mapping[str, torch.Tensor]:
    """Return `tensors` as views of a new file, which the kernel removes when no view is left."""
    if not tensors:
        return {}
    specs, _ = write_tensors(path, tensors)
    memory = _mapped(path)
    path.unlink()
    return {name: tensor_in(memory, spec, spec.offset) for name, spec in specs.items()}


def _mapped(path: Path) -> mmap.mmap:
    with path.open("rb") as file:
        return map_file(file.fileno())


def _assign(module: torch.nn.Module, names: list[str], old: torch.Tensor, new: torch.Tensor, path: str) -> None:
    """Replace `old` by `new`, under all its names. Raises BadCheckpoint."""
    if old.shape != new.shape:
        reason = f"of shape {[*new.shape]} in {path}, but of shape {[*old.shape]} in the module"
        raise BadCheckpoint(f"tensor {names[0]}", reason, _BUILD_SAME)
    is_parameter = isinstance(old, torch.nn.Parameter)
    value = torch.nn.Parameter(new, requires_grad=False) if is_parameter else new
    for name in names:
        owner, _, attribute = name.rpartition(".")
        setattr(module.get_submodule(owner), attribute, value)


def _check_values(module: torch.nn.Module, path: str) -> None:
    """Raise BadCheckpoint for a tensor without values, which a checkpoint does not contain."""
    for name, tensor in module.named_buffers():
        if tensor.is_meta:
            reason = f"it has no values, and {path} does not contain it"
            raise BadCheckpoint(f"buffer {name}", reason, "build it outside of torch.device('meta')")
