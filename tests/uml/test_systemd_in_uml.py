"""The cap `systemd`: the sandbox's own tests, run by a user without rights who has a user manager."""

from __future__ import annotations

import re
import shutil
import sys

import pytest

from tests.uml import kernel

pytestmark = [
    pytest.mark.skipif(kernel.available() is not None, reason=kernel.available() or ""),
    pytest.mark.skipif(
        shutil.which("systemd-run") is None, reason="no systemd-run on this host (Debian package systemd)"
    ),
]

AS_USER = ["sh", "tests/uml/manager.sh"]
_CONFORMANCE = "tests/sandbox/test_caps.py"
_OWN = "tests/sandbox/test_systemd.py"
# The user has no rights to drop; what takes long and is the same for `cgroup2`, whose groups these are, is left to it.
_CHOSEN = "systemd and not rights and not no_limit and not throttled"
_OUTCOME = re.compile(r"^tests/\S+::(\S+) (PASSED|FAILED|ERROR|SKIPPED)", re.MULTILINE)


def test_conformance() -> None:
    """It keeps what the table of caps promises, and leaves its manager no unit. Who has one needs no other rights."""
    tests = [sys.executable, "-B", "-m", "pytest", "-p", "no:cacheprovider", "-v", _CONFORMANCE, _OWN]
    script = f'"$@" -k "{_CHOSEN}"; systemctl --user list-units --all --plain --no-legend "*edgeload*"'
    command = [*AS_USER, "sh", "-c", script, "sh", *tests]
    done = kernel.run(command, memory="1024M", environment={"COLUMNS": "200"})
    outcomes = dict(_OUTCOME.findall(done.stdout))
    assert {*outcomes.values()} == {"PASSED"}, done.stdout + done.stderr
    assert len(outcomes) >= 17
    assert done.stdout.splitlines()[-1].endswith("=="), done.stdout  # pytest's last line, and no unit after it
