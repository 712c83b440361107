"""Time: what a measurement says against the clocks of what it measures."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_edgeload.plugin.programs import calling
from pytest_edgeload.sandbox.caps import Cap
from pytest_edgeload.sandbox.constraints import Limits
from pytest_edgeload.sandbox.launch import launch_call
from pytest_edgeload.sandbox.life import Enclosure
from tests.accuracy.programs import Fresh, compute, measure

SECONDS = 0.5
ATTEMPTS = 5


def agrees(difference: Callable[[], float], at_most: float) -> bool:
    """Tell whether one of a few attempts differs by no more: a busy machine adds to some, and takes from none."""
    for _ in range(ATTEMPTS):
        found = difference()
        assert found >= 0
        if found <= at_most:
            return True
    return False


def test_command(cap: Cap, fresh: Fresh, tmp_path: Path) -> None:
    """A program's makespan is what it says its work took, and less than a tenth more: starting Python."""

    def more() -> float:
        run = measure(compute(SECONDS, tmp_path / "took"), cap, fresh())
        took_s = float((tmp_path / "took").read_text().split()[0])
        assert run.makespan_s is not None
        return run.makespan_s / took_s - 1

    assert agrees(more, 0.1)


def test_call(cap: Cap, fresh: Fresh) -> None:
    """A function's makespan is what the function says it took, and less than a hundredth more."""

    def work() -> float:
        begin_s = time.monotonic()
        time.sleep(0.5)
        return time.monotonic() - begin_s

    def more() -> float:
        run = launch_call(calling("it", work, (), {}, []), 1, Enclosure(cap, fresh(), Limits(), 60.0))
        assert run.makespan_s is not None
        assert isinstance(run.returned, float)
        return run.makespan_s / run.returned - 1

    assert agrees(more, 0.01)


def test_external_clock(cap: Cap, fresh: Fresh) -> None:
    """A program's makespan is less than a clock around all of the measurement has, and by less than a tenth."""

    def less() -> float:
        begin_s = time.monotonic()
        run = measure(compute(SECONDS), cap, fresh())
        took_s = time.monotonic() - begin_s
        assert run.makespan_s is not None
        return 1 - run.makespan_s / took_s

    assert agrees(less, 0.1)


def test_processor_time(cap: Cap, fresh: Fresh, tmp_path: Path) -> None:
    """Processor time is what a program's children say they took, one after the other, and their starts and ends."""
    script = '"$@" && "$@"'
    run = measure(("sh", "-c", script, "sh", *compute(SECONDS, tmp_path / "took")), cap, fresh())
    own_s = float((tmp_path / "took").read_text().split()[1])
    assert run.cpu_s is not None
    assert 2 * SECONDS <= run.cpu_s == pytest.approx(2 * own_s, rel=0.1)
