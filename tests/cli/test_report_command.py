"""`edgeload report`, as a shell starts it."""

from __future__ import annotations

import csv
import json
import signal
import subprocess
from pathlib import Path

import msgspec
import pytest

from pytest_edgeload.report import FORMATS
from pytest_edgeload.report.view import View
from pytest_edgeload.results.case import Case
from pytest_edgeload.results.document import document, render
from pytest_edgeload.results.finding import Judgement
from pytest_edgeload.results.measurement import Measurement
from pytest_edgeload.results.merge import Part, merge
from pytest_edgeload.results.record import Record
from tests.cases import CASE
from tests.cli.commands import COMMAND, Done, environment, run_in

LINEAR = msgspec.structs.replace(CASE, policy="linear")
EMPTY = document([], {}, Path(__file__).parent)


def _record(case: Case, *makespans: float, started: float = 1e9) -> Record:
    rounds = (
        Measurement(
            outcome="ok", round=i, makespan_s=s, peak_bytes=300 << 20, started=started + i, ended=started + i + s
        )
        for i, s in enumerate(makespans)
    )
    return Record(case, tuple(rounds))


ONE = msgspec.structs.replace(EMPTY, records=(_record(CASE, 2.0, 2.2), _record(LINEAR, 1.0, 1.1)))
OTHER = msgspec.structs.replace(EMPTY, records=(_record(CASE, 3.0, started=2e9), _record(LINEAR, 1.5, started=2e9)))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with two files of records."""
    (tmp_path / "one.json").write_bytes(render(ONE))
    (tmp_path / "other.json").write_bytes(render(OTHER))
    return tmp_path


def _rows(done: Done) -> list[dict[str, str]]:
    assert done.returncode == 0, done.stderr
    return list(csv.DictReader(done.stdout.splitlines()))


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_is_printed_and_written(folder: Path, name: str) -> None:
    """Every format is the text of its report, on standard output and in a file."""
    expected = FORMATS[name](ONE, Judgement(), View())
    done = run_in(folder, "report", "one.json", f"--format={name}")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == expected.splitlines()
    written = run_in(folder, "report", "one.json", f"--format={name}", "-o", "made")
    assert (written.returncode, written.stdout, written.stderr) == (0, "", "")
    assert (folder / "made").read_bytes() == expected.encode()


def test_default_format_is_that_of_pytest(folder: Path) -> None:
    """By default the command prints the tables that pytest shows."""
    assert run_in(folder, "report", "one.json").stdout.strip() == FORMATS["terminal"](ONE, Judgement(), View()).strip()


def test_options_choose_columns_order_and_groups(folder: Path) -> None:
    """Options choose columns, order and groups as in pytest."""
    done = run_in(
        folder, "report", "one.json", "--columns=rounds,makespan.max", "--sort=makespan.max", "--group-by=workload"
    )
    view = View(columns=("rounds", "makespan.max"), sort="makespan.max", group_by=("workload",))
    assert done.stdout.strip() == FORMATS["terminal"](ONE, Judgement(), view).strip()


def test_files_of_one_kind_of_machine_are_merged(folder: Path) -> None:
    """The rounds of files of one kind of machine are merged."""
    rows = _rows(run_in(folder, "report", "one.json", "other.json", "--format=csv"))
    found = [(row["policy"], row["round"], row["makespan_s"]) for row in rows]
    assert found == [
        ("bulk", "0", "2"), ("bulk", "1", "2.2"), ("bulk", "2", "3"),
        ("linear", "0", "1"), ("linear", "1", "1.1"), ("linear", "2", "1.5"),
    ]  # fmt: skip


def test_named_files_share_a_table_with_a_device_column(folder: Path) -> None:
    """Files with names share a table with a column for the device."""
    rows = _rows(run_in(folder, "report", "desk=one.json", "board=other.json", "--format=csv"))
    assert {row["device"] for row in rows} == {"desk", "board"}
    shown = run_in(folder, "report", "desk=one.json", "board=other.json", "--group-by=workload").stdout
    merged = merge([Part(ONE, "desk"), Part(OTHER, "board")])
    assert shown.strip() == FORMATS["terminal"](merged, Judgement(), View(group_by=("workload",))).strip()
    assert "device" in shown


def test_merged_file_can_be_read_again(folder: Path) -> None:
    """The result of a merge is a file like any other."""
    run_in(folder, "report", "a=one.json", "b=other.json", "--format=json", "-o", "both.json")
    again = run_in(folder, "report", "both.json", "--format=csv")
    assert len(_rows(again)) == 6


def test_existing_file_with_an_equals_sign_is_a_file(folder: Path) -> None:
    """A file whose name has the form NAME=FILE is a file."""
    (folder / "a=one.json").write_bytes(render(OTHER))
    rows = _rows(run_in(folder, "report", "a=one.json", "--format=csv"))
    assert [(row["device"], row["makespan_s"]) for row in rows] == [("", "3"), ("", "1.5")]


MENDED = "; save a new baseline, or name another"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, ": No such file or directory; name another file of records"),
        (b"", f": not a file of records (it is empty){MENDED}"),
        (b"{}", f": not a file of records (Object missing required field `schema`){MENDED}"),
        (b'{"schema": 99}', f": its schema is 99, but this version reads 2{MENDED}"),
        (render(ONE)[:-20], f": not a file of records (Input data was truncated){MENDED}"),
    ],
)
def test_unusable_file_is_one_error_message(folder: Path, content: bytes | None, words: str) -> None:
    """A file that is missing, damaged or of another version is an error of one sentence, even next to valid files."""
    if content is not None:
        (folder / "file.json").write_bytes(content)
    done = run_in(folder, "report", "one.json", "file.json")
    assert (done.returncode, done.stdout, done.stderr) == (2, "", f"edgeload: file.json{words}\n")


def test_file_too_large_for_records_is_not_read(folder: Path) -> None:
    """A file too large for records is not read."""
    with (folder / "huge.json").open("wb") as file:
        file.truncate(1 << 40)
    done = run_in(folder, "report", "huge.json")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "edgeload: huge.json: too large: 1T, and at most 256M; name another file of records\n"


def test_folder_of_no_session_is_refused_with_a_hint(folder: Path) -> None:
    """A folder that does not belong to a session is an error, and the hint names the alternatives."""
    told = "edgeload: .: not the folder of a session; name one, or a file of records\n"
    assert run_in(folder, "report", ".").stderr == told


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("--columns=makespn", "argument --columns: makespn: makespn is not a metric; did you mean makespan?"),
        ("--sort=paek", "argument --sort: paek: paek is not a metric; did you mean peak?"),
        (
            "--group-by=workloads",
            "argument --group-by: workloads: workloads is not a coordinate of a case; did you mean",
        ),
        ("--format=pdf", "argument --format: invalid choice: 'pdf'"),
        ("--output=no/where", "argument -o/--output: no/where: the folder {folder}/no does not exist; create it first"),
        (
            "--output=/dev/null",
            "argument -o/--output: /dev/null: not a regular file; name another file, or leave it out for standard",
        ),
        ("--output=.", "argument -o/--output: .: a folder; name a file in it"),
    ],
)
def test_wrong_value_of_an_option_is_refused_with_its_name(folder: Path, option: str, words: str) -> None:
    """A wrong value of an option is an error that names the option and the way out, before a file is read."""
    done = run_in(folder, "report", "nowhere.json", option)
    assert done.returncode == 2
    assert f"edgeload report: error: {words.format(folder=folder)}" in done.stderr


def test_unwritable_output_is_one_error_message(folder: Path) -> None:
    """An output file that cannot be written is an error of one sentence, and no part of it is left."""
    done = run_in(folder, "report", "one.json", "-o", "/proc/made.txt")
    assert done.returncode == 2
    assert done.stderr == "edgeload: --output=/proc/made.txt: No such file or directory; name a file elsewhere\n"


def test_output_follows_links(folder: Path) -> None:
    """The target of a link is replaced, and the link stays."""
    (folder / "link").symlink_to("made")
    (folder / "made").touch()
    assert run_in(folder, "report", "one.json", "-o", "link").returncode == 0
    assert (folder / "link").is_symlink()
    assert (folder / "made").stat().st_size > 0


def test_reader_that_closes_the_pipe_ends_the_command_silently(folder: Path) -> None:
    """A reader that closes the pipe ends the command without a message."""
    many = [_record(msgspec.structs.replace(CASE, workload=f"mix{i}"), 1.0) for i in range(3000)]
    (folder / "many.json").write_bytes(render(msgspec.structs.replace(EMPTY, records=tuple(many))))
    with subprocess.Popen(
        [*COMMAND, "report", "many.json", "--format=csv"],
        cwd=folder, env=environment(folder), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as process:  # fmt: skip
        assert process.stdout is not None  # both are pipes
        assert process.stderr is not None
        assert process.stdout.readline().startswith(b"policy,")
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait() == 128 + signal.SIGPIPE


def test_character_outside_the_encoding_is_one_error_message(folder: Path) -> None:
    """A character that the terminal's encoding does not have is an error of one sentence."""
    strange = msgspec.structs.replace(CASE, workload="größe")
    (folder / "strange.json").write_bytes(render(msgspec.structs.replace(EMPTY, records=(_record(strange, 1.0),))))
    done = subprocess.run(
        [*COMMAND, "report", "strange.json"],
        cwd=folder, env=environment(folder) | {"PYTHONIOENCODING": "ascii"}, capture_output=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr == b"edgeload: standard output: cannot show '\\xf6' in ascii; set PYTHONUTF8=1\n"


def test_json_is_the_document(folder: Path) -> None:
    """JSON is the document itself."""
    done = run_in(folder, "report", "one.json", "--format=json")
    assert json.loads(done.stdout) == json.loads(render(ONE))
