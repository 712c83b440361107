"""Faults that need a kernel of their own: a clock that is set, and what befalls workers under cgroup v2."""

from __future__ import annotations

import json
import re
import sys
from typing import Any

import pytest

from tests.uml import kernel

pytestmark = pytest.mark.skipif(kernel.available() is not None, reason=kernel.available() or "")

WORKERS = "tests/faults/test_worker_faults.py"
CHOSEN = "cgroup2 and (command or hog or at_once)"  # a worker takes long to start in there
_OUTCOME = re.compile(r"^tests/\S+::(\S+) (PASSED|FAILED|ERROR|SKIPPED)", re.MULTILINE)
ENVIRONMENT = {"COLUMNS": "200", "PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": str(kernel.REPOSITORY)}


def test_workers() -> None:
    """A fork bomb, a hog and a group that somebody removes are under version 2 what they are here."""
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-v", "-k", CHOSEN, WORKERS]
    done = kernel.run(command, environment=ENVIRONMENT)
    outcomes = dict(_OUTCOME.findall(done.stdout))
    assert {*outcomes.values()} == {"PASSED"}, done.stdout + done.stderr
    assert {"test_fork_bomb[cgroup2-command]", "test_memory_hog[cgroup2]"} <= outcomes.keys()


@pytest.fixture(scope="module")
def clock() -> dict[str, Any]:
    """Tell what came of a session during which the clock was set back again and again."""
    done = kernel.run([sys.executable, "tests/uml/clock.py"], environment=ENVIRONMENT)
    assert done.returncode == 0, done.stdout + done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    assert found["status"] == 0, found["said"]
    return found


def test_clock(clock: dict[str, Any]) -> None:
    """Figures, durations and the order of runs do not depend on a clock that is set meanwhile."""
    runs = clock["runs"]
    started = [run["started"] for run in runs]
    assert started != sorted(started), "the clock was not set back"
    assert [run["returned"] for run in runs] == clock["on disk"] == [1, 2, 3]
    assert all(0.4 <= run["makespan_s"] < 60 for run in runs)
    assert all(run["makespan_s"] <= run["ended"] - run["started"] < 120 for run in runs)


def test_names(clock: dict[str, Any]) -> None:
    """The newest baseline is the one saved last, and the next session comes next, whatever time it is."""
    assert [name[:5] for name in clock["baselines"]] == ["0001_", "0002_"]
    assert clock["next session"] == 2
