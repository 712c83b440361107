"""Records are self-explanatory and are read back as they were written."""

from __future__ import annotations

import json
import random
from typing import Any, get_args

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_edgeload.base.decoding import Count, Seconds
from pytest_edgeload.devices.constraints import Constraints
from pytest_edgeload.planning.plan import Span
from pytest_edgeload.results.case import Case
from pytest_edgeload.results.measurement import METRICS, Measurement, ServiceStats, TaskInfo, Timeline
from pytest_edgeload.results.metric import Number
from pytest_edgeload.results.record import Entry, Record, collect, comparison_groups
from pytest_edgeload.results.stream_stats import StreamStats
from pytest_edgeload.workload import Ask, Condition

CASE = Case(
    test="suites/test_a.py::test_a",
    workload="mix",
    policy="bulk",
    reader="read",
    cap="cgroup2",
    swap="off",
    limit="512M",
    constraints=Constraints(512 << 20, threads=2),
)
ABOUT = {"outcome", "round", "attempt", "detail", "traceback", "started", "ended", "waited_s", "sharing"}
ABOUT |= {"interleaved", "machine_wide", "notices", "host"}
PARTS = {
    "overrun",
    "streams",
    "totals",
    "step_ends_s",
    "own",
    "arrived_s",
    "repeated",
    "dropped",
    "service",
    "tasks",
    "steps",
    "timeline",
    "returned",
}
ENDINGS = {"s": "_s", "1/s": "_per_s", "bytes": "_bytes", "J": "_j", "W": "_w", "°C": "_c"}
SECONDS, COUNTS = st.floats(0, 1e6), st.integers(0, 1 << 62)


def _figure(metric: str) -> st.SearchStrategy[Any]:
    if metric == "response_s":
        return st.lists(SECONDS | st.none(), max_size=3).map(tuple)
    return COUNTS if METRICS[metric].unit in {"bytes", "count"} else SECONDS


SERVICES = st.builds(ServiceStats, COUNTS, COUNTS, *[SECONDS | st.none()] * 5, COUNTS | st.none())
STREAMS = st.builds(
    StreamStats,
    requests=st.lists(st.integers(0, 3), max_size=3).map(tuple),
    requests_due=COUNTS,
    overruns=COUNTS,
    in_time=SECONDS | st.none(),
    deadline_misses=COUNTS | st.none(),
)
MEASUREMENTS = st.builds(
    lambda figures, **others: Measurement(**figures, **others),
    figures=st.fixed_dictionaries({}, optional={metric: _figure(metric) for metric in METRICS}),
    outcome=st.sampled_from(["ok", "oom", "timeout", "crashed", "wrong"]),
    round=st.integers(0, 3),
    detail=st.text(),
    started=SECONDS,
    interleaved=st.booleans(),
    arrived_s=st.lists(SECONDS, max_size=3).map(tuple),
    dropped=st.lists(st.integers(0, 9), max_size=3).map(tuple),
    service=st.dictionaries(st.text(), SERVICES, max_size=2),
    streams=st.dictionaries(st.text(), STREAMS, max_size=2),
    machine_wide=st.lists(st.sampled_from(sorted(METRICS))).map(tuple),
    tasks=st.lists(st.builds(Span, st.integers(0, 9), st.integers(0, 3), SECONDS, SECONDS, SECONDS)).map(tuple),
    steps=st.lists(st.builds(TaskInfo, st.sampled_from(["init", "load"]), COUNTS, st.text(), COUNTS)).map(tuple),
    timeline=st.lists(st.tuples(SECONDS, *[COUNTS] * 3), min_size=1).map(
        lambda rows: Timeline(*zip(*rows, strict=True))
    ),
)
CONDITIONS = st.builds(
    Condition, st.integers(0, 9), SECONDS, st.sampled_from([">", "<="]), at=st.lists(st.integers(0, 9)).map(tuple)
)
ASKS = st.builds(
    Ask, st.sampled_from("ab"), arrival_s=SECONDS, deadline_s=SECONDS | st.none(), when=CONDITIONS | st.none()
)
CASES = st.builds(
    msgspec.structs.replace,
    st.just(CASE),
    policy=st.sampled_from(["bulk", "linear"]),
    limit=st.none() | st.sampled_from(["1G", "base+1G"]),
    device=st.none() | st.just("board"),
    constraints=st.sampled_from([CASE.constraints, Constraints(1 << 30, read_bps=90 << 20, threads=2)]),
    requests=st.lists(ASKS, max_size=2).map(tuple),
    loop=st.sampled_from(["once", "open"]),
    arrivals=st.sampled_from(["", "poisson, 2 a second"]),
    seed=st.none() | st.integers(0, 1),
    conditions=st.sampled_from(["wait", "ignore"]),
)
ENTRIES = st.lists(st.builds(Entry, CASES, MEASUREMENTS), max_size=8)


def test_every_figure_is_explained() -> None:
    """Each field that may be absent is a metric with a meaning, and each metric is absent until it is measured."""
    fields = {field.name: field.default for field in msgspec.structs.fields(Measurement)}
    assert set(fields) - ABOUT - PARTS == set(METRICS)
    assert {fields[metric] for metric in METRICS} == {None}


@pytest.mark.parametrize("name", METRICS)
def test_name_and_type_of_a_metric_follow_its_unit(name: str) -> None:
    """The name of a metric ends in its unit, if it has one, and its type is that of the unit."""
    unit = METRICS[name].unit
    endings = [ending for ending in ENDINGS.values() if name.endswith(ending)]
    assert max(endings, key=len, default=None) == ENDINGS.get(unit)
    [kind] = [get_args(field.type)[0] for field in msgspec.structs.fields(Measurement) if field.name == name]
    number = {"bytes": Count, "count": Count, "s": Seconds}.get(unit, Number)
    assert kind == (tuple[Seconds | None, ...] | None if name == "response_s" else number | None)
    assert METRICS[name].meaning


@given(MEASUREMENTS)
def test_unmeasured_metrics_are_absent_from_json(measurement: Measurement) -> None:
    """In JSON a metric that was not measured is absent, and a metric of 0 is 0."""
    stored = json.loads(msgspec.json.encode(measurement))
    for metric in METRICS:
        value = getattr(measurement, metric)
        assert (metric in stored) == (value is not None)
        if value is not None:
            assert stored[metric] == (list(value) if metric == "response_s" else value)


@given(ENTRIES)
def test_json_is_read_back_unchanged(entries: list[Entry]) -> None:
    """Entries and records are the same after a round trip through JSON."""
    records = collect(entries)
    assert msgspec.json.decode(msgspec.json.encode(entries), type=list[Entry]) == entries
    assert msgspec.json.decode(msgspec.json.encode(records), type=tuple[Record, ...]) == records


@given(MEASUREMENTS)
def test_summary_omits_only_the_long_lists(measurement: Measurement) -> None:
    """A summary omits tasks and the time line, and nothing else."""
    summary = measurement.summary()
    assert (summary.tasks, summary.steps, summary.timeline) == ((), (), Timeline())
    long = {name: getattr(measurement, name) for name in ("tasks", "steps", "timeline")}
    assert msgspec.structs.replace(summary, **long) == measurement


@given(ENTRIES, st.randoms())
def test_measurements_are_collected_by_case_and_round(entries: list[Entry], chance: random.Random) -> None:
    """Each measurement is in the record of its case, by round, then by arrival; records are in order."""
    records = collect(entries)
    assert [record.case for record in records] == list(dict.fromkeys(entry.case for entry in entries))
    for record in records:
        own = [entry.measurement for entry in entries if entry.case == record.case]
        assert record.rounds == tuple(sorted(own, key=lambda m: m.round))
    shuffled = chance.sample(entries, len(entries))
    assert {record.case: len(record.rounds) for record in collect(shuffled)} == {r.case: len(r.rounds) for r in records}


@given(ENTRIES)
def test_a_group_differs_in_the_policy_only(entries: list[Entry]) -> None:
    """A group contains the records that differ only in the policy, in their order."""
    records = collect(entries)
    grouped = comparison_groups(records)
    assert sorted(map(repr, records)) == sorted(repr(record) for group in grouped.values() for record in group)
    for group in grouped.values():
        assert group == [record for record in records if record in group]
        assert len({msgspec.structs.replace(record.case, policy="any") for record in group}) == 1
        assert len({record.case.policy for record in group}) == len(group)
    assert len({msgspec.structs.replace(record.case, policy="any") for record in records}) == len(grouped)


def test_last_attempt_of_each_round_counts() -> None:
    """Only the last attempt of a round is in `rounds`; earlier attempts are kept in `retried`."""
    made = [
        Measurement(outcome="crashed", round=1),
        Measurement(outcome="ok", round=0),
        Measurement(outcome="ok", round=1, attempt=2),
        Measurement(outcome="oom", round=1, attempt=2),
        Measurement(outcome="wrong", round=1, attempt=1),
    ]
    [record] = collect(Entry(CASE, measurement) for measurement in made)
    assert [(m.round, m.attempt, m.outcome) for m in record.rounds] == [(0, 0, "ok"), (1, 2, "ok"), (1, 2, "oom")]
    assert [(m.round, m.attempt, m.outcome) for m in record.retried] == [(1, 0, "crashed"), (1, 1, "wrong")]
    assert msgspec.json.decode(msgspec.json.encode(record), type=Record) == record
