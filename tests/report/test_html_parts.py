"""The parts of the HTML report that need no browser: thinning, marks, escaping and texts."""

from __future__ import annotations

import json
from html import unescape
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from pytest_edgeload.base.text import printable
from pytest_edgeload.devices.constraints import Constraints
from pytest_edgeload.report.html.experiment import experiments, typical
from pytest_edgeload.report.html.figures import encoded
from pytest_edgeload.report.html.marks import label, marks, seconds
from pytest_edgeload.report.html.run import lanes, thinned
from pytest_edgeload.report.html.summary import headlines, titles, winners
from pytest_edgeload.results.record import Measurement, Record, Timeline
from tests.report.virtual import CASE, asked, record, run

SIZES = st.lists(st.tuples(*[st.integers(0, 50)] * 3), min_size=1, max_size=300)


def timed(policy: str, *makespans: float, **changes: Any) -> Record:
    """Return a record with only a makespan per round."""
    rounds = (Measurement(outcome="ok", round=i, makespan_s=s) for i, s in enumerate(makespans))
    if "memory_bytes" in changes:
        changes["constraints"] = Constraints(changes.pop("memory_bytes"), threads=2)
    return Record(msgspec.structs.replace(CASE, policy=policy, **changes), tuple(rounds))


@given(SIZES, st.integers(12, 100))
def test_thinning_keeps_ends_and_extremes(sizes: list[tuple[int, int, int]], most: int) -> None:
    """A thinned time line keeps its ends, its minimum and its maximum; short ones stay complete."""
    columns = tuple(zip(*sizes, strict=True))
    line = Timeline(tuple(map(float, range(len(sizes)))), *columns)
    kept = thinned(line, most)
    assert list(kept) == sorted(set(kept))
    assert (kept[0], kept[-1]) == (0, len(sizes) - 1)
    for column in columns:
        assert max(column[i] for i in kept) == max(column)
        assert min(column[i] for i in kept) == min(column)
    if len(sizes) <= most:
        assert len(kept) == len(sizes)
    assert len(kept) <= max(most, 12) + 8


def test_longest_tasks_are_drawn() -> None:
    """If there are too many tasks, the longest are drawn."""
    made = record("linear", "1G", asked("a", "b"))
    one = made.rounds[0]
    chart, drawn = lanes(made.case, one, 6)
    lengths = sorted((span.end_s - span.start_s for span in one.tasks), reverse=True)
    assert drawn == 6
    assert sorted((x for bars in chart["data"] for x in bars["x"]), reverse=True) == [round(s, 6) for s in lengths[:6]]


def test_tasks_without_a_description_are_drawn() -> None:
    """Tasks without a description are drawn as tasks."""
    made = record("linear", "1G", asked("a"))
    bare = msgspec.structs.replace(made.rounds[0], steps=())
    chart, drawn = lanes(made.case, bare, 1000)
    assert drawn == len(bare.tasks)
    assert [bars["name"] for bars in chart["data"]] == ["task"]


def test_marks_of_policies_differ() -> None:
    """Two hundred policies have different marks, which do not depend on policies after them."""
    names = [f"policy{i}" for i in range(200)]
    assert len(set(marks(names).values())) == 200
    assert marks(names) == marks([*names, *names])


@given(st.text())
def test_labels_are_literal(name: str) -> None:
    """A label has no tag and no control character, and read as markup it is the name."""
    shown = label(name)
    assert "<" not in shown
    assert shown.isprintable()
    assert unescape(shown) == printable(name)


@given(st.recursive(st.text() | st.integers(-9, 9), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)))
def test_data_cannot_end_its_script_element(value: object) -> None:
    """The text for a script element decodes to the value and cannot end the element."""
    text = encoded(value)
    assert json.loads(text) == value
    assert not set("<>&").intersection(text)


@given(st.lists(st.floats(1e-6, 1e6), max_size=20))
def test_axis_covers_all_values(values: list[float]) -> None:
    """Values that are far apart have a logarithmic axis with ticks at or beyond both ends."""
    axis = seconds("makespan", values)
    if axis.get("type") == "log":
        ticks = axis["tickvals"]
        assert isinstance(ticks, list)
        assert ticks == sorted(ticks)
        assert ticks[0] <= min(values)
        assert max(values) > 20 * min(values)
    else:
        assert axis["rangemode"] == "tozero"


def test_typical_runs_are_the_median_and_the_first_failure() -> None:
    """The typical rounds are the good one nearest to the median and the first that failed."""
    mix = asked("a")
    rounds = [run("bulk", mix, i, slower) for i, slower in enumerate((3.0, 1.0, 1.1))]
    killed = Measurement(outcome="oom", round=3, timeline=rounds[0].timeline)
    unseen = Measurement(outcome="timeout", round=3)
    made = record("bulk", "1G", mix, [*rounds, killed])
    assert [m.round for m in typical(made)] == [2, 3]
    assert [m.round for m in typical(record("bulk", "1G", mix, [*rounds, unseen]))] == [2]
    assert typical(Record(made.case, tuple(m.summary() for m in made.rounds))) == []


def test_titles_of_experiments_are_distinct() -> None:
    """The title of an experiment is its workload and as many coordinates as are needed."""
    records = [timed("bulk", 1.0, reader=reader, workload=name) for name in "ab" for reader in ("read", "mmap")]
    assert titles(experiments(records)) == ["a, reader read", "a, reader mmap", "b, reader read", "b, reader mmap"]
    assert titles(experiments([timed("bulk", 1.0), timed("linear", 2.0, limit="1G")])) == ["mix"]


def test_quickest_policy_has_the_smallest_median() -> None:
    """The smallest median wins; policies whose intervals overlap are named, and the ratio to bulk is given."""
    records = [timed("bulk", 4.0, 4.1, 4.2), timed("linear", 1.0, 2.0, 3.0), timed("stream", 1.9, 2.0, 2.1)]
    found = experiments([*records, timed("bulk", 1.0, 1.0, 1.1, limit=None, memory_bytes=None)])
    won = winners(found, titles(found))
    assert won["limits"] == ["384M", "none"]
    [[at_least, without]] = [row["cells"] for row in won["rows"]]
    assert (at_least["policy"], at_least["close"], at_least["ratio"]) == ("linear", "stream", "0.49 x bulk")
    assert without == {}
    assert list(headlines(won)) == ["At 384M linear is the quickest: 2s, 0.49 x bulk; not certain against stream."]


def test_wins_are_counted_over_workloads() -> None:
    """Over several workloads the wins of each policy are counted, and the uncertain ones as well."""
    records = [
        timed(policy, *rounds, workload=name)
        for name, first, second in (("a", (1.0, 1.1), (2.0, 2.1)), ("b", (1.0, 1.1), (3.0, 3.1)), ("c", (2.0,), (1.0,)))
        for policy, rounds in (("linear", first), ("stream", second))
    ]
    found = experiments(records)
    assert list(headlines(winners(found, titles(found)))) == [
        "At 384M linear is the quickest for 2 of 3 workloads, stream for 1; 1 of these is not certain."
    ]


def test_single_policy_does_not_win() -> None:
    """If policies were not compared, there is no winner."""
    found = experiments([timed("bulk", 1.0), timed("bulk", 2.0, limit="1G", memory_bytes=1 << 30)])
    assert list(headlines(winners(found, titles(found)))) == []
