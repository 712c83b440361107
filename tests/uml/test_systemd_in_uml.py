"""The cap `systemd`: the sandbox's own tests, run by a user without rights who has a user manager."""

from __future__ import annotations

import shutil

import pytest

from tests.uml import guest, kernel

pytestmark = [
    pytest.mark.skipif(kernel.available() is not None, reason=kernel.available() or ""),
    pytest.mark.skipif(
        shutil.which("systemd-run") is None, reason="no systemd-run on this host (Debian package systemd)"
    ),
]

_FILES = ("tests/sandbox/test_caps.py", "tests/uml/inside/manager.py")
# The user has no rights to drop; what takes long and is the same for `cgroup2`, whose groups these are, is left to it.
_CHOSEN = "manager or (systemd and not rights and not without_limit and not swaps and not throttle and not of_other)"
_UNITS = 'systemctl --user list-units --all --plain --no-legend "*edgeload*"'


def test_systemd_keeps_the_promises_of_the_table() -> None:
    """It keeps the promises of the table of caps and leaves no unit. A user with a manager needs no other rights."""
    found = guest.outcomes(*_FILES, chosen=_CHOSEN, behind=("sh", "tests/uml/manager.sh"), then=_UNITS)
    assert len([test for test in found if "[systemd" in test]) >= 11
    assert len([test for test in found if "manager.py" in test]) >= 2
