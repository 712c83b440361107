"""The affinity of this process during a run, which threads and child processes inherit; see sched_setaffinity(2)."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from contextlib import contextmanager


@contextmanager
def on_cores(cores: Collection[int]) -> Iterator[None]:
    """Let this thread, and everything that it starts, run only on these cores; on all as before if there are none.

    So the sampler of a run does not disturb the run next to it, and a run stays on its cores without a cpuset.
    """
    if not cores:
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
