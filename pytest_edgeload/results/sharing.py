"""How a run shared the machine with others, if the runs of its session may overlap."""

import msgspec

from pytest_edgeload.base.decoding import Count, Seconds


class Sharing(msgspec.Struct, frozen=True, omit_defaults=True):
    """The sharing of the machine by one run, if the runs of its session may overlap.

    `cores` are the numbers of the cores that it had for itself, and none if it had the machine for itself. `neighbours`
    counts the runs next to it when it began or ended, whichever is more. `reason` says why it had the machine for
    itself, or waited although cores were free. `alone_s` is the makespan of the same run, repeated alone.
    """

    cores: tuple[Count, ...] = ()
    neighbours: Count = 0
    reason: str = ""
    alone_s: Seconds | None = None
