"""Shared memory that a run leaves behind is named in its row, and removed if it is certainly the run's own."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pytest_edgeload.devices.constraints import Constraints
from pytest_edgeload.results.measurement import Measurement
from pytest_edgeload.sandbox.caps import Cap
from pytest_edgeload.sandbox.command import Command, launch_command
from pytest_edgeload.sandbox.constraints import Limits
from pytest_edgeload.sandbox.counters import Memory
from pytest_edgeload.sandbox.enclosure import Enclosure
from pytest_edgeload.sandbox.leftovers import Leftovers, SharedMemory, sentences
from tests.sandbox.child import MIB

SEGMENT = """
import ctypes
libc = ctypes.CDLL(None)
libc.shmat.restype = ctypes.c_void_p
ctypes.memset(libc.shmat(libc.shmget(0, 24 << 20, 0o1600), None, 0), 1, 24 << 20)
"""

Run = Callable[..., Measurement]


@pytest.fixture
def run(cap: Cap, fresh: Callable[[], str]) -> Run:
    """Return a function that runs a command under a limit, without swap."""

    def run(*argv: str, limit: int = 64 * MIB) -> Measurement:
        wanted = Command.of(argv, os.environ, None, None, None, None)
        return launch_command(wanted, 1, Enclosure(cap, fresh(), Limits(Constraints(limit)), 60))

    return run


@pytest.fixture
def blob() -> Iterator[Path]:
    """Return the path of a file in memory, which the test may create."""
    path = Path(f"/dev/shm/edgeload-tests-{os.getpid()}")
    yield path
    path.unlink(missing_ok=True)


def test_every_round_starts_without_the_files_of_the_last(run: Run, blob: Path) -> None:
    """A file in memory that exceeds the limit is `oom` in each round, because what is left of it is removed."""
    for _ in range(2):
        seen = run("dd", "if=/dev/zero", f"of={blob}", "bs=1M", "count=96")
        assert (seen.outcome, blob.exists()) == ("oom", False)
        [notice] = seen.notices
        assert notice.endswith(f"M in memory, which was removed: {blob}")


def test_memory_of_systems_v_is_removed(run: Run) -> None:
    """A segment of System V that outlives its process is removed and named."""
    seen = run(sys.executable, "-I", "-S", "-c", SEGMENT)
    assert (seen.outcome, seen.detail) == ("ok", "")
    assert seen.peak_bytes is not None
    assert seen.peak_bytes >= 24 * MIB
    [notice] = seen.notices
    assert "M in memory, which was removed: SysV segment " in notice


def test_older_file_is_kept(run: Run, blob: Path) -> None:
    """A file that was there before the run is not removed, but its memory is in the row."""
    blob.touch()
    seen = run("dd", "if=/dev/zero", f"of={blob}", "bs=1M", "count=24", "conv=notrunc")
    assert (seen.outcome, blob.stat().st_size) == ("ok", 24 * MIB)
    [notice] = seen.notices
    assert notice.endswith("M in shared memory or files in memory, which later runs find and are not charged for")


def test_removed_file_is_no_leftover(run: Run, blob: Path) -> None:
    """A program that removes its files itself has no notice."""
    assert run("sh", "-c", f"head -c 24M /dev/zero > {blob}; rm {blob}").notices == ()


@pytest.mark.parametrize(("left_mib", "is_removed"), [(16, True), (40, False), (8, False), (0, False)])
def test_file_of_another_size_is_kept(blob: Path, left_mib: int, is_removed: bool) -> None:  # noqa: FBT001
    """A new file is removed only if its size is what the run left, because another program may have created it."""
    before = Leftovers.before({})
    blob.write_bytes(b"1" * (16 * MIB))
    before.remove(Memory(left_mib * MIB, 0, 0), os.geteuid())
    assert blob.exists() != is_removed


def test_file_of_another_user_is_kept(blob: Path) -> None:
    """A new file of another user than the run's is kept."""
    before = Leftovers.before({})
    blob.write_bytes(b"1" * (16 * MIB))
    assert len(before.remove(Memory(16 * MIB, 0, 0), os.geteuid() + 1)) == 1
    assert blob.exists()


def test_unknown_memory_is_no_leftover() -> None:
    """Without a group nothing is known about leftovers."""
    assert Leftovers.before({}).remove(None, os.geteuid()) == ()


def test_leftovers_are_sentences() -> None:
    """Removed things and memory that stays are one sentence each, with few names."""
    things = [SharedMemory(Path(f"/dev/shm/{name}"), 0, 8 * MIB) for name in "abcd"]
    assert sentences(32 * MIB, things, ()) == (
        "it left 32M in memory, which was removed: /dev/shm/a, /dev/shm/b, /dev/shm/c and 1 more",
    )
    assert sentences(24 * MIB, (), [*things[:1], SharedMemory(7, 0, 16 * MIB)]) == (
        (
            "it left 24M in shared memory or files in memory, which later runs find and are not charged for: "
            "perhaps /dev/shm/a, SysV segment 7"
        ),
    )
