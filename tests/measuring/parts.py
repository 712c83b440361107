"""Common parts of the tests of measuring: workloads, a limit, a read bandwidth, and a cap that counts its groups."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec

from pytest_edgeload.base.errors import Unsupported
from pytest_edgeload.base.units import Limit
from pytest_edgeload.devices.constraints import Constraints
from pytest_edgeload.results.case import Case
from pytest_edgeload.sandbox.caps import Cap, Group
from pytest_edgeload.sandbox.caps.outer import Outer
from pytest_edgeload.sandbox.constraints import Limits
from pytest_edgeload.workload import Ask, Condition, Mix
from tests.sandbox.child import MIB

WIDE, TINY = Mix.of("wide", ["wide"]).due(60.0), Mix.of("tiny", ["tiny"], images=3)

# Every output of tiny is 1.125.
DECIDING = Mix(
    "deciding",
    (
        Ask("tiny"),
        Ask("wide", when=Condition(0, 1.2)),
        Ask("tiny", when=Condition(0, 1.2, "<", at=(0, 7))),
        Ask("tiny", when=Condition(1, -1e9)),
    ),
)

TIGHT = Limit.parse("base+24M")
"""A limit that the wide network does not fit under."""

BPS = 90 * MIB
"""The read bandwidth that the fixture `throttle` enforces."""


@dataclass
class CountingCap:
    """A cap that counts how many groups were opened."""

    cap: Cap
    enforces: bool = True
    opened: int = 0

    def unavailable(self, *, throttles: bool = False) -> Unsupported | None:
        """Ask the cap."""
        return self.cap.unavailable(throttles=throttles)

    def outer(self) -> Outer:
        """Ask the cap."""
        return self.cap.outer()

    def open(self, name: str, limits: Limits) -> Group:
        """Count, and let the cap open the group."""
        self.opened += 1
        return self.cap.open(name, limits)

    def sweep(self, session: str | None) -> list[str]:
        """Let the cap sweep."""
        return self.cap.sweep(session)


def held(case: Case, **constraints: Any) -> Case:
    """Return the case with these constraints besides its own."""
    return msgspec.structs.replace(case, constraints=case.constraints | Constraints(**constraints))
