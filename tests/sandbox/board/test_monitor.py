"""A run has the metrics of the sensors that its machine has, and no others."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_edgeload.results.measurement import Measurement
from pytest_edgeload.sandbox.board.monitor import Board
from pytest_edgeload.sandbox.board.sensors import find_sensors
from pytest_edgeload.sandbox.caps import CAPS
from pytest_edgeload.sandbox.command import Command, launch_command
from pytest_edgeload.sandbox.constraints import Limits
from pytest_edgeload.sandbox.enclosure import Enclosure
from tests.sandbox.board.test_sensors import JETSON, LAPTOP, tree

OF_BOARD = ("energy_j", "idle_power_w", "max_temperature_c", "min_frequency_share", "throttled_s")


def measured(board: Board, name: str) -> Measurement:
    command = Command((sys.executable, "-c", "pass"), {}, "/", b"")
    return launch_command(command, 1, Enclosure(CAPS["none"], name, Limits(), 60, board=board))


def test_machine_without_sensors_has_no_metrics_of_them(tmp_path: Path, fresh: Callable[[], str]) -> None:
    """Without sensors no metric appears, and the idle machine is not waited for."""
    board = Board(find_sensors(tmp_path))
    board.rest()
    run = measured(board, fresh())
    assert run.outcome == "ok"
    assert [run.value(name) for name in OF_BOARD] == [None] * len(OF_BOARD)
    assert run.notices == ()


def test_run_on_a_jetson_has_energy_and_is_marked(tmp_path: Path, fresh: Callable[[], str]) -> None:
    """A run has the energy above the idle power for its time, the temperature, and a mark that it was throttled."""
    board = Board(find_sensors(tree(tmp_path, JETSON)))
    board.idle_power_w = 4.2
    run = measured(board, fresh())
    assert (run.idle_power_w, run.max_temperature_c, run.min_frequency_share) == (4.2, 49.25, None)
    assert run.throttled_s  # the whole run, during which the board takes 6.2 W
    assert run.energy_j == pytest.approx(2 * run.throttled_s)
    assert run.notices == (
        "the processor was throttled during a round; cool the board, or use a stronger power supply",
    )


def test_idle_power_is_measured_once(tmp_path: Path) -> None:
    """The power of the idle machine is that of the counters over that time, measured before the first run only."""
    board = Board(find_sensors(tree(tmp_path, LAPTOP)))
    board.rest(0.2)
    assert board.idle_power_w == 0
    tree(tmp_path, {"class/powercap/intel-rapl:0/energy_uj": "0"})
    board.rest()
    assert board.idle_power_w == 0
