"""What a search for the smallest limit tried, and found. Pure data."""

from __future__ import annotations

import msgspec

SWAPPED_BYTES = 1 << 20
"""Less than this written to swap in a run is the kernel's own housekeeping, and no want of memory."""


class Trial(msgspec.Struct, frozen=True):
    """One run under a limit; `outcome` may also be `no plan`, where the policy can make none for so little."""

    limit_bytes: int
    may_swap: bool
    outcome: str
    swap_out_bytes: int | None = None
    detail: str = ""

    @property
    def works(self) -> bool:
        """Whether it went well."""
        return self.outcome == "ok"

    @property
    def keeps_in_memory(self) -> bool:
        """Whether it went well without swapping."""
        return self.works and (self.swap_out_bytes or 0) < SWAPPED_BYTES

    def does(self) -> bool:
        """Tell whether it is what was looked for: with swap, that none is needed; without, that it works."""
        return self.keeps_in_memory if self.may_swap else self.works


class Smallest(msgspec.Struct, frozen=True):
    """The smallest limits of one case: where it works without swap, and where it no longer swaps if it may.

    None where there is none up to all memory, or nothing to swap to. `trials` are all runs, in their order.
    """

    workload: str
    policy: str
    reader: str
    threads: int
    cap: str
    swap: str
    idle_bytes: int
    step_bytes: int
    works_bytes: int | None
    keeps_in_memory_bytes: int | None
    trials: tuple[Trial, ...]

    def at(self, limit_bytes: int, *, may_swap: bool) -> list[Trial]:
        """Return the runs under this limit."""
        return [run for run in self.trials if (run.limit_bytes, run.may_swap) == (limit_bytes, may_swap)]

    def odd(self, found_bytes: int, *, may_swap: bool) -> list[Trial]:
        """Return the runs that speak against a smallest limit: those above it that failed, those below that did not."""
        return [
            run
            for run in self.trials
            if run.may_swap == may_swap
            and run.limit_bytes != found_bytes
            and run.does() != (run.limit_bytes > found_bytes)
        ]
