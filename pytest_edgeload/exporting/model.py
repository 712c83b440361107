"""Turn what users give as a model into a module and its samples. Imports torch."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from pytest_edgeload.base.errors import Refusal
from pytest_edgeload.exporting.advice import REAL_WEIGHTS
from pytest_edgeload.networks.checkpoint import refuse_pointer
from pytest_edgeload.networks.inputs import Inputs, as_samples
from pytest_edgeload.networks.layer import DTYPES
from pytest_edgeload.networks.making import check_format
from pytest_edgeload.tensors import NotPlain, check_plain, inner_tensors

_MAX_REASON_CHARACTERS = 240
_BYTES = "give view(torch.uint8) of it, and view it as its own type in forward"


class NoModel(Refusal):
    """A value is not a model, or its file cannot be read; the message says what to give instead."""


class CannotExport(Refusal):
    """A module cannot be cut into layers; the message names the part of it that prevents this."""


def open_model(model: Any) -> tuple[torch.nn.Module, list[Inputs]]:
    """Return the module and the samples of `model`.

    A model is a module, an ExportedProgram or a .pt2 file, or a pair of one of these and its samples. A program without
    samples has the inputs that it was exported with. Raises NoModel or UsageError.
    """
    model, samples = model if isinstance(model, tuple) and len(model) == 2 else (model, ())  # noqa: PLR2004  # a pair
    if isinstance(model, (str, os.PathLike)):
        check_format("the model", os.fspath(model))
        model = _load_program(Path(model))
    if isinstance(model, torch.export.ExportedProgram):
        if _is_empty(samples) and model.example_inputs is not None:
            samples = [Inputs(*model.example_inputs)]
        model = model.module()
    if isinstance(model, torch.jit.ScriptModule):
        hint = "give the module that it was made of, or measure this one with edge.call"
        raise NoModel(type(model).__name__, "a TorchScript module, which torch.export cannot trace", hint)
    if not isinstance(model, torch.nn.Module):
        raise NoModel(
            "the model",
            f"of type {type(model).__name__}, not a module",
            "give an nn.Module, an ExportedProgram or the path of a .pt2 file, or measure it with edge.call",
        )
    if _is_empty(samples):
        raise NoModel(type(model).__name__, "it has no samples", "give a list of them next to it, as in [(x,)]")
    return model, as_samples(samples)


def _is_empty(samples: Any) -> bool:
    return isinstance(samples, (tuple, list)) and not samples


def _load_program(path: Path) -> torch.export.ExportedProgram:
    """Return the program in a .pt2 file. Raises NoModel."""
    if not path.is_file():
        raise NoModel(str(path), "no such file", "save the program there with torch.export.save")
    refuse_pointer(path)
    try:
        return torch.export.load(path)
    except Exception as error:
        reason = f"cannot be read as an exported program ({first_line(error)})"
        raise NoModel(str(path), reason, "save it again with torch.export.save") from error


def check_weight(name: str, tensor: torch.Tensor) -> None:
    """Raise CannotExport, about `name`, for a weight whose values, or those of its parts, are not bytes in memory."""
    if tensor.device.type != "cpu":
        raise CannotExport(name, f"it is on the device {tensor.device}", REAL_WEIGHTS)
    for inner in inner_tensors(tensor):
        try:
            check_plain(name, inner)
        except NotPlain as error:
            raise CannotExport(error.subject, error.reason, error.hint) from None


def check_type(name: str, tensor: torch.Tensor) -> None:
    """Raise CannotExport, about `name`, for a weight of a type that files lack."""
    dtype = str(tensor.dtype).removeprefix("torch.")
    if dtype not in DTYPES:
        hint = "give int32 or int64" if dtype.startswith("uint") and tensor.itemsize > 1 else _BYTES
        hint = "give torch.view_as_real of it" if tensor.is_complex() else hint
        raise CannotExport(name, f"of type {dtype}, which cannot be stored", hint)


@contextmanager
def evaluation_mode(module: torch.nn.Module) -> Iterator[None]:
    """Put each submodule into evaluation mode, and back in the end. A program keeps the mode of its export."""
    training = [] if isinstance(module, torch.fx.GraphModule) else [part for part in module.modules() if part.training]
    for part in training:
        part.training = False
    try:
        yield
    finally:
        for part in training:
            part.training = True


@contextmanager
def unchanged(module: torch.nn.Module) -> Iterator[None]:
    """Give each submodule its attributes back in the end: an export leaves tensors without values in caches."""
    kept = [(vars(part), dict(vars(part))) for part in module.modules()]
    kept += [(value, dict(value)) for _, before in kept for value in before.values() if isinstance(value, dict)]
    try:
        yield
    finally:
        for values, before in kept:
            if values.keys() != before.keys() or any(values[name] is not before[name] for name in before):
                values.clear()
                values.update(before)


def first_line(error: BaseException) -> str:
    """Return the type of `error` and the first line of its message, shortened: messages of torch can be pages long."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    reason = lines[0] if lines else "no reason given"
    if len(reason) > _MAX_REASON_CHARACTERS:
        reason = f"{reason[:_MAX_REASON_CHARACTERS]} ..."
    return f"{type(error).__name__}: {reason}"
