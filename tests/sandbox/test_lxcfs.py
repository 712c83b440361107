"""The view `limit` with the real LXCFS: free memory changes as a program uses it.

LXCFS is mounted in a mount namespace of its own, so no other program of the machine sees it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pytest_edgeload.results import baseline
from pytest_edgeload.sandbox.caps import CAPS
from tests.cli.commands import COMMAND, environment
from tests.plugin.sessions import PATIENCE_S
from tests.sandbox.child import MIB

pytestmark = [
    pytest.mark.skipif(shutil.which("lxcfs") is None, reason="no lxcfs on this host (Debian package lxcfs)"),
    pytest.mark.skipif(
        os.geteuid() != 0 or not Path("/dev/fuse").exists(), reason="only root with /dev/fuse can mount LXCFS"
    ),
    pytest.mark.skipif(
        not any(cap.enforces and cap.unavailable() is None for cap in CAPS.values()), reason="no cap can be enforced"
    ),
]

MOUNTED = """\
lxcfs -f -p "$1/pid" "$1/mount" >"$1/log" 2>&1 &
server=$!
trap 'kill $server' EXIT
until [ -e "$1/mount/proc/meminfo" ]; do kill -0 $server || exit 3; sleep 0.05; done
shift
"$@"
"""
"""A shell script that runs a command while LXCFS is mounted in a folder."""

LOOK = """
import json, psutil
before = psutil.virtual_memory()
held = b"1" * (64 << 20)
after = psutil.virtual_memory()
print(json.dumps({"machine_bytes": before.total, "gone_bytes": before.available - after.available}))
"""


def test_lxcfs_shows_the_limit_and_what_is_left_of_it(tmp_path: Path) -> None:
    """A program sees its limit as the memory of the machine, and less of it available once it holds 64 MiB."""
    (tmp_path / "mount").mkdir()
    metrics = [f"--metric={name}=$.{name}" for name in ("machine_bytes", "gone_bytes")]
    options = ["--rounds=1", "--mem=200M", "--view=limit", *metrics, "--export=json=seen.json"]
    command = [*COMMAND, "run", *options, "--", sys.executable, "-c", LOOK]
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", MOUNTED, "sh", str(tmp_path), *command],
        check=False, cwd=tmp_path, env=environment(tmp_path), capture_output=True, text=True, timeout=PATIENCE_S,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    [record] = baseline.load(tmp_path / "seen.json").records
    own = record.rounds[0].own
    assert own["machine_bytes"].value == 200 * MIB
    assert own["gone_bytes"].value == pytest.approx(64 * MIB, abs=8 * MIB)
