"""Joins the layers of a module for the first step of a request with those for later steps. Imports torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import zip_longest

import torch

from pytest_edgeload.exporting.cut import LayerDraft, begins_layer
from pytest_edgeload.exporting.model import CannotExport

_HINT = "give a module that uses its weights in the same order in each step"


def with_first_step(later: Sequence[LayerDraft], first: Sequence[LayerDraft]) -> tuple[LayerDraft, ...]:
    """Return the layers of later steps, each with that of the first step.

    Raises CannotExport unless both have the same matrices, and all tensors of the same name have the same values.
    """
    for one, other in zip_longest(later, first):
        if _matrices(one) != _matrices(other):
            subject = f"layer {one.name}" if one else "the last layer"
            raise CannotExport(subject, f"it has {_words(one)}, but the first step has {_words(other)} there", _HINT)
    return tuple(map(_joined, later, first))


def _matrices(layer: LayerDraft | None) -> set[str]:
    """Return the weights that begin a layer; none for a layer that does not exist."""
    return set() if layer is None else {name for name, tensor in layer.weights.items() if begins_layer(tensor)}


def _words(layer: LayerDraft | None) -> str:
    return ", ".join(sorted(_matrices(layer))) or "no weights"


def _joined(later: LayerDraft, first: LayerDraft) -> LayerDraft:
    for name in later.weights.keys() & first.weights.keys():
        one, other = later.weights[name], first.weights[name]
        if one.data_ptr() != other.data_ptr() and not torch.equal(one, other):
            raise CannotExport(name, f"layer {later.name} has other values of it in the first step", _HINT)
    return replace(later, weights={**first.weights, **later.weights}, first=first)
