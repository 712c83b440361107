"""Time: a measurement agrees with the clocks of the measured program."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_edgeload.plugin.programs import pack_call
from pytest_edgeload.sandbox.caps import Cap
from pytest_edgeload.sandbox.constraints import Limits
from pytest_edgeload.sandbox.enclosure import Enclosure
from pytest_edgeload.sandbox.launch import launch_call
from tests.accuracy.programs import Fresh, compute, measure

SECONDS = 0.5
ATTEMPTS = 5


def agrees(difference: Callable[[], float], max_difference: float) -> bool:
    """Return whether one of several attempts differs by at most that; a busy machine only increases a difference."""
    for _ in range(ATTEMPTS):
        value = difference()
        assert value >= 0
        if value <= max_difference:
            return True
    return False


def test_makespan_of_a_command_is_near_its_own_clock(cap: Cap, fresh: Fresh, tmp_path: Path) -> None:
    """A program's makespan exceeds its own time for its work by less than a tenth: the start of Python."""

    def more() -> float:
        run = measure(compute(SECONDS, tmp_path / "took"), cap, fresh())
        took_s = float((tmp_path / "took").read_text().split()[0])
        assert run.makespan_s is not None
        return run.makespan_s / took_s - 1

    assert agrees(more, 0.1)


def test_makespan_of_a_call_is_near_its_own_clock(cap: Cap, fresh: Fresh) -> None:
    """A function's makespan exceeds the function's own time by less than a hundredth."""

    def work() -> float:
        begin_s = time.monotonic()
        time.sleep(0.5)
        return time.monotonic() - begin_s

    def more() -> float:
        run = launch_call(pack_call("it", work, (), {}, []), 1, Enclosure(cap, fresh(), Limits(), 60.0))
        assert run.makespan_s is not None
        assert isinstance(run.returned, float)
        return run.makespan_s / run.returned - 1

    assert agrees(more, 0.01)


def test_makespan_is_near_an_outer_clock(cap: Cap, fresh: Fresh) -> None:
    """A program's makespan is below a clock around the whole measurement by less than a tenth."""

    def less() -> float:
        begin_s = time.monotonic()
        run = measure(compute(SECONDS), cap, fresh())
        took_s = time.monotonic() - begin_s
        assert run.makespan_s is not None
        return 1 - run.makespan_s / took_s

    assert agrees(less, 0.1)


def test_processor_time_is_the_sum_of_the_children(cap: Cap, fresh: Fresh, tmp_path: Path) -> None:
    """Processor time equals the children's own times, plus their starts and ends."""
    script = '"$@" && "$@"'
    run = measure(("sh", "-c", script, "sh", *compute(SECONDS, tmp_path / "took")), cap, fresh())
    own_s = float((tmp_path / "took").read_text().split()[1])
    assert run.cpu_s is not None
    assert 2 * SECONDS <= run.cpu_s == pytest.approx(2 * own_s, rel=0.1)
