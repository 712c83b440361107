"""`edgeload noise` and `edgeload minmem` with real workers and enforced limits."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from pathlib import Path

import pytest

from pytest_edgeload.sandbox.caps import CAPS
from tests.cli.commands import COMMAND, Run, environment, run_in, until
from tests.plugin.sessions import CONFTEST, PATIENCE_S, TINY, write

LARGE = f"""{TINY}
def large():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(256, 200 * 1024), nn.ReLU(), nn.Linear(200 * 1024, 8)), _samples(256)
"""
"""A network of 206 MiB: more than an idle worker has in shared libraries, which are not charged to it."""

enforced = pytest.mark.skipif(
    not any(cap.enforces and cap.unavailable() is None for cap in CAPS.values()), reason="no cap can be enforced here"
)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a project with a large network."""
    more = '    register("large", "tiny:large")\n'
    return write(tmp_path_factory.mktemp("large"), tiny=LARGE, conftest=CONFTEST + more)


def _left(pid: int) -> list[str]:
    """Return the groups and swap files of the process on the machine."""
    groups = [
        name for _, names, _ in os.walk("/sys/fs/cgroup") for name in names if name.startswith(f"edgeload-{pid}-")
    ]
    swaps = [line for line in Path("/proc/swaps").read_text().splitlines() if f"edgeload-{pid}-" in line]
    return [*groups, *swaps]


def test_noise_measures_twice_the_rounds_and_finds_gates(run: Run) -> None:
    """Two policies are measured twice as often as asked; the output has differences, gates and their basis."""
    done = run("noise", "small,wide", "--policy=bulk,linear", "--rounds=2", "--comparisons=2")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == "noise of small+wide at no limit: identical code, 2 rounds per side"
    rows = [re.split(r"\s{2,}", line) for line in lines]
    assert [row[:2] for row in rows if len(row) == 6][2:] == [
        [figure, policy]
        for figure in ("makespan", "makespan/bulk", "peak", "swap_in", "read")
        for policy in ("bulk", "linear")
        if (figure, policy) != ("makespan/bulk", "bulk")
    ]
    gates = {row[0]: row[1:] for row in rows if len(row) == 3}
    assert all(re.fullmatch(r"read:\d+\S*", gate) for gate in gates["read"])  # 0, unless others empty the page cache
    assert gates["makespan"] == ["none", "none"]  # two policies take four rounds a side
    assert "makespan: no gate: 2 of 4 rounds per side that 2 comparisons of times need" in lines
    assert re.fullmatch(r"makespan/bulk:\d+%|none", gates["makespan/bulk"][0])  # none on a noisy machine
    assert "All 4 rounds ran one after the other" in done.stdout


def test_noise_of_programs_is_in_their_words(tmp_path: Path) -> None:
    """Commands are measured like policies; figures are those of programs, and the first is the reference."""
    done = run_in(tmp_path, "noise", "--rounds=2", "--name=a", "--name=b", "--", "echo", "1", "--", "echo", "2")
    assert done.returncode == 0, done.stderr
    rows = [re.split(r"\s{2,}", line) for line in done.stdout.splitlines()]
    assert rows[0] == ["noise of a, b at no limit: identical code, 2 rounds per side"]
    figures = [row[:2] for row in rows if len(row) == 6]
    assert figures[0] == ["figure", "program"]
    found = {tuple(figure) for figure in figures}  # besides those that so short a program may not have
    assert found >= {("makespan", "b"), ("makespan/a", "b")}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["noise", "--mem=1G,2G", "--", "true"], "--mem=2G: a second limit; measure the noise at each by itself"),
        (["noise", "small", "--rounds=1"], "--rounds=1: a single round has no spread; try 5"),
        (["noise", "small", "--policy=bulk,lineer"], "--policy=lineer: unknown; did you mean linear?"),
        (
            ["minmem", "small", "--step=1T"],
            "--step=1T: no multiple is between the idle worker's need and all memory; try 4M",
        ),
        (["noise", "small", "--user=no-one"], "--user=no-one: this user does not exist; try nobody or same"),
        (["minmem", "smal"], "network 'smal': not registered; did you mean small?"),
        (["minmem", "small", "--policy=lineer"], "--policy=lineer: unknown; did you mean linear?"),
    ],
)
def test_error_is_one_sentence_and_status_2(run: Run, arguments: list[str], words: str) -> None:
    """A case that cannot be measured is an error of one sentence."""
    done = run(*arguments)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", f"edgeload: {words}\n")


@enforced
def test_smallest_limit_works_twice_and_the_one_below_fails(run: Run, project: Path) -> None:
    """The smallest limit works twice and the limit below fails; JSON has every run; a generous gate passes."""
    done = run("minmem", "large", "--swap=off", "--step=16M", "--format=json", "--at-most=64G", folder=project)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    works, step = found["found"]["works"], 16 << 20
    assert list(found["found"]) == ["works"]
    assert found["case"]["swap"] == "off"
    assert works % step == 0
    outcomes = {limit: [run["outcome"] for run in found["trials"] if run["limit_bytes"] == limit] for limit in
                (works, works - step)}  # fmt: skip
    assert outcomes[works][-2:] == ["ok", "ok"]
    assert outcomes[works - step] == ["oom"]
    waits = "edgeload: waits for "  # for the runs of another session on this machine
    said = [line for line in done.stderr.splitlines() if line.startswith("edgeload: ") and not line.startswith(waits)]
    assert len(said) == len(found["trials"])


@enforced
@pytest.mark.skipif(os.geteuid() != 0, reason="only root may switch a swap file on")
def test_smallest_limit_without_swapping_is_found_with_a_swap_file(run: Run, cache: Path) -> None:
    """With a swap file, the limit with less than 1 MiB of swapping is found as well; the file is removed."""
    done = run("minmem", "small", "--swap=256M", "--step=64M", "--format=json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["case"]["swap"] == "256M"
    in_memory = found["found"]["keeps_in_memory"]
    last = [trial for trial in found["trials"] if (trial["limit_bytes"], trial["may_swap"]) == (in_memory, True)]
    assert len(last) == 2
    assert all(trial["outcome"] == "ok" and trial["swap_out_bytes"] < 1 << 20 for trial in last)
    assert list((cache / "swap").iterdir()) == []


@enforced
def test_case_that_needs_more_than_at_most_fails_the_gate(run: Run) -> None:
    """If the case needs more than allowed, the status is 1, and a line after the result says so."""
    done = run("minmem", "small", "--swap=off", "--step=64M", "--at-most=base+17M")
    assert done.returncode == 1
    assert "no smaller limit failed" in done.stdout
    assert "does not swap       not tested, because swap is off" in done.stdout
    assert re.fullmatch(r"edgeload: \S+ is needed, more than --at-most=base\+17M", done.stderr.splitlines()[-1])


@enforced
def test_ctrl_c_while_workers_run_leaves_nothing(run: Run, source: Path, cache: Path) -> None:
    """Ctrl-C while workers run ends the command with status 130 and leaves nothing on the machine."""
    with subprocess.Popen(
        [*COMMAND, "minmem", "small,wide", "--swap=off", "--step=1M"],
        cwd=source, env=environment(cache), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as process:  # fmt: skip
        until(lambda: bool(_left(process.pid)) or process.poll() is not None)
        assert process.poll() is None
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=PATIENCE_S)
    assert (process.returncode, out) == (128 + signal.SIGINT, b"")
    assert _left(process.pid) == []
