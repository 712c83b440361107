"""The comparison with a baseline that the options of a session ask for."""

from __future__ import annotations

from collections.abc import Mapping

from pytest_edgeload.base.errors import UsageError
from pytest_edgeload.plugin.options import Given, source
from pytest_edgeload.plugin.settings import Settings
from pytest_edgeload.results import comparison
from pytest_edgeload.results.comparison import BaselineComparison
from pytest_edgeload.results.document import Machine
from pytest_edgeload.results.gate import Gate


def find(
    settings: Settings, given: Mapping[str, Given], machine: Machine, hosts: Mapping[str, Machine]
) -> BaselineComparison:
    """Return the comparison that the options ask for, for records of `machine` or of `hosts`. Raises UsageError."""
    thresholds, is_strict = settings.compare_fail, settings.strict
    if not settings.compare:
        return BaselineComparison(Gate(thresholds, is_strict=is_strict))
    try:
        return comparison.find(settings.storage, settings.compare, thresholds, machine, hosts, is_strict=is_strict)
    except UsageError as error:
        raise error.within(source("compare" if "compare" in given else "compare-fail", given)) from None
