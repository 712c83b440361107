"""The metrics in the values that a called function returned, one value per repetition."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from pytest_edgeload.base.text import printable
from pytest_edgeload.job import Returned
from pytest_edgeload.results.json_values import KeyPath, find, is_series, numbers, thinned


class ReturnedMetrics:
    """Numbers at these paths, by name of the metric. A list of numbers, or several values, are a series."""

    def __init__(self, paths: Mapping[str, KeyPath]) -> None:
        self._paths = paths
        self._numbers: dict[str, list[float]] = {name: [] for name in paths}
        self._series: set[str] = set()
        self._faults: dict[str, str] = {}

    def note(self, result: Any) -> None:
        """Take the numbers of one repetition."""
        for name, steps in self._paths.items():
            try:
                value = find(result, steps)
                self._numbers[name] += numbers(value)
            except Exception as error:  # noqa: BLE001  # a user's own object may raise anything
                self._faults.setdefault(name, printable(str(error)))
            else:
                if is_series(value):
                    self._series.add(name)

    def add_to(self, returned: Returned) -> Returned:
        """Return the event with the metrics, and the reasons why some have none."""
        found = {name: values for name, values in self._numbers.items() if name not in self._faults}
        metrics = {
            name: thinned(values) if name in self._series or len(values) != 1 else values[0]
            for name, values in found.items()
        }
        return msgspec.structs.replace(returned, metrics=metrics, faults=self._faults)
