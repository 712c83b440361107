"""A program that prints the tables of docs/accuracy.md: median and range of each figure. Needs a quiet machine."""

from __future__ import annotations

import itertools
import os
import sys
from collections.abc import Iterable, Mapping
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
        (label, f"{median(values):.4g} ({min(values):.4g}-{max(values):.4g}) {unit}") for label, values, unit in rows
    ]
    return tabulate(lines, (title, "median (range)"), tablefmt="github") + "\n\n"


def main() -> None:
    """Print all tables."""
    name, cap = choose("auto")
    session, serial = tag(os.getpid()), itertools.count()

    def fresh() -> str:
        return f"{PREFIX}{session}-accuracy-{next(serial)}"

    programs = {
        "a spike of memory, seen by samples": agreement.spikes(cap, fresh, 9),
        "makespan of a program": agreement.clocks(cap, fresh, 9),
        "ours over runexec's": agreement.benchexec(cap, fresh, 7) if find_spec("benchexec") else iter(()),
        "the sampler": overhead.sampler(cap, fresh, 9),
        "a program that does nothing": overhead.launcher(cap, fresh, 25),
    }
    with host_lock():  # complete runs take the lock themselves
        show(name, programs)
    show(name, {"a network of 192 MiB": overhead.network(cap, session, 7)})


def show(cap_name: str, tables: Mapping[str, Iterable[Row]]) -> None:
    """Print each table as soon as it is measured."""
    for title, rows in tables.items():
        sys.stdout.write(table(f"{title} ({cap_name})", rows))
        sys.stdout.flush()


if __name__ == "__main__":
    main()
