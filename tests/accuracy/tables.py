"""Run as a program, on a quiet machine: prints the tables of docs/accuracy.md, the median and range of each figure."""

from __future__ import annotations

import itertools
import os
import sys
from collections.abc import Iterable
from importlib.util import find_spec
from statistics import median

from tabulate import tabulate

from pytest_edgeload.sandbox.caps import choose
from pytest_edgeload.sandbox.lock import host_lock
from pytest_edgeload.sandbox.owner import PREFIX, tag
from tests.accuracy import agreement, overhead
from tests.accuracy.overhead import Row


def table(title: str, rows: Iterable[Row]) -> str:
    """Return one table of the page."""
    lines = [
        (what, f"{median(values):.4g} ({min(values):.4g}-{max(values):.4g}) {unit}") for what, values, unit in rows
    ]
    return tabulate(lines, (title, "median (range)"), tablefmt="github") + "\n\n"


def main() -> None:
    """Print all tables; nothing else is measured on this machine meanwhile."""
    name, cap = choose("auto")
    session, serial = f"{tag(os.getpid())}", itertools.count()

    def fresh() -> str:
        return f"{PREFIX}{session}-accuracy-{next(serial)}"

    with host_lock():
        tables = {
            "seen by samples, of what the kernel counted": agreement.spikes(cap, fresh, 9),
            "makespan of a program": agreement.clocks(cap, fresh, 9),
            "ours over runexec's": agreement.benchexec(cap, fresh, 7) if find_spec("benchexec") else iter(()),
            "the sampler": overhead.sampler(cap, fresh, 9),
            "a program that does nothing": overhead.launcher(cap, fresh, 25),
            "a network of 192 MiB": overhead.network(cap, session, 7),
        }
        for title, rows in tables.items():
            sys.stdout.write(table(f"{title} ({name})", rows))
            sys.stdout.flush()


if __name__ == "__main__":
    main()
