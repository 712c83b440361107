"""Run tests of this repository in the guest, and return how each of them ended."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Mapping
from types import MappingProxyType

from tests.uml import kernel

_OUTCOME = re.compile(r"^(tests/\S+::\S+) (PASSED|FAILED|ERROR|SKIPPED)", re.MULTILINE)
_PLUGINS = ("-p", "xdist", "-p", "edgeload")
_OPTIONS = ("-p", "no:cacheprovider", "-o", "edge_html=", "-v")  # not every user of the guest may write here
_PYTEST = (sys.executable, "-B", "-m", "pytest", *_PLUGINS, *_OPTIONS)


def outcomes(
    *files: str,
    chosen: str = "",
    behind: tuple[str, ...] = (),
    then: str = "true",
    environment: Mapping[str, str] = MappingProxyType({}),
) -> dict[str, str]:
    """Return how each test of `files` ended that `chosen`, as for -k, chooses; in one boot. All have passed.

    `behind` is a command prefix; after pytest the shell command `then` is run, and may say nothing.
    """
    script = f"{shlex.join([*_PYTEST, *files, '-k', chosen])}; status=$?; {then}; exit $status"
    # Plugins of others take seconds to start there.
    variables = {"COLUMNS": "200", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", **environment}
    done = kernel.run([*behind, "sh", "-c", script], memory="1536M", timeout_s=500, environment=variables)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1].endswith("=="), done.stdout  # pytest's last line
    found = dict(_OUTCOME.findall(done.stdout))
    assert {*found.values()} == {"PASSED"}, done.stdout
    return found
