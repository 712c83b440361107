"""Documents of records made by hand, and views of them."""

from __future__ import annotations

from typing import Any

import msgspec

from pytest_edgeload.devices.constraints import Constraints
from pytest_edgeload.report.view import View
from pytest_edgeload.results.bootstrap import Interval
from pytest_edgeload.results.case import Case
from pytest_edgeload.results.document import Commit, Document, Machine
from pytest_edgeload.results.finding import Finding, Verdict
from pytest_edgeload.results.measurement import Measurement
from pytest_edgeload.results.record import SCHEMA, Record
from pytest_edgeload.results.statistics import Change
from pytest_edgeload.results.threshold import Figure
from tests import cases

CASE = msgspec.structs.replace(cases.CASE, test="suites/test_a.py::test_a")
IDLE = "threshold peak:10% judged nothing: there is no baseline"
MACHINE = Machine("Some CPU", 2, 8 << 30, "6.1", "3.11", "2.9")


def record(policy: str = "bulk", *rounds: dict[str, Any], **changes: Any) -> Record:
    """Return a record with a measurement for each of `rounds`, numbered, of outcome ok by default.

    `changes` are those of the case and of its constraints.
    """
    held = {name: changes.pop(name) for name in Constraints.__struct_fields__ if name in changes}
    constraints = msgspec.structs.replace(CASE.constraints, **held)
    made = (msgspec.convert({"outcome": "ok", "round": number} | m, Measurement) for number, m in enumerate(rounds))
    return Record(msgspec.structs.replace(CASE, policy=policy, constraints=constraints, **changes), tuple(made))


def document(*records: Record) -> Document:
    """Return a document of `records`."""
    return Document(
        SCHEMA, "2026-01-02T03:04:05Z", MACHINE, {}, records, Commit("0123456789abcdef", "main", is_dirty=True)
    )


def view(**changes: Any) -> View:
    """Return the default view with `changes`."""
    return View(**changes)


def finding(case: Case, verdict: Verdict = "regressed", **changes: Any) -> Finding:
    """Return a finding on the makespan of `case`, which is by default 50 % longer."""
    change = Change(0.5, Interval(0.4, 0.6))
    known: dict[str, Any] = {"then": 2.0, "now": 3.0, "change": change} | changes
    return Finding(case, Figure("makespan_s"), "makespan:10%", verdict, **known)
