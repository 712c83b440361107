"""The part of a memory limit that a policy may plan with, and the speeds that it may assume. Pure functions."""

from __future__ import annotations

from pytest_edgeload.base.errors import UsageError
from pytest_edgeload.base.units import Limit, format_size
from pytest_edgeload.planning.plan import STAGES, Speeds
from pytest_edgeload.workload import Workload

MARGIN_BYTES = 16 << 20
"""Left out of every budget: for page tables, operators' scratch memory, and pages the idle worker had not touched."""


_TASK_BYTES = 700
"""A task in the plan, in the dispatcher and as a span, measured with a plan of 50,000 tasks."""


def enforced_bytes(
    limit: Limit, idle_bytes: int, margin_bytes: int = MARGIN_BYTES, does: str = "it holds any weights"
) -> int:
    """Return the bytes to enforce for `limit`. Raises UsageError if even an idle worker exceeds it.

    `does` describes the worker's first step after being idle, for the message.
    """
    size = limit.resolve(idle_bytes)
    if size <= idle_bytes + margin_bytes:
        min_bytes = -(-(idle_bytes + margin_bytes + 1) // (1 << 20)) << 20
        raise UsageError(
            f"memory limit {limit}",
            f"the worker needs {format_size(idle_bytes)} before {does}",
            f"try at least {format_size(min_bytes)}, or base+64M",
        )
    return size


def speeds(read_bps: int | None, stored_share: float = 1.0) -> Speeds:
    """Return the speeds that a policy may assume: nominal ones, with reads at most at the limit `read_bps`.

    Weights are read faster if only a share of their bytes is stored.
    """
    nominal = Speeds()
    if read_bps is None:
        return nominal
    return Speeds(min(nominal.read_bytes_per_s, read_bps / stored_share), nominal.flops_per_s)


def budget_bytes(limit_bytes: int, idle_bytes: int, workload: Workload, scratch_bytes: int = 0) -> int:
    """Return the bytes that a policy may plan with for `workload` under an enforced limit.

    The worker needs `scratch_bytes` to read weights.
    """
    return max(0, limit_bytes - idle_bytes - reserved_bytes(workload, scratch_bytes))


def reserved_bytes(workload: Workload, scratch_bytes: int = 0) -> int:
    """Return the bytes that are left out of the budget for `workload`, besides those of the idle worker."""
    return MARGIN_BYTES + scratch_bytes + _bookkeeping_bytes(workload)


def _bookkeeping_bytes(workload: Workload) -> int:
    """Return the memory of a worker for the tasks of a plan, in whole MiB: a long mix has tens of thousands."""
    tasks = sum(1 + len(STAGES) * len(request.network.layers) for request in workload.requests)
    return tasks * _TASK_BYTES >> 20 << 20
