"""Reads the board's sensors during a run, on a thread of pytest's process; without sensors there is no thread."""

from __future__ import annotations

import threading
import time
from types import TracebackType
from typing import Self

from pytest_edgeload.sandbox.board.figures import BoardReading, board_metrics, power_w
from pytest_edgeload.sandbox.board.sensors import Sensors

COOL_S = 300.0
_COOLING_PERIOD_S = 0.5
_COOL_ENOUGH_C = 2.0  # above the temperature before the first run, which the room and the case may have changed since
PERIOD_S = 0.1  # a sensor behind I2C takes about a millisecond, and most chips average over longer than this
IDLE_S = 2.0

_NO_SENSORS = Sensors()


class Board:
    """A machine's sensors, and the power of the idle machine in watts, which is measured once, before the first run."""

    def __init__(self, sensors: Sensors = _NO_SENSORS, cool_s: float = COOL_S) -> None:
        self.sensors = sensors
        self.cool_s = cool_s
        self.first_temperature_c: float | None = None
        self.ranges_uj = tuple(range_uj for _, range_uj in sensors.counters)
        self.idle_power_w: float | None = None
        self._has_rested = False

    @classmethod
    def of_host(cls) -> Self:
        """Return this machine's board."""
        return cls(Sensors.of_host())

    def rest(self, seconds: float = IDLE_S) -> None:
        """Read the temperature and measure the power of the idle machine, the first time, if it has such sensors."""
        if self._has_rested:
            return
        self._has_rested = True
        self.first_temperature_c = self.sensors.read(time.monotonic()).temperature_c
        if not self.sensors.has_energy:
            return
        with Monitor(self) as monitor:
            time.sleep(seconds)
        self.idle_power_w = power_w(monitor.readings, self.ranges_uj)

    def cool(self) -> float:
        """Wait until the processor is as cool as before the first run and not throttled, at most `cool_s`.

        Return the seconds that this took.
        """
        begun_s = time.monotonic()
        while self._is_hot() and time.monotonic() - begun_s < self.cool_s:
            time.sleep(min(_COOLING_PERIOD_S, self.cool_s))
        return time.monotonic() - begun_s

    def _is_hot(self) -> bool:
        reading = self.sensors.read(time.monotonic(), with_command=True)
        if any(brake.is_on for brake in reading.brakes if brake is not None):
            return True
        if reading.temperature_c is None or self.first_temperature_c is None:
            return False
        return reading.temperature_c > self.first_temperature_c + _COOL_ENOUGH_C


class Monitor:
    """A context in which the sensors of a board are read at its start, at its end and every 100 ms."""

    def __init__(self, board: Board) -> None:
        self._board = board
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="edgeload board", daemon=True)
        self.readings: list[BoardReading] = []

    def __enter__(self) -> Self:
        if self._board.sensors:
            self.readings.append(self._board.sensors.read(time.monotonic(), with_command=True))
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._thread.ident is not None:
            self._stop.set()
            self._thread.join()
            self.readings.append(self._board.sensors.read(time.monotonic(), with_command=True))

    def _watch(self) -> None:
        while not self._stop.wait(PERIOD_S):
            self.readings.append(self._board.sensors.read(time.monotonic()))

    def metrics(self) -> dict[str, float]:
        """Return the metrics of the time in this context, by name. Call it after the context has ended."""
        return board_metrics(self.readings, self._board.ranges_uj, self._board.idle_power_w)
