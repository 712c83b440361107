"""The tables of the terminal summary."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_edgeload.devices.constraints import Constraints, Shortfall
from pytest_edgeload.report import terminal
from pytest_edgeload.report.columns import full_name
from pytest_edgeload.results.case import PROGRAM, VIEWS, Case
from pytest_edgeload.results.finding import Finding, Judgement
from pytest_edgeload.results.measurement import Measurement
from pytest_edgeload.results.record import Record
from pytest_edgeload.workload import Ask, Condition
from tests.report.documents import CASE, document, finding, record, view

HEADERS = ["policy", "makespan s", "x bulk", "peak", "swap in/out", "faults", "outcome"]
WANTED = Ask("net", when=Condition(0, 0.5))
words = st.text(st.characters(exclude_categories=("C", "Z")), min_size=1) | st.sampled_from(
    ["007", "1e3", "-0", "nan", "None", "True", "0x10", "100%", "{x}", "%s", "a|b", "<b>", "\\n", "-", "--edge"]
)
"""Names, also those that look like a number or markup."""


def render(records: Sequence[Record], findings: Sequence[Finding] = (), **changes: Any) -> str:
    """Return the terminal report of `records` in a view with `changes`."""
    return terminal.render(document(*records), Judgement(tuple(findings)), view(**changes))


def row(text: str, name: str) -> dict[str, str]:
    """Return the cells of the first row that begins with `name`, by column of its table."""
    lines = text.splitlines()
    index = next(i for i, line in enumerate(lines) if re.match(rf"{re.escape(name)}\s\s", line))
    head = next(i for i in range(index, 0, -1) if lines[i].startswith("---")) - 1
    header, cells = (re.split(r"\s{2,}", lines[i].strip()) for i in (head, index))
    return dict(zip(header, cells, strict=True))


def test_row_of_a_program_has_its_own_memory() -> None:
    """A program's row has its anonymous memory and its page cache, not its resident memory, and no ratio to bulk."""
    sizes = {"peak_bytes": 300 << 20, "peak_anon_bytes": 20 << 20, "peak_file_bytes": 280 << 20}
    made = row(render([record("job", {"makespan_s": 1.0, **sizes}, workload=PROGRAM, reader="none")]), "job")
    assert list(made) == ["program", "makespan s", "peak_anon", "peak_file", "swap in/out", "faults", "outcome"]
    assert (made["peak_anon"], made["peak_file"]) == ("20M", "280M")


def test_views_have_tables_of_their_own() -> None:
    """Rows of different views are never compared: each view has a table, and the title says which, or a column."""
    host, limit = (record("bulk", {"makespan_s": 1.0}, view=each) for each in VIEWS)
    text = render([host, limit])
    assert text.count("cap cgroup2, swap 8G, reader read") == 2
    assert text.count("reader read, view limit, ") == 1
    assert [full_name(one.case).count("view limit") for one in (host, limit)] == [0, 1]
    assert limit.case.place == "at 512M, view limit"
    together = render([host, limit], group_by=("limit",))
    assert row(together, "bulk")["view"] == "host"


def test_row_has_the_default_columns() -> None:
    """A row has the policy, the makespan's median and range, the ratio, peak, swap traffic, faults and outcome."""
    figures = {"peak_bytes": 300 << 20, "swap_in_bytes": 0, "swap_out_bytes": 3 << 19, "major_faults": 1234}
    rounds = ({"makespan_s": seconds, **figures} for seconds in (3.0, 1.004, 2.0))
    text = render([record("bulk", *rounds)])
    assert list(row(text, "bulk")) == HEADERS
    assert row(text, "bulk") == {
        "policy": "bulk",
        "makespan s": "2.00 (1.00-3.00)",
        "x bulk": "1.00",
        "peak": "300M",
        "swap in/out": "0/1.5M",
        "faults": "1.2k",
        "outcome": "3 ok",
    }


def test_arriving_requests_have_response_columns() -> None:
    """If requests keep arriving a row has their response times, the ratio of the means, and the worst slowdown.

    Percentiles cover the requests of all rounds; if there are too few, the cell has the needed number.
    """
    found = {"makespan_s": 99.0, "response_s": [0.5] * 28 + [None] + [1.0] * 4}
    others = {"worst_slowdown": 2.54, "peak_bytes": 300 << 20, "swap_in_bytes": 0, "swap_out_bytes": 0}
    slow, quick = (
        record(name, *({"response_mean_s": s, **found, **others} for s in means), loop="open")
        for name, means in (("bulk", (2.0, 4.0)), ("linear", (1.0, 2.0)))
    )
    text = render([slow, quick])
    assert row(text, "linear") == {
        "policy": "linear",
        "response s": "1.50 (1.00-2.00)",
        "x bulk": "0.50",
        "p50": "0.50 (0.50-0.50)",
        "p90": "1.00 (1.00-1.00)",
        "p99": "needs 662",
        "slowdown": "2.5",
        "peak": "300M",
        "swap in/out": "0/0",
        "outcome": "2 ok",
    }
    assert text.index("\nlinear ") < text.index("\nbulk "), "the one that answers sooner stands first"


def test_arriving_requests_have_a_table_by_network() -> None:
    """If requests keep arriving, a second table has the response times of each network by policy."""

    def served(**means: float | None) -> dict[str, Any]:
        return {"service": {name: {"requests": 1, "response_mean_s": mean} for name, mean in means.items()}}

    failed = {**served(small=99.0), "outcome": "wrong"}
    bulk = record("bulk", served(small=1.0, large=3.0), served(small=2.0, large=None), failed, loop="closed")
    linear = record("linear", served(small=0.5, large=None), loop="closed")
    _, lines = by_network([bulk, linear])
    assert lines == [
        ["small", "bulk", "1.50", "0"],
        ["small", "linear", "0.50", "0"],
        ["large", "bulk", "3.00", "0"],
        ["large", "linear", "-", "0"],
    ]


def test_table_by_network_has_p90_and_counts_late_and_dropped_requests() -> None:
    """The table by network has medians of the 90th percentile, and the most late and dropped requests of a round."""
    first = {"requests": 9, "response_mean_s": 1.0, "response_p90_s": 0.001, "late": 2, "dropped": 1}
    second = first | {"response_p90_s": 0.003, "late": 0, "dropped": 3}
    titles, [line] = by_network(
        [record("bulk", {"service": {"net": first}}, {"service": {"net": second}}, loop="open")]
    )
    assert titles == ["network", "policy", "mean response s", "p90 s", "late", "dropped"]
    assert line == ["net", "bulk", "1.00", "0.00200", "2", "3"]


def by_network(records: Sequence[Record]) -> tuple[list[str], list[list[str]]]:
    """Return the headers and the rows of the table by network, the last one of the report."""
    header, _, *rows = render(records).split("\n\n")[1].splitlines()
    return re.split(r" {2,}", header), [re.split(r" {2,}", line.strip()) for line in rows]


def test_outliers_are_named_and_included() -> None:
    """A round that is far from the others is named, and included."""
    usual = [{"makespan_s": seconds} for seconds in (1.0, 1.01, 0.99, 1.02)]
    text = render([record("bulk", *usual, {"makespan_s": 9.0}), record("linear", *usual, {"makespan_s": 1.03})])
    line = "outlier, included: bulk, mix at 512M, round 4: 9.00 s"
    assert [found for found in text.splitlines() if "outlier" in found] == [line]
    assert row(text, "bulk")["makespan s"] == "1.01 (0.99-9.00)"


def test_ratio_is_the_median_over_rounds() -> None:
    """The ratio to the reference is computed per round; the table shows the median."""
    bulk = record("bulk", *({"makespan_s": seconds} for seconds in (1.0, 10.0, 100.0)))
    other = record("other", *({"makespan_s": seconds} for seconds in (2.0, 30.0, 50.0)))
    text = render([other, bulk])
    assert row(text, "other")["x bulk"] == "2.00"
    assert row(text, "bulk")["x bulk"] == "1.00"


@pytest.mark.parametrize("outcome", ["oom", "timeout", "crashed", "wrong"])
def test_ratio_without_pairs_is_absent(outcome: str) -> None:
    """There is no ratio if no round of both policies was ok, or if the reference was not measured."""
    other = record("other", {"makespan_s": 1.0}, {"makespan_s": 2.0, "outcome": outcome})
    bulk = record("bulk", {"makespan_s": 1.0, "outcome": outcome}, {"makespan_s": 1.0})
    assert row(render([other, bulk]), "other")["x bulk"] == "-"
    assert row(render([other]), "other")["x bulk"] == "-"


def test_ratio_of_the_reference_is_one() -> None:
    """The ratio of the reference is 1, also if a round has several measurements, as under hypothesis."""
    several = [Measurement(outcome="ok", makespan_s=seconds) for seconds in (1.0, 2.0, 4.0)]
    text = render([Record(CASE, tuple(several))])
    assert row(text, "bulk")["x bulk"] == "1.00"


BOUND = {"bound_s": 0.5, "bound_read_s": 0.5, "bound_compute_s": 0.0625, "bound_read_bytes": 3 << 29}


def test_bound_has_a_line_and_a_column() -> None:
    """A known bound has a line with its parts, and a column with the median ratio of each run to it."""
    rounds = ({"makespan_s": seconds, **BOUND} for seconds in (2.0, 1.0, 4.0))
    text = render([record("bulk", *rounds), record("linear", {"makespan_s": 0.75, **BOUND}), record("stream", {})])
    assert text.splitlines()[2] == "bound 0.500 s: reading 1.5G takes 0.500 s, computing 0.062 s"
    assert [*row(text, "bulk")] == [*HEADERS[:3], "x bound", *HEADERS[3:]]
    assert [row(text, name)["x bound"] for name in ("bulk", "linear", "stream")] == ["4.00", "1.50", "-"]


def test_bound_that_knows_the_memory_has_a_column_of_its_own() -> None:
    """A longer bound that knows the memory is named in the line on the bound, and has a column beside the other."""
    text = render([record("bulk", {"makespan_s": 2.0} | BOUND | {"bound_memory_s": 1.0})])
    assert text.splitlines()[2].endswith("takes 0.500 s, computing 0.062 s; with this memory 1.000 s")
    assert [row(text, "bulk")[name] for name in ("x bound", "x memory bound")] == ["4.00", "2.00"]


def test_readers_that_auto_chose_have_a_column() -> None:
    """Policies with different readers of `auto` share a table, whose title and a column have the readers."""
    chosen = {"bulk": "read", "stream": "direct"}
    text = render(
        [record(name, {"makespan_s": 1.0}, reader=reader, is_reader_auto=True) for name, reader in chosen.items()]
    )
    assert text.count("makespan s") == 1
    assert "reader read or direct, " in text.splitlines()[1]
    assert [row(text, name)["reader"] for name in chosen] == [*chosen.values()]
    assert row(text, "stream")["x bulk (1 round)"] == "1.00"


def test_unknown_bound_has_no_line_and_no_column() -> None:
    """Without a bound, or a good run, there is no line and no column; another group is not affected."""
    alone = render([record("bulk", {"outcome": "oom", **BOUND}), record("linear", {"makespan_s": 1.0})])
    assert "bound" not in alone
    beside = render([record("bulk", BOUND), record("bulk", {}, workload="other")]).split("\n\n")
    assert ["x bound" in table for table in beside] == [True, False]


def test_unmeasured_value_is_a_dash() -> None:
    """A value that was not measured is a dash, never a zero."""
    cells = row(render([record("bulk", {})]), "bulk")
    assert [cells[name] for name in HEADERS[1:]] == ["-", "-", "-", "-/-", "-", "ok"]


def test_outcomes_are_counted() -> None:
    """Outcomes are counted, most frequent first; figures are those of the rounds that were ok."""
    rounds = ({"makespan_s": 9.0, "outcome": "oom", "detail": "killed"}, {"makespan_s": 1.0}, {"makespan_s": 3.0})
    cells = row(render([record("bulk", *rounds)]), "bulk")
    assert cells["outcome"] == "2 ok, oom"
    assert cells["makespan s"] == "2.00 (1.00-3.00)"


def test_quickest_policy_is_first() -> None:
    """The quickest policy is first, and policies without a good run are last."""
    found = [record(name, {"makespan_s": seconds}) for name, seconds in (("slow", 3.0), ("quick", 1.0), ("bulk", 2.0))]
    text = render([record("never", {"outcome": "oom"}), *found])
    positions = [text.index(f"\n{name} ") for name in ("quick", "bulk", "slow", "never")]
    assert positions == sorted(positions)


def test_title_has_the_common_properties() -> None:
    """The title of a table has the common properties of its rows."""
    title, where = render([record("bulk", {})]).splitlines()[:2]
    assert title == "suites/test_a.py::test_a mix at 512M"
    assert where == "cap cgroup2, swap 8G, reader read, 2 threads"
    throttled = render([record("bulk", {}, read_bps=90 << 20)]).splitlines()[1]
    assert throttled == "cap cgroup2, swap 8G, reader read, 2 threads, reads at 90M/s"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, None),
        ({"requests": (Ask("net"),), "conditions": "early"}, None),
        ({"loop": "closed"}, "closed loop"),
        ({"loop": "open", "arrivals": "poisson, 2 a second", "seed": 7}, "open loop: poisson, 2 a second, seed 7"),
        ({"loop": "open", "arrivals": "periodic, every 1 s, jitter 0 s"}, "open loop: periodic, every 1 s"),
        ({"requests": (Ask("net"), WANTED), "conditions": "early"}, "conditions: early"),
        ({"requests": (Ask("net"), WANTED), "loop": "closed"}, "closed loop; conditions: wait"),
    ],
)
def test_title_has_arrivals_and_conditions(changes: dict[str, Any], said: str | None) -> None:
    """The title has the arrivals of requests and the treatment of conditions, if there are any."""
    lines = render([record("bulk", {}, **changes)]).splitlines()
    assert lines[1].startswith("cap ")
    assert (None if lines[2].startswith("policy") else lines[2]) == said


def test_outcome_counts_dropped_and_late_requests() -> None:
    """A row has the most dropped and late requests in one round, if there are any."""
    rounds = ({"dropped": (1,)}, {"dropped": (1, 2), "deadline_misses": 1}, {"deadline_misses": 0})
    requests = (Ask("net"), WANTED, WANTED)
    assert row(render([record("bulk", *rounds, requests=requests)]), "bulk")["outcome"] == (
        "3 ok; 2 of 3 dropped; 1 of 3 late"
    )
    assert row(render([record("bulk", *rounds[2:], requests=requests)]), "bulk")["outcome"] == "ok"


@pytest.mark.parametrize(
    ("limit", "cap", "said"),
    [("base+1G", "none", "base+1G (NOT enforced)"), (None, "none", "no limit"), (None, "cgroup1", "no limit")],
)
def test_title_marks_a_limit_that_was_not_enforced(limit: str | None, cap: str, said: str) -> None:
    """A limit that was not enforced is marked; a case without a limit is not."""
    assert render([record("bulk", {}, limit=limit, cap=cap)]).splitlines()[0].endswith(f" at {said}")


FIELDS = (*Case.__struct_fields__, *Constraints.__struct_fields__)


@pytest.mark.parametrize("field", [n for n in FIELDS if n not in {"policy", "limit", "constraints", "device"}])
def test_records_of_different_groups_have_tables_of_their_own(field: str) -> None:
    """Records that differ in more than policy and machine have different tables and are not compared."""
    others = {"requests": (Ask("net"),), "loop": "closed", "parameters": (("size", "8"),), "seed": 7}
    others |= {"unenforced": (Shortfall("cpus"),)} | dict.fromkeys(Constraints.__struct_fields__, 7)
    other = others.get(field, "other")
    text = render([record("bulk", {"makespan_s": 1.0}), record("linear", {"makespan_s": 2.0}, **{field: other})])
    assert text.count("x bulk") == 2
    assert row(text, "linear")["x bulk"] == "-"


def test_merged_machines_share_a_table() -> None:
    """Merged machines share a table with a column for them; ratios are within a machine."""
    pi = {"device": "pi", "memory_bytes": 7, "swap": "4G"}
    nano = {"device": "nano"}
    records = [
        record(policy, {"makespan_s": seconds}, **where)
        for where, policy, seconds in ((pi, "bulk", 4.0), (pi, "linear", 2.0), (nano, "bulk", 3.0))
    ]
    text = render(records)
    assert text.splitlines()[1] == "cap cgroup2, swap 4G or 8G, reader read, 2 threads"
    lines = [line.split()[:4] for line in text.splitlines()[4:]]
    assert lines == [["linear", "pi", "2.00", "0.50"], ["bulk", "nano", "3.00", "1.00"], ["bulk", "pi", "4.00", "1.00"]]


def test_records_of_one_group_share_a_table() -> None:
    """Records that differ only in the policy share a table, in any order."""
    records = [record("bulk", {}), record("bulk", {}, workload="second"), record("linear", {})]
    tables = render(records).split("\n\n")
    assert ["linear" in table for table in tables] == [True, False]


def test_each_failed_round_has_a_line() -> None:
    """Every failed round has a line with its case and the reason."""
    failures = ({"outcome": "oom", "detail": "killed at 512M"}, {"outcome": "timeout", "detail": "slow"})
    assert render([record("bulk", {}, *failures)]).split("\n\n")[1:] == [
        "bulk, mix at 512M, round 1: oom: killed at 512M\nbulk, mix at 512M, round 2: timeout: slow"
    ]


def test_energy_has_a_column_and_its_idle_power_a_note() -> None:
    """A table has a column of energy if a row has energy, and a note states the subtracted power of each host."""
    energy = [record("bulk", *({"energy_j": j, "idle_power_w": 3.25} for j in (1.5, 2.5)), host=h) for h in ("a", "b")]
    text = render(energy)
    assert row(text, "bulk")["energy_j"] == "2.00 (1.50-2.50)"
    assert text.endswith("energy_j is without the power of the idle machine: a 3.25 W, b 3.25 W")
    assert "energy" not in render([record("bulk", {"makespan_s": 1.0, "max_temperature_c": 61.0})])


def test_notes_appear_once_and_only_if_needed() -> None:
    """Notes on the figures are below the tables, once, and only if they apply."""
    well = record("bulk", {}, {})
    assert len(render([well]).split("\n\n")) == 1
    shared = {"machine_wide": ["swap_in_bytes", "swap_out_bytes", "stall_s"], "stall_s": 0.5}
    partly = record("linear", shared | {"swap_in_bytes": 4096, "swap_out_bytes": 0}, {"interleaved": False})
    [_, notes] = render([well, partly]).split("\n\n")
    assert re.fullmatch(
        r"counted for the whole machine.*: stall_s, swap_in_bytes\nrounds were not interleaved.*", notes
    )
    assert len(render([record("linear", shared | {"swap_in_bytes": 0})]).split("\n\n")) == 1, "nothing swapped"


def test_notices_name_their_rows_and_equal_ones_share_a_line() -> None:
    """A notice names the rows that have it, at most three; the same notice of all rows is said once."""
    names = [f"p{i}" for i in range(6)]
    alone = {"p0": ["left out"]}
    records = [record(p, *[{"notices": ["slow disk", *alone.get(p, [])]}] * 2, limit="1G") for p in names]
    assert render(records).split("\n\n")[1].splitlines() == ["all rows: slow disk", "p0, mix at 1G: left out"]
    records.append(record("quiet", {}, limit="1G"))
    assert render(records).split("\n\n")[1].splitlines() == [
        "p0, mix at 1G; p1, mix at 1G; p2, mix at 1G; 3 more: slow disk",
        "p0, mix at 1G: left out",
    ]
    assert render(records[:1]).split("\n\n")[1].startswith("p0, mix at 1G: slow disk\n")


def test_no_records_give_no_text() -> None:
    """Without records there is no text."""
    assert render([]) == ""


@given(words, words, words, words, words)
def test_names_are_shown_literally(test: str, workload: str, policy: str, swap: str, detail: str) -> None:
    """Names and texts of users are shown literally."""
    failed = record(policy, {"outcome": "crashed", "detail": detail}, test=test, workload=workload, swap=swap)
    lines = render([failed]).splitlines()
    assert lines[0] == f"{test} {workload} at 512M"
    assert f"swap {swap}," in lines[1]
    assert re.fullmatch(rf"{re.escape(policy)}( +-){{3}} +-/- +- +crashed", lines[4])
    assert lines[-1] == f"{policy}, {workload} at 512M, round 0: crashed: {detail}"


WIDE = {"peak_bytes": 300 << 20, "swap_in_bytes": 0, "swap_out_bytes": 3 << 19, "major_faults": 1234, **BOUND}
LATE = {"response_s": [0.5] * 70, "response_mean_s": 0.5, "worst_slowdown": 2.5, **WIDE}


def served(*networks: str) -> dict[str, Any]:
    """Return how requests of `networks` were served."""
    return {"service": {name: {"requests": 1, "response_mean_s": 1.0} for name in networks}}


@pytest.mark.parametrize("colour", [False, True])
@pytest.mark.parametrize("name", ["short", "long"])
@pytest.mark.parametrize("width", [60, 80, 120])
def test_tables_fit_into_the_width(width: int, name: str, colour: bool) -> None:  # noqa: FBT001
    """No table or title is wider than the terminal; main figure and outcome remain, others are named."""
    policies = ("bulk", "deepeye-frugal", "a-policy-of-a-rather-long-name")
    once = [record(p, *({"makespan_s": s, **WIDE} for s in (1.0, 2.0))) for p in policies]
    kept = [record(p, {**LATE, **served("small", "large")}, loop="closed", test="t.py::" + "x" * 90) for p in policies]
    failed = record("never", {"outcome": "oom", "detail": "killed " * 30}, test="u.py::u")
    sentence = f"never, mix at 512M, round 0: oom: {'killed ' * 30}"
    text = render([*once, *kept, failed], width=width, name=name, colour=colour)
    plain = re.sub(r"\033\[[\d;]*m", "", text)
    *tables, failures, room = plain.split("\n\n")
    assert max(len(line) for table in tables for line in table.splitlines()) <= width
    assert failures == sentence, "a sentence stays whole"
    assert plain.count("outcome") == 3
    assert plain.count("makespan s") == 2
    assert room.startswith(f"no room in {width} columns for ")


def test_last_columns_are_left_out_first() -> None:
    """Without room the last columns are left out first, and a line names them."""
    records = [record("bulk", {"makespan_s": 1.0, **WIDE})]
    assert list(row(render(records), "bulk"))[-3:] == ["swap in/out", "faults", "outcome"]
    text = render(records, width=70)
    assert list(row(text, "bulk")) == ["policy", "makespan s", "x bulk", "x bound", "peak", "outcome"]
    assert text.splitlines()[-1] == "no room in 70 columns for swap in/out, faults"


def test_chosen_columns_follow_the_labels() -> None:
    """The chosen columns are in their order, after the labels of the rows."""
    rounds = ({"makespan_s": seconds, "read_bytes": 3 << 20} for seconds in (1.0, 2.0, 6.0))
    cells = row(render([record("bulk", *rounds)], columns=("min", "mean", "max", "rounds", "read", "limit")), "bulk")
    assert cells == {
        "policy": "bulk",
        "makespan.min s": "1.00",
        "makespan.mean s": "3.00",
        "makespan.max s": "6.00",
        "rounds": "3",
        "read": "3M",
        "limit": "512M",
    }


def order(records: Sequence[Record], **changes: Any) -> list[str]:
    """Return the first words of all rows, in order."""
    lines = render(records, **changes).splitlines()
    return [line.split()[0] for line in lines[lines.index(next(x for x in lines if x.startswith("---"))) + 1 :]]


@pytest.mark.parametrize(
    ("sort", "policies"),
    [
        ("", ["b", "c", "a"]),
        ("makespan", ["b", "c", "a"]),
        ("peak", ["c", "a", "b"]),
        ("throughput", ["a", "b", "c"]),
        ("name", ["a", "b", "c"]),
        ("policy", ["a", "b", "c"]),
        ("outcome", ["c", "a", "b"]),  # alike, so they stay as they came
    ],
)
def test_rows_are_sorted_by_any_column_or_by_name(sort: str, policies: list[str]) -> None:
    """Rows are sorted by any column, best first and without a value last, or by their names."""
    a = record("a", {"makespan_s": 3.0, "peak_bytes": 2, "throughput_per_s": 9.0})
    b = record("b", {"makespan_s": 1.0, "throughput_per_s": 5.0})
    c = record("c", {"makespan_s": 2.0, "peak_bytes": 1})
    assert order([c, a, b], sort=sort) == policies


def test_limits_are_sorted_by_size() -> None:
    """Limits are sorted by size, with no limit at the end."""
    limits = {"1G": 1 << 30, "512M": 512 << 20, None: None}
    records = [record("p", {}, limit=limit, memory_bytes=size) for limit, size in limits.items()]
    text = render(records, group_by=("policy",), sort="limit")
    assert [line.split()[0] for line in text.splitlines()[3:]] == ["512M", "1G", "none"]


def test_tables_are_grouped_by_coordinates() -> None:
    """Rows of a table share the chosen coordinates; others label the rows; ratios do not change."""
    records = [
        record(policy, {"makespan_s": seconds}, workload=workload, parameters=(("size", size),))
        for policy, workload, size, seconds in (
            ("bulk", "small", "8", 2.0),
            ("linear", "small", "8", 1.0),
            ("bulk", "large", "16", 4.0),
            ("linear", "large", "16", 3.0),
        )
    ]
    text = render(records, group_by=("policy",))
    assert [block.splitlines()[0] for block in text.split("\n\n")] == ["policy bulk", "policy linear"]
    assert row(text, "small")["x bulk (1 round)"] == "1.00"
    assert row(text.split("\n\n")[1], "large")["x bulk (1 round)"] == "0.75"
    by_size = render(records, group_by=("param:size", "limit"))
    assert [block.splitlines()[0] for block in by_size.split("\n\n")] == [
        "param:size 8, limit 512M",
        "param:size 16, limit 512M",
    ]


def test_unenforced_limit_is_marked_in_any_grouping() -> None:
    """A limit that was not enforced is marked in any grouping."""
    assert render([record("bulk", {}, cap="none")], group_by=("policy",)).startswith(
        "policy bulk (limits NOT enforced)\n"
    )
    enforced = [record("bulk", {}), record("bulk", {}, cap="none", limit=None)]
    assert render(enforced, group_by=("policy",)).startswith("policy bulk\n")


def test_missing_coordinate_groups_as_empty() -> None:
    """A coordinate that a case does not have counts as empty."""
    text = render([record("bulk", {}), record("linear", {}, device="pi")], group_by=("param:size", "device", "seed"))
    assert text.count("policy") == 2
    assert text.splitlines()[0] == "param:size -, device -, seed -"


def test_long_name_has_all_coordinates() -> None:
    """The long name of a row has all coordinates of its case."""
    text = render([record("bulk", {}, read_bps=90 << 20, seed=7, device="pi")], name="long")
    assert "bulk, suites/test_a.py::test_a mix at 512M, reader read, 2 threads, reads at 90M/s, seed 7, pi  " in text


def test_best_worst_and_bad_cells_are_coloured() -> None:
    """The best and worst of a column and failures have colours, if these are allowed."""
    records = [record(p, *[{"makespan_s": s}] * 3) for p, s in (("a", 1.0), ("b", 2.0), ("c", 3.0))]
    records.append(record("d", {"outcome": "oom"}))
    findings = [finding(records[1].case)]
    text = render(records, findings, colour=True)
    assert re.findall(r"\033\[([\d;]+)m([^\s:]+).*?\033\[0m", text) == [
        ("32;1", "1.00"),
        ("31;1", "b"),
        ("33", "3.00"),
        ("31;1", "oom"),
        ("31;1", "regressed"),
    ]
    assert "\033" not in render(records, findings)
    plain = re.sub(r"\033\[[\d;]*m", "", text)
    assert plain == render(records, findings), "colours move nothing"


def test_single_rounds_have_no_winner() -> None:
    """The title of the ratio says that it is of one round, and no time is marked as the best; bytes are."""
    rounds = [("a", {"makespan_s": 1.0, "peak_bytes": 5}), ("bulk", {"makespan_s": 9.0, "peak_bytes": 4})]
    text = render([record(policy, once) for policy, once in rounds], colour=True)
    assert "x bulk (1 round)" in text
    assert re.findall(r"\033\[[\d;]+m([^\s:]+).*?\033\[0m", text) == ["5", "4"]
    twice = render([record(policy, once, once) for policy, once in rounds], colour=True)
    assert "(1 round)" not in twice
    assert "\033[32;1m1.00" in twice


def test_overlapping_rounds_have_no_winner() -> None:
    """No time is marked as the best if its interval overlaps with that of another policy."""
    rounds = [("a", (1.0, 2.0, 3.0)), ("bulk", (2.0, 3.0, 4.0))]
    text = render([record(policy, *({"makespan_s": s} for s in each)) for policy, each in rounds], colour=True)
    assert "\033" not in text


def test_findings_are_below_the_tables() -> None:
    """Findings are below everything else."""
    case = record().case
    text = render([record("bulk", {"makespan_s": 3.0})], [finding(case), finding(case, "ok")])
    assert text.split("\n\n")[-1].splitlines() == [
        "1 regressed, 1 ok",
        f"regressed: bulk, mix at 512M, reader read: {finding(case)}",
    ]


def test_rounds_that_failed_alike_share_a_line() -> None:
    """Rounds of a case with the same failure are one line, and another failure is a line of its own."""
    failed = record("bulk", *[{"outcome": "oom", "detail": "killed"}] * 5, {"outcome": "timeout", "detail": "slow"})
    assert render([failed]).split("\n\n")[1].splitlines() == [
        "bulk, mix at 512M, rounds 0, 1, 2 and 2 more: oom: killed",
        "bulk, mix at 512M, round 5: timeout: slow",
    ]


def test_commands_under_several_limits_share_a_table() -> None:
    """Programs of no test are one table, by limit and then by time; programs of a test have a table for each limit."""
    commands = [("b", 2.0, 64), ("a", 1.0, 64), ("a", 3.0, 32)]

    def tables(test: str) -> list[str]:
        made = [
            record(name, {"makespan_s": s}, workload=PROGRAM, test=test, limit=f"{mib}M", memory_bytes=mib << 20)
            for name, s, mib in commands
        ]
        return render(made).split("\n\n")

    (table,) = tables("")
    assert table.splitlines()[0] == "2 programs at 2 limits"
    assert [line.split()[:2] for line in table.splitlines()[2:]] == [
        ["program", "limit"],
        ["---------", "-------"],
        ["a", "32M"],
        ["a", "64M"],
        ["b", "64M"],
    ]
    assert len(tables("test_x")) == 2
