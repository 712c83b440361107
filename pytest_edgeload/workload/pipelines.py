"""Requests that take inputs from outputs of earlier ones: which tensors these are, and whether they fit. Pure."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence

from msgspec.structs import replace

from pytest_edgeload.base.errors import UsageError, suggestion
from pytest_edgeload.networks.feed import Feed
from pytest_edgeload.networks.layer import Network, TensorSpec
from pytest_edgeload.workload import Workload


def check_feeds(workload: Workload) -> None:
    """Raise UsageError for a feed of an input or from an output that does not exist, or if the two do not fit."""
    for r in range(len(workload.requests)):
        tensor_feeds(workload, r)


def tensor_feeds(workload: Workload, r: int) -> tuple[Feed, ...]:
    """Return the feeds of request `r` by the positions of tensors; a nest of tensors has one for each.

    Raises UsageError if a feed does not fit.
    """
    found: dict[int | str, Feed] = {}
    for feed in workload.requests[r].feeds:
        for each in _by_position(feed, workload, r):
            if each.input in found:
                subject = f"workload {workload.name}, request {r}"
                raise UsageError(subject, f"its input {feed.input} is fed twice", "name it once in its feeds")
            found[each.input] = each
    return tuple(found.values())


def _by_position(feed: Feed, workload: Workload, r: int) -> Iterator[Feed]:
    """Yield the feeds of the tensors of an input. Raises UsageError."""
    network = workload.requests[r].network
    known = inputs_of(network)
    if feed.input not in known:
        names = [str(name) for name in known if isinstance(name, str)]
        hint = suggestion(str(feed.input), names)
        raise UsageError(f"workload {workload.name}, request {r}", f"{network.name} has no input {feed.input}", hint)
    for i, position in enumerate(known[feed.input]):
        each = replace(feed, input=position, output=feed.output + (i if feed.rule == "same" else 0))
        fault = _fault(each, f"its input {feed.input}", workload, network.samples[0].inputs[position])
        if fault is not None:
            raise UsageError(f"workload {workload.name}, request {r}", *fault)
        yield each


def inputs_of(network: Network) -> Mapping[int | str, Sequence[int]]:
    """Return the positions of the tensors of each input, by its position or keyword, and by the name of its parameter.

    The tensors of a list have the name of its parameter and a number.
    """
    found: dict[int | str, list[int]] = {}
    for position, argument in enumerate(network.arguments or range(len(network.own_inputs))):
        found.setdefault(argument, []).append(position)
    for positions in [*found.values()]:
        names = [network.inputs[position] for position in positions]
        name = names[0] if len(names) == 1 else re.sub(r"_\d.*$", "", names[0])
        found.setdefault(name, positions)
    return found


def _fault(feed: Feed, name: str, workload: Workload, wanted: TensorSpec) -> tuple[str, str] | None:
    """Return the reason and the hint if the output of `feed` does not exist, or cannot become the input `wanted`."""
    assert feed.request is not None  # as in all feeds of requests
    source = workload.requests[feed.request]
    network = source.network
    outputs = network.samples[0].outputs[: len(network.own_outputs)]
    if feed.output >= len(outputs):
        known = "0" if len(outputs) == 1 else f"0 to {len(outputs) - 1}"
        reason = f"{name} takes output {feed.output} of request {feed.request}, but {network.name} has {len(outputs)}"
        return reason, f"try {known}"
    last = min(source.steps, network.samples[0].steps) - 1
    output = network.expected(0, last).get(feed.output, outputs[feed.output])  # its shape may differ in the first step
    of = f"output {feed.output} of request {feed.request} ({network.name})"
    if feed.rule == "argmax":
        counts = {math.prod(output.shape[:-1]), math.prod(output.shape[:-2])}
        if output.shape and math.prod(wanted.shape) in counts:
            return None
        return f"{name} is {_kind(wanted)}, which argmax of {of} in shape {[*output.shape]} does not fill", ""
    if (output.shape, output.dtype) == (wanted.shape, wanted.dtype):
        return None
    return f"{name} is {_kind(wanted)}, but {of} is {_kind(output)}", made_with(network.name)


def made_with(network: str) -> str:
    """Return the hint for a sample that was not made with an output of `network`."""
    return f"make the sample with that output, as in Inputs(({network}(x), ...))"


def _kind(tensor: TensorSpec) -> str:
    return f"{tensor.dtype} {[*tensor.shape]}"
