"""The metrics that programs report about themselves are in every report like built-in ones."""

from __future__ import annotations

import csv
import io
import json
import re
from typing import Any

import msgspec
import pytest

from pytest_edgeload.plugin.properties import properties
from pytest_edgeload.report import FORMATS
from pytest_edgeload.report.closing import closing
from pytest_edgeload.report.comparison import table
from pytest_edgeload.report.history import lines
from pytest_edgeload.report.html.charts import by_limit
from pytest_edgeload.report.html.experiment import experiments
from pytest_edgeload.report.html.marks import marks
from pytest_edgeload.report.html.summary import headlines, titles, winners
from pytest_edgeload.report.tables import tables
from pytest_edgeload.report.winners import winner
from pytest_edgeload.results.case import PROGRAM
from pytest_edgeload.results.finding import Judgement
from pytest_edgeload.results.history import Saved, known_in, series
from pytest_edgeload.results.metric import OwnMetric
from pytest_edgeload.results.noise import splits, tightest
from pytest_edgeload.results.own import own_figures
from pytest_edgeload.results.record import Entry, Record
from pytest_edgeload.results.threshold import parse_figure
from tests.report.documents import document, record, view

SPREAD = (0.99, 1.0, 1.01)


def program(name: str, tokens_per_s: float, **changes: Any) -> Record:
    """Return a record of a program that takes ever longer, although it makes more tokens per second."""
    rounds = []
    for factor in SPREAD:
        own = {
            "tokens_per_s": OwnMetric(tokens_per_s * factor, "1/s", "higher"),
            "speed": OwnMetric(3 * tokens_per_s, "frames/s", "higher"),
            "latency_s": OwnMetric((0.01 * factor, 0.03 * factor) * 6, "s", "lower"),
            "depth": OwnMetric(7),
        }
        rounds.append({"makespan_s": tokens_per_s * factor, "own": msgspec.to_builtins(own)})
    return record(name, *rounds, workload=PROGRAM, reader="none", **changes)


FAST, SLOW = program("fast", 30.0), program("slow", 20.0)
BOTH = [SLOW, FAST]
ORDERED = view(sort="tokens_per_s")


def render(name: str, *records: Record, **changes: Any) -> str:
    """Return the report of this format."""
    return FORMATS[name](document(*records), Judgement(), view(**changes))


def test_table_has_a_column_for_each_reported_metric() -> None:
    """By default a table has each reported number, and those statistics of a series that have enough samples."""
    [made] = tables(BOTH, view())
    shown = {col.title: col.show(made.rows[0]) for col in made.columns}
    assert list(shown)[:6] == [
        "makespan s", "tokens_per_s", "speed frames/s", "latency_s.mean", "latency_s.p50", "depth",
    ]  # fmt: skip
    assert shown["tokens_per_s"] == "20.0 (19.8-20.2)"
    assert shown["speed frames/s"] == "60.0"
    assert shown["latency_s.mean"] == "0.020"
    assert shown["latency_s.p50"].startswith("0.020 (")


def test_rows_and_winners_follow_the_metric_that_orders_them() -> None:
    """The best row by a metric is the first, and its value is highlighted; otherwise the makespan counts."""
    for chosen, best in ((view(), "slow"), (ORDERED, "fast")):
        [made] = tables(BOTH, chosen)
        assert made.rows[0].record.case.policy == best
        column = next(i for i, col in enumerate([*made.labels, *made.columns]) if col.name == "tokens_per_s")
        styles = {
            row.record.case.policy: line[column].style for row, line in zip(made.rows, made.grid().rows, strict=True)
        }
        assert styles == {"fast": "best", "slow": "worst"}
    won = winner(BOTH, parse_figure("tokens_per_s"))
    assert won is not None
    assert (won.policy, won.value, won.close) == ("fast", 30.0, ())


def test_ratio_to_another_row_is_a_column() -> None:
    """A reported metric has a ratio to another row, like a built-in one."""
    text = render("terminal", *BOTH, columns=("tokens_per_s/slow", "outcome"))
    assert "tokens_per_s/slow" in text
    assert "1.50" in text


def test_closing_compares_by_the_metric_that_orders_the_rows() -> None:
    """The chart has bars of the metric, the best first, and the sentence names its direction. Swap is not known."""
    assert closing(BOTH, ORDERED).splitlines() == [
        "tokens_per_s by program at 512M, median of 3 rounds",
        f"fast  30  {'█' * 40}",
        f"slow  20  {'█' * 26}▌",
        "",
        "fast has the highest tokens_per_s in 1 of 1 comparison (at 512M).",
    ]
    bulk = [program("bulk", 20.0), FAST]
    assert "There it has 1.50 x the tokens_per_s of bulk." in closing(bulk, ORDERED)
    assert "slow is the quickest" in closing(BOTH, view())


@pytest.mark.parametrize("name", ["terminal", "markdown", "html"])
def test_unreported_metric_of_the_view_is_named(name: str) -> None:
    """A column or an order by a metric that no program reported is a sentence, not an empty report."""
    plain = render(name, *BOTH, sort="tokns_per_s").replace("\\", "")
    assert "no program reported tokns_per_s; did you mean tokens_per_s?" in plain


def test_csv_has_a_column_for_each_reported_metric() -> None:
    """Each round has its reported numbers; a series is its mean and its percentiles."""
    first, *_ = csv.DictReader(io.StringIO(render("csv", FAST)))
    assert float(first["tokens_per_s"]) == pytest.approx(29.7)
    assert float(first["latency_s.mean"]) == pytest.approx(0.0198)
    assert (first["speed"], first["latency_s.p99"]) == ("90", "")
    [head, *_] = render("csv", FAST, columns=("tokens_per_s", "speed.max")).splitlines()
    assert head.endswith(",tokens_per_s,speed.max")


def test_services_receive_reported_metrics_with_their_direction() -> None:
    """Exports have reported metrics with their units, each in the file of its direction."""
    bigger = json.loads(render("gab-bigger", FAST))
    assert [(point["name"].rpartition(": ")[2], point["unit"]) for point in bigger] == [
        ("tokens_per_s", "1/s"),
        ("speed", "frames/s"),
    ]
    smaller = [point["name"].rpartition(": ")[2] for point in json.loads(render("gab", FAST))]
    assert smaller == ["makespan_s", "latency_s.mean", "latency_s.p50"]
    [measures] = json.loads(render("bmf", FAST)).values()
    assert measures["tokens_per_s"]["value"] == 30.0
    assert "depth" in measures, "Bencher has thresholds of its own"


def test_junit_has_reported_metrics_as_properties() -> None:
    """Each reported number is a property; a series is its statistics. A second measurement has its number."""
    entry = Entry(FAST.case, FAST.rounds[0])
    made = properties(entry, [])
    assert dict(made)["edgeload.speed"] == "90.0"
    assert float(dict(made)["edgeload.latency_s.mean"]) == pytest.approx(0.0198)
    assert "edgeload.2.tokens_per_s" in dict(properties(entry, made))
    assert "edgeload.3.tokens_per_s" in dict(properties(entry, [*made, *properties(entry, made)]))


def test_comparison_has_a_row_for_each_reported_metric() -> None:
    """Both sessions' values of a reported metric are compared, also if only one has it."""
    text = table([program("fast", 20.0)], [FAST])
    [line] = [line.split() for line in text.splitlines() if " tokens_per_s " in line]
    assert line[3:6] == ["20", "30", "+50.0%"]
    silent = record("fast", {"makespan_s": 1.0}, workload=PROGRAM, reader="none")
    [line] = [line.split() for line in table([silent], [FAST]).splitlines() if " speed " in line]
    assert line[3:] == ["-", "90", "frames/s", "-", "-"]


def test_history_has_the_values_of_a_reported_metric() -> None:
    """A reported metric has a history, shown with the unit of the newest session."""
    sessions = [Saved("0001 a", document(program("fast", 20.0))), Saved("0002 b", document(FAST))]
    figure = known_in(sessions, parse_figure("speed"))
    text = lines(series(sessions, figure, lambda _: True), figure)
    assert "60 frames/s" in text
    assert "+50.0%" in text


def test_noise_finds_a_gate_for_a_reported_metric() -> None:
    """The tightest gate of a reported metric is a percentage; one without a direction has none, and says why."""
    records = [program("fast", 30.0), program("slow", 20.0)]
    doubled = [
        Record(r.case, tuple(msgspec.structs.replace(m, round=i) for i, m in enumerate(4 * r.rounds))) for r in records
    ]
    found = {str(f): tightest(f, splits(doubled, 4), is_strict=False) for f in own_figures(doubled)}
    assert found["speed"].threshold is not None
    assert found["speed"].threshold.text == "speed:1%"
    assert found["depth"].threshold is None
    assert "neither better nor worse" in found["depth"].reason


def test_page_has_a_chart_for_each_reported_metric() -> None:
    """An experiment has charts of the makespan and of each reported metric; the one that orders the rows is first."""
    small = program("fast", 25.0, limit="256M", memory_bytes=256 << 20)
    [made] = experiments([*BOTH, small], ORDERED)
    assert list(map(str, made.figures)) == [
        "tokens_per_s", "makespan", "speed", "latency_s.mean", "latency_s.p50", "depth",
    ]  # fmt: skip
    chart = by_limit(made.by(parse_figure("speed").known({})), marks(["fast", "slow"]))
    assert {line["name"]: line["y"] for line in chart["data"]} == {"slow": [60.0], "fast": [75.0, 90.0]}
    titled = titles([made])
    assert list(headlines(winners([made], titled))) == [
        "At 512M fast has the highest tokens_per_s: 30.",
    ]


def test_leak_is_shown_with_its_own_interval() -> None:
    """A number that is itself a statistic has the interval that was reported with it, over all rounds."""
    rounds = [
        {"makespan_s": 1.0, "own": {"leak": {"value": leak, "unit": "bytes/repetition", "interval": interval}}}
        for leak, interval in ((0.0, (-20480.0, 35840.0)), (1048576.0, (1048576.0, 1153434.0)))
    ]
    made = [record("steady", rounds[0], workload=PROGRAM), record("leaky", rounds[1], workload=PROGRAM)]
    text = render("terminal", *made, record("both", *rounds, workload=PROGRAM))
    for shown in ("0 (-20K to 35K)", "1M (1M-1.1M)", "512K (-20K to 1.1M)"):
        assert shown in text


def test_page_of_programs_has_no_parts_of_networks() -> None:
    """The page of commands has no empty heading or choice, and no words about plans, workloads and responses."""
    page = render("html", *BOTH).partition("<script")[0]
    assert '<th scope="col">workload</th>' not in page
    for hidden in ("Response times", "Lanes"):
        assert re.search(rf"<div hidden>\n<h\d id=\"\w+-title\">{hidden}</h", page)
    assert "Dotted line" not in page
    alone = msgspec.structs.replace(FAST.case, test="", swap="off")
    searched = [FAST, Record(alone, FAST.rounds)]  # as the search for the smallest limit does
    assert "The quickest" not in render("html", *searched)
