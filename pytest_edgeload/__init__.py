"""Benchmark loading policies: how the layers of neural networks are loaded and executed in little memory.

The public API is the names in `__all__`, `pytest_edgeload.strategies` for hypothesis, and `pytest_edgeload.runtime`.
All other modules are private and can change in any release. A public name is imported when it is first used, so
importing the package costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pytest_edgeload.base.errors import Unsupported as Unsupported
    from pytest_edgeload.base.errors import UsageError as UsageError
    from pytest_edgeload.base.units import Limit as Limit
    from pytest_edgeload.base.units import format_size as format_size
    from pytest_edgeload.engine.program import Answers as Answers
    from pytest_edgeload.engine.program import Forward as Forward
    from pytest_edgeload.engine.program import Load as Load
    from pytest_edgeload.engine.program import NetworkFiles as NetworkFiles
    from pytest_edgeload.engine.program import network_by_network as network_by_network
    from pytest_edgeload.exporting.materialise import materialise as materialise
    from pytest_edgeload.exporting.materialise import plain_module as plain_module
    from pytest_edgeload.inside import mark as mark
    from pytest_edgeload.inside import record as record
    from pytest_edgeload.job import Job as Job
    from pytest_edgeload.measuring.prediction import predict as predict
    from pytest_edgeload.measuring.speeds.store import load_speeds as load_speeds
    from pytest_edgeload.networks.feed import Feed as Feed
    from pytest_edgeload.networks.folder import verify_network as verify_network
    from pytest_edgeload.networks.inputs import Inputs as Inputs
    from pytest_edgeload.networks.layer import Layer as Layer
    from pytest_edgeload.networks.layer import Network as Network
    from pytest_edgeload.planning.check import check_plan as check_plan
    from pytest_edgeload.planning.machine_speeds import MachineSpeeds as MachineSpeeds
    from pytest_edgeload.planning.plan import Budget as Budget
    from pytest_edgeload.planning.plan import Builder as Builder
    from pytest_edgeload.planning.plan import InvalidPlan as InvalidPlan
    from pytest_edgeload.planning.plan import Plan as Plan
    from pytest_edgeload.planning.plan import Speeds as Speeds
    from pytest_edgeload.planning.plan import Task as Task
    from pytest_edgeload.planning.simulate import Simulation as Simulation
    from pytest_edgeload.planning.simulate import simulate as simulate
    from pytest_edgeload.plugin.fixtures import Edge as Edge
    from pytest_edgeload.plugin.hookspecs import RegisterNetwork as RegisterNetwork
    from pytest_edgeload.plugin.hookspecs import RegisterPeer as RegisterPeer
    from pytest_edgeload.plugin.hookspecs import RegisterPolicy as RegisterPolicy
    from pytest_edgeload.policies import POLICIES as POLICIES
    from pytest_edgeload.policies import Policy as Policy
    from pytest_edgeload.results.case import Case as Case
    from pytest_edgeload.results.measurement import METRICS as METRICS
    from pytest_edgeload.results.measurement import Measurement as Measurement
    from pytest_edgeload.results.metric import Metric as Metric
    from pytest_edgeload.results.metric import OwnMetric as OwnMetric
    from pytest_edgeload.results.record import Record as Record
    from pytest_edgeload.results.record import comparison_groups as comparison_groups
    from pytest_edgeload.results.source import MetricSource as MetricSource
    from pytest_edgeload.results.statistics import Spread as Spread
    from pytest_edgeload.results.statistics import ratio as ratio
    from pytest_edgeload.results.statistics import spread as spread
    from pytest_edgeload.skeleton import assign_weights as assign_weights
    from pytest_edgeload.workload import Mix as Mix
    from pytest_edgeload.workload.arrivals import Constant as Constant
    from pytest_edgeload.workload.arrivals import Exponential as Exponential
    from pytest_edgeload.workload.arrivals import Gamma as Gamma
    from pytest_edgeload.workload.arrivals import Normal as Normal
    from pytest_edgeload.workload.arrivals import Periodic as Periodic
    from pytest_edgeload.workload.arrivals import Poisson as Poisson
    from pytest_edgeload.workload.arrivals import Trace as Trace
    from pytest_edgeload.workload.arrivals import Uniform as Uniform
    from pytest_edgeload.workload.arrivals import Weibull as Weibull
    from pytest_edgeload.workload.request import Ask as Ask
    from pytest_edgeload.workload.request import Condition as Condition
    from pytest_edgeload.workload.request import Conditions as Conditions
    from pytest_edgeload.workload.request import Request as Request
    from pytest_edgeload.workload.request import Workload as Workload
    from pytest_edgeload.workload.streams import Stream as Stream

__version__ = "0.1.0"

_MODULES = {
    "base.errors": ("Unsupported", "UsageError"),
    "base.units": ("Limit", "format_size"),
    "engine.program": ("Answers", "Forward", "Load", "NetworkFiles", "network_by_network"),
    "exporting.materialise": ("materialise", "plain_module"),
    "inside": ("mark", "record"),
    "job": ("Job",),
    "measuring.prediction": ("predict",),
    "networks.folder": ("verify_network",),
    "measuring.speeds.store": ("load_speeds",),
    "networks.feed": ("Feed",),
    "networks.inputs": ("Inputs",),
    "networks.layer": ("Layer", "Network"),
    "planning.check": ("check_plan",),
    "planning.machine_speeds": ("MachineSpeeds",),
    "planning.plan": ("Budget", "Builder", "InvalidPlan", "Plan", "Speeds", "Task"),
    "planning.simulate": ("Simulation", "simulate"),
    "plugin.fixtures": ("Edge",),
    "plugin.hookspecs": ("RegisterNetwork", "RegisterPeer", "RegisterPolicy"),
    "policies": ("POLICIES", "Policy"),
    "results.case": ("Case",),
    "results.measurement": ("METRICS", "Measurement"),
    "results.metric": ("Metric", "OwnMetric"),
    "results.record": ("Record", "comparison_groups"),
    "results.source": ("MetricSource",),
    "results.statistics": ("Spread", "ratio", "spread"),
    "skeleton": ("assign_weights",),
    "workload": ("Mix",),
    "workload.arrivals": (
        "Constant",
        "Exponential",
        "Gamma",
        "Normal",
        "Periodic",
        "Poisson",
        "Trace",
        "Uniform",
        "Weibull",
    ),
    "workload.request": ("Ask", "Condition", "Conditions", "Request", "Workload"),
    "workload.streams": ("Stream",),
}
_MODULE_OF = {name: f"{__name__}.{module}" for module, names in _MODULES.items() for name in names}
__all__ = sorted(_MODULE_OF)  # noqa: PLE0605  # ruff accepts only a literal


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_MODULE_OF[name]), name)


def __dir__() -> list[str]:
    """Return the names of the public API, for `dir` and completion."""
    return [*__all__, "__version__", "strategies"]
