"""Checks of a workload before it runs: its last arrival, the outputs that its conditions name, and its steps."""

from __future__ import annotations

from pytest_edgeload.base.errors import Setting, UsageError
from pytest_edgeload.base.units import format_duration
from pytest_edgeload.networks.layer import Network
from pytest_edgeload.workload import Condition, Mix, Workload


def check_last_arrival(mix: Mix, service_s: float | None, timeout_s: float) -> None:
    """Raise UsageError if a request arrives when the run has timed out. `service_s` is the service time, if known."""
    unit_s = service_s if service_s is not None and mix.clock == "service" else 1.0
    last_s = max(ask.arrival_s for ask in mix.asks) * unit_s
    if last_s >= timeout_s:
        last, end = format_duration(last_s), format_duration(timeout_s)
        hint = ("ask fewer requests, raise ", Setting("timeout"), ", or name the unit of recorded times")
        raise UsageError(
            f"workload {mix.name}", f"its last request arrives after {last}, and a run ends after {end}", hint
        )


def check_conditions(workload: Workload) -> None:
    """Raise UsageError for a condition on an output, or a part of one, that its network does not have."""
    for r, request in enumerate(workload.asked):
        if request.when is not None:
            fault = _fault(request.when, workload.requests[request.when.request].network)
            if fault is not None:
                raise UsageError(f"workload {workload.name}, request {r}", *fault)


def check_step_counts(workload: Workload) -> None:
    """Raise UsageError for a request with more steps than its sample has."""
    for r, request in enumerate(workload.requests):
        network = request.network
        known = network.samples[request.sample % len(network.samples)].steps
        if request.steps > known:
            reason = f"it has {request.steps} steps, but sample {request.sample} of {network.name} has {known}"
            hint = "ask for fewer, or give the sample more with Inputs(..., steps=N, feeds=[...])"
            raise UsageError(f"workload {workload.name}, request {r}", reason, hint)


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
