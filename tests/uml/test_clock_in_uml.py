"""A clock that is set while a session runs, in a guest with its own clock."""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest

from tests.uml import kernel

pytestmark = pytest.mark.skipif(kernel.available() is not None, reason=kernel.available() or "")

ENVIRONMENT = {"COLUMNS": "200", "PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": str(kernel.REPOSITORY)}


@pytest.fixture(scope="module")
def clock() -> dict[str, Any]:
    """Return the results of a session during which the clock was set back again and again."""
    done = kernel.run([sys.executable, "tests/uml/clock.py"], environment=ENVIRONMENT)
    assert done.returncode == 0, done.stdout + done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    assert found["status"] == 0, found["said"]
    return found


def test_figures_do_not_depend_on_the_clock(clock: dict[str, Any]) -> None:
    """Figures, durations and the order of runs do not depend on a clock that is set meanwhile."""
    runs = clock["runs"]
    started = [run["started"] for run in runs]
    assert started != sorted(started), "the clock was not set back"
    assert [run["returned"] for run in runs] == clock["on disk"] == [1, 2, 3]
    assert all(0.4 <= run["makespan_s"] < 60 for run in runs)
    assert all(run["makespan_s"] <= run["ended"] - run["started"] < 120 for run in runs)


def test_newest_baseline_is_the_last_saved(clock: dict[str, Any]) -> None:
    """The newest baseline is the one saved last, and the next session comes next, at any time of the clock."""
    assert [name[:5] for name in clock["baselines"]] == ["0001_", "0002_"]
    assert clock["next session"] == 2
