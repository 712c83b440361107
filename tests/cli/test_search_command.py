"""`edgeload search`, as a shell starts it, in a project of two small networks."""

from __future__ import annotations

import os
import pty
import re
import signal
import subprocess
from pathlib import Path

import pytest

from pytest_edgeload.report.losses import FoundLoss, text
from pytest_edgeload.results.advice import Objective
from pytest_edgeload.workload import Mix
from tests.cli.commands import COMMAND, Run, environment


def test_found_workload_is_a_file_and_a_test(run: Run, tmp_path: Path) -> None:
    """The search prints the figures, the workload and a test, writes the file, and runs both policies under it."""
    file = tmp_path / "worst.yaml"
    done = run(
        "search", "--policy=linear", "--against=partial,stream", "--mem=base+80M", "--seconds=4", "-o", str(file)
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("linear loses most to ")
    assert "predicted: linear " in done.stdout
    assert "measured, median of 3 runs: linear " in done.stdout
    assert file.read_text() in done.stdout
    assert {*Mix.load(file).networks} <= {"small", "wide"}
    test = done.stdout.partition("# test_worst.py\n")[2]
    assert "def test_worst" in test
    compile(test, "test_worst.py", "exec")


@pytest.mark.parametrize("is_gone", [False, True])
def test_ctrl_c_prints_the_workload_that_was_found(source: Path, cache: Path, tmp_path: Path, *, is_gone: bool) -> None:
    """After Ctrl-C the worst workload so far is printed, even if its file cannot be written; no progress is left."""
    file = tmp_path / "new" / "worst.yaml"
    file.parent.mkdir()
    words = ["--policy=linear", "--against=partial,stream", "--mem=base+80M", "--seconds=600", f"--output={file}"]
    env = {name: value for name, value in environment(cache).items() if name != "CI"}  # a log shows no progress
    ours, its = pty.openpty()
    with subprocess.Popen(
        [*COMMAND, "search", *words], cwd=source, env=env, stdout=subprocess.PIPE, stderr=its, text=True
    ) as process:
        os.close(its)  # so that reading fails if the command ends
        shown = ""
        while not re.search(r"largest loss [1-9]", shown):
            shown += os.read(ours, 1 << 16).decode()
        if is_gone:
            file.parent.rmdir()
        process.send_signal(signal.SIGINT)
        assert process.stdout is not None
        printed = process.stdout.read()
    shown += os.read(ours, 1 << 16).decode()
    os.close(ours)
    assert printed.startswith("linear loses most to ")
    assert "not confirmed by a run\n\n# worst.yaml\n" in printed
    said = f"edgeload: --output={file}: No such file or directory; name a file elsewhere\r\n" if is_gone else ""
    assert shown.rpartition("\r\033[K")[2] == said
    assert process.returncode == (2 if is_gone else 128 + signal.SIGINT)
    assert is_gone or file.read_text() in printed


@pytest.mark.parametrize(
    ("linear", "stream", "line"),
    [
        ([2.0, 2.0, 2.0], [1.0, 1.0, 1.0], "measured, median of 3 runs: linear 2s, stream 1s (100% worse)"),
        ([2.0, 9.0], [1.0], "measured, 1 run: linear 2s, stream 1s (100% worse)"),
        ([2.0], [], "not confirmed by a run"),
    ],
)
def test_interrupted_runs_are_shown_in_pairs(linear: list[float], stream: list[float], line: str) -> None:
    """The runs of both policies before an interrupt count, and a run without that of the rival does not."""
    values = {"linear": linear, "stream": stream}
    found = FoundLoss("linear", "stream", "512M", Objective("makespan_s"), 7, {"linear": 2.0, "stream": 1.0}, values)
    assert text(found, "worst.yaml", "requests: []").splitlines()[2] == line


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--policy=bulc"], "--policy=bulc: unknown; did you mean bulk?"),
        (["--policy=bulk", "--against=bulk"], "--against=bulk: no other policy; name one, or any"),
        (
            ["--policy=bulk", "-o", "/proc/a"],
            "--output=/proc/a: No such file or directory; name a file elsewhere",
        ),
        (["--policy=bulk", "--networks=smal"], "network 'smal': not registered; did you mean small?"),
    ],
)
def test_search_refuses_what_cannot_be_searched(run: Run, words: list[str], message: str) -> None:
    """Each error is one sentence with the option, its value and the way out."""
    done = run("search", "--mem=512M", *words)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", f"edgeload: {message}\n")
