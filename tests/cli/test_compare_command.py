"""`edgeload compare`, as a shell starts it."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from pytest_edgeload.report import FORMATS
from pytest_edgeload.report.view import View
from pytest_edgeload.results.document import render
from pytest_edgeload.results.gate import Gate
from pytest_edgeload.results.threshold import parse_thresholds
from tests.cli.commands import run_in
from tests.cli.records import record, save, session

NOISE = (1.0, 1.01, 1.02, 1.0, 1.01)
LINEAR = record("linear", *NOISE)
BEFORE = (record("bulk", *(2 * noise for noise in NOISE)), LINEAR)
SLOWER = (record("bulk", *(3 * noise for noise in NOISE)), LINEAR)
LARGER = (record("bulk", *(2 * noise for noise in NOISE), peak_bytes=400 << 20), LINEAR)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with three baselines and two files."""
    for name, records in (("before", BEFORE), ("slower", SLOWER), ("larger", LARGER)):
        save(tmp_path, name, *records)
    (tmp_path / "before.json").write_bytes(render(session(*BEFORE)))
    (tmp_path / "slower.json").write_bytes(render(session(*SLOWER)))
    return tmp_path


@pytest.mark.parametrize(
    "names", [("before.json", "slower.json"), ("before", "slower"), ("1", "0002"), ("before", "slower.json")]
)
def test_files_names_and_numbers_are_compared_case_by_case(folder: Path, names: tuple[str, str]) -> None:
    """Files, names and numbers are compared case by case; without a threshold nothing fails."""
    done = run_in(folder, "compare", *names)
    assert (done.returncode, done.stderr) == (0, "")
    [line] = [
        line for line in done.stdout.splitlines() if line.split()[:5] == ["bulk", "mix", "512M", "read", "makespan"]
    ]
    assert line.split()[5:8] == ["2.02s", "3.03s", "+50.0%"]
    assert "regressed" not in done.stdout


@pytest.mark.parametrize(
    ("after", "options", "status", "words"),
    [
        ("slower", ["--fail=makespan:10%"], 1, "regressed: bulk, mix at 512M, reader read: makespan 2.02s -> 3.03s"),
        ("slower", ["--fail=peak:1M", "--fail=makespan:10%"], 1, "3 ok, 1 regressed"),
        ("slower", ["--fail=peak:1M,makespan/bulk:10%"], 0, "2 ok, 1 improved"),
        ("larger", ["--fail=makespan:10%"], 0, "2 ok"),
        ("larger", ["--fail=peak:64M"], 1, "limit peak:64M"),
        ("larger", ["--fail=peak:128M"], 0, "2 ok"),
        ("larger", ["--fail=peak:10%+128M"], 0, "2 ok"),
        ("before", ["--fail=swap_in:0"], 0, "2 invalid"),
        ("before", ["--fail=swap_in:0", "--strict"], 1, "2 invalid"),
    ],
)
def test_every_threshold_applies_with_the_verdicts_of_the_gate(
    folder: Path, after: str, options: list[str], status: int, words: str
) -> None:
    """With thresholds, a regression fails by the gate's own verdicts; every threshold applies."""
    done = run_in(folder, "compare", "before", after, *options)
    assert (done.returncode, done.stderr) == (status, ""), done.stdout
    assert words in done.stdout


def test_new_or_missing_case_fails_only_in_strict_mode(folder: Path) -> None:
    """A case that only one session has passes, and fails in strict mode."""
    save(folder, "fresh", *BEFORE, record("stream", 1.0))
    save(folder, "few", BEFORE[0])
    for name, verdict in (("fresh", "1 new"), ("few", "1 missing")):
        for options, status in (((), 0), (("--strict",), 1)):
            done = run_in(folder, "compare", "before", name, "--fail=peak:1M", *options)
            assert done.returncode == status
            assert verdict in done.stdout


def test_threshold_that_judges_nothing_fails_only_in_strict_mode(folder: Path) -> None:
    """A threshold by which nothing was judged is named, also without a common case, and fails in strict mode."""
    (folder / "bulk.json").write_bytes(render(session(BEFORE[0])))
    for options, status in (((), 0), (("--strict",), 1)):
        done = run_in(folder, "compare", "bulk.json", "bulk.json", "--fail=makespan/bulk:10%", *options)
        assert done.returncode == status
        sentence = "threshold makespan/bulk:10% judged nothing: no case was measured besides bulk itself"
        assert sentence in done.stdout.splitlines()


def test_times_of_another_machine_are_not_compared(folder: Path) -> None:
    """Times of another kind of machine are not compared, and a line says so; ratios and bytes are."""
    there = session(*SLOWER)
    there = msgspec.structs.replace(there, machine=msgspec.structs.replace(there.machine, processor="another"))
    (folder / "there.json").write_bytes(render(there))
    done = run_in(folder, "compare", "before.json", "there.json", "--fail=makespan:10%,peak:0")
    assert done.returncode == 0
    assert "two kinds of machine: only ratios, bytes and counts are compared" in done.stdout
    assert "2 incomparable, 2 ok" in done.stdout


@pytest.mark.parametrize("name", ["markdown", "json", "csv"])
def test_other_format_is_the_report_on_the_second_session(folder: Path, name: str) -> None:
    """Another format is the report on the second session, with the verdicts."""
    before, after = session(*BEFORE), session(*SLOWER)
    thresholds = parse_thresholds("makespan:10%")
    judgement = Gate(thresholds, before).judge_all(after.records)
    done = run_in(folder, "compare", "before.json", "slower.json", "--fail=makespan:10%", f"--format={name}")
    assert done.returncode == 1
    assert done.stdout.splitlines() == FORMATS[name](after, judgement, View()).splitlines()


def test_sessions_without_a_common_case_name_their_cases(folder: Path) -> None:
    """If no case is in both sessions, a line says so, and one for each session names a case."""
    save(folder, "else", record("bulk", 1.0, workload="another"))
    assert run_in(folder, "compare", "before", "else").stdout.splitlines() == [
        "no case is in both sessions",
        "A has bulk, mix at 512M, reader read; and 1 more",
        "B has bulk, another at 512M, reader read",
    ]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            ["before", "nobody"],
            "edgeload: nobody: no such baseline in {folder}/.edgeload; choose from before, larger, slower",
        ),
        (["before", "9"], "edgeload: 9: no such baseline in {folder}/.edgeload; choose from before, larger, slower"),
        (
            ["before", "no.json"],
            "edgeload: no.json: no such file; give a file, or a number or a name of a baseline in ",
        ),
        (
            ["before", ""],
            "edgeload: '': not a file of records; name a file (.json), or a number or a name of a baseline in ",
        ),
        (
            ["before", "slower", "--strict"],
            "edgeload: --strict: without a threshold nothing is judged; add one, such as --fail=makespan:10%",
        ),
        (
            ["before", "slower", "--fail=makespan/bulks:1%"],
            "edgeload: --fail=makespan/bulks:1%: bulks was not measured; did you mean bulk?",
        ),
        (["before", "slower", "--fail=makespan"], "argument --fail: makespan: 'makespan' is not a threshold; try "),
        (
            ["before", "slower", "--fail=peak:3s"],
            "argument --fail: peak:3s: peak is a number of bytes, but '3s' is not",
        ),
        (["before"], "the following arguments are required: B"),
    ],
)
def test_error_is_one_sentence_and_status_2(folder: Path, arguments: list[str], words: str) -> None:
    """Sessions that cannot be compared are an error of one sentence, with status 2."""
    done = run_in(folder, "compare", *arguments, f"--storage={folder}/.edgeload")
    assert (done.returncode, done.stdout) == (2, "")
    assert words.format(folder=folder) in done.stderr
