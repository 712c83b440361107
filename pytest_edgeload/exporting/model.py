"""What users give as a model becomes a module that can be called, and its samples. Imports torch."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from pytest_edgeload.base.errors import Refusal
from pytest_edgeload.networks.inputs import Inputs, as_samples


class NoModel(Refusal):
    """What was given is no model, or none that can be read; the message says what it is and what to give."""


def open_model(made: Any) -> tuple[torch.nn.Module, list[Inputs]]:
    """Return `made` as a module and samples: a module, an ExportedProgram or a .pt2 file, or a pair with its samples.

    A program brings the inputs that it was exported with, where no samples are given. Raises NoModel or UsageError.
    """
    model, samples = made if isinstance(made, tuple) and len(made) == 2 else (made, ())  # noqa: PLR2004
    if isinstance(model, (str, os.PathLike)):
        model = _loaded(Path(model))
    if isinstance(model, torch.export.ExportedProgram):
        if _none(samples) and model.example_inputs is not None:
            samples = [Inputs(*model.example_inputs)]
        model = model.module()
    if not isinstance(model, torch.nn.Module):
        raise NoModel(
            f"the model is of type {type(model).__name__}; "
            "give an nn.Module, an ExportedProgram or the path of a .pt2 file"
        )
    if _none(samples):
        raise NoModel(f"{type(model).__name__} comes without samples; give a list of them beside it, as in [(x,)]")
    return model, as_samples(samples)


def _none(samples: Any) -> bool:
    return isinstance(samples, (tuple, list)) and not samples


def _loaded(path: Path) -> torch.export.ExportedProgram:
    """Return the program that a .pt2 file holds. Raises NoModel."""
    if not path.is_file():
        raise NoModel(f"there is no file {path}; save the program there by torch.export.save")
    try:
        return torch.export.load(path)
    except Exception as error:
        raise NoModel(
            f"{path} cannot be read as an exported program ({first_line(error)}); save it anew by torch.export.save"
        ) from error


@contextmanager
def evaluating(module: torch.nn.Module) -> Iterator[None]:
    """Switch `module` to evaluation mode, and back at the end, part by part; a program stays as it was exported."""
    parts = [] if isinstance(module, torch.fx.GraphModule) else [part for part in module.modules() if part.training]
    for part in parts:
        part.training = False
    try:
        yield
    finally:
        for part in parts:
            part.training = True


def first_line(error: BaseException) -> str:
    """Return the type of `error` and the first words of what can be pages long."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    words = lines[0] if lines else "no reason given"
    return f"{type(error).__name__}: {words if len(words) <= _MOST else words[:_MOST] + ' ...'}"


_MOST = 240
