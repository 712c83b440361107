"""Columns have names, texts and values."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest

from pytest_edgeload.devices.constraints import Constraints
from pytest_edgeload.plugin.settings import OPTIONS
from pytest_edgeload.plugin.values import EXPORTS
from pytest_edgeload.report.columns import (
    KEYS,
    NAMED,
    column,
    full_name,
    key,
    parse_columns,
    parse_group_by,
    parse_sort,
)
from pytest_edgeload.report.columns import rows as rows_of
from pytest_edgeload.report.digits import number
from pytest_edgeload.results.measurement import METRICS
from pytest_edgeload.results.naming import COLUMNS, short
from tests.report.documents import CASE, record

SECONDS = (3.0, 1.0, 2.0)
BULK = record("bulk", *({"makespan_s": s, "peak_bytes": 3 << 20, "bound_s": 0.5} for s in SECONDS))
LINEAR = record("linear", *({"makespan_s": s / 2, "swap_in_bytes": 1 << 20, "swap_out_bytes": 0} for s in SECONDS))
ROWS = {row.record.case.policy: row for row in rows_of([BULK, LINEAR])}


def test_no_metric_of_a_program_has_the_name_of_a_column() -> None:
    """The names of all columns are reserved."""
    assert {*NAMED, *KEYS} <= COLUMNS


@pytest.mark.parametrize("metric", METRICS)
def test_every_metric_is_a_column(metric: str) -> None:
    """Every metric is a column by its name, and by its short name unless another column has it."""
    assert column(metric).figure == column(column(metric).name).figure
    assert column(metric).name == metric
    assert short(metric) in NAMED or column(short(metric)).name == metric


@pytest.mark.parametrize(
    ("name", "title", "shown", "value"),
    [
        ("makespan", "makespan s", "2.00 (1.00-3.00)", 2.0),
        ("min", "makespan.min s", "1.00", 1.0),
        ("max", "makespan.max s", "3.00", 3.0),
        ("mean", "makespan.mean s", "2.00", 2.0),
        ("makespan.p90", "makespan.p90 s", "needs 64", None),
        ("makespan/linear", "makespan/linear", "2.00", 2.0),
        ("makespan/nobody", "makespan/nobody", "-", None),
        ("peak", "peak", "3M", 3 << 20),
        ("bound", "x bound", "4.00", 4.0),
        ("bound_s", "bound_s s", "0.50", 0.5),
        ("ratio", "x bulk", "1.00", 1.0),
        ("rounds", "rounds", "3", 3),
        ("interval", "95% interval s", "1.00-3.00", 2.0),
        ("outcome", "outcome", "3 ok", "3 ok"),
        ("swap_in_out", "swap in/out", "-/-", None),
        ("throughput", "throughput 1/s", "-", None),
        ("policy", "policy", "bulk", "bulk"),
        ("param:size", "size", "", ""),
    ],
)
def test_column_has_title_text_and_value(name: str, title: str, shown: str, value: object) -> None:
    """A column has a title, a text for a table and a value to sort by."""
    made = column(name)
    if name == "bound_s":
        title = "bound s"
    assert (made.title, made.show(ROWS["bulk"]), made.value(ROWS["bulk"])) == (title, shown, value)


@pytest.mark.parametrize(
    ("times", "shown", "interval"),
    [
        ((0.000524, 0.000498, 0.00061), "0.000524 (0.000498-0.000610)", "0.000498-0.000610"),
        ((0.00123456, 0.00123456, 0.00123456), "0.00123", "0.00123-0.00123"),
        ((0.0123, 0.0123, 0.0123), "0.012", "0.012-0.012"),
        ((1.5e-9, 1.5e-9, 1.5e-9), "0.00000000150", "0.00000000150-0.00000000150"),
        ((0.0, 0.0, 0.0), "0.00", "0.00-0.00"),
        ((123.4, 120.0, 130.0), "123.40 (120.00-130.00)", "120.00-130.00"),
    ],
)
def test_short_times_have_three_significant_digits(times: tuple[float, ...], shown: str, interval: str) -> None:
    """A time below 10 ms has three significant digits, in its range and its interval as well."""
    [row] = rows_of([record("bulk", *({"makespan_s": s} for s in times))])
    assert column("makespan").show(row) == shown
    assert column("interval").show(row) == interval


@pytest.mark.parametrize(
    ("share", "shown"),
    [(0.5, "0.5"), (0.994, "0.994"), (0.9999, "0.9999"), (0.99999, "0.99999"), (1 - 1e-10, "1.0"), (1.0, "1.0")],
)
def test_share_near_one_has_at_most_five_digits(share: float, shown: str) -> None:
    """A share has enough digits to differ from 1, as long as a reader can count them."""
    assert number(share, "ratio") == shown


def test_swap_traffic_shows_both_directions() -> None:
    """Swap traffic is shown in both directions and sorted by the sum."""
    made = column("swap_in_out")
    assert (made.show(ROWS["linear"]), made.value(ROWS["linear"])) == ("1M/0", 1 << 20)


def test_percentile_is_shown_with_its_interval() -> None:
    """A percentile covers the requests of all rounds and has its interval, if there are enough requests."""
    many = rows_of([record("bulk", *({"response_s": [1.0] * 40 + [2.0] * 2} for _ in range(2)))])[0]
    assert column("response.p90").show(many) == "1.00 (1.00-1.00)"
    assert column("response.p99").show(many) == "needs 662"


def test_ratio_stays_in_its_group() -> None:
    """The ratio of a record is relative to the reference of its own group."""
    other = record("bulk", {"makespan_s": 100.0}, workload="other")
    assert [column("ratio").show(row) for row in rows_of([BULK, other, LINEAR])] == ["1.00", "0.50", "1.00"]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("makespan,outcom", "outcom is not a metric; did you mean outcome?"),
        ("makspan", "makspan is not a metric; did you mean makespan?"),
        (
            "response.often",
            "'often' is not a statistic; choose from median, mean, min, max or a percentile such as p90",
        ),
        ("bound_read", "bound_read is ambiguous; choose from bound_read_s and bound_read_bytes"),
        ("a b", "'a b' is not a figure; try makespan, response.p90 or makespan/bulk"),
    ],
)
def test_unknown_column_is_refused_with_a_suggestion(text: str, sentence: str) -> None:
    """An unknown name is refused in a sentence with the most similar known name."""
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        parse_columns(text)
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        parse_sort(text.rpartition(",")[2])


def test_unknown_coordinate_is_refused_with_a_suggestion() -> None:
    """An unknown coordinate is refused in a sentence with the most similar known one."""
    with pytest.raises(ValueError, match=r"^wrokload is not a coordinate of a case; did you mean workload\?$"):
        parse_group_by("limit,wrokload")


def test_comma_lists_keep_their_order() -> None:
    """Lists of names keep their order without repetitions; rows may also be sorted by name or not at all."""
    assert parse_columns(" min, peak ,min") == ("min", "peak")
    assert parse_group_by("limit,param:size") == ("limit", "param:size")
    assert (parse_sort("name"), parse_sort(""), parse_sort("peak")) == ("name", "", "peak")


@pytest.mark.parametrize("name", KEYS)
def test_every_coordinate_is_a_column(name: str) -> None:
    """Every coordinate has a text and is a column of this text."""
    assert column(name).show(ROWS["bulk"]) == key(name)(BULK.case)


def test_parameter_of_a_test_is_a_coordinate() -> None:
    """A test's parameter is a coordinate by its name, empty if the test has no such parameter."""
    case = record(parameters=(("size", "8"),)).case
    assert key("param:size")(case) == "8"
    assert key("param:other")(case) == ""


def test_documentation_names_columns_coordinates_and_formats() -> None:
    """The documentation names every column, every coordinate and every format."""
    text = (Path(__file__).parents[2] / "docs/reports.md").read_text(encoding="utf-8")
    assert [name for name in [*NAMED, *KEYS, *EXPORTS] if f"`{name}`" not in text] == []
    assert [option for option, row in OPTIONS.items() if row.report and f"--edge-{option}=FILE" not in text] == []


@pytest.mark.parametrize("field", ["test", "workload", "policy", "limit", "reader", "constraints", "device", "seed"])
def test_full_names_of_cases_are_unique(field: str) -> None:
    """Cases that differ in any field have different full names."""
    other = msgspec.structs.replace(
        CASE, **{field: {"seed": 7, "constraints": Constraints(threads=7)}.get(field, "other")}
    )
    assert full_name(other) != full_name(CASE)


def test_full_name_without_a_test_has_single_spaces() -> None:
    """The name of a case of the command line has no test, and no gap in its place."""
    assert full_name(msgspec.structs.replace(CASE, test="")).startswith("bulk, mix at 512M, reader read")
