"""`edgeload minmem -- COMMAND` with real programs and enforced limits."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from pytest_edgeload.results.document import parse
from pytest_edgeload.sandbox.caps import CAPS
from tests.cli.commands import COMMAND, environment, run_in
from tests.plugin.sessions import PATIENCE_S

M = 1 << 20
HOLD = [sys.executable, "-c", "print(len(bytearray(b'x') * (48 << 20)))"]
"""A program that holds 48 MiB, next to the few of the interpreter."""

NOT_COMPARED = "nothing is compared with bulk here, only with plenty of memory"

enforced = pytest.mark.skipif(
    not any(cap.enforces and cap.unavailable() is None for cap in CAPS.values()), reason="no cap can be enforced here"
)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--", "true", "--", "false"], "command false: a search is of a single command; search each by itself"),
        (["mix.yaml", "--", "true"], "mix.yaml: networks and a command cannot be measured together; name one of them"),
        (
            ["python", "job.py"],
            "job.py: a second word about networks; write -- before a command, and commas between networks",
        ),
        (["--policy=linear", "--", "true"], "--policy: for networks only; leave it out"),
        (["small", "--prepare=true"], "--prepare: for a command only; leave it out"),
        (["small", "--metric=speed=$.speed"], "--metric: for a command only; leave it out"),
        (["--at-most=base+3M", "--", "true"], "--at-most=base+3M: a command has no idle worker; try 300M"),
        (
            ["--keep=makespan/bulk:10%", "--", "true"],
            f"--keep=makespan/bulk:10%: {NOT_COMPARED}; try makespan:20%",
        ),
        (
            ["--step=1T", "--", "true"],
            "--step=1T: no multiple is between the need of a process and all memory; try 4M",
        ),
    ],
)
def test_arguments_that_contradict_each_other_are_refused(tmp_path: Path, arguments: list[str], words: str) -> None:
    """Arguments without a meaning together are refused in one sentence, before anything runs."""
    done = run_in(tmp_path, "minmem", *arguments)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", f"edgeload: {words}\n")


@enforced
def test_smallest_memory_of_a_program_is_found_with_its_curve(tmp_path: Path) -> None:
    """The program needs what it holds and little more; the runs are exported, and a gate below its need fails."""
    options = ["--swap=off", "--step=16M", "--keep=makespan:10000%", "--curve", "--format=json", "--name=hold"]
    done = run_in(tmp_path, "minmem", *options, "--at-most=32M", "--export=json=runs.json", "--", *HOLD)
    assert done.returncode == 1, done.stderr
    result = json.loads(done.stdout)
    assert result["found"] == {"works": 64 * M, "makespan:10000%": 64 * M}
    assert [point["outcome"] for point in result["curve"]][-1] == "oom"
    assert result["curve"][0]["is_plenty"]
    assert result["curve"][0]["value"] > 0
    assert done.stderr.splitlines()[-1] == "edgeload: 64M is needed for makespan:10000%, more than --at-most=32M"
    records = parse((tmp_path / "runs.json").read_bytes()).records
    assert sum(len(record.rounds) for record in records) == len(result["trials"])
    assert {record.case.policy for record in records} == {"hold"}


@enforced
def test_program_that_fails_by_itself_is_not_searched(tmp_path: Path) -> None:
    """A program that fails with plenty of memory is an error with its last words, after a single run."""
    done = run_in(tmp_path, "minmem", "--", "sh", "-c", "echo no such model >&2; exit 3")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("edgeload: ") == 2
    assert done.stderr.splitlines()[-1] == (
        "edgeload: command sh: crashed with plenty of memory: the program ended with status 3: no such model; "
        "a limit cannot be searched before it works without one"
    )


def test_metric_that_never_appears_is_refused_with_the_reason(tmp_path: Path) -> None:
    """If the figure to keep is missing with plenty of memory, the sentence says why."""
    words = ["--metric=tokens_per_s=$.tokens", "--keep=tokens_per_s:10%"]
    done = run_in(tmp_path, "minmem", *words, "--", "echo", '{"speed": 3}')
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == (
        "edgeload: --keep=tokens_per_s:10%: a run with plenty of memory has no tokens_per_s; "
        "its metric tokens_per_s is left out: $ has no 'tokens', only ['speed']"
    )


@enforced
def test_ctrl_c_shows_the_limits_that_are_known(tmp_path: Path) -> None:
    """Ctrl-C in the middle of a search shows the limits known to work and to fail, with status 130."""
    with subprocess.Popen(
        [*COMMAND, "minmem", "--swap=off", "--step=64K", "--", *HOLD],
        cwd=tmp_path, env=environment(tmp_path), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stderr is not None
        assert any(": oom" in line for line in process.stderr)  # the first limit works, the second fails
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 128 + signal.SIGINT
    assert "works without swap  not searched to the end: works at 5" in out
    assert ", fails at " in out
