"""A run during which the processor was throttled is repeated on request, after a wait for the board to cool."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path

from pytest_edgeload.devices.constraints import Constraints
from pytest_edgeload.measuring.launcher import Launcher
from pytest_edgeload.results.measurement import Measurement
from pytest_edgeload.sandbox.board.monitor import Board
from pytest_edgeload.sandbox.board.sensors import find_sensors
from pytest_edgeload.sandbox.caps import CAPS
from pytest_edgeload.sandbox.command import Command, launch_command
from pytest_edgeload.sandbox.swap import Swap
from tests.sandbox.board.test_sensors import JETSON, tree

HOT = {"class/thermal/cooling_device0/cur_state": "2", "class/thermal/thermal_zone0/temp": "88000"}
COOL = {"class/thermal/cooling_device0/cur_state": "0", "class/thermal/thermal_zone0/temp": "48531"}


def measured(launcher: Launcher, *, is_repeatable: bool = True) -> Measurement:
    """Run a program whose board is throttled, whatever it was before."""
    command = Command((sys.executable, "-c", "pass"), {}, "/", b"")
    return launcher.launch_with(partial(launch_command, command, 1), (), Constraints(), 0, is_repeatable=is_repeatable)


def test_run_is_repeated_after_the_board_has_cooled(tmp_path: Path, session: str) -> None:
    """The repetition has its own figures and those of the throttled run, and a notice; the wait is shown."""
    told: list[str] = []

    def cool_down(line: str) -> None:
        told.append(line)
        tree(tmp_path, COOL)

    board = Board(find_sensors(tree(tmp_path, JETSON | COOL)))
    board.rest(0.1)
    tree(tmp_path, HOT)
    run = measured(Launcher(CAPS["none"], Swap(0), session, 60.0, repeats=2, tell=cool_down, board=board))
    assert (run.outcome, run.throttled_s, run.max_temperature_c) == ("ok", 0, 49.25)
    [throttled] = run.repeated
    assert throttled.throttled_s > 0
    assert throttled.max_temperature_c == 88
    seconds = f"{throttled.cooled_s:.0f}"
    assert run.notices == (f"the processor was throttled in a round, which was repeated after a wait of {seconds} s",)
    [line] = told
    assert line.startswith("edgeload: the processor was throttled for ")
    assert line.endswith(" s; waiting up to 5 min until it is cool, repeat 1 of at most 2")


def test_board_that_stays_hot_is_not_waited_for_without_end(tmp_path: Path, session: str) -> None:
    """After the last repetition the run stays throttled; without the request, or with effects, it is not repeated."""
    board = Board(find_sensors(tree(tmp_path, JETSON | HOT)), cool_s=0.1)
    board.rest(0.1)
    launcher = partial(Launcher, CAPS["none"], Swap(0), session, 60.0, board=board)
    run = measured(launcher(repeats=2))
    assert run.throttled_s
    assert len(run.repeated) == 2
    assert all(each.cooled_s >= 0.1 for each in run.repeated)
    assert measured(launcher()).repeated == ()
    assert measured(launcher(repeats=2), is_repeatable=False).repeated == ()
