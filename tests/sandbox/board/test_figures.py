"""Figures of a run follow from readings of the board's sensors."""

from __future__ import annotations

import pytest

from pytest_edgeload.sandbox.board.figures import BoardReading, Brake, board_metrics, energy_j, throttled_s

RANGE_UJ = 262143328850  # of the package of many Intel processors


def powers(*watts: float | None) -> list[BoardReading]:
    """Return readings of a power, two seconds apart."""
    return [BoardReading(2.0 * i, power_w=power) for i, power in enumerate(watts)]


def brakes(*signs: Brake | None) -> list[BoardReading]:
    """Return readings of one sign of throttling, two seconds apart."""
    return [BoardReading(2.0 * i, brakes=(sign,)) for i, sign in enumerate(signs)]


def test_energy_of_counters_is_their_growth_also_across_a_wrap() -> None:
    """The energy of counters is the sum of their growth; one that reached its range has started again from 0."""
    begin = BoardReading(0, (RANGE_UJ - 3_000_000, 500_000))
    end = BoardReading(9, (4_000_000, 1_500_000))
    assert energy_j([begin, end], (RANGE_UJ, 65532610987)) == pytest.approx(8)


def test_energy_of_powers_is_their_mean_times_the_time() -> None:
    """Between two readings the power is their mean; a reading that failed is left out."""
    assert energy_j(powers(3, 5, 5), ()) == 18
    assert energy_j(powers(3, None, 5), ()) == 16


@pytest.mark.parametrize("readings", [[], powers(3), powers(None, None), powers(None, 5, 5), powers(5, 5, None)])
def test_energy_of_part_of_a_run_is_absent(readings: list[BoardReading]) -> None:
    """Energy is absent unless the first and the last reading have it."""
    assert energy_j(readings, ()) is None


def test_idle_power_is_subtracted() -> None:
    """The energy of a run is without that of the idle machine, never negative, and absent without an idle power."""
    assert board_metrics(powers(5, 5), (), 2.0) == {"energy_j": 6, "idle_power_w": 2}
    assert board_metrics(powers(5, 5), (), 6.0) == {"energy_j": 0, "idle_power_w": 6}
    assert board_metrics(powers(5, 5), (), None) == {}


def test_extremes_are_of_known_readings() -> None:
    """Temperature is the highest and the frequency the lowest of the readings that have them."""
    readings = [BoardReading(0, temperature_c=50.5, frequency_share=0.9), BoardReading(1)]
    readings.append(BoardReading(2, temperature_c=61.0, frequency_share=0.4))
    assert board_metrics(readings, (), None) == {"max_temperature_c": 61, "min_frequency_share": 0.4}


@pytest.mark.parametrize(
    ("readings", "seconds"),
    [
        (brakes(Brake(), Brake(is_on=True), Brake()), 2),
        (brakes(Brake(is_on=True), Brake()), 0),  # it ended before the run, as far as is known
        (brakes(Brake(events=7), Brake(events=7), Brake(events=9)), 2),
        (brakes(Brake(events=1), None, Brake(events=1)), 0),
        (brakes(Brake(), None, Brake(events=1)), 4),
        (brakes(None, None), None),
        ([], None),
    ],
)
def test_throttled_time_is_that_of_steps_with_a_sign(readings: list[BoardReading], seconds: float | None) -> None:
    """A step counts if its end shows a throttle or an event since its begin; without a sign the time is absent."""
    assert throttled_s(readings) == seconds
