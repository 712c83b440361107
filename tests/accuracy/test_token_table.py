"""The tables of decoders say for each goal whether the measured ratio meets it."""

from __future__ import annotations

from pathlib import Path

from pytest_edgeload.results.case import Case
from pytest_edgeload.results.document import Document, machine, render
from pytest_edgeload.results.measurement import Measurement
from pytest_edgeload.results.metric import OwnMetric
from pytest_edgeload.results.record import SCHEMA, Record
from tests.accuracy.token_table import CELLS, THROTTLED, Cell, measured, tables


def _record(cell: Cell, *rounds: Measurement) -> Record:
    test = f"tests/accuracy/token_goals.py::test_cell[{cell.name}]"
    case = Case(test=test, workload=cell.title, policy=cell.method, reader="direct", cap="cgroup1", swap="none")
    return Record(case, rounds)


def _steps(step_mean_s: float, bound_step_s: float | None = None) -> Measurement:
    return Measurement(
        outcome="ok",
        step_mean_s=step_mean_s,
        bound_step_s=bound_step_s,
        steps_per_s=1 / step_mean_s,
        peak_bytes=3 << 20,
    )


def test_ratios_are_those_of_medians_and_missing_cells_are_left_out(tmp_path: Path) -> None:
    """A goal is met or missed by the median of the rounds; a run out of memory has no time; others have no row."""
    records = (
        _record(Cell("stream", "half"), _steps(0.2, 0.1), _steps(0.3, 0.25), _steps(0.4, 0.4)),
        _record(Cell("stream", "half", sequences=2), _steps(0.1)),
        _record(
            Cell("llama.cpp-mmap", "half", tokens=6), Measurement(outcome="ok", own={"s_per_token": OwnMetric(2.0)})
        ),
        _record(Cell("torch-load-mmap", "half", tokens=5), _steps(0.6), Measurement(outcome="oom")),
        _record(Cell("generate-mmap", "half", tokens=5), Measurement(outcome="oom")),
    )
    file = tmp_path / "free.json"
    file.write_bytes(render(Document(SCHEMA, "", machine(), {}, records)))
    times, _, goals = tables([file]).partition("\n\n")
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in times.splitlines()[2:]]
    assert rows[0] == ["stream f16 half", "3", "0.300", "1.200", "3.333", "3", "0", "-", "ok"]
    assert [row[-1] for row in rows] == ["ok", "ok", "ok", "ok/oom", "oom"]
    found = [[cell.strip() for cell in line.strip("|").split("|")] for line in goals.splitlines()[2:]]
    assert found == [
        ["stream f16 half / bound", "1.200", "<= 1.25", "met"],
        ["f16 half / llama.cpp", "0.150", "<= 0.2", "met"],
        ["f16 half / best other peer", "0.500", "<= 0.3", "missed"],
        ["tokens/s of two sequences / of one", "3.000", ">= 1.8", "met"],
        ["most MiB swapped by stream", "0.000", "<= 0", "met"],
        ["most major faults of stream", "0.000", "<= 0", "met"],
        ["runs of stream that exceed the limit or fail", "0.000", "<= 0", "met"],
    ]


def test_rounds_of_several_sessions_are_those_of_one_cell(tmp_path: Path) -> None:
    """Measurements of a cell in several files are its rounds."""
    files = [tmp_path / "1.json", tmp_path / "2.json"]
    for number, file in enumerate(files, 1):
        record = _record(Cell("stream", "half"), *[_steps(0.1 * number)] * number)
        file.write_bytes(render(Document(SCHEMA, "", machine(), {}, (record,))))
    assert [run.step_mean_s for run in measured(files)[Cell("stream", "half")]] == [0.1, 0.2, 0.2]


def test_each_cell_gets_its_rounds_also_in_a_second_session() -> None:
    """Policies have five rounds, other programs three and throttled reads two; a session measures those missing."""
    for cell, rounds in ((Cell("stream", "half"), 5), (Cell("generate", "none"), 3), (THROTTLED, 2)):
        for measured_rounds in range(rounds + 1):
            due = sum(cell.is_due(edge_round, measured_rounds) for edge_round in range(5))
            assert due == rounds - measured_rounds


def test_each_cell_has_a_name_of_its_own() -> None:
    """No name of a cell is another cell's, so that each record belongs to one."""
    assert len({cell.name for cell in CELLS}) == len(CELLS)
