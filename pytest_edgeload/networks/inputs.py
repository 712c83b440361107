"""The inputs of one call of a model. Never imports torch."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from pytest_edgeload.base import arguments
from pytest_edgeload.base.arguments import BadArgument
from pytest_edgeload.base.errors import UsageError
from pytest_edgeload.networks.feed import Feed


@dataclass(frozen=True, slots=True)
class Inputs:
    """One sample: positional and keyword inputs, each a tensor, a nest of tensors or a constant (None, bool, int).

    A request for it may have up to `steps` steps, in each of which the network runs once. From the second step on,
    `feeds` say which inputs are made of the step before; all others stay the same.
    """

    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    steps: int = 1
    feeds: tuple[Feed, ...] = ()

    def __post_init__(self) -> None:
        """Raise BadArgument unless the inputs are in a tuple and a mapping, and the feeds name inputs."""
        if not isinstance(self.args, tuple | list):
            raise BadArgument(f"args of type {type(self.args).__name__}", "not a tuple", "write (x,) for one input")
        if not isinstance(self.kwargs, Mapping):
            raise BadArgument(f"kwargs of type {type(self.kwargs).__name__}", "not a mapping", "try {'name': x}")
        object.__setattr__(self, "args", tuple(self.args))
        object.__setattr__(self, "steps", arguments.whole("steps", self.steps, 1))
        feeds = arguments.instances("feeds", self.feeds, Feed, "give a list of Feed(...)")
        object.__setattr__(self, "feeds", feeds)
        for feed in feeds:
            known = self.kwargs if isinstance(feed.input, str) else range(len(self.args))
            if feed.request is not None:
                hint = "leave out `request`, or give the feed to the request: Ask(..., feeds=[...])"
                raise BadArgument.of("feeds", feed.input, "a sample does not know other requests", hint)
            if feed.input not in known:
                raise BadArgument.of("feeds", feed.input, "the sample has no such input", "name one of its inputs")
        if len({feed.input for feed in feeds}) < len(feeds):
            raise BadArgument("feeds", "two of them are for the same input", "leave one out")


def as_inputs(sample: Any) -> Inputs:
    """Return a tuple of positional inputs or a dict of keyword inputs as Inputs. Raises UsageError."""
    match sample:
        case Inputs():
            return sample
        case tuple() | list():
            return Inputs(tuple(sample))
        case Mapping():
            return Inputs(kwargs=dict(sample))
    raise UsageError(
        "a sample",
        f"of type {type(sample).__name__}, not inputs",
        "give a tuple of positional inputs, as in (x,), a dict of keyword inputs, or pytest_edgeload.Inputs with both",
    )


def as_samples(samples: Sequence[Any]) -> list[Inputs]:
    """Return samples as Inputs, with keywords in the order of the first sample. Raises UsageError if they differ."""
    if isinstance(samples, Mapping) or not isinstance(samples, Sequence):
        raise UsageError("the samples", f"of type {type(samples).__name__}, not a list", "give a list of samples")
    first, *others = map(as_inputs, samples)
    for index, other in enumerate(others, 1):
        if (len(other.args), other.kwargs.keys()) != (len(first.args), first.kwargs.keys()):
            raise UsageError(
                f"sample {index}",
                f"has {_description(other)}, but sample 0 has {_description(first)}",
                "give all samples the same inputs",
            )
        if other.feeds != first.feeds:
            raise UsageError(f"sample {index}", "its feeds differ from those of sample 0", "give all samples the same")
    return [first, *(replace(each, kwargs={name: each.kwargs[name] for name in first.kwargs}) for each in others)]


def nest_of(inputs: Inputs, is_tensor: Callable[[Any], bool]) -> Any:
    """Return the nest of `inputs` as JSON, with tensors as their numbers in order; None for tensors by position.

    `arranged` is the inverse. If JSON cannot represent the nest, the result names the type that prevents it; see
    `unsupported_type`.
    """
    if not inputs.kwargs and all(map(is_tensor, inputs.args)):
        return None
    numbers = itertools.count()
    try:
        return [_encoded(part, is_tensor, numbers) for part in (inputs.args, dict(inputs.kwargs))]
    except TypeError as error:
        return {"unsupported": str(error)}


def unsupported_type(nest: Any) -> str | None:
    """Return the type in a nest that `arranged` cannot make; None if it can make all of them."""
    return nest["unsupported"] if isinstance(nest, dict) else None


def _encoded(value: Any, is_tensor: Callable[[Any], bool], numbers: Iterator[int]) -> Any:
    """Return one value. Raises TypeError for one that is not a tensor, a list, tuple or dict, or a constant."""
    if is_tensor(value):
        return {"tensor": next(numbers)}
    if type(value) in {list, tuple}:
        return {type(value).__name__: [_encoded(each, is_tensor, numbers) for each in value]}
    if type(value) is dict and all(isinstance(key, str) for key in value):
        return {"dict": {key: _encoded(each, is_tensor, numbers) for key, each in value.items()}}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(type(value).__name__)


def arranged(nest: Any, tensors: Sequence[Any]) -> Inputs:
    """Return `tensors` in the nest that `nest_of` returned."""
    if nest is None:
        return Inputs(tuple(tensors))
    args, kwargs = (_decoded(part, tensors) for part in nest)
    return Inputs(args, kwargs)


def _decoded(value: Any, tensors: Sequence[Any]) -> Any:
    match value:
        case {"tensor": number}:
            return tensors[number]
        case {"list": items}:
            return [_decoded(each, tensors) for each in items]
        case {"tuple": items}:
            return tuple(_decoded(each, tensors) for each in items)
        case {"dict": items}:
            return {key: _decoded(each, tensors) for key, each in items.items()}
    return value


def _description(inputs: Inputs) -> str:
    return f"{len(inputs.args)} positional inputs and the keywords {sorted(inputs.kwargs)}"
