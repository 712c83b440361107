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


def test_case_of_the_command_line_is_the_only_equal_case_of_tests() -> None:
    """A case without a test is compared with the case of a test, in both directions, if no other test has an equal one.

    Cases of different tests are never the same, and a name, a limit or a view that differs counts as always.
    """
    [bare, other] = [msgspec.structs.replace(CASE, test=test, parameters=()) for test in ("", "test_b.py::test_b")]
    tested, typed = msgspec.structs.replace(around(1.0), case=CASE), msgspec.structs.replace(around(2.0), case=bare)
    assert Sides.of([tested]).side(bare, None) == Side(tested)
    assert Sides.of([typed]).side(CASE, None) == Side(typed)
    assert Sides.of([tested]).side(other, None) is None
    assert Sides.of([tested, msgspec.structs.replace(tested, case=other)]).side(bare, None) is None
    for changed in ({"policy": "new"}, {"limit": "64M"}, {"view": "limit"}, {"device": "rpi3"}):
        assert Sides.of([tested]).side(msgspec.structs.replace(bare, **changed), None) is None


def test_reader_that_auto_chose_pairs_with_any_other() -> None:
    """A case whose reader `auto` chose pairs with one of `auto`, else of that reader, else with the only one."""
    auto = msgspec.structs.replace(CASE, reader="direct", is_reader_auto=True)
    read, direct, mapped = (
        msgspec.structs.replace(around(1.0), case=msgspec.structs.replace(CASE, reader=reader))
        for reader in ("read", "direct", "mmap")
    )
    changed = msgspec.structs.replace(direct, case=msgspec.structs.replace(auto, reader="read"))
    assert Sides.of([read, direct, changed]).side(auto, None) == Side(changed)
    assert Sides.of([read, direct]).side(auto, None) == Side(direct)
    assert Sides.of([read]).side(auto, None) == Side(read)
    assert Sides.of([read, mapped]).side(auto, None) is None
    assert Sides.of([changed]).side(CASE, None) == Side(changed)
    assert Sides.of([direct]).side(CASE, None) is None
    assert missing_cases([read], [Record(auto, ())]) == []


def test_policies_with_the_readers_of_auto_are_one_group() -> None:
    """The best readers of two policies may differ, and the policies are still compared with each other."""
    cases = [
        msgspec.structs.replace(CASE, policy=policy, reader=reader, is_reader_auto=True)
        for policy, reader in (("bulk", "read"), ("stream", "direct"))
    ]
    assert cases[0].group == cases[1].group
    records = [Record(case, ()) for case in cases]
    assert Sides.of(records).side(cases[1], "bulk") == Side(records[1], records[0])


def test_reference_of_a_paired_case_is_of_its_own_session() -> None:
    """The reference of a case that is compared with a test's case is that of the same test."""
    bare = msgspec.structs.replace(CASE, test="")
    tested = [Record(msgspec.structs.replace(CASE, policy=name), ()) for name in (CASE.policy, "other")]
    assert Sides.of(tested).side(bare, "other") == Side(*tested)
