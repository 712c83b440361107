"""The examination of a host: its facts, and everything that it lacks with the command that mends it."""

from __future__ import annotations

import importlib.metadata
import platform
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import msgspec

from pytest_edgeload.base import decoding
from pytest_edgeload.base.errors import Unsupported
from pytest_edgeload.base.units import format_size
from pytest_edgeload.hosts import facts as script
from pytest_edgeload.hosts.connection import ask
from pytest_edgeload.hosts.file import Host

PACKAGES = ("pytest-edgeload", "torch", "pytest", "pytest-xdist", "execnet", "numpy", "msgspec")
"""The packages whose versions must be the same on all machines of a session."""

_MIN_FREE_BYTES = 1 << 30
_MAX_CLOCK_S = 2.0
_LOCAL = "+"  # before the build in a version, which may differ between architectures


class LostSession(msgspec.Struct, frozen=True):
    """A session on a host whose controller may lack some of its measurements; see `hosts.lost`."""

    session: str
    origin: str
    is_running: bool


class Facts(msgspec.Struct, frozen=True):
    """The facts that a host answers. `time_s` is its clock, and `doctor` the output of its doctor."""

    folder: str
    python: str
    versions: dict[str, str]
    processor: str
    processors: int
    memory_bytes: int
    kernel: str
    architecture: str
    time_s: float
    free_bytes: int = 0
    can_write: bool = False
    folder_error: str = ""
    doctor: str = ""
    lost: tuple[LostSession, ...] = ()


class Examined(NamedTuple):
    """A host, its facts, and the seconds by which its clock is ahead of this machine's."""

    host: Host
    facts: Facts
    ahead_s: float


class Problem(NamedTuple):
    """Something that a host lacks, the way to mend it, and whether it keeps the host from measuring."""

    words: str
    hint: str = ""
    is_fatal: bool = True

    def __str__(self) -> str:
        return f"{self.words}; {self.hint}" if self.hint else self.words


def examine(host: Host, *, with_doctor: bool = False) -> Examined:
    """Return the facts of a host. Raises Unsupported if it does not answer."""
    kind = "doctor" if with_doctor else "brief"
    command = " ".join([host.interpreter, "-", host.folder, kind, *PACKAGES])
    begun = time.time()
    answer = ask(host, command, Path(script.__file__).read_bytes())
    ended = time.time()
    try:
        known = decoding.decode(answer, Facts)
    except ValueError as error:
        reason = f"its answer is not JSON ({error})"
        raise Unsupported(host.name, reason, "see whether its shell prints something at login") from error
    # The clock was read after Python's start and the doctor, so the end is nearer to it than the middle.
    return Examined(host, known, known.time_s - ended if known.time_s > ended else min(0.0, known.time_s - begun))


def mismatches(examined: Examined) -> Iterator[Problem]:
    """Yield the versions that differ from those of this machine, and packages that the host lacks."""
    host, known = examined.host, examined.facts
    install = f"run edgeload hosts install for {host.name}"
    if _minor(known.python) != _minor(platform.python_version()):
        hint = "name another python in the file of hosts"
        yield Problem(f"Python {known.python}, but {platform.python_version()} here", hint)
    for name, here in versions_here().items():
        there = known.versions.get(name)
        if there is None:
            yield Problem(f"{name} is not installed", install)
        elif _public(there) != _public(here):
            yield Problem(f"{name} {there}, but {here} here", install)


def shortages(examined: Examined) -> Iterator[Problem]:
    """Yield the faults of the host's folder, disk and clock."""
    host, known = examined.host, examined.facts
    if known.folder_error or not known.can_write:
        reason = known.folder_error or "not writable"
        yield Problem(f"{known.folder}: {reason}", "name another folder in the file of hosts")
    elif known.free_bytes < _MIN_FREE_BYTES:
        free = format_size(known.free_bytes)
        yield Problem(
            f"{free} are free in {known.folder}", "1G is wise; free some, or name another folder", is_fatal=False
        )
    if abs(examined.ahead_s) > _MAX_CLOCK_S:
        words = f"its clock is {_in_words(examined.ahead_s)}"
        yield Problem(words, f"run ssh {host.ssh} sudo timedatectl set-ntp true", is_fatal=False)


def versions_here() -> dict[str, str]:
    """Return the versions of the packages that this machine has."""
    versions = {}
    for name in PACKAGES:
        with suppress(importlib.metadata.PackageNotFoundError):
            versions[name] = importlib.metadata.version(name)
    return versions


def refuse(host: Host, problems: Iterable[Problem]) -> None:
    """Raise Unsupported with the first problem that keeps the host from measuring."""
    for problem in problems:
        if problem.is_fatal:
            raise Unsupported(host.name, problem.words, problem.hint)


def _minor(version: str) -> str:
    return ".".join(version.split(".")[:2])


def _public(version: str) -> str:
    return version.partition(_LOCAL)[0]


def _in_words(ahead_s: float) -> str:
    unit, size = next((pair for pair in (("h", 3600.0), ("min", 60.0)) if abs(ahead_s) >= pair[1]), ("s", 1.0))
    return f"{abs(ahead_s) / size:.1f} {unit} {'ahead' if ahead_s > 0 else 'behind'}"
