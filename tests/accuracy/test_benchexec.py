"""The same program under the same limit, measured by us and by BenchExec's runexec in turns, differs by 2 % at most.

Memory and processor time do so in the median; others on this machine delay a start, so of times one pair has to.
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
        reason="runexec makes groups here only as root with version 1 of cgroups",
    ),
]

NEAR = 0.02
ROUNDS, ATTEMPTS = 3, 5


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a file of 64 MiB that is on the disk."""
    path = tmp_path_factory.mktemp("file") / "numbers"
    path.write_bytes(os.urandom(64 * MIB))
    with path.open("rb") as written:
        os.fsync(written.fileno())
    return path


def ratio(argv: tuple[str, ...], cap: Cap, fresh: Fresh, figure: str) -> float:
    """Return a figure of ours over theirs, in one pair of runs."""
    found: float = getattr(ours(argv, cap, fresh()), figure) / getattr(theirs(argv), figure)
    return found


def median(argv: tuple[str, ...], cap: Cap, fresh: Fresh, figure: str) -> float:
    """Return the median of such ratios."""
    return statistics.median(ratio(argv, cap, fresh, figure) for _ in range(ROUNDS))


def test_memory(cap: Cap, fresh: Fresh) -> None:
    """A program that holds 200 MiB."""
    assert median(hold(200, 0.1), cap, fresh, "memory_bytes") == pytest.approx(1, abs=NEAR)


def test_memory_of_a_reader(cap: Cap, fresh: Fresh, file: Path) -> None:
    """A program that reads a file, which is charged for what it holds and for the page cache."""
    assert median(digest(file, 1), cap, fresh, "memory_bytes") == pytest.approx(1, abs=NEAR)


def test_processor_time(cap: Cap, fresh: Fresh) -> None:
    """A program that computes."""
    assert median(compute(0.7), cap, fresh, "cpu_s") == pytest.approx(1, abs=NEAR)


def test_time(cap: Cap, fresh: Fresh) -> None:
    """A program that sleeps, so that it matters less who else computes: one of a few pairs."""
    assert any(abs(ratio(("sleep", "1"), cap, fresh, "wall_s") - 1) <= NEAR for _ in range(ATTEMPTS))
