"""What one call of a model is given. Never imports torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pytest_edgeload.base.errors import UsageError


@dataclass(frozen=True, slots=True)
class Inputs:
    """One sample: positional and keyword inputs, each a tensor, a nest of tensors, or a constant (None, bool, int)."""

    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)


def as_inputs(sample: Any) -> Inputs:
    """Return a tuple of positional inputs, or a dict of keyword inputs, as Inputs. Raises UsageError."""
    match sample:
        case Inputs():
            return sample
        case tuple() | list():
            return Inputs(tuple(sample))
        case Mapping():
            return Inputs(kwargs=dict(sample))
    raise UsageError(
        f"a sample is of type {type(sample).__name__}; give a tuple of positional inputs, as in (x,), "
        "a dict of keyword inputs, or pytest_edgeload.Inputs with both"
    )


def as_samples(samples: Sequence[Any]) -> list[Inputs]:
    """Return samples as Inputs, their keywords in the order of the first, as they are traced. Raises UsageError."""
    if isinstance(samples, Mapping) or not isinstance(samples, Sequence):
        raise UsageError(f"the samples are of type {type(samples).__name__}; give a list of samples")
    first, *others = map(as_inputs, samples)
    for index, other in enumerate(others, 1):
        if (len(other.args), other.kwargs.keys()) != (len(first.args), first.kwargs.keys()):
            raise UsageError(
                f"sample {index} gives {_told(other)}, and sample 0 {_told(first)}; give all samples the same inputs"
            )
    return [first, *(Inputs(each.args, {name: each.kwargs[name] for name in first.kwargs}) for each in others)]


def _told(inputs: Inputs) -> str:
    return f"{len(inputs.args)} positional inputs and the keywords {sorted(inputs.kwargs)}"
