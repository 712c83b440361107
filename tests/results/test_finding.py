"""Findings, and the identity of their cases."""

from __future__ import annotations

import msgspec

from pytest_edgeload.devices.constraints import Constraints
from pytest_edgeload.results.finding import Side, Sides, identity, missing_cases
from pytest_edgeload.results.record import Record
from tests.results.test_judging import CASE, around


def test_case_that_only_the_baseline_has_is_missing() -> None:
    """A case that only the baseline has is missing if its test ran."""
    other = msgspec.structs.replace(CASE, policy="bulk")
    elsewhere = msgspec.structs.replace(CASE, test="suites/test_b.py::test_b")
    before = [Record(case, ()) for case in (CASE, other, elsewhere)]
    assert missing_cases(before, [Record(CASE, ())]) == [other]


def test_identity_ignores_the_cap_and_the_bytes_of_the_limit() -> None:
    """A case is the same in every session, also with other bytes for `base+` and with another cap."""
    moved = msgspec.structs.replace(CASE, constraints=Constraints(1, threads=2), cap="cgroup2", swap="off")
    assert identity(moved) == identity(CASE)
    assert Sides.of([around(1.0)]).side(moved, None) == Side(around(1.0))
    assert identity(msgspec.structs.replace(CASE, limit="1G")) != identity(CASE)


def test_identity_has_the_parameters() -> None:
    """Two cases whose tests have one id, because parameters contain hyphens, are not compared with each other."""
    pairs = ((("net", "resnet-50"), ("size", "small")), (("net", "resnet"), ("size", "50-small")))
    one, other = (identity(msgspec.structs.replace(CASE, parameters=parameters)) for parameters in pairs)
    assert one != other
