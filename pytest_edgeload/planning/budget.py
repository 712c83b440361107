"""What of a memory limit a policy may plan with, and how fast it may take the machine to be. Pure functions."""

from __future__ import annotations

from pytest_edgeload.base.errors import UsageError
from pytest_edgeload.base.units import Limit, format_size
from pytest_edgeload.planning.plan import Speeds

MARGIN_BYTES = 16 << 20
"""Kept out of every budget: page tables, operators' scratch memory, and what the idle worker had not touched yet."""


def enforced_bytes(
    limit: Limit, idle_bytes: int, margin_bytes: int = MARGIN_BYTES, does: str = "it holds any weights"
) -> int:
    """Return the bytes to enforce for `limit`. Raises UsageError for a limit that even an idle worker exceeds.

    `does` says what comes after being idle.
    """
    size = limit.resolve(idle_bytes)
    if size <= idle_bytes + margin_bytes:
        least = -(-(idle_bytes + margin_bytes + 1) // (1 << 20)) << 20
        raise UsageError(
            f"memory limit {limit}: the worker needs {format_size(idle_bytes)} before {does}; "
            f"try at least {format_size(least)}, or base+64M"
        )
    return size


def speeds(read_bps: int | None) -> Speeds:
    """Return what a policy may take for granted: nominal speeds, but no more than reads are held to."""
    nominal = Speeds()
    return nominal if read_bps is None else Speeds(min(nominal.read_bytes_per_s, read_bps), nominal.flops_per_s)


def budget_bytes(limit_bytes: int, idle_bytes: int) -> int:
    """Return what a policy may plan with under an enforced limit."""
    return limit_bytes - idle_bytes - MARGIN_BYTES
