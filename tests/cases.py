"""The case of tests that need any case."""

from __future__ import annotations

from pytest_edgeload.devices.constraints import Constraints
from pytest_edgeload.results.case import Case

CASE = Case(
    test="test_a.py::test_a",
    workload="mix",
    policy="bulk",
    reader="read",
    cap="cgroup2",
    swap="8G",
    limit="512M",
    constraints=Constraints(512 << 20, threads=2),
)
