"""What a worker is held to beside its memory, as a case asks for it, and what of that this machine can do."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import NamedTuple

from pytest_edgeload.base.errors import Unsupported
from pytest_edgeload.base.units import exact_size
from pytest_edgeload.results.record import Case
from pytest_edgeload.sandbox.caps import Cap
from pytest_edgeload.sandbox.limits import Limits, Throttle, cores_of, disk_of
from pytest_edgeload.sandbox.swap import Swap, active

ENFORCED = ("reads", "writes", "cpus", "cores", "swap")
"""What the fields of a hold are called where they are not enforced, in their order."""


class Hold(NamedTuple):
    """Bytes a second read and written, processors' time, how many processors, and bytes of swap, at most.

    None is as much as there is. The fields are called as those of a case.
    """

    read_bps: int | None = None
    write_bps: int | None = None
    cpus: float | None = None
    cores: int | None = None
    swap_bytes: int | None = None

    @classmethod
    def of(cls, case: Case) -> Hold:
        """Return what of a case is enforced, be it in part."""
        asked = (getattr(case, field) for field in cls._fields)
        named = zip(ENFORCED, asked, strict=True)
        return cls._make(None if name in case.unenforced else value for name, value in named)

    @property
    def computing(self) -> Hold:
        """What of it bears on computing alone."""
        return Hold(cpus=self.cpus, cores=self.cores)


def loose(hold: Hold, files: Iterable[Path]) -> list[Path]:
    """Return those of `files` that are on no disk that could be throttled, where `hold` asks for that."""
    is_free = hold.read_bps is None and hold.write_bps is None
    return [] if is_free else [file for file in files if disk_of(file) is None]


def limits_of(memory_bytes: int | None, hold: Hold, files: Iterable[Path], swap: Swap) -> Limits:
    """Return what to hold a worker to that reads `files`. Raises Unsupported."""
    areas = [path for path, _ in active()] if swap.usable else []
    is_free = hold.read_bps is None and hold.write_bps is None
    reads = None if is_free else Throttle.of(hold.read_bps, files, areas, hold.write_bps)
    cores = () if hold.cores is None else cores_of(hold.cores)
    return Limits(memory_bytes, swap.usable, reads, hold.cpus, cores, hold.swap_bytes)


def unenforced(
    cap: Cap, name: Callable[[], str], asked: Hold, limits: Callable[[Hold], Limits], swap: Swap
) -> tuple[str, ...]:
    """Return what of `asked` cannot be done here, as `Case.unenforced` has it: each is tried out, in a group `name()`.

    `limits` are those of a hold, which may raise Unsupported; `swap` is what there is.
    """
    found = []
    for index, called in enumerate(ENFORCED):
        alone = Hold._make(value if place == index else None for place, value in enumerate(asked))
        is_held = asked[index] is None or (cap.enforces and _can(cap, name(), partial(limits, alone)))
        short = _short(alone, swap) if is_held else ""
        if short or not is_held:
            found.append(f"{called}: {short}" if short else called)
    return tuple(found)


def _can(cap: Cap, name: str, limits: Callable[[], Limits]) -> bool:
    try:
        cap.open(name, limits()).close()
    except Unsupported:
        return False
    return True


def _short(asked: Hold, swap: Swap) -> str:
    """Return in words what there is less of than is asked for."""
    if asked.cores is not None and (there := len(cores_of(asked.cores))) < asked.cores:
        return f"{there} of {asked.cores}"
    if asked.swap_bytes is not None and swap.size_bytes < asked.swap_bytes:
        return f"{swap} of {exact_size(asked.swap_bytes)}"
    return ""
