"""Checks that the networks of a workload have the outputs that its conditions name."""

from __future__ import annotations

from pytest_edgeload.base.errors import UsageError
from pytest_edgeload.networks.layer import Network
from pytest_edgeload.workload import Condition, Workload


def check_conditions(workload: Workload) -> None:
    """Raise UsageError for a condition on an output, or a part of one, that its network does not have."""
    for r, request in enumerate(workload.asked):
        if request.when is not None:
            fault = _fault(request.when, workload.requests[request.when.request].network)
            if fault is not None:
                raise UsageError(f"workload {workload.name}, request {r}", *fault)


def _fault(when: Condition, network: Network) -> tuple[str, str] | None:
    """Return the reason and the hint if `network` does not have the output of `when`."""
    outputs = network.samples[0].outputs
    output = f"output {when.output} of request {when.request}"
    if not 0 <= when.output < len(outputs):
        last = len(outputs) - 1
        known = "0" if last == 0 else f"0 to {last}"
        return f"its condition asks for {output}, but {network.name} has {last + 1}", f"try {known}"
    shape = outputs[when.output].shape
    if 0 in shape:
        return f"its condition asks for {output}, but {network.name} gives an empty one", "ask about another"
    is_there = len(when.at) <= len(shape) and all(0 <= i < size for i, size in zip(when.at, shape, strict=False))
    if is_there:
        return None
    reason = f"its condition asks for {[*when.at]} in {output}, but {network.name} gives it in shape {[*shape]}"
    return reason, "try indices below these sizes"
