"""Under cgroup v2 as root, workers give up root's rights as elsewhere: the sandbox's own tests, run in there."""

from __future__ import annotations

import re
import sys

import pytest

from tests.uml import kernel

pytestmark = pytest.mark.skipif(kernel.available() is not None, reason=kernel.available() or "")

RIGHTS = [
    f"tests/sandbox/test_user.py::{test}[cgroup2]"
    for test in ("test_rights", "test_rights_from_outside", "test_reads", "test_may_not")
]
_OUTCOME = re.compile(r"^(tests/\S+::\S+) (PASSED|FAILED|ERROR|SKIPPED)", re.MULTILINE)


def test_rights() -> None:
    """They run as nobody, read what root reads, and can neither write, nor signal, nor leave their group."""
    command = [sys.executable, "-B", "-m", "pytest", "-p", "no:cacheprovider", "-p", "pytest_edgeload.plugin", "-v"]
    environment = {"COLUMNS": "200", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}  # others' plugins take seconds in there
    done = kernel.run([*command, *RIGHTS], memory="768M", environment=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    assert dict(_OUTCOME.findall(done.stdout)) == dict.fromkeys(RIGHTS, "PASSED")
