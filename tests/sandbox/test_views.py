"""What a machine's cgroups look like from elsewhere on it: version 1, and both; tests/uml has version 2.

Each view is a mount namespace, which is gone with the process in it.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pytest_edgeload.sandbox.caps import CAPS, hierarchy

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("unshare") is None or CAPS["cgroup1"].unavailable() is not None,
    reason="only root with version 1 of cgroups, and unshare of util-linux, has these views",
)

ROOT = Path(__file__).resolve().parents[2]
MOUNTED = ("unshare", "--mount")
READ_ONLY = """
for mount in /sys/fs/cgroup /sys/fs/cgroup/*; do
    if mountpoint -q "$mount"; then mount -o remount,ro,bind "$mount"; fi
done
exec "$@"
"""
"""As a plain container has it."""

TEST = """
import os

def hold(mib):
    return len(bytearray(mib << 20))

def test_fits(edge):
    measurement = edge.call(hold, 16, memory="64M")
    assert measurement.outcome == "ok", measurement.detail

def test_does_not(edge):
    measurement = edge.call(hold, 96, memory="64M")
    assert measurement.outcome == os.environ["OUTCOME"], measurement.detail
"""
"""A function that fits under its limit, and one that does not and ends as is expected."""


def session(folder: Path, *prefix: str, outcome: str, options: tuple[str, ...] = ()) -> tuple[int, str]:
    """Run pytest on TEST behind a command prefix; return its exit status and output."""
    (folder / "test_holding.py").write_text(TEST)
    plugins = ["-p", "no:cacheprovider", "-p", "edgeload"]
    command = [sys.executable, "-m", "pytest", *plugins, "--edge-swap=off", *options]
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "GITHUB_"))}
    ours = {"OUTCOME": outcome, "PYTEST_EDGE_CACHE_DIR": str(folder / "cache"), "COLUMNS": "120"}
    ours["PYTHONPATH"] = str(ROOT)  # whatever is installed
    env = kept | ours | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}  # other plugins take seconds in a slow kernel
    done = subprocess.run([*prefix, *command], check=False, cwd=folder, env=env, capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


def attempt(*words: str, script: str = 'exec "$@"', prefix: tuple[str, ...] = ()) -> dict[str, str]:
    """Run attempt.py behind a shell's script that prepares its view; return its result."""
    program = [sys.executable, "-m", "tests.sandbox.attempt", *words]
    done = subprocess.run(
        [*prefix, "sh", "-ec", script, "sh", *program], check=False, capture_output=True, text=True, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr
    told: dict[str, str] = json.loads(done.stdout)
    return told


@pytest.fixture
def inside(fresh: Callable[[], str]) -> Iterator[Path]:
    """Yield a group of version 1 for memory next to pytest's own, and remove it afterwards."""
    mount = hierarchy.mount_of("cgroup", "memory")
    assert mount is not None
    folder = mount[0] / fresh()
    folder.mkdir()
    yield folder
    hierarchy.remove(folder)


def test_read_only_session_is_not_enforced(tmp_path: Path) -> None:
    """If no group can be created, `auto` measures without a limit and says `NOT enforced`."""
    status, said = session(tmp_path, *MOUNTED, "sh", "-ec", READ_ONLY, "sh", outcome="ok")
    assert status == 0, said
    assert "NOT enforced (cap none)" in said


def test_read_only_version_1_is_refused() -> None:
    """A requested version 1 is refused in words that fit root as well: the obstacle, and both hints."""
    told = attempt("cgroup1", script=READ_ONLY, prefix=MOUNTED)
    point = hierarchy.mount_of("cgroup", "memory")
    assert point is not None
    assert told == {
        "refused": f"cap=cgroup1: {point[0]}: mounted read-only, as in most containers; "
        f"start the container as {hierarchy.CONTAINER}, or, if allowed: mount -o remount,rw,bind {point[0]}; "
        "try cap=auto"
    }


def test_hint_for_read_only_works() -> None:
    """The command in the hint makes the limit work."""
    point = hierarchy.mount_of("cgroup", "memory")
    assert point is not None
    mended = READ_ONLY.replace("exec", f"mount -o remount,rw,bind {point[0]}; exec")
    assert attempt("auto", script=mended, prefix=MOUNTED)["outcome"] == "oom"


def test_hybrid_takes_version_1() -> None:
    """With memory in version 1 and version 2 without it, `auto` takes version 1, and version 2 is refused."""
    mount = hierarchy.mount_of("cgroup2")
    script = 'exec "$@"' if mount else 'mkdir -p /tmp/unified; mount -t cgroup2 none /tmp/unified; exec "$@"'
    assert attempt("auto", script=script, prefix=MOUNTED)["cap"] == "cgroup1"
    assert attempt("cgroup2", script=script, prefix=MOUNTED) == {
        "refused": "cap=cgroup2: the cgroup v2 hierarchy has no memory controller here, because version 1 has it; "
        "boot with systemd.unified_cgroup_hierarchy=1; try cap=auto"
    }


@pytest.mark.parametrize("namespace", [(), ("--cgroup",)], ids=["mounts", "mounts and groups"])
def test_limit_holds_in_a_container(inside: Path, namespace: tuple[str, ...]) -> None:
    """In a container, with a group of the host as root, the limit is enforced."""
    script = f'echo 0 >{inside}/cgroup.procs; exec "$@"'
    bound = f'mount --bind {inside} {inside.parent}; exec "$@"'
    prefix = ("sh", "-ec", script, "sh", "unshare", "--mount", *namespace)
    assert attempt("cgroup1", script=bound, prefix=prefix)["outcome"] == "oom"


def test_limit_above_that_of_the_parent_is_refused(inside: Path) -> None:
    """A limit above that of a parent group is refused, with the parent's; one below it is enforced."""
    script = f'echo 100M >{inside}/memory.limit_in_bytes; echo 0 >{inside}/cgroup.procs; exec "$@"'
    assert attempt("cgroup1", str(200 << 20), script=script)["refused"] == (
        f"memory limit 200M: would not take effect, because {inside}/memory.limit_in_bytes is 100M; "
        "ask for less than that, or have it raised"
    )
    assert attempt("cgroup1", script=script)["outcome"] == "oom"


def test_limit_of_the_parent_is_named_if_it_is_reached(inside: Path) -> None:
    """A run that fits below its own limit, but not with pytest below the parent's, is killed at the parent's."""
    limits = (f"{inside}/memory.limit_in_bytes", f"{inside}/memory.memsw.limit_in_bytes")
    script = f'for file in {" ".join(limits)}; do echo 100M >$file; done; echo 0 >{inside}/cgroup.procs; exec "$@"'
    told = attempt("cgroup1", str(100 << 20), script=script)
    named = [f"at the limit of the groups around it, memory 100M ({file}), before its own of 100M" for file in limits]
    assert told["detail"] in [f"killed by the kernel {words}" for words in named]


def test_tighter_limits_are_shown(fresh: Callable[[], str], tmp_path: Path) -> None:
    """Header and rows name the limits of groups around that hold runs tighter than the table says."""
    mount = hierarchy.mount_of("cgroup", "cpu")
    if mount is None:
        pytest.skip("no cpu controller of version 1")
    folder = mount[0] / fresh()
    folder.mkdir()
    script = f'echo 50000 >{folder}/cpu.cfs_quota_us; echo 0 >{folder}/cgroup.procs; exec "$@"'
    try:
        status, said = session(tmp_path, "sh", "-ec", script, "sh", outcome="oom")
    finally:
        hierarchy.remove(folder)
    assert status == 0, said
    limit = f"cpus 0.5 ({folder}/cpu.cfs_quota_us)"
    assert f"edgeload: groups around pytest hold every run to {limit}" in said
    assert f"a group around it held it to {limit}" in said
