"""Whether what the conditions of a workload ask for is there."""

from __future__ import annotations

from pytest_edgeload.base.errors import UsageError
from pytest_edgeload.networks.layer import Network
from pytest_edgeload.workload import Condition, Workload


def check_conditions(workload: Workload) -> None:
    """Raise UsageError for a condition about what the network that it asks does not put out."""
    for r, request in enumerate(workload.asked):
        if request.when is not None:
            lacking = _lacking(request.when, workload.requests[request.when.request].network)
            if lacking is not None:
                raise UsageError(f"workload {workload.name}, request {r}: its condition asks for {lacking}")


def _lacking(when: Condition, network: Network) -> str | None:
    """Return words for what `when` asks for and `network` does not put out, and for the way out."""
    outputs = network.samples[0].outputs
    asked = f"output {when.output} of request {when.request}"
    if not 0 <= when.output < len(outputs):
        last = len(outputs) - 1
        return f"{asked}, but {network.name} has {last + 1}; try {'0' if last == 0 else f'0 to {last}'}"
    shape = outputs[when.output].shape
    if 0 in shape:
        return f"{asked}, but {network.name} gives an empty one; ask about another"
    is_there = len(when.at) <= len(shape) and all(0 <= i < size for i, size in zip(when.at, shape, strict=False))
    if is_there:
        return None
    return f"{[*when.at]} in {asked}, but {network.name} gives it in shape {[*shape]}; try indices below these sizes"
