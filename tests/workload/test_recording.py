"""Recorded arrivals: numbers and dates, from lists and files, become seconds after the first."""

from __future__ import annotations

import io
import re
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_edgeload import Mix, Trace
from pytest_edgeload.base.errors import UsageError
from pytest_edgeload.workload import recording
from pytest_edgeload.workload.file import parse

A_TIME = "neither a number nor a date; give one such as 1.5 or 2023-11-16 18:15:46"
A_ROW = "give a file with one row for each arrival"
AN_OBJECT = "not an object of JSON; give one object for each arrival, each on its line"
NINE = datetime(2026, 11, 16, 9, tzinfo=UTC)

AZURE_2023 = """TIMESTAMP,ContextTokens,GeneratedTokens
2023-11-16 18:15:46.6805900,374,44
2023-11-16 18:15:50.9951690,396,109
2023-11-16 18:15:48.6805900,879,55
"""
AZURE_2024 = """TIMESTAMP,ContextTokens,GeneratedTokens
2024-05-10 00:00:00.009930+00:00,2162,5
2024-05-10 00:00:00.017335+00:00,2399,6
2024-05-10 00:00:01+00:00,76,15
"""
AZURE_FUNCTIONS = """app,func,end_timestamp,duration
7b2c,e3cd,0.5,0.25
7b2c,e3cd,2.5,2.25
aaaa,bbbb,1.75,0.5
"""
MOONCAKE = """{"timestamp": 27482, "input_length": 6955, "output_length": 52, "hash_ids": [46, 47]}
{"timestamp": 30535, "input_length": 6472, "output_length": 26, "hash_ids": [46, 47]}

{"timestamp": 30535, "input_length": 2, "output_length": 26, "hash_ids": []}
"""


def load(text: str, name: str = "log.csv", **options: Any) -> tuple[tuple[float, ...], str]:
    data = io.BytesIO(text.encode())
    return recording.read(data, name, options.get("column"), options.get("unit"))


def refusal(text: str, name: str = "log.csv", **options: Any) -> str:
    with pytest.raises(UsageError) as caught:
        load(text, name, **options)
    return str(caught.value)


@pytest.mark.parametrize(
    ("times", "unit", "at_s"),
    [
        ([1200, 1500, 1250], "ms", (0.0, 0.05, 0.3)),
        ([1_700_000_000.25, 1_700_000_000.5], None, (0.0, 0.25)),
        ([1_700_000_000_000_000_000, 1_700_000_000_000_000_250], "ns", (0.0, 2.5e-7)),
        ([0, 1], "h", (0.0, 3600.0)),
        (np.array([3, 1], np.int32), "s", (0.0, 2.0)),
        (["5", " 2.5 ", "1e1"], "m", (0.0, 150.0, 450.0)),
        ([NINE, NINE + timedelta(milliseconds=1)], None, (0.0, 0.001)),
        (["2026-11-16 09:00:00", NINE.astimezone(timezone(timedelta(hours=5)))], None, (0.0, 0.0)),
        (["2026-11-16T09:00:00Z", "2026-11-16 09:00:00.1234567"], None, (0.0, 0.123456)),
        (np.array(["2026-11-16T09:00:00.25", "2026-11-16T09"], "M8[ns]"), None, (0.0, 0.25)),
        ([date(2026, 11, 16), datetime(2026, 11, 16, 0, 0, 1)], None, (0.0, 1.0)),  # noqa: DTZ001  # in UTC
        ([7], None, (0.0,)),
    ],
)
def test_recorded_times_begin_at_zero_and_are_in_order(times: Any, unit: Any, at_s: tuple[float, ...]) -> None:
    """Numbers in any unit, dates in any zone and their texts become seconds after the earliest, in order."""
    assert Trace.of(times, unit=unit).at_s == pytest.approx(at_s, abs=1e-12)


@given(st.lists(st.integers(-(1 << 62), 1 << 62), min_size=1))
def test_whole_numbers_are_shifted_exactly(times: list[int]) -> None:
    """Nanoseconds since 1970 keep their differences, which floats of that size could not."""
    assert recording.shifted(times, "ns")[0] == tuple((time - min(times)) / 1e9 for time in sorted(times))


@pytest.mark.parametrize(
    ("times", "unit", "words"),
    [
        ([1, 2], None, "recorded, shifted to 0 s"),
        ([2, 1], "ms", "recorded in ms, shifted to 0 s, sorted"),
    ],
)
def test_changes_are_stated_in_the_record(times: Any, unit: Any, words: str) -> None:
    """The arrivals of the mix, which its record contains, say how the times were changed."""
    mix = Mix.of("mix", ["a"], images=2).arriving(Trace.of(times, unit=unit))
    assert re.fullmatch(rf"trace [0-9a-f]{{8}} of 2, {words}", mix.arrivals)


@pytest.mark.parametrize(
    ("times", "unit", "message"),
    [
        ([], None, "times: has no times; give at least one"),
        ("12", None, "times='12': not a list; give a list of numbers or dates"),
        ([1, "x"], None, f"times[1]='x': {A_TIME}"),
        (
            [1, float("nan")],
            None,
            f"times[1]=nan: {A_TIME}",
        ),
        ([True], None, f"times[0]=True: {A_TIME}"),
        ([1, 2], "sec", "unit='sec': not a choice; choose from ns, us, ms, s, m, h"),
        ([NINE, 5], None, "times: has both dates (2026-11-16 09:00:00+00:00) and numbers (5); give times of one kind"),
        ([NINE], "ms", "times: has dates, which have no unit; leave out the unit ms"),
    ],
)
def test_other_times_are_refused(times: Any, unit: Any, message: str) -> None:
    """A value that is not a time is refused with its index, and so are two kinds of times at once."""
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        Trace.of(times, unit=unit)


@pytest.mark.parametrize(
    ("text", "name", "at_s", "words"),
    [
        (AZURE_2023, "conv.csv", (0.0, 2.0, 4.314579), "from conv.csv, TIMESTAMP, shifted to 0 s, sorted"),
        (AZURE_2024, "code.csv", (0.0, 0.007405, 0.99007), "from code.csv, TIMESTAMP, shifted to 0 s"),
        (
            AZURE_FUNCTIONS,
            "AzureFunctionsInvocationTraceForTwoWeeksJan2021.txt",
            (0.0, 0.0, 1.0),
            "from AzureFunctionsInvocationTraceForTwoWeeksJan2021.txt, end_timestamp - duration in s, shifted to 0 s",
        ),
        (
            MOONCAKE,
            "toolagent_trace.jsonl",
            (0.0, 3.053, 3.053),
            "from toolagent_trace.jsonl, timestamp in ms, shifted to 0 s",
        ),
    ],
    ids=["azure-2023", "azure-2024", "azure-functions", "mooncake"],
)
def test_known_traces_load_as_they_are(text: str, name: str, at_s: tuple[float, ...], words: str) -> None:
    """Traces of Azure and Mooncake need neither column nor unit, and the words name the file and the column."""
    found, stated = load(text, name)
    assert found == pytest.approx(at_s, abs=1e-9)
    assert stated == words


@pytest.mark.parametrize(
    ("text", "name", "options"),
    [
        ("start,cost\n1000,5\n1500,7\n", "a.csv", {"column": "start", "unit": "ms"}),
        ("cost;start\n5;1.0\n7;1.5\n", "a.CSV", {"column": "start"}),
        ("\ufeffstart\tcost\r\n1\t5\r\n\r\n1.5\t7", "a.tsv", {"column": "start"}),
        ("start\n1\n1.5\n", "a.txt", {}),
        ('{"start": "1"}\n{"start": 1.5}', "a.ndjson", {}),
        ('a,start\n"x, ""y""\nz",1\n,1.5\n', "a.csv", {"column": "start"}),
        (MOONCAKE.replace("27482", "30035").replace("30535", "30535.0"), "m.jsonl", {"column": "timestamp"}),
    ],
)
def test_columns_are_read(text: str, name: str, options: dict[str, Any]) -> None:
    """Any column of CSV with commas, semicolons or tabs, or of JSON Lines, can have the times."""
    assert load(text, name, **options)[0][:2] == (0.0, 0.5)


@pytest.mark.parametrize(
    ("text", "name", "options", "message"),
    [
        ("", "log.csv", {}, f"log.csv: has no rows; {A_ROW}"),
        ("at,cost\n", "log.csv", {}, f"log.csv: has no rows; {A_ROW}"),
        (
            "at,cost\n1,2",
            "log.csv",
            {},
            "log.csv: has the columns at, cost, and any may have the times; name it by `column`",
        ),
        ("start,cost\n1,2", "log.csv", {"column": "strat"}, "log.csv: 'strat' is not a column; did you mean start?"),
        (
            "0.5\n1\n",
            "log.csv",
            {},
            "log.csv:1: '0.5' is not the name of a column; begin the file with a line of names",
        ),
        (
            "at\n1\nsoon\n",
            "log.csv",
            {},
            f"log.csv:3: at='soon': {A_TIME}",
        ),
        ("cost,at\n1,1\n2\n", "log.csv", {"column": "at"}, "log.csv:3: has no at; complete or remove the row"),
        (
            "at\n1\n2026-11-16\n",
            "log.csv",
            {},
            f"log.csv: has both dates ({NINE.date()} 00:00:00+00:00) and numbers (1); give times of one kind",
        ),
        (AZURE_2023, "log.csv", {"unit": "ms"}, "log.csv: has dates, which have no unit; leave out the unit ms"),
        (
            AZURE_FUNCTIONS.replace("0.5,0.25", "2021-01-31,0.25"),
            "log.csv",
            {},
            "log.csv:2: has a date in end_timestamp or duration; give numbers",
        ),
        ("{}\n[1]", "log.jsonl", {"column": "at"}, "log.jsonl: 'at' is not a column; none is registered"),
        ('{"at": 1}\n[1]', "log.jsonl", {}, f"log.jsonl:2: {AN_OBJECT}"),
        ('{"at": 1' + "0" * 5000 + "}", "log.jsonl", {}, f"log.jsonl:1: {AN_OBJECT}"),
        (
            "at\n1",
            "log.xlsx",
            {},
            "log.xlsx: neither CSV nor JSON Lines by its name; let it end in .csv, .tsv, .txt, .jsonl, .ndjson",
        ),
        ("at\n" + "1" * (1 << 21), "log.csv", {}, f"log.csv:2: the line is too long; {A_ROW}"),
    ],
)
def test_other_files_are_refused(text: str, name: str, options: dict[str, Any], message: str) -> None:
    """A file that has no times is refused in one sentence, with the line of the fault."""
    assert refusal(text, name, **options) == message


def test_the_first_rows_of_a_long_file_are_read() -> None:
    """Of the traces of a week only the first 100,000 rows are read, and the words say so."""
    text = "at\n" + "\n".join(map(str, range(recording.MAX_ROWS + 1)))
    at_s, words = load(text)
    assert (len(at_s), at_s[-1]) == (recording.MAX_ROWS, recording.MAX_ROWS - 1)
    assert words == "from log.csv, at in s, first rows only, shifted to 0 s"


def test_a_trace_in_a_workload_file_is_next_to_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The path of a trace starts at the folder of the workload file, and the mix takes its first times."""
    (tmp_path / "mixes").mkdir()
    (tmp_path / "mixes/conv.csv").write_text(AZURE_2023)
    (tmp_path / "mixes/mix.yaml").write_text("requests: [a]\nimages: 2\narrivals: {process: trace, file: conv.csv}")
    monkeypatch.chdir(tmp_path)
    mix = Mix.load(Path("mixes/mix.yaml"))
    assert [ask.arrival_s for ask in mix.asks] == [0.0, 2.0]
    assert mix == Mix.of("mix", ["a"], images=2).arriving(Trace.load("mixes/conv.csv"))
    with pytest.raises(
        UsageError, match=r"^missing\.csv: no such file or directory; give a file of CSV or JSON Lines$"
    ):
        Trace.load("missing.csv")


@pytest.mark.parametrize(
    ("fields", "process"),
    [
        ("at: [1200, 1500], unit: ms", Trace.of([1200, 1500], unit="ms")),
        ("at: [3.5, 1]", Trace.of([3.5, 1])),
        ("at: [2026-11-16 09:00:00, '2026-11-16 09:00:02']", Trace.of(["2026-11-16 09:00:00", "2026-11-16 09:00:02"])),
        ("at_s: [0.5, 1]", Trace((0.5, 1))),
    ],
)
def test_a_workload_file_contains_recorded_times(fields: str, process: Trace) -> None:
    """A workload file gives times as Python does: as they are by `at_s`, and as recorded by `at`."""
    text = f"requests: [a]\nimages: 2\narrivals: {{process: trace, {fields}}}"
    assert parse(text, "mix.yaml") == Mix.of("mix", ["a"], images=2).arriving(process)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ("", "mix.yaml:2: arrivals: has no times; give one of at_s, at, file"),
        (", at: [1], file: a.csv", "mix.yaml:2: arrivals: has at and file; give one of at_s, at, file"),
        (
            ", at_s: [1], unit: ms",
            "mix.yaml:2: arrivals.unit: does not go with at_s; leave it out, or give the times as at or file",
        ),
        (
            ", at: [1], column: x",
            "mix.yaml:2: arrivals.column: does not go with at; leave it out, or give the times as file",
        ),
        (", at: [1], unit: msec", "mix.yaml:2: arrivals.unit: 'msec' is not a choice; did you mean ms?"),
        (
            ", at: [soon]",
            (
                "mix.yaml:2: arrivals.at: times[0]='soon': neither a number nor a date; "
                "give one such as 1.5 or 2023-11-16 18:15:46"
            ),
        ),
    ],
)
def test_other_fields_of_a_trace_are_refused(fields: str, message: str) -> None:
    """Fields of a trace that do not go together are refused with their line."""
    with pytest.raises(UsageError, match=f"^{re.escape(message)}$"):
        parse(f"requests: [a]\narrivals: {{process: trace{fields}}}", "mix.yaml")
