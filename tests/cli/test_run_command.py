"""`edgeload run` with real commands under enforced limits."""

from __future__ import annotations

import shlex
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from pytest_edgeload import cli
from pytest_edgeload.cli import shell
from pytest_edgeload.results import baseline
from pytest_edgeload.results.document import Document
from pytest_edgeload.sandbox.caps import CAPS
from tests.cli.commands import COMMAND, Done, environment, run_in, until
from tests.plugin.sessions import PATIENCE_S

LARGE = "head -c 100M /dev/zero | tail -c 100M > /dev/null"
"""A shell command that holds 100 MiB."""

enforced = pytest.mark.skipif(
    not any(cap.enforces and cap.unavailable() is None for cap in CAPS.values()), reason="no cap can be enforced here"
)


def run(folder: Path, *words: str) -> Done:
    """Run `edgeload run` in a folder, with a cache of its own."""
    return run_in(folder, "run", *words, cache=folder / "cache")


def records(path: Path) -> dict[tuple[str, str | None], list[str]]:
    """Return the outcomes of a file of records, by program and limit."""
    document = baseline.load(path)
    return {(r.case.policy, r.case.limit): [m.outcome for m in r.rounds] for r in document.records}


@enforced
def test_each_command_runs_under_each_limit(tmp_path: Path) -> None:
    """All commands run under all limits, interleaved, and a run that fails is a row.

    A limit above the memory of the machine is a notice.
    """
    words = ("--mem=32M,100T", "--rounds=2", "--name=large", "--name=small", "--export=json=all.json")
    done = run(tmp_path, *words, "--swap=off", "--", "sh", "-c", LARGE, "--", "echo", "not shown")
    assert done.returncode == 0, done.stderr
    made = records(tmp_path / "all.json")
    assert made == {
        ("large", "32M"): ["oom", "oom"],
        ("small", "32M"): ["ok", "ok"],
        ("large", "100T"): ["ok", "ok"],
        ("small", "100T"): ["ok", "ok"],
    }
    document: Document = baseline.load(tmp_path / "all.json")
    starts = sorted((m.started, m.round) for record in document.records for m in record.rounds)
    assert [number for _, number in starts] == [0] * 4 + [1] * 4
    assert {record.case.workload for record in document.records} == {"program"}
    assert document.command.startswith("edgeload run --mem=32M,100T")
    lines = done.stdout.splitlines()
    assert lines[0] == "2 programs at 2 limits"
    assert lines[2].split()[:2] == ["program", "limit"]
    assert "large at 32M, rounds 0, 1: oom: killed by the kernel at its limit of 32M" in lines
    assert any(line.startswith("large at 100T; small at 100T: its limit of 100T has no effect") for line in lines)
    assert f"records written to {tmp_path / 'all.json'}" in lines
    assert "not shown" not in done.stdout


@enforced
def test_gate_fails_on_a_build_that_needs_more(tmp_path: Path) -> None:
    """A saved session is a baseline, and a command of the same name that needs more memory fails the gate."""
    small = LARGE.replace("100M", "20M")
    once = ("--rounds=1", "--name=app", "--mem=512M")
    saved = run(tmp_path, *once, "--save=main", "--", "sh", "-c", small)
    assert saved.returncode == 0, saved.stderr
    gate = ("--compare=main", "--compare-fail=peak_charged:10M")
    done = run(tmp_path, *once, *gate, "--", "sh", "-c", LARGE)
    assert done.returncode == 1, done.stderr
    assert any(line.startswith("regressed: app at 512M") for line in done.stdout.splitlines())
    same = run(tmp_path, *once, *gate, "--", "sh", "-c", small)
    assert same.returncode == 0, same.stdout


def test_command_that_always_fails_is_status_one(tmp_path: Path) -> None:
    """If no run is ok the status is 1, and the row says how the command ended and what it said."""
    done = run(tmp_path, "--rounds=2", "--", "sh", "-c", "echo lost >&2; exit 3")
    assert done.returncode == 1
    (line,) = (line for line in done.stdout.splitlines() if "crashed:" in line)
    assert line.startswith("sh at no limit, rounds 0, 1: crashed:")
    assert "lost" in line


def test_failed_preparation_keeps_the_earlier_runs(tmp_path: Path) -> None:
    """The preparation runs before each run; if it fails the session ends, and shows the runs before."""
    prepare = "echo once >> log; test $(wc -l < log) -lt 3 || { echo no room >&2; false; }"
    done = run(tmp_path, "--rounds=5", f"--prepare={prepare}", "--export=json=all.json", "--", "true")
    assert done.returncode == 2
    said = f"edgeload: --prepare={prepare}: exited with status 1: no room; no run was started after that"
    assert done.stderr.splitlines()[-1] == said
    assert records(tmp_path / "all.json") == {("true", None): ["ok", "ok"]}
    assert "2 ok" in done.stdout


def test_ctrl_c_shows_what_was_measured(tmp_path: Path) -> None:
    """Ctrl-C ends the command with status 130; the table and the files have the runs that were over."""
    runs = tmp_path / "cache" / "sessions"
    with subprocess.Popen(
        [*COMMAND, "run", "--rounds=1000", "--export=json=all.json", "--", "sleep", "0.1"],
        cwd=tmp_path,
        env=environment(tmp_path / "cache"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        until(lambda: any(runs.glob("*/runs/*.json")))
        process.send_signal(signal.SIGINT)
        out, errors = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 128 + signal.SIGINT, errors
    assert out.splitlines()[4].startswith("sleep")
    assert set(records(tmp_path / "all.json")[("sleep", None)]) == {"ok"}
    assert not any(runs.glob("*/unreported"))


def test_service_is_asked_by_a_command_and_reports_a_metric(tmp_path: Path) -> None:
    """The clock of a service stops when the asking command ends, whose output is a source of metrics."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    words = [f"--ready=tcp:127.0.0.1:{port}", """--ask=echo '{"rate": 2.5}'""", "--metric=served_per_s=$.rate"]
    server = [sys.executable, "-m", "http.server", "--bind", "127.0.0.1", str(port)]
    done = run(tmp_path, "--rounds=1", "--name=server", *words, "--export=json=all.json", "--", *server)
    assert done.returncode == 0, done.stdout + done.stderr
    (record,) = baseline.load(tmp_path / "all.json").records
    (measurement,) = record.rounds
    assert measurement.startup_s is not None
    assert measurement.makespan_s is not None
    assert measurement.own["served_per_s"].value == 2.5


def test_device_sets_the_limit(tmp_path: Path) -> None:
    """A device of the folder sets the limit and the constraints, unless options set them."""
    (tmp_path / "edge-devices.toml").write_text('[board]\nmemory = "48M"\ncores = 1\nthreads = 3\n')
    done = run(tmp_path, "--rounds=1", "--device=board", "--threads=2", "--export=json=all.json", "--", "true")
    assert done.returncode == 0, done.stderr
    (record,) = baseline.load(tmp_path / "all.json").records
    case = record.case
    assert (case.device, case.limit, case.threads, case.constraints.cores) == ("board", "48M", 2, 1)
    assert case.by_device == ("memory_bytes", "cores")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("sleep 1", "sleep: not an option of edgeload run; write -- before each command"),
        ("--mem=base+1M -- true", "--mem=base+1M: a command has no idle worker to be above; give a size such as 512M"),
        ("--mem=64 -- true", "--mem=64: no process fits into so little memory; try 64M"),
        ("--device=bord -- true", "--device=bord: no such device; "),
        ("--strict -- true", "--strict: without a threshold nothing is judged; add one, such as --compare-fail=makesp"),
        ("--compare=old -- true", "--compare: old: no such baseline in "),
        ("--cold=gone -- true", "--cold=gone: no such file; name a file that can be read"),
        ("--cold=. -- true", "--cold=.: not a file; name a file that can be read"),
        ("--ready=http://a:99999 -- true", "--ready=http://a:99999: Port out of range 0-65535; try tcp:"),
        (
            "--save=x --storage=/proc/a -- true",
            "--save=x: /proc/a: No such file or directory; choose another --storage",
        ),
        (
            "--export=csv=/tmp/a --export=json=/tmp/a -- true",
            "--export=csv=/tmp/a: two reports would be written to this ",
        ),
        ("--export=json=/proc/a -- true", "--export=json=/proc/a: No such file or directory; name a file elsewhere"),
        ("--metric=x -- true", "--metric=x: not a metric and its source; "),
    ],
)
def test_wrong_option_is_refused_before_anything_runs(
    tmp_path: Path, words: str, said: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A wrong option is one sentence, and the status is 2."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTEST_EDGE_CACHE_DIR", str(tmp_path))
    assert cli.main(["run", *shlex.split(words)]) == 2
    assert capsys.readouterr().err.startswith(f"edgeload: {said}")


def test_asking_command_is_ended_with_its_children() -> None:
    """A command that asks too long is killed with all of its processes, and its failure says what it wrote."""
    with pytest.raises(shell.ShellError, match=r"^did not end within 0\.1 s$"):
        shell.ask("sleep 600 & sleep 600", 0.1)
    with pytest.raises(shell.ShellError, match=r"^exited with status 4: first second$"):
        shell.ask("echo first >&2; echo second >&2; exit 4", 10)
    assert shell.ask("echo answer", 10) == "answer\n"
