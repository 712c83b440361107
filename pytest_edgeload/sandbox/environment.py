"""The environment of measured processes: this process's, without the variables of instruments that watch pytest.

Such an instrument would run inside the measured process as well, and change its time, its memory and its last words.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterable, Mapping

from pytest_edgeload.base.text import printable

_INSTRUMENTS = re.compile(
    r"LD_(PRELOAD|AUDIT|DEBUG|DEBUG_OUTPUT|PROFILE|PROFILE_OUTPUT)"  # of the dynamic loader
    r"|MALLOC_\w+|HEAPPROFILE|HEAPCHECK|CPUPROFILE"  # of the C library, jemalloc and gperftools
    r"|PYTHON(TRACEMALLOC|DEVMODE|PROFILEIMPORTTIME|MALLOC|MALLOCSTATS|ASYNCIODEBUG|DUMPREFS|DUMPREFSFILE)"
    r"|PYTHON(DEBUG|INSPECT|VERBOSE|PERFSUPPORT|_PERF_JIT_SUPPORT)"
    r"|COVERAGE_PROCESS_\w+|COV_CORE_\w+|SLIPCOVER_ENABLED|NODE_V8_COVERAGE"  # of coverage
)
_OF_PYTEST = re.compile(r"PYTEST_(CURRENT_TEST|VERSION|XDIST_\w+)")  # set by pytest, and different in each test


def instruments(names: Iterable[str]) -> list[str]:
    """Return those of the variables `names` that instrument a process or replace its allocator."""
    return sorted(filter(_INSTRUMENTS.fullmatch, names))


def inherited(kept: Collection[str] = (), environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return the variables of `environ` that a measured process gets: no instruments, except those in `kept`."""
    removed = {*instruments(environ), *filter(_OF_PYTEST.fullmatch, environ)} - {*kept}
    return {name: value for name, value in environ.items() if name not in removed}


def removed(kept: Collection[str] = (), environ: Mapping[str, str] = os.environ) -> str:
    """Return the instruments of `environ` that a measured process does not get, in words; empty if there are none."""
    return printable(", ".join(name for name in instruments(environ) if name not in kept))


def notices(env: Mapping[str, str]) -> tuple[str, ...]:
    """Return a sentence about the instruments in the environment of a measured process; none if there are none."""
    names = " and ".join(instruments(env))
    return (printable(f"its environment contained {names}, which can change its figures"),) if names else ()
