"""Which constraints this machine does not enforce, found by trying each of them in a group of its own."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial

from pytest_edgeload.base.errors import Unsupported
from pytest_edgeload.devices.constraints import CONSTRAINTS, Constraints, Shortfall
from pytest_edgeload.sandbox.caps import Cap
from pytest_edgeload.sandbox.caps.outer import Outer, tighter
from pytest_edgeload.sandbox.constraints import Limits, cores_of
from pytest_edgeload.sandbox.swap import Swap


def shortfalls(
    cap: Cap,
    new_name: Callable[[], str],
    constraints: Constraints,
    limits: Callable[[Constraints], Limits],
    swap: Swap,
    swap_kind: str = "",
) -> tuple[Shortfall, ...]:
    """Return which of `constraints` this machine does not enforce. Each is tried by itself, in a group `new_name()`.

    `limits` returns the limits of constraints, and may raise Unsupported. `swap` is the session's, and `swap_kind` the
    kind that it should be, empty for any.
    """
    outer, missing = cap.outer(), []
    for name in constraints.values:
        if not CONSTRAINTS[name].is_optional:
            continue
        alone = constraints.only("memory_bytes", name)
        available = _available(alone, swap, swap_kind, outer)
        if not cap.enforces or not can_open(cap, new_name(), partial(limits, alone)):
            missing.append(Shortfall(name))
        elif available:
            missing.append(Shortfall(name, available))
    return tuple(missing)


def can_open(cap: Cap, name: str, limits: Callable[[], Limits]) -> bool:
    """Return whether the cap can open a group of this name with these limits."""
    try:
        cap.open(name, limits()).close()
    except Unsupported:
        return False
    return True


def _available(constraints: Constraints, swap: Swap, swap_kind: str, outer: Outer) -> str:
    """Return how much there is of a constraint that asks for more than there is: `2 of 4`; else an empty text."""
    for limit in tighter(outer.limits, constraints, constraints.swap_bytes or 0, os.cpu_count() or 1):
        if limit.resource in constraints.values and CONSTRAINTS[limit.resource].is_optional:
            row = CONSTRAINTS[limit.resource]
            return f"{row.text(limit.amount)} of {row.text(constraints.values[limit.resource])}"
    if constraints.cores is not None and (count := len(cores_of(constraints.cores))) < constraints.cores:
        return f"{count} of {constraints.cores}"
    return swap.shortfall(swap_kind, constraints.swap_bytes) if constraints.swap_bytes else ""
