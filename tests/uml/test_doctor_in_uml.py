"""The doctor under cgroup v2, with root's rights and without any but a user manager."""

from __future__ import annotations

import json

import pytest

from tests.cli.commands import COMMAND
from tests.uml import kernel
from tests.uml.test_systemd_in_uml import AS_USER, pytestmark  # noqa: F401  # skips here as there

DOCTOR = [*COMMAND, "doctor", "--json"]


@pytest.mark.parametrize(
    ("command", "yes", "no"),
    [
        (DOCTOR, {"cap cgroup2", "cpu controller", "swap can be made", "root"}, {"cap systemd"}),
        ([*AS_USER, *DOCTOR], {"cap cgroup2", "cap systemd"}, {"cpu controller", "swap can be made", "root"}),
    ],
    ids=["root", "user"],
)
def test_doctor(command: list[str], yes: set[str], no: set[str]) -> None:
    """It finds what root can do, and what a user can do to whom memory and io were given, but no processor time."""
    environment = {"PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": str(kernel.REPOSITORY)}
    done = kernel.run(command, environment=environment)
    assert (done.returncode, done.stderr) == (0, "")
    found = {row["what"]: row["ok"] for row in json.loads(done.stdout)}
    always = {"memory controller", "--edge-cap=auto", "io controller", "reads can be throttled", "cold page cache"}
    assert {what for what in yes | always if not found[what]} == set()
    assert {what for what in no | {"cpuset controller", "cap cgroup1"} if found[what]} == set()
