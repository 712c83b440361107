"""The history of a figure as text."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_edgeload.report.history import ASCII, BLOCKS, details, left_out, lines, sparkline
from pytest_edgeload.results.document import Commit, document
from pytest_edgeload.results.history import Saved, Series, series
from pytest_edgeload.results.measurement import Measurement
from pytest_edgeload.results.record import Record
from pytest_edgeload.results.threshold import Figure
from tests.cases import CASE

MAKESPAN = Figure("makespan_s")


def _series(*makespans: float | None) -> list[Series]:
    sessions = []
    for number, value in enumerate(makespans):
        rounds = (Measurement(outcome="ok", makespan_s=value),) * 2
        made = document([Record(CASE, rounds)], {}, Path(__file__).parent)
        commit = Commit(f"{number}" * 40, "main", is_dirty=number > 0)
        sessions.append(Saved(f"000{number} main", msgspec.structs.replace(made, commit=commit, created="2026-01-01")))
    return series(sessions, MAKESPAN, lambda _case: True)


def test_a_case_is_one_line_with_a_drawing() -> None:
    """A case is one line: its coordinates, a drawing, the first and the last value, and the change."""
    [line] = lines(_series(1.0, 3.0, 2.0), MAKESPAN).splitlines()[2:]
    assert line.split() == ["bulk", "mix", "512M", "read", "▁█▅", "1s", "2s", "+100.0%"]
    [plain] = lines(_series(1.0, 3.0, 2.0), MAKESPAN, ASCII).splitlines()[2:]
    assert plain.split()[4] == "_#="
    assert lines(_series(None), MAKESPAN) == ""


def test_details_have_a_row_per_session() -> None:
    """In details a session is one row: its title, commit, time, value and interval."""
    title, _, _, *rows = details(_series(1.0, 3.0), MAKESPAN).splitlines()
    assert title == "bulk, mix at 512M, reader read"
    assert rows[0].split() == ["0000", "main", "000000000000", "2026-01-01", "1s", "1s", "to", "1s"]
    assert rows[1].split()[2:5] == ["111111111111", "and", "changes"]


def test_omitted_sessions_are_named_by_reason() -> None:
    """Omitted sessions are named: the first three for each reason, and those that cannot be read."""
    told = left_out(_series(None, None, None, None, 1.0), ["x.json: not a file of records"])
    assert told.splitlines() == [
        "left out: x.json: not a file of records",
        "left out: no round has makespan (0000 main, 1 case; 0001 main, 1 case; 0002 main, 1 case; and 1 more)",
    ]


@pytest.mark.parametrize("levels", [BLOCKS, ASCII])
@given(st.lists(st.floats(-1e9, 1e9), min_size=1))
def test_sparkline_has_a_character_per_value(levels: str, values: list[float]) -> None:
    """A drawing has a character per value in order; minimum and maximum have the extreme levels."""
    drawn = [levels.index(character) for character in sparkline(values, levels)]
    assert len(drawn) == len(values)
    assert all(
        a <= b for (x, a) in zip(values, drawn, strict=True) for (y, b) in zip(values, drawn, strict=True) if x < y
    )
    if min(values) < max(values):
        assert (min(drawn), max(drawn)) == (0, len(levels) - 1)
    else:
        assert len(set(drawn)) == 1
