"""`edgeload history`, as a shell starts it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.commands import Done, run_in
from tests.cli.records import record, save


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with three saved sessions; the middle one was measured under another cap."""
    save(tmp_path, "one", record("bulk", 1.0), record("linear", 0.5))
    save(tmp_path, "two", record("bulk", 9.0, cap="cgroup1"))
    save(tmp_path, "three", record("bulk", 2.0), record("linear", 0.5))
    return tmp_path


def _cases(done: Done) -> list[list[str]]:
    assert (done.returncode, done.stderr) == (0, "")
    return [line.split() for line in done.stdout.splitlines() if line.startswith(("bulk ", "linear "))]


def test_each_case_has_a_line_and_incomparable_sessions_are_named(folder: Path) -> None:
    """Each case has a line with a drawing; incomparable sessions are left out and named."""
    done = run_in(folder, "history", "makespan", PYTHONUTF8="1")
    assert _cases(done) == [
        ["bulk", "mix", "512M", "read", "▁█", "1s", "2s", "+100.0%"],
        ["linear", "mix", "512M", "read", "▄▄", "0.5s", "0.5s", "+0.0%"],
    ]
    assert done.stdout.startswith("makespan over 3 saved sessions of ")
    assert done.stdout.endswith("\nleft out: the cap was cgroup1 then, and is cgroup2 now (0002 two, 1 case)\n")


def test_baselines_are_found_from_a_folder_below(folder: Path) -> None:
    """The command finds the project's baselines in the nearest folder above."""
    below = folder / "below"
    below.mkdir()
    assert _cases(run_in(below, "history", "makespan")) == _cases(run_in(folder, "history", "makespan"))


def test_encoding_without_blocks_gets_other_characters(folder: Path) -> None:
    """If the encoding has no block characters, the drawing uses others."""
    assert _cases(run_in(folder, "history", "makespan", PYTHONIOENCODING="ascii"))[0][4] == "_#"


def test_bytes_compare_under_any_cap_and_ratios_within_a_session(folder: Path) -> None:
    """Bytes are compared under any cap; a ratio is computed within each session."""
    assert _cases(run_in(folder, "history", "peak", "--policy=bulk", PYTHONUTF8="1"))[0][4] == "▄▄▄"
    assert _cases(run_in(folder, "history", "makespan/bulk", PYTHONUTF8="1")) == [
        ["linear", "mix", "512M", "read", "█▁", "0.5", "0.25", "-50.0%"]
    ]


def test_options_select_cases_and_sessions(folder: Path) -> None:
    """Only the selected cases and sessions are shown."""
    assert [line[0] for line in _cases(run_in(folder, "history", "makespan", "--policy=linear"))] == ["linear"]
    assert [line[5:7] for line in _cases(run_in(folder, "history", "makespan", "--limit=512M", "--last=1"))] == [
        ["2s", "2s"],
        ["0.5s", "0.5s"],
    ]


def test_verbose_has_a_row_for_each_session(folder: Path) -> None:
    """With -v each session is a row of its case."""
    shown = run_in(folder, "history", "makespan", "-v", "--policy=bulk").stdout
    assert [line.split()[:2] for line in shown.splitlines() if line.startswith("000")] == [
        ["0001", "one"],
        ["0003", "three"],
    ]


def test_unreadable_file_is_named_and_the_others_are_shown(folder: Path) -> None:
    """A file that cannot be read is named, and the others are shown."""
    path = save(folder, "four", record("bulk", 3.0))
    path.write_text("{}")
    done = run_in(folder, "history", "makespan", "--policy=bulk")
    assert len(_cases(done)) == 1
    assert f"left out: {path.relative_to(folder)}: not a file of records" in done.stdout.replace(f"{folder}/", "")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["makespn"], "argument METRIC: makespn: makespn is not a metric; did you mean makespan?"),
        (["makespan", "--policy=bulks"], "edgeload: --policy=bulks: no saved case has this policy; did you mean bulk?"),
        (["makespan", "--storage=nowhere"], ": no saved session; save one with pytest --edge-save or --edge-autosave"),
        (["makespan", "--last=0"], "argument --last: 0: not a count; give a whole number of at least 1"),
    ],
)
def test_error_is_one_sentence_and_status_2(folder: Path, arguments: list[str], words: str) -> None:
    """A figure that cannot be shown is an error of one sentence, with status 2."""
    done = run_in(folder, "history", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert words in done.stderr
