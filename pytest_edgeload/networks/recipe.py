"""The recipe of a network: a function or a file, and the checkpoint with its weights. Never imports torch."""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from pytest_edgeload.base import arguments
from pytest_edgeload.base.errors import UsageError
from pytest_edgeload.base.functions import check_function
from pytest_edgeload.networks.checkpoint import checkpoint_files
from pytest_edgeload.networks.edgenet import is_edgenet
from pytest_edgeload.networks.making import check_format, is_saved_model

_RATIO = "give the largest relative difference, such as 0.001"


class Recipe(NamedTuple):
    """The source of a network: a function or the path of a .pt2 file, and the checkpoint with the weights, if any.

    `tolerance` is the largest output error of its runs, None if it follows from the network's types. `names` has the
    names of tensors in the module and in the checkpoint, if they differ.
    """

    factory: str
    checkpoint: Path | None = None
    tolerance: float | None = None
    names: tuple[tuple[str, str], ...] = ()

    @classmethod
    def of(
        cls,
        name: str,
        factory: str | os.PathLike[str],
        checkpoint: str | os.PathLike[str] | None,
        tolerance: float | None,
        names: Mapping[str, str] | None,
        base: Path,
    ) -> Recipe:
        """Return the recipe of the network `name` as `Registry.register` gets it; relative paths start at `base`.

        Raises UsageError.
        """
        factory = os.fsdecode(factory) if isinstance(factory, bytes | os.PathLike) else factory
        subject = f"network {name}"
        if is_file(factory):
            if checkpoint is not None:
                raise UsageError(subject, f"{factory} has its own weights", "leave the checkpoint out")
            if is_edgenet(factory) and tolerance is not None:
                raise UsageError(subject, f"{factory} has its own tolerance", "leave the tolerance out")
            factory = str(base / factory)
        else:
            check_format(f"{subject}:", factory)
            check_function(f"{subject}: factory", factory)
        checkpoint_path = None if checkpoint is None else base / arguments.path("checkpoint", checkpoint)
        if names and checkpoint is None:
            raise UsageError(subject, "it has names of tensors, but no checkpoint", "leave the names out")
        return cls(factory, checkpoint_path, checked_tolerance(tolerance), _checked_names(names))

    def __str__(self) -> str:
        checkpoint = "" if self.checkpoint is None else f" with {self.checkpoint}"
        return f"{self.factory}{checkpoint}{'' if self.tolerance is None else f', tolerance {self.tolerance:g}'}"

    @property
    def source_module(self) -> str | None:
        """The module of the factory; None for a saved model."""
        return None if is_file(self.factory) else self.factory.partition(":")[0]

    def weight_files(self) -> list[Path]:
        """Return the user's files that contain the weights. Raises BadCheckpoint."""
        if is_saved_model(self.factory):
            return [Path(self.factory)]
        return [] if self.checkpoint is None else checkpoint_files(self.checkpoint)


def is_file(factory: str) -> bool:
    """Return whether a factory is the path of a file rather than a function."""
    return is_saved_model(factory) or is_edgenet(factory)


def _checked_names(names: Mapping[str, str] | None) -> tuple[tuple[str, str], ...]:
    """Return the names of tensors as pairs. Raises BadArgument unless they are texts, each given once."""
    hint = "give a dict with the names in the checkpoint by those in the module"
    given: object = {} if names is None else names
    pairs = tuple(given.items()) if isinstance(given, Mapping) else ()
    if not isinstance(given, Mapping) or any(not isinstance(each, str) for pair in pairs for each in pair):
        raise arguments.BadArgument("names", "not a dict of texts", hint)
    counts = Counter(stored for _, stored in pairs)
    for stored in (stored for stored, count in counts.items() if count > 1):
        raise arguments.BadArgument.of("names", stored, "given to two tensors", "name each tensor once")
    return pairs


def checked_tolerance(tolerance: object) -> float | None:
    """Return the tolerance of a network as a float, or None. Raises BadArgument if it is not a positive number."""
    if tolerance is None:
        return None
    found = arguments.number("tolerance", tolerance, _RATIO)
    if not 0 < found < math.inf:
        raise arguments.BadArgument.of("tolerance", tolerance, "not a positive number", _RATIO)
    return found
