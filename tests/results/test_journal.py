"""The journal writes measurements to disk."""

from __future__ import annotations

import resource
from pathlib import Path

import msgspec
import pytest

from pytest_edgeload.devices.constraints import Constraints
from pytest_edgeload.planning.plan import Span
from pytest_edgeload.results import journal
from pytest_edgeload.results.case import Case
from pytest_edgeload.results.journal import Follower, read
from pytest_edgeload.results.measurement import Measurement, Timeline
from pytest_edgeload.results.record import Entry

CASE = Case(
    test="suites/test_a.py::test_a",
    workload="mix",
    policy="bulk",
    reader="read",
    cap="none",
    swap="off",
    constraints=Constraints(threads=2),
)


def write(folder: Path, entry: Entry) -> Entry:
    placed = journal.place(folder, entry)
    journal.write(placed)
    return placed


def _entry(started: float) -> Entry:
    spans = tuple(Span(i, 0, 0.0, 1.0, 2.0) for i in range(1000))
    return Entry(
        CASE, Measurement(outcome="ok", started=started, tasks=spans, timeline=Timeline((1.0,), (2,), (3,), (4,)))
    )


def test_each_measurement_is_a_file(tmp_path: Path) -> None:
    """Each entry is written to its own file in a new folder, and nothing else is left there."""
    folder = tmp_path / "not" / "there yet"
    written = [write(folder, _entry(started)) for started in (1e9, 1e9 + 1e-5)]
    assert sorted(folder.iterdir()) == sorted(Path(entry.file) for entry in written)
    assert [read(Path(entry.file)) for entry in written] == written
    assert [msgspec.structs.replace(entry, file="") for entry in written] == [_entry(1e9), _entry(1e9 + 1e-5)]


@pytest.mark.parametrize("text", [None, b"", b"{}", b'{"case": 1', b"\xff"])
def test_unreadable_file_is_no_entry(tmp_path: Path, text: bytes | None) -> None:
    """A file that is gone or damaged has no entry."""
    path = Path(write(tmp_path, _entry(1.0)).file)
    path.unlink()
    if text is not None:
        path.write_bytes(text)
    assert read(path) is None


def test_incomplete_file_gets_no_name(tmp_path: Path) -> None:
    """A file that cannot be written completely does not get the name of a measurement."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(OSError, match="File too large"):
            write(tmp_path, _entry(1.0))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list(tmp_path.glob("*.json")) == []
    assert read(Path(write(tmp_path, _entry(1.0)).file)) is not None


def test_follower_knows_own_and_other_measurements(tmp_path: Path) -> None:
    """A follower knows what it has noted and, unless it is alone, what others wrote; each once, without spans."""
    own, other = write(tmp_path, _entry(1.0)), write(tmp_path, _entry(2.0))
    alone, together = (Follower(tmp_path, is_alone=is_alone) for is_alone in (True, False))
    for follower in (alone, together):
        follower.note(own)
    assert [m.started for record in alone.of_test(CASE.test) for m in record.rounds] == [1.0]
    for _ in range(2):
        assert [m.started for record in together.of_test(CASE.test) for m in record.rounds] == [1.0, 2.0]
    assert not any(m.tasks for record in together.of_test(CASE.test) for m in record.rounds)
    assert together.of_test("another") == ()
    assert other.case == CASE
