"""The parts of the HTML report that need no browser: thinning, marks, escaping and texts."""

from __future__ import annotations

import json
from html import unescape
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from pytest_edgeload.base.text import printable
from pytest_edgeload.devices.constraints import Constraints, Shortfall
from pytest_edgeload.planning.plan import Span
from pytest_edgeload.policies import POLICIES
from pytest_edgeload.report.html import about, cases
from pytest_edgeload.report.html.charts import by_limit, responses
from pytest_edgeload.report.html.experiment import experiments, typical
from pytest_edgeload.report.html.figures import conditions, figures
from pytest_edgeload.report.html.frame import encoded
from pytest_edgeload.report.html.marks import FIXED, label, marks, seconds, spaced
from pytest_edgeload.report.html.run import lanes, memory, steps, thinned
from pytest_edgeload.report.html.summary import headlines, titles, winners
from pytest_edgeload.report.view import View
from pytest_edgeload.results.case import PROGRAM
from pytest_edgeload.results.measurement import Measurement, Moment, TaskInfo, Timeline
from pytest_edgeload.results.record import Record
from pytest_edgeload.results.steps import kept_steps
from pytest_edgeload.workload import Ask
from tests.report.virtual import CASE, asked, document, record, run

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


def test_named_moments_are_lines() -> None:
    """Each moment that a program named is a vertical line with its name, escaped; a limit stays a line of its own."""
    held = (1 << 20, 2 << 20)
    moments = (Moment("loaded", 0.25), Moment("<b>", 0.5))
    run = Measurement(outcome="ok", makespan_s=1.0, timeline=Timeline((0.0, 1.0), held, held, held, moments))
    chart = memory(msgspec.structs.replace(CASE, limit="4M", constraints=Constraints(4 << 20)), run, 100)
    limit, *lines = chart["layout"]["shapes"]
    assert limit["label"]["text"] == "limit 4M"
    assert [(line["x0"], line["x1"], line["label"]["text"]) for line in lines] == [
        (0.25, 0.25, "loaded"), (0.5, 0.5, "&lt;b&gt;")
    ]  # fmt: skip


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


def test_steps_of_a_sequence_are_a_line() -> None:
    """Each step after the first has its time; of many steps, the mean of those between two ends that were kept."""
    case = msgspec.structs.replace(CASE, requests=(Ask("a", steps=3), Ask("b"), Ask("<c>", steps=1000)))
    many = tuple(2.0 * (step + 1) for step in kept_steps(1000))
    chart = steps(case, Measurement(outcome="ok", step_ends_s=((1.0, 1.5, 3.0), (9.0,), many)))
    few, long = chart["data"]
    assert (few["x"], few["y"], few["name"]) == ([2, 3], [0.5, 1.5], "request 0, a")
    assert (long["x"][-1], {*long["y"]}, long["name"]) == (1000, {2.0}, "request 2, &lt;c&gt;")


def test_weights_kept_are_below_the_times_of_steps() -> None:
    """The share of weights that a step finds in memory has an axis of its own below."""
    case = msgspec.structs.replace(CASE, requests=(Ask("a", steps=2),))
    infos = (TaskInfo("load", 0, "first", 300), TaskInfo("load", 0, "second", 100))
    spans = (Span(0, 0, 0.0, 0.0, 1.0), Span(1, 0, 0.0, 1.0, 2.0), Span(1, 0, 2.0, 2.0, 3.0, 1))
    chart = steps(case, Measurement(outcome="ok", step_ends_s=((2.0, 3.0),), steps=infos, tasks=spans))
    time, kept = chart["data"]
    assert (kept["x"], kept["y"], kept["yaxis"]) == ([2], [75.0], "y2")
    assert chart["layout"]["yaxis2"]["domain"][1] < chart["layout"]["yaxis"]["domain"][0]
    assert "yaxis" not in time


def test_run_of_single_steps_has_no_chart_of_steps() -> None:
    """Without steps there is no chart of them."""
    assert steps(CASE, Measurement(outcome="ok")) == {}


def test_marks_of_policies_differ() -> None:
    """Two hundred policies have different marks, which do not depend on policies after them."""
    names = [*POLICIES, *(f"policy{i}" for i in range(200 - len(POLICIES)))]
    assert len(set(marks(names).values())) == 200
    assert marks(names) == marks([*names, *names])
    assert marks(names)["policy7"] == marks(names[:100])["policy7"]
    assert len(marks(f"policy{i}" for i in range(300))) == 300


def test_a_policy_has_the_same_colour_on_every_page() -> None:
    """The mark of a built-in policy is fixed, and the colour of any policy does not depend on the others."""
    assert {*FIXED} == {*POLICIES}
    mine = marks(["stream", "mine"])
    for others in (["bulk", "linear"], ["theirs"], [*POLICIES]):
        page = marks([*others, "mine", "stream"])
        assert page["stream"] == mine["stream"]
        assert page["mine"].colour == mine["mine"].colour


def test_one_value_is_not_a_chart() -> None:
    """A single record has no chart by limit, and single response times have no distribution; the page says so."""
    [alone] = experiments([timed("bulk", 1.0, 1.1)])
    pair = experiments([timed("bulk", 1.0), timed("linear", 2.0)])[0]
    looks = marks(["bulk", "linear"])
    assert by_limit(alone, looks) == {}
    assert by_limit(pair, looks)["data"]
    answered = [msgspec.structs.replace(r, rounds=(one_answer(r),)) for r in pair.records]
    once = experiments(answered)[0]
    assert responses(once, "384M", looks) == {}
    [made] = figures([once], ["mix"])["experiments"]
    assert "single response time" in made["limits"][0]["missing"]
    [made] = figures([pair], ["mix"])["experiments"]
    assert "no response times" in made["limits"][0]["missing"]


def one_answer(made: Record) -> Measurement:
    """Return the first round of a record with one response time."""
    return msgspec.structs.replace(made.rounds[0], response_s=(0.5,))


def test_labels_of_close_limits_do_not_overlap() -> None:
    """Of limits that are close to each other only the smallest has a label; a few limits all have one."""
    assert spaced([4, 1, 2], (1, 4), 0.06) == [1, 2, 4]
    assert spaced([100, 102, 104, 150, 151, 800], (100, 800), 0.06) == [100, 150, 800]
    assert spaced([], (1, 4), 0.06) == []


def test_conditions_are_those_of_the_tables() -> None:
    """An experiment lists the lines of its tables' titles: cap, constraints that were not enforced, bound."""
    lacking = {"device": "slow", "by_device": ("memory_bytes",), "unenforced": (Shortfall("threads"),)}
    [one] = experiments([timed("bulk", 1.0, **lacking), timed("linear", 2.0, **lacking)])
    assert conditions(one) == [
        "cap cgroup2, reader read",
        "slow: memory 384M, swap 8G, 2 threads (NOT enforced)",
    ]


def test_title_names_project_command_and_devices() -> None:
    """The title names project, command and devices; without them it says what was measured."""
    made = document(*(timed("bulk", 1.0, device=device) for device in "abcde"))
    assert about.title(made) == "Loading policies under a memory limit on a, b, c and 2 more"
    named = msgspec.structs.replace(document(timed("bulk", 1.0)), project="shop", command="pytest " + "x" * 200)
    assert about.title(named).startswith("shop: pytest xxx")
    assert len(about.title(named)) == len("shop: ") + 120
    assert about.title(document(program("job", 1.0))) == "Programs under a memory limit"
    assert dict(about.about(named))["command"] == named.command
    assert "view" not in dict(about.about(named))
    seen = document(timed("bulk", 1.0), timed("bulk", 1.0, view="limit"))
    assert dict(about.about(seen))["view"] == "host, limit"


def program(name: str, *makespans: float) -> Record:
    """Return a record of a program, which swaps nothing."""
    return timed(name, *makespans, workload=PROGRAM, reader="none", test=f"t.py::test_{name}")


def test_programs_have_their_figures_in_the_summary() -> None:
    """A program is listed by its test with its time or its outcome, without a claim."""
    killed = Record(program("big").case, (Measurement(outcome="oom"),))
    found = experiments([program("job", 0.25), killed, timed("bulk", 2.0), timed("linear", 1.0)])
    won = winners(found, titles(found))
    assert [row["title"] for row in won["rows"]] == ["t.py::test_job", "t.py::test_big", "mix"]
    assert [row["cells"][0]["time"] for row in won["rows"]] == ["0.25s", "oom", "1s"]
    assert [line.partition(" between")[0] for line in headlines(won)] == ["At 384M no difference was seen"]


def test_summary_has_the_peak_of_the_quickest_policy() -> None:
    """The sentence on the quickest policy has its peak."""
    light = Measurement(outcome="ok", makespan_s=1.0, peak_bytes=300 << 20)
    found = experiments([timed("bulk", 2.0, 2.0), Record(timed("linear").case, (light, light))])
    [line] = headlines(winners(found, titles(found)))
    assert "linear is the quickest: 1s, 0.50 x bulk, peak 300M" in line


def test_programs_have_the_memory_they_need_in_the_summary() -> None:
    """A program's memory is what it holds itself, and the table of cases has each kind of memory."""
    sizes = {"peak_bytes": 300 << 20, "peak_anon_bytes": 20 << 20, "peak_charged_bytes": 384 << 20}
    run = msgspec.convert({"outcome": "ok", "makespan_s": 1.0} | sizes, Measurement)
    made = Record(program("job").case, (run,))
    found = experiments([made])
    assert winners(found, titles(found))["rows"][0]["cells"][0]["peak"] == "peak_anon 20M"
    shown = [col.title for col in cases.table([made], View())["columns"]]
    assert {"peak_anon", "peak_charged"} < {*shown}
    assert "peak" not in shown


def test_columns_without_values_are_left_out_and_named() -> None:
    """Usual columns that are zero or empty in every row are left out and named; the outcome follows the policy."""
    full = {"makespan_s": 1.0, "peak_bytes": 5, "swap_in_bytes": 0, "major_faults": 0}
    made = Record(timed("bulk").case, (msgspec.convert({"outcome": "ok"} | full, Measurement),))
    found = cases.table([made, timed("linear", 2.0)], View())
    shown = [col.title for col in found["columns"]]
    assert shown == ["workload", "limit", "policy", "outcome", "makespan s", "x bulk", "peak"]
    assert found["omitted"] == ["95% interval s", "x bound", "swap in/out", "faults", "read"]
    chosen = cases.table([made], View(columns=("swap_in", "peak")))
    assert [col.name for col in chosen["columns"]][3:] == ["swap_in_bytes", "peak_bytes"]
    assert cases.table([], View())["omitted"] == []


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
    assert without == {"policy": "bulk", "time": "1s", "peak": ""}
    assert list(headlines(won)) == [
        "At 384M no difference was seen between linear and stream; linear took 2s, 0.49 x bulk."
    ]


def test_wins_are_counted_over_workloads() -> None:
    """Over several workloads the wins of each policy are counted; a workload without a difference has no winner."""
    records = [
        timed(policy, *rounds, workload=name)
        for name, first, second in (("a", (1.0, 1.1), (2.0, 2.1)), ("b", (1.0, 1.1), (3.0, 3.1)), ("c", (2.0,), (1.0,)))
        for policy, rounds in (("linear", first), ("stream", second))
    ]
    found = experiments(records)
    assert list(headlines(winners(found, titles(found)))) == [
        "At 384M, of 3 workloads: linear is the quickest for 2, no difference was seen for 1."
    ]


def test_single_policy_does_not_win() -> None:
    """If policies were not compared, there is no winner."""
    found = experiments([timed("bulk", 1.0), timed("bulk", 2.0, limit="1G", memory_bytes=1 << 30)])
    assert list(headlines(winners(found, titles(found)))) == []
