"""Decides which ops overwrite their first argument instead of copying it. Imports torch.

A cache of keys and values would otherwise be copied for each token. An op may overwrite a value that no later op needs,
if no other value shares its memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch.utils._pytree import tree_leaves

_aten = torch.ops.aten

IN_PLACE: Mapping[str, Any] = {
    "aten.copy.default": _aten.copy_.default,
    "aten.index_copy.default": _aten.index_copy_.default,
    "aten.index_fill.int_Scalar": _aten.index_fill_.int_Scalar,
    "aten.index_put.default": _aten.index_put_.default,
    "aten.masked_scatter.default": _aten.masked_scatter_.default,
    "aten.scatter.src": _aten.scatter_.src,
    "aten.scatter.value": _aten.scatter_.value,
}
"""The forms in place of operators that copy their first argument and write to a part of the copy."""

WRITE_TO_VIEW: Mapping[str, Any] = {
    "aten.select_scatter.default": _aten.select.int,
    "aten.slice_scatter.default": _aten.slice.Tensor,
}
"""The same for operators without such a form: the operators that return the part as a view, which is written to."""

Storage = tuple[int, int]
"""The identity of a storage, and its bytes."""


def storage_of(tensor: torch.Tensor) -> Storage:
    """Return the storage of a tensor."""
    storage = tensor.untyped_storage()
    return storage._cdata, int(storage.nbytes())  # noqa: SLF001  # the only identity of a storage without data


def storages_of(nest: Any) -> set[Storage]:
    """Return the storages of all tensors in a nest."""
    return {storage_of(leaf) for leaf in tree_leaves(nest) if isinstance(leaf, torch.Tensor)}


def may_overwrite(value: Any, others: Iterable[Any], kept: set[int]) -> bool:
    """Return whether an op may overwrite `value`, which no later op needs.

    `others` are all other live values, and `kept` are storages of weights and of inputs that later steps need.
    """
    if not isinstance(value, torch.Tensor) or not _aten.is_non_overlapping_and_dense.default(value):
        return False
    own = storage_of(value)
    return own[0] not in kept and own not in storages_of(list(others))


def shared_inputs(passed: Mapping[str, str], values: Mapping[str, Any], inputs: Iterable[str]) -> set[str]:
    """Return those inputs in `passed` that may share memory with another input in the next step.

    `passed` has the output that becomes each of these inputs; all other `inputs` stay as they are. An input of another
    layout than it had in the first step is among them as well.
    """
    fixed = storages_of([values[name] for name in inputs if name not in passed])
    outputs = {name: storages_of(values[output]) for name, output in passed.items()}
    return {
        name
        for name, own in outputs.items()
        if own & fixed
        or not values[passed[name]].is_contiguous()
        or any(own & other for another, other in outputs.items() if another != name)
    }


def in_place_form(name: str) -> Callable[..., Any]:
    """Return the function in place of the operator `name`, which is in one of the tables."""
    if name in IN_PLACE:
        return IN_PLACE[name]  # type: ignore[no-any-return]  # an operator has no type

    def write(whole: torch.Tensor, part: torch.Tensor, *place: Any) -> Any:
        _aten.copy_.default(WRITE_TO_VIEW[name](whole, *place), part)
        return _aten.alias.default(whole)

    return write
