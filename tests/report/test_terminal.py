"""The tables of the terminal summary, made of records made by hand."""

from __future__ import annotations

import re
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_edgeload.report.terminal import render
from pytest_edgeload.results.record import Case, Measurement, Record
from pytest_edgeload.workload import Ask, Condition

CASE = Case("suites/test_a.py::test_a", "mix", "bulk", "512M", 512 << 20, "read", 2, "cgroup2", "8G")
HEADERS = ["policy", "makespan s", "x bulk", "peak", "swap in/out", "faults", "outcome"]
WANTED = Ask("net", when=Condition(0, 0.5))
NUMBERS = {"threads", "limit_bytes", "read_bps", "seed"}
words = st.text(st.characters(exclude_categories=("C", "Z")), min_size=1) | st.sampled_from(
    ["007", "1e3", "-0", "nan", "None", "True", "0x10", "100%", "{x}", "%s", "a|b", "<b>", "\\n", "-", "--edge"]
)
"""What somebody may call something, with what could be mistaken for a number or for markup."""


def record(policy: str = "bulk", *rounds: dict[str, Any], **changes: Any) -> Record:
    """Return a record with a measurement for each of `rounds`, numbered, of outcome ok where they do not say."""
    made = (msgspec.convert({"outcome": "ok", "round": number} | m, Measurement) for number, m in enumerate(rounds))
    return Record(msgspec.structs.replace(CASE, policy=policy, **changes), tuple(made))


def row(text: str, name: str) -> dict[str, str]:
    """Return the cells of the first row that begins with `name`, by column of its table."""
    lines = text.splitlines()
    index = next(i for i, line in enumerate(lines) if re.match(rf"{re.escape(name)}\s\s", line))
    head = next(i for i in range(index, 0, -1) if lines[i].startswith("---")) - 1
    header, cells = (re.split(r"\s{2,}", lines[i].strip()) for i in (head, index))
    return dict(zip(header, cells, strict=True))


def test_columns() -> None:
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


def test_response_columns() -> None:
    """Where requests come over time a row has their response times, the ratio of the means, and the worst slowdown.

    Percentiles are of the requests of all rounds; where there are too few, their cell says how many it takes.
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


def test_responses_by_network() -> None:
    """Where requests come over time a second table has the median of each network's mean response, policy by policy."""

    def served(**means: float | None) -> dict[str, Any]:
        return {"service": {name: {"requests": 1, "response_mean_s": mean} for name, mean in means.items()}}

    failed = {**served(small=99.0), "outcome": "wrong"}
    bulk = record("bulk", served(small=1.0, large=3.0), served(small=2.0, large=None), failed, loop="closed")
    linear = record("linear", served(small=0.5, large=None), loop="closed")
    text = render([bulk, linear])
    assert row(text, "small") == {"mean response s": "small", "bulk": "1.50", "linear": "0.50"}
    assert row(text, "large") == {"mean response s": "large", "bulk": "3.00", "linear": "-"}


def test_outliers() -> None:
    """A round that is far from the others is named, and counts."""
    usual = [{"makespan_s": seconds} for seconds in (1.0, 1.01, 0.99, 1.02)]
    text = render([record("bulk", *usual, {"makespan_s": 9.0}), record("linear", *usual, {"makespan_s": 1.03})])
    line = "far from the other rounds, and counted: bulk, mix at 512M, round 4: 9.00 s"
    assert [found for found in text.splitlines() if "far from" in found] == [line]
    assert row(text, "bulk")["makespan s"] == "1.01 (0.99-9.00)"


def test_ratio() -> None:
    """The ratio to the reference is taken round by round, and then its median."""
    bulk = record("bulk", *({"makespan_s": seconds} for seconds in (1.0, 10.0, 100.0)))
    other = record("other", *({"makespan_s": seconds} for seconds in (2.0, 30.0, 50.0)))
    text = render([other, bulk])
    assert row(text, "other")["x bulk"] == "2.00"
    assert row(text, "bulk")["x bulk"] == "1.00"


@pytest.mark.parametrize("outcome", ["oom", "timeout", "crashed", "wrong"])
def test_ratio_without_pairs(outcome: str) -> None:
    """No ratio is shown where no round of both policies went well, nor where the reference was not measured."""
    other = record("other", {"makespan_s": 1.0}, {"makespan_s": 2.0, "outcome": outcome})
    bulk = record("bulk", {"makespan_s": 1.0, "outcome": outcome}, {"makespan_s": 1.0})
    assert row(render([other, bulk]), "other")["x bulk"] == "-"
    assert row(render([other]), "other")["x bulk"] == "-"


def test_ratio_to_itself() -> None:
    """The reference is once as slow as itself, also where a round holds several measurements, as under hypothesis."""
    several = [Measurement(outcome="ok", makespan_s=seconds) for seconds in (1.0, 2.0, 4.0)]
    text = render([Record(CASE, tuple(several))])
    assert row(text, "bulk")["x bulk"] == "1.00"


BOUND = {"bound_s": 0.5, "bound_read_s": 0.5, "bound_compute_s": 0.0625, "bound_read_bytes": 3 << 29}


def test_bound() -> None:
    """Where a bound is known a line has it and its parts, and a column how far above it each run was, by median."""
    rounds = ({"makespan_s": seconds, **BOUND} for seconds in (2.0, 1.0, 4.0))
    text = render([record("bulk", *rounds), record("linear", {"makespan_s": 0.75, **BOUND}), record("stream", {})])
    assert text.splitlines()[2] == "bound 0.500 s: reading 1.5G takes 0.500 s, computing 0.062 s"
    assert [*row(text, "bulk")] == [*HEADERS[:3], "x bound", *HEADERS[3:]]
    assert [row(text, name)["x bound"] for name in ("bulk", "linear", "stream")] == ["4.00", "1.50", "-"]


def test_no_bound() -> None:
    """Where none is known, or no run went well, no line and no column speak of it; another group is not affected."""
    alone = render([record("bulk", {"outcome": "oom", **BOUND}), record("linear", {"makespan_s": 1.0})])
    assert "bound" not in alone
    beside = render([record("bulk", BOUND), record("bulk", {}, workload="other")]).split("\n\n")
    assert ["x bound" in table for table in beside] == [True, False]


def test_absent() -> None:
    """What was not measured is a dash, never a zero."""
    cells = row(render([record("bulk", {})]), "bulk")
    assert [cells[name] for name in HEADERS[1:]] == ["-", "-", "-", "-/-", "-", "ok"]


def test_outcomes() -> None:
    """Outcomes are counted, the most frequent first; figures are those of the rounds that went well."""
    rounds = ({"makespan_s": 9.0, "outcome": "oom", "detail": "killed"}, {"makespan_s": 1.0}, {"makespan_s": 3.0})
    cells = row(render([record("bulk", *rounds)]), "bulk")
    assert cells["outcome"] == "2 ok, oom"
    assert cells["makespan s"] == "2.00 (1.00-3.00)"


def test_rows_are_ordered() -> None:
    """The quickest policy stands first, and those that never went well last."""
    found = [record(name, {"makespan_s": seconds}) for name, seconds in (("slow", 3.0), ("quick", 1.0), ("bulk", 2.0))]
    text = render([record("never", {"outcome": "oom"}), *found])
    positions = [text.index(f"\n{name} ") for name in ("quick", "bulk", "slow", "never")]
    assert positions == sorted(positions)


def test_title() -> None:
    """A table is headed by all that its rows have in common."""
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
        ({"loop": "open", "arrivals": "constant, every 1 s"}, "open loop: constant, every 1 s"),
        ({"requests": (Ask("net"), WANTED), "conditions": "early"}, "conditions: early"),
        ({"requests": (Ask("net"), WANTED), "loop": "closed"}, "closed loop; conditions: wait"),
    ],
)
def test_circumstances(changes: dict[str, Any], said: str | None) -> None:
    """The heading says when requests come and what becomes of those with a condition, if anything."""
    lines = render([record("bulk", {}, **changes)]).splitlines()
    assert lines[1].startswith("cap ")
    assert (None if lines[2].startswith("policy") else lines[2]) == said


def test_dropped_and_late() -> None:
    """A row says of how many requests the most were dropped or late in one round, where any were."""
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
def test_limit_in_title(limit: str | None, cap: str, said: str) -> None:
    """A limit that nothing enforced says so, and the lack of one is no matter of enforcement."""
    assert render([record("bulk", {}, limit=limit, cap=cap)]).splitlines()[0].endswith(f" at {said}")


@pytest.mark.parametrize("field", [name for name in Case.__struct_fields__ if name not in {"policy", "limit"}])
def test_groups(field: str) -> None:
    """Records that differ in anything but the policy are never in one table, nor compared with each other."""
    other = {"requests": (Ask("net"),), "loop": "closed"}.get(field, 7 if field in NUMBERS else "other")
    text = render([record("bulk", {"makespan_s": 1.0}), record("linear", {"makespan_s": 2.0}, **{field: other})])
    assert text.count("x bulk") == 2
    assert row(text, "linear")["x bulk"] == "-"


def test_one_group() -> None:
    """Records that differ in the policy alone share a table, wherever in the list they stand."""
    records = [record("bulk", {}), record("bulk", {}, workload="second"), record("linear", {})]
    tables = render(records).split("\n\n")
    assert ["linear" in table for table in tables] == [True, False]


def test_failures() -> None:
    """Every round that did not go well has a line of its own that says which it was and why."""
    failures = ({"outcome": "oom", "detail": "killed at 512M"}, {"outcome": "timeout", "detail": "slow"})
    assert render([record("bulk", {}, *failures)]).split("\n\n")[1:] == [
        "bulk, mix at 512M, round 1: oom: killed at 512M\nbulk, mix at 512M, round 2: timeout: slow"
    ]


def test_notes() -> None:
    """What the figures do not tell is said below, once, and only where it is so."""
    well = record("bulk", {}, {})
    assert len(render([well]).split("\n\n")) == 1
    partly = record("linear", {"machine_wide": ["swap_in_bytes", "stall_s"]}, {"interleaved": False})
    [_, notes] = render([well, partly]).split("\n\n")
    assert re.fullmatch(
        r"counted for the whole machine.*: stall_s, swap_in_bytes\nrounds were not interleaved.*", notes
    )


def test_nothing() -> None:
    """No records, no text."""
    assert render([]) == ""


@given(words, words, words, words, words)
def test_verbatim(test: str, workload: str, policy: str, swap: str, detail: str) -> None:
    """Names and words of users stand in the report as they wrote them."""
    failed = record(policy, {"outcome": "crashed", "detail": detail}, test=test, workload=workload, swap=swap)
    lines = render([failed]).splitlines()
    assert lines[0] == f"{test} {workload} at 512M"
    assert f"swap {swap}," in lines[1]
    assert re.fullmatch(rf"{re.escape(policy)}( +-){{3}} +-/- +- +crashed", lines[4])
    assert lines[-1] == f"{policy}, {workload} at 512M, round 0: crashed: {detail}"
