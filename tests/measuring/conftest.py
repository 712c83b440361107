"""Measuring is tried on the same real caps, swap and networks as the sandbox."""

from __future__ import annotations

from tests.sandbox.conftest import (
    any_cap,
    any_cap_name,
    cap,
    cap_name,
    fresh,
    nothing_left,
    opened,
    reads,
    registry,
    session,
    storage,
    swap,
    throttle,
)

__all__ = [
    "any_cap",
    "any_cap_name",
    "cap",
    "cap_name",
    "fresh",
    "nothing_left",
    "opened",
    "reads",
    "registry",
    "session",
    "storage",
    "swap",
    "throttle",
]
