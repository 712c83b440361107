"""CSV has a row per round that spreadsheets and data frames read correctly."""

from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_edgeload.report import FORMATS
from pytest_edgeload.report.columns import KEYS
from pytest_edgeload.results.finding import Judgement
from pytest_edgeload.results.measurement import METRICS
from pytest_edgeload.results.record import Record
from tests.report.documents import document, record, view


def read(*records: Record, columns: tuple[str, ...] = ()) -> list[dict[str, str]]:
    """Return the rows by header."""
    text = FORMATS["csv"](document(*records), Judgement(), view(columns=columns))
    return list(csv.DictReader(io.StringIO(text, newline="")))


def test_every_round_is_a_row() -> None:
    """Every round has a row with its case, its outcome and all metrics, not rounded."""
    rounds = ({"makespan_s": 1.0625, "peak_bytes": 300 << 20}, {"outcome": "oom", "detail": "killed, at 512M"})
    first, second = read(record("bulk", *rounds, read_bps=90 << 20))
    assert list(first) == [*KEYS, "limit_bytes", "round", "outcome", "detail", *METRICS]
    assert (first["policy"], first["limit"], first["limit_bytes"], first["read_bw"]) == (
        "bulk", "512M", str(512 << 20), "90M/s",
    )  # fmt: skip
    assert (first["round"], first["outcome"], first["makespan_s"], first["peak_bytes"]) == (
        "0", "ok", "1.0625", str(300 << 20),
    )  # fmt: skip
    assert (second["round"], second["outcome"], second["detail"]) == ("1", "oom", "killed, at 512M")
    assert second["makespan_s"] == "", "what was not measured is empty, never 0"


def test_chosen_columns_replace_the_metrics() -> None:
    """Chosen columns replace the metrics, and each figure is that of a single round."""
    bulk, linear = (record(p, {"makespan_s": s}, {"makespan_s": 4.0}) for p, s in (("bulk", 2.0), ("linear", 1.0)))
    found = read(bulk, linear, columns=("makespan", "ratio", "policy"))
    assert list(found[0])[len(KEYS) :] == ["limit_bytes", "round", "outcome", "detail", "makespan_s", "ratio"]
    assert [(row["policy"], row["makespan_s"], row["ratio"]) for row in found] == [
        ("bulk", "2", "1"),
        ("bulk", "4", "1"),
        ("linear", "1", "0.5"),
        ("linear", "4", "1"),
    ]


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r"])
def test_user_text_is_never_a_formula(start: str) -> None:
    """No text of a user is a formula for a spreadsheet."""
    [row] = read(record(f"{start}cmd|' /C calc'!A0", {"detail": f"{start}1+1"}, workload=f"{start}SUM(A1)"))
    assert (row["policy"][:2], row["detail"][:2], row["workload"][:2]) == (f"'{start}",) * 3


def test_negative_numbers_stay_numbers() -> None:
    """A number below 0 stays a number."""
    assert read(record("bulk", {"makespan_s": -0.5}))[0]["makespan_s"] == "-0.5"


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_user_text_is_read_back_unchanged(text: str) -> None:
    """Any text of a user is read back unchanged, except for the mark before a formula."""
    [row] = read(record("bulk", {"detail": text}))
    assert row["detail"].removeprefix("'") == text.removeprefix("'")


def test_no_records_are_a_header_line() -> None:
    """Without records the file is a header line."""
    assert len(FORMATS["csv"](document(), Judgement(), view()).splitlines()) == 1
