"""Files of records are merged into one."""

from __future__ import annotations

from pathlib import Path

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from pytest_edgeload.planning.plan import Span
from pytest_edgeload.results.case import Case
from pytest_edgeload.results.document import Commit, Document, document
from pytest_edgeload.results.measurement import Measurement
from pytest_edgeload.results.merge import Part, merge
from pytest_edgeload.results.record import Record
from pytest_edgeload.results.statistics import ratios
from tests.cases import CASE

LINEAR = msgspec.structs.replace(CASE, policy="linear")
MADE = document([], {"mem": "512M", "seed": "1"}, Path(__file__).parent)


def _record(case: Case, *makespans: float, started: float = 0.0) -> Record:
    rounds = (
        Measurement(
            outcome="ok", round=i, makespan_s=s, started=started and started + i, ended=started and started + i + 1
        )
        for i, s in enumerate(makespans)
    )
    return Record(case, tuple(rounds))


def _document(*records: Record, processor: str = "fast", **others: object) -> Document:
    machine = msgspec.structs.replace(MADE.machine, processor=processor, processors=2, memory_bytes=8 << 30)
    return msgspec.structs.replace(MADE, records=records, machine=machine, **others)


def test_single_file_stays_the_same() -> None:
    """A single file stays as it is."""
    only = _document(_record(CASE, 1.0))
    assert merge([Part(only)]) == only


def test_rounds_of_equal_cases_are_numbered_on() -> None:
    """An equal case of the same kind of machine has the rounds of both files, numbered consecutively."""
    merged = merge([Part(_document(_record(CASE, 1.0, 2.0))), Part(_document(_record(CASE, 3.0)))])
    [record] = merged.records
    assert record.case == CASE
    assert [(m.round, m.makespan_s) for m in record.rounds] == [(0, 1.0), (1, 2.0), (2, 3.0)]


def test_ratios_stay_in_their_session() -> None:
    """A ratio pairs rounds of one file, also if another file has no reference."""
    lone = _document(_record(LINEAR, 9.0))
    both = _document(_record(CASE, 2.0), _record(LINEAR, 1.0))
    records = {record.case.policy: record for record in merge([Part(lone), Part(both)]).records}
    assert ratios(records["linear"], records["bulk"], "makespan_s") == [0.5]


def test_different_cases_stay_separate() -> None:
    """Cases that differ in anything stay separate."""
    another = msgspec.structs.replace(CASE, cap="cgroup1")
    merged = merge([Part(_document(_record(CASE, 1.0))), Part(_document(_record(another, 2.0), _record(LINEAR, 3.0)))])
    assert [record.case for record in merged.records] == [CASE, another, LINEAR]


def test_measurement_in_two_files_counts_once() -> None:
    """A measurement that is in a file and in a baseline of it counts once, with its spans."""
    [bare] = _record(CASE, 1.0, started=1e9).rounds
    whole = msgspec.structs.replace(bare, tasks=(Span(0, 0, 0.0, 0.0, 1.0),))
    for first, second in ((bare, whole), (whole, bare)):
        files = [Part(_document(Record(CASE, (each,)))) for each in (first, second)]
        assert merge(files).records == (Record(CASE, (whole,)),)


def test_different_machines_become_devices() -> None:
    """If machines differ, the device of each case is its machine, by key or label."""
    files = [_document(_record(CASE, 1.0)), _document(_record(CASE, 2.0), processor="slow")]
    assert _devices(*map(Part, files)) == ["2x-fast-8g", "2x-slow-8g"]
    assert _devices(Part(files[0], "desk"), Part(files[1])) == ["desk", "2x-slow-8g"]
    assert _devices(Part(files[0], "before"), Part(files[0], "after")) == ["before", "after"]
    assert _devices(Part(files[0], "desk")) == ["desk"]


def test_device_keeps_its_name_after_the_machine() -> None:
    """A case with a device has both names."""
    played = msgspec.structs.replace(CASE, device="pi4")
    assert _devices(Part(_document(_record(played, 1.0)), "desk")) == ["desk pi4"]


def _devices(*parts: Part) -> list[str | None]:
    return [record.case.device for record in merge(parts).records]


def test_origin_has_what_all_files_agree_on() -> None:
    """Common facts are kept and others are left out; machines have all texts and the smallest sizes."""
    commit = Commit("c0ffee", "main", is_dirty=False)
    one = _document(created="2026-01-01T00:00:00Z", commit=commit)
    other = _document(
        created="2026-02-01T00:00:00Z", commit=commit, processor="slow", settings={"mem": "1G", "seed": "1"}
    )
    other = msgspec.structs.replace(other, machine=msgspec.structs.replace(other.machine, processors=4, memory_bytes=1))
    merged = merge([Part(one), Part(other)])
    assert (merged.created, merged.commit, merged.settings) == (other.created, commit, {"seed": "1"})
    assert (merged.machine.processor, merged.machine.processors, merged.machine.memory_bytes) == ("fast | slow", 2, 1)
    dirty = msgspec.structs.replace(one, commit=Commit("c0ffee", "main", is_dirty=True))
    assert merge([Part(one), Part(dirty)]).commit is None


@given(st.lists(st.lists(st.sampled_from([CASE, LINEAR]), unique=True), min_size=1, max_size=4))
def test_merge_loses_nothing(files: list[list[Case]]) -> None:
    """Every measurement is in the merged document once, and no case is there twice."""
    parts = [
        Part(_document(*(_record(case, float(i), started=1e9 + 10 * i) for case in cases)))
        for i, cases in enumerate(files)
    ]
    merged = merge(parts)
    assert len({record.case for record in merged.records}) == len(merged.records)
    for case in (CASE, LINEAR):
        expected = [float(i) for i, cases in enumerate(files) if case in cases]
        found = [m.makespan_s for record in merged.records if record.case == case for m in record.rounds]
        assert found == expected


def test_earlier_attempts_stay_apart() -> None:
    """Measurements of earlier attempts are kept, and are not rounds of the merged record."""
    crashed = Measurement(outcome="crashed", started=0.5, ended=0.6)
    first = msgspec.structs.replace(_record(CASE, 1.0, started=1.0), retried=(crashed,))
    [record] = merge([Part(_document(first)), Part(_document(_record(CASE, 2.0, started=5.0)))]).records
    assert [m.makespan_s for m in record.rounds] == [1.0, 2.0]
    assert record.retried == (crashed,)
