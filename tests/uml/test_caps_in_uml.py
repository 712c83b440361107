"""The cap that only another kernel has: the sandbox's own tests, run under cgroup v2 in User-mode Linux."""

from __future__ import annotations

import re
import sys

import pytest

from tests.uml import kernel

pytestmark = pytest.mark.skipif(kernel.available() is not None, reason=kernel.available() or "")

CONFORMANCE = "tests/sandbox/test_caps.py"
HELD = "tests/sandbox/test_hold.py"
MEASURED = "tests/sandbox/test_measure.py"
PROGRAMS = ("tests/sandbox/test_call.py", "tests/sandbox/test_command.py")
_OUTCOME = re.compile(r"^(tests/\S+::\S+) (PASSED|FAILED|ERROR|SKIPPED)", re.MULTILINE)


@pytest.fixture(scope="module")
def outcomes() -> dict[str, str]:
    """Tell how each test ended in there, in one boot: the conformance of the caps, and measured runs that swap."""
    chosen = "test_caps or test_hold or swapping_run or throttled_run or (test_oom and (test_call or test_command))"
    command = [sys.executable, "-B", "-m", "pytest", "-p", "no:cacheprovider", "-v", "-k", chosen]
    files = (CONFORMANCE, HELD, MEASURED, *PROGRAMS)
    done = kernel.run([*command, *files], memory="1536M", timeout_s=500, environment={"COLUMNS": "200"})
    assert done.returncode == 0, done.stdout + done.stderr
    return dict(_OUTCOME.findall(done.stdout))


def test_conformance(outcomes: dict[str, str]) -> None:
    """Version 2 keeps what the table of caps promises: all of its cases pass, none is skipped."""
    cases = {test: outcome for test, outcome in outcomes.items() if test.startswith(CONFORMANCE) and "cgroup2" in test}
    assert {*cases.values()} == {"PASSED"}
    with_parameter = {test.partition("[")[0] for test in outcomes if test.startswith(CONFORMANCE) and "[" in test}
    assert {test.partition("[")[0] for test in cases} == with_parameter


def test_held(outcomes: dict[str, str]) -> None:
    """Version 2 holds processor time, writes and swap there, and says that it cannot hold cores: all of it passes."""
    cases = {test: outcome for test, outcome in outcomes.items() if test.startswith(HELD) and "cgroup2" in test}
    assert {*cases.values()} == {"PASSED"}
    assert {f"{HELD}::{name}[cgroup2]" for name in ("test_processor_time", "test_cores", "test_writes")} <= {*cases}


@pytest.mark.parametrize("file", PROGRAMS)
def test_programs(outcomes: dict[str, str], file: str) -> None:
    """A function and a program that hold more than their limit are killed for it in there, and that is told."""
    assert outcomes[f"{file}::test_oom[cgroup2]"] == "PASSED"


def test_other_caps(outcomes: dict[str, str]) -> None:
    """Where version 1 is not mounted and no systemd runs, their cases are skipped; what needs no cap passes."""
    others = {test: outcome for test, outcome in outcomes.items() if "cgroup2" not in test}
    lacking = {test for test in others if "cgroup1" in test or "systemd" in test}
    assert {others[test] for test in lacking} == {"SKIPPED"}
    assert {others[test] for test in others.keys() - lacking} == {"PASSED"}


@pytest.mark.parametrize("run", ["swapping_run", "throttled_run"])
def test_measured_run(outcomes: dict[str, str], run: str) -> None:
    """A whole measured run goes well in there, under a limit that makes it swap, and with its reads throttled."""
    assert outcomes[f"{MEASURED}::test_{run}[cgroup2]"] == "PASSED"
