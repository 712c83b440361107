"""Our figures and those of BenchExec's runexec differ by at most 2 % for the same program under the same limit.

We compare the median of several pairs for memory and processor time. Other processes delay a start, so for wall time
one of several pairs must agree.
"""

from __future__ import annotations

import os
import statistics
from importlib.util import find_spec
from pathlib import Path

import pytest

from pytest_edgeload.sandbox.caps import CAPS, Cap
from tests.accuracy.programs import MIB, Fresh, compute, digest, hold
from tests.accuracy.witness import ours, theirs

pytestmark = [
    pytest.mark.skipif(find_spec("benchexec") is None, reason="BenchExec is not installed"),
    pytest.mark.skipif(
        os.geteuid() != 0 or CAPS["cgroup1"].unavailable() is not None,
        reason="runexec creates groups here only as root with cgroups v1",
    ),
]

NEAR = 0.02
ROUNDS, ATTEMPTS = 3, 5


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a file of 64 MiB that is on the disk."""
    path = tmp_path_factory.mktemp("file") / "numbers"
    path.write_bytes(os.urandom(64 * MIB))
    with path.open("rb") as written:
        os.fsync(written.fileno())
    return path


def ratio(argv: tuple[str, ...], cap: Cap, fresh: Fresh, figure: str) -> float:
    """Return our figure divided by theirs, in one pair of runs."""
    value: float = getattr(ours(argv, cap, fresh()), figure) / getattr(theirs(argv), figure)
    return value


def median(argv: tuple[str, ...], cap: Cap, fresh: Fresh, figure: str) -> float:
    """Return the median ratio of several pairs."""
    return statistics.median(ratio(argv, cap, fresh, figure) for _ in range(ROUNDS))


def test_memory_agrees(cap: Cap, fresh: Fresh) -> None:
    """The peak memory agrees for a program that holds 200 MiB."""
    assert median(hold(200, 0.1), cap, fresh, "memory_bytes") == pytest.approx(1, abs=NEAR)


def test_memory_of_a_reader_agrees(cap: Cap, fresh: Fresh, file: Path) -> None:
    """The peak memory agrees for a program that reads a file, including the page cache."""
    assert median(digest(file, 1), cap, fresh, "memory_bytes") == pytest.approx(1, abs=NEAR)


def test_processor_time_agrees(cap: Cap, fresh: Fresh) -> None:
    """The processor time agrees for a program that computes."""
    assert median(compute(0.7), cap, fresh, "cpu_s") == pytest.approx(1, abs=NEAR)


def test_wall_time_agrees(cap: Cap, fresh: Fresh) -> None:
    """The wall time agrees in one of several pairs for a program that sleeps, which other processes delay least."""
    assert any(abs(ratio(("sleep", "1"), cap, fresh, "wall_s") - 1) <= NEAR for _ in range(ATTEMPTS))
