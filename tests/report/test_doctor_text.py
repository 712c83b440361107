"""The doctor's checks, as text and as JSON."""

from __future__ import annotations

import json

from pytest_edgeload.report import doctor
from pytest_edgeload.sandbox.doctor import Check

FINE = Check("limit", "memory controller", ok=True, found="version 2", hint="mount it", weight="required")
BETTER = Check("limit", "cpu controller", ok=False, found="none", hint="ask root", weight="desirable")
INFORMATIVE = Check("rights", "root", ok=False, found="user 1", hint="sudo", weight="informative")
LACKING = Check("limit", "cap auto", ok=False, found="none", hint="get a cap", weight="required")


def test_hints_follow_the_table_by_weight() -> None:
    """Each check is a line, an area is named once, and failed checks have hints, the most important first."""
    lines = doctor.text([INFORMATIVE, FINE, BETTER]).splitlines()
    assert [line.split() for line in lines[2:5]] == [
        ["rights", "root", "no", "user", "1"],
        ["limit", "memory", "controller", "yes", "version", "2", "yes"],
        ["cpu", "controller", "NO", "none", "better"],
    ]
    assert lines[6:] == [
        "if the answer is no, this helps:", "  cpu controller: ask root", "  root: sudo", "",
        "a memory limit can be enforced and measured here; better with: cpu controller",
    ]  # fmt: skip


def test_no_failed_check_has_no_hints() -> None:
    """Without a failed check there are no hints."""
    assert doctor.text([FINE]).splitlines()[3:] == ["", "a memory limit can be enforced and measured here"]


def test_missing_requirements_end_the_text() -> None:
    """The last line names missing requirements."""
    checks = [FINE, BETTER, LACKING, INFORMATIVE]
    assert doctor.text(checks).endswith(
        "NO memory limit can be enforced and measured here, because these are missing: cap auto"
    )
    assert doctor.failures(checks) == [LACKING]
    assert doctor.failures(checks, "desirable") == [BETTER]


def test_json_has_every_field() -> None:
    """JSON has all fields of every check."""
    assert json.loads(doctor.json([INFORMATIVE])) == [
        {"area": "rights", "what": "root", "ok": False, "found": "user 1", "hint": "sudo", "weight": "informative"}
    ]
