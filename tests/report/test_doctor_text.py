"""What the doctor found, as text and as JSON."""

from __future__ import annotations

import json

from pytest_edgeload.report import doctor
from pytest_edgeload.sandbox.doctor import Row

FINE = Row("limit", "memory controller", ok=True, found="version 2", way_out="mount it", weight="required")
BETTER = Row("limit", "cpu controller", ok=False, found="none", way_out="ask root", weight="wanted")
TOLD = Row("rights", "root", ok=False, found="user 1", way_out="sudo", weight="told")
LACKING = Row("limit", "--edge-cap=auto", ok=False, found="none", way_out="get a cap", weight="required")


def test_fit() -> None:
    """Each row stands in a line, an area is named once, and ways are given to what says no, what matters more first."""
    lines = doctor.text([TOLD, FINE, BETTER]).splitlines()
    assert [line.split() for line in lines[2:5]] == [
        ["rights", "root", "no", "user", "1"],
        ["limit", "memory", "controller", "yes", "version", "2", "yes"],
        ["cpu", "controller", "NO", "none", "better"],
    ]
    assert lines[6:] == [
        "where it says no, this helps:", "  cpu controller: ask root", "  root: sudo", "",
        "a memory limit can be enforced and measured here; better with: cpu controller",
    ]  # fmt: skip


def test_all_well() -> None:
    """Where nothing says no there are no ways out."""
    assert doctor.text([FINE]).splitlines()[3:] == ["", "a memory limit can be enforced and measured here"]


def test_unfit() -> None:
    """What is needed and missing is named last, and is all that is missing by weight."""
    rows = [FINE, BETTER, LACKING, TOLD]
    assert doctor.text(rows).endswith("NO memory limit can be enforced and measured here, for want of: --edge-cap=auto")
    assert doctor.missing(rows) == [LACKING]
    assert doctor.missing(rows, "wanted") == [BETTER]


def test_json() -> None:
    """JSON has all of every row."""
    assert json.loads(doctor.json([TOLD])) == [
        {"area": "rights", "what": "root", "ok": False, "found": "user 1", "way_out": "sudo", "weight": "told"}
    ]
