"""Benchmark how the layers of several neural networks are loaded and executed in little memory.

The public names are loaded when first used, so that importing the package costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pytest_edgeload.base.errors import Unsupported as Unsupported
    from pytest_edgeload.base.errors import UsageError as UsageError
    from pytest_edgeload.base.units import Limit as Limit
    from pytest_edgeload.networks.inputs import Inputs as Inputs
    from pytest_edgeload.planning.plan import Budget as Budget
    from pytest_edgeload.planning.plan import Builder as Builder
    from pytest_edgeload.planning.plan import Plan as Plan
    from pytest_edgeload.planning.plan import Speeds as Speeds
    from pytest_edgeload.planning.plan import Task as Task
    from pytest_edgeload.plugin.fixtures import Edge as Edge
    from pytest_edgeload.policies import POLICIES as POLICIES
    from pytest_edgeload.policies import Policy as Policy
    from pytest_edgeload.results.record import Case as Case
    from pytest_edgeload.results.record import Measurement as Measurement
    from pytest_edgeload.results.record import Record as Record
    from pytest_edgeload.workload import Ask as Ask
    from pytest_edgeload.workload import Condition as Condition
    from pytest_edgeload.workload import Mix as Mix
    from pytest_edgeload.workload import Request as Request
    from pytest_edgeload.workload import Workload as Workload
    from pytest_edgeload.workload.arrivals import Constant as Constant
    from pytest_edgeload.workload.arrivals import Exponential as Exponential
    from pytest_edgeload.workload.arrivals import Normal as Normal
    from pytest_edgeload.workload.arrivals import Poisson as Poisson
    from pytest_edgeload.workload.arrivals import Trace as Trace
    from pytest_edgeload.workload.arrivals import Uniform as Uniform

__version__ = "0.1.0"

_HOMES = {
    "base.errors": ("Unsupported", "UsageError"),
    "networks.inputs": ("Inputs",),
    "planning.plan": ("Budget", "Builder", "Plan", "Speeds", "Task"),
    "plugin.fixtures": ("Edge",),
    "policies": ("POLICIES", "Policy"),
    "results.record": ("Case", "Measurement", "Record"),
    "base.units": ("Limit",),
    "workload": ("Ask", "Condition", "Mix", "Request", "Workload"),
    "workload.arrivals": ("Constant", "Exponential", "Normal", "Poisson", "Trace", "Uniform"),
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}
__all__ = sorted(_HOME_OF)  # noqa: PLE0605


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME_OF[name]}"), name)
