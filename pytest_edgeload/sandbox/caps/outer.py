"""The limits of the groups around a worker's. For each resource, the smallest on the way up is in force.

Versions 1 and 2 of cgroups limit the same resources with files of different names.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import psutil

from pytest_edgeload.base import kernel_text
from pytest_edgeload.base.units import exact_size
from pytest_edgeload.devices.constraints import CONSTRAINTS, Constraints
from pytest_edgeload.sandbox.counters import Totals, reaches

_UNLIMITED = 1 << 62  # version 1 writes more bytes than any machine has
_WORDS: Mapping[str, Callable[[float], str]] = {
    "memory_and_swap_bytes": lambda value: f"memory and swap together {exact_size(int(value))}",
    "read_iops": "{:.0f} reads a second".format,
    "write_iops": "{:.0f} writes a second".format,
}
_RATES = {"rbps": "read_bps", "wbps": "write_bps", "riops": "read_iops", "wiops": "write_iops"}  # of io.max

Values = dict[str, float]
"""Limits by resource: a field of `Constraints`, or one of `_WORDS`."""


class OuterLimit(NamedTuple):
    """A limit of a group around a worker's: the resource, its value, and the file that sets it."""

    resource: str
    value: float
    file: Path

    @property
    def amount(self) -> float:
        """The value, as an int if it is a number of bytes."""
        return self.value if self.resource == "cpus" else int(self.value)

    def __str__(self) -> str:
        words = _WORDS.get(self.resource) or CONSTRAINTS[self.resource].words
        return f"{words(self.amount)} ({self.file})"


class _LimitMark(NamedTuple):
    """A file that shows whether a group reached a memory limit, and the file of that limit.

    Version 2 counts, in the `entry` of the file. Version 1 has no `entry` but a high-water mark, because its count of
    failures stays 0 in recent kernels.
    """

    file: Path
    entry: str
    limit: Path

    def hits(self) -> int:
        """Return how often the limit was reached; 1 for a high-water mark at the limit."""
        if self.entry:
            return kernel_text.numbers(_text(self.file)).get(self.entry, 0)
        highest, limit = (kernel_text.number(_text(file)) for file in (self.file, self.limit))
        return int(highest is not None and limit is not None and reaches(highest, limit))


@dataclass(frozen=True, slots=True)
class Outer:
    """The groups around a worker's: the smallest limit of each resource, and the marks of reached limits."""

    limits: tuple[OuterLimit, ...] = ()
    marks: tuple[_LimitMark, ...] = ()

    def hits(self) -> tuple[int, ...]:
        """Return how often each group has reached its memory limit, the nearest one first."""
        return tuple(mark.hits() for mark in self.marks)

    @property
    def swap(self) -> OuterLimit | None:
        """The limit of swap; None without one."""
        return next((limit for limit in self.limits if limit.resource == "swap_bytes"), None)

    def reached(self, before: Iterable[int]) -> OuterLimit | None:
        """Return the memory limit of the nearest group that reached it since `before`; None if none did.

        Of a group of version 1 it is not known when it reached its limit.
        """
        for mark, then, now in zip(self.marks, before, self.hits(), strict=True):
            if now > (then if mark.entry else 0):
                return next(iter(read_limits([mark.limit.parent], [mark.limit.name])), None)
        return None


NO_GROUPS = Outer()


def _quota(text: str) -> Values:
    quota_us, period_us = (*map(kernel_text.number, text.split()[:2]), None, None)[:2]
    return {"cpus": quota_us / period_us} if quota_us and period_us else {}


def _rates(text: str) -> Values:
    pairs = [word.split("=") for line in kernel_text.lines(text) for word in line.split(" ") if word.count("=") == 1]
    return _least((_RATES[name], kernel_text.number(value)) for name, value in pairs if name in _RATES)


def _bytes(resource: str) -> Callable[[str], Values]:
    return lambda text: _least([(resource, kernel_text.number(text))])


def _of_disks(resource: str) -> Callable[[str], Values]:
    return lambda text: _least(
        (resource, kernel_text.number(line.rpartition(" ")[2])) for line in kernel_text.lines(text)
    )


def _hierarchical(text: str) -> Values:
    """Return the limits of all groups on the way up, also of those that a container does not see."""
    found = kernel_text.numbers(text)
    names = {"memory_bytes": "hierarchical_memory_limit", "memory_and_swap_bytes": "hierarchical_memsw_limit"}
    return _least((resource, found.get(name)) for resource, name in names.items())


def _least(pairs: Iterable[tuple[str, int | None]]) -> Values:
    values: Values = {}
    for resource, value in pairs:
        if value is not None and value < _UNLIMITED:
            values[resource] = min(value, values.get(resource, math.inf))
    return values


FILES: Mapping[str, Callable[[str], Values]] = {
    "memory.max": _bytes("memory_bytes"),
    "memory.high": _bytes("memory_bytes"),
    "memory.swap.max": _bytes("swap_bytes"),
    "memory.swap.high": _bytes("swap_bytes"),
    "cpu.max": _quota,
    "io.max": _rates,
    "memory.limit_in_bytes": _bytes("memory_bytes"),
    "memory.memsw.limit_in_bytes": _bytes("memory_and_swap_bytes"),
    "cpu.cfs_quota_us": _quota,  # with the period of another file behind it
    "blkio.throttle.read_bps_device": _of_disks("read_bps"),
    "blkio.throttle.write_bps_device": _of_disks("write_bps"),
    "blkio.throttle.read_iops_device": _of_disks("read_iops"),
    "blkio.throttle.write_iops_device": _of_disks("write_iops"),
    "memory.stat": _hierarchical,
}
"""All files of a group that limit a resource, of version 2 and then of version 1, and the parser of each."""

_MARKS = {
    "memory.events.local": ("oom", "memory.max"),  # since Linux 5.2
    "memory.max_usage_in_bytes": ("", "memory.limit_in_bytes"),
    "memory.memsw.max_usage_in_bytes": ("", "memory.memsw.limit_in_bytes"),
}
"""The files that show whether a group reached a limit, with the entry in them and the file of the limit."""


def outer_of(folders: Iterable[Path]) -> Outer:
    """Return the limits of the groups in `folders`, which are all groups around one, the nearest one first."""
    folders = list(folders)
    marks = (
        _LimitMark(folder / name, entry, folder / limit)
        for folder in folders
        for name, (entry, limit) in _MARKS.items()
    )
    return Outer(smallest(read_limits(folders)), tuple(mark for mark in marks if mark.file.exists()))


def limit_hits(folder: Path) -> Totals:
    """Return how often the group in `folder` reached its own memory limit; empty before Linux 5.2."""
    outer = outer_of([folder])
    return Totals(limit_hits=sum(outer.hits())) if outer.marks else Totals()


def read_limits(folders: Iterable[Path], names: Iterable[str] = tuple(FILES)) -> list[OuterLimit]:
    """Return all limits that the groups in `folders` set, in files of these names."""
    files = [folder / name for folder in folders for name in names]
    return [OuterLimit(*pair, file) for file in files for pair in FILES[file.name](_text(file)).items()]


def smallest(limits: Iterable[OuterLimit]) -> tuple[OuterLimit, ...]:
    """Return the smallest limit of each resource; of equal ones the first, and one of a file that sets it."""
    found: dict[str, OuterLimit] = {}
    for limit in sorted(limits, key=lambda each: (each.value, each.file.name == "memory.stat")):
        found.setdefault(limit.resource, limit)
    return tuple(sorted(found.values()))


def tighter(limits: Iterable[OuterLimit], asked: Constraints, swap_bytes: int, processors: int) -> list[OuterLimit]:
    """Return those of `limits` that hold a run tighter than the constraints that were `asked` for do.

    The run may swap `swap_bytes` and run on `processors`.
    """
    memory_bytes = math.inf if asked.memory_bytes is None else asked.memory_bytes
    wanted = asked.values | {
        "swap_bytes": swap_bytes,
        "memory_and_swap_bytes": memory_bytes + swap_bytes if swap_bytes else 0,
        "cpus": min(asked.cpus or processors, processors),
    }
    return [limit for limit in limits if wanted.get(limit.resource, math.inf) > limit.value]


def below_machine(limits: Iterable[OuterLimit]) -> list[OuterLimit]:
    """Return those of `limits` that leave a run less than this machine has."""
    memory = Constraints(memory_bytes=psutil.virtual_memory().total)
    return tighter(limits, memory, _UNLIMITED, len(os.sched_getaffinity(0)))


def _text(file: Path) -> str:
    text = ""
    with suppress(OSError):  # most of them are of the other version, or of a controller that is not here
        text = kernel_text.read(file)
        if file.name == "cpu.cfs_quota_us":
            text = f"{text.strip()} {kernel_text.read(file.with_name('cpu.cfs_period_us'))}"
    return text
