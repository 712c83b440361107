"""What version 2 of cgroups looks like to others than root at its root; in the guest, where pytest is told this file.

Each test has a group `given` of its own, in which memory can be limited, and a leaf in it to start from.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pytest_edgeload.sandbox.caps import hierarchy
from pytest_edgeload.sandbox.doctor import examine
from tests.sandbox.test_views import MOUNTED, READ_ONLY, attempt, session

ROOT = Path("/sys/fs/cgroup")
GIVEN = ROOT / "given"
USER = 65534
# The user may read all files, as the environment of the tests may be another's, but write none.
MAY = "-all,+dac_read_search"
AS_USER = f"setpriv --reuid={USER} --regid={USER} --clear-groups --inh-caps={MAY} --ambient-caps={MAY}"
FROM_LEAF = f'echo 0 >{GIVEN}/leaf/cgroup.procs; exec {AS_USER} "$@"'
HOLDS = {"cap": "cgroup2", "outcome": "oom", "detail": "killed by the kernel at its limit of 64M"}


@pytest.fixture(autouse=True)
def given() -> Iterator[None]:
    """Make the group, delegate it as the kernel's documentation says, and remove it afterwards."""
    (ROOT / "cgroup.subtree_control").write_text("+memory")
    (GIVEN / "leaf").mkdir(parents=True)
    hand_over("", "cgroup.procs", "cgroup.subtree_control", "leaf", "leaf/cgroup.procs")
    yield
    for folder in sorted(GIVEN.rglob("*/"), reverse=True):
        hierarchy.remove(folder)
    hierarchy.remove(GIVEN)


def hand_over(*files: str, user: int = USER) -> None:
    """Return files of the group to a user."""
    for file in files:
        os.chown(GIVEN / file, user, user)


def refused(cap: str = "cgroup2", script: str = FROM_LEAF) -> str:
    """Return the refusal, without the option before it and the way out that every refusal has."""
    told = attempt(cap, script=script)["refused"]
    return told.removeprefix(f"cap={cap}: ").removesuffix("; try cap=auto")


def test_guest_has_version_2_alone() -> None:
    """The guest has one hierarchy, version 2, and starts at its root."""
    mounts = [line for line in Path("/proc/self/mountinfo").read_text().splitlines() if " - cgroup" in line]
    assert [" / /sys/fs/cgroup " in line and " - cgroup2 " in line for line in mounts] == [True]
    assert Path("/proc/self/cgroup").read_text() == "0::/\n"


def test_delegated_group_enforces_limits(tmp_path: Path) -> None:
    """A user with a delegated group has sessions under an enforced limit: a network that fits is ok, another is oom."""
    os.chown(tmp_path, USER, USER)
    for folder in (tmp_path.parent, tmp_path.parent.parent):
        folder.chmod(0o755)
    status, said = session(tmp_path, "sh", "-ec", FROM_LEAF, "sh", outcome="oom", options=("--edge-cap=cgroup2",))
    assert status == 0, said
    assert "enforced by cgroup2" in said
    assert "2 passed" in said


def test_missing_delegation_has_a_hint() -> None:
    """A user without one is told who may create groups, and how to get one; `auto` runs without a limit."""
    assert refused(script=f'exec {AS_USER} "$@"') == (
        "cgroup v2: no group above this process can be written to and delegate memory; "
        "run as root, or under a delegated group: systemd-run --user --scope -p Delegate=yes pytest ..."
    )
    assert attempt("auto", script=f'exec {AS_USER} "$@"')["cap"] == "none"


@pytest.mark.parametrize("file", ["cgroup.procs", "cgroup.subtree_control"])
def test_partial_delegation_has_a_hint_that_works(file: str) -> None:
    """If only one file of the group is missing, the hint has the command that repairs it."""
    hand_over(file, user=0)
    hint = f"cd {GIVEN} && chown {USER} {file}"
    assert refused() == f"{GIVEN}: writable, but not its {file}; have root run: {hint}"
    subprocess.run(hint, shell=True, check=True)  # noqa: S602  # as whoever reads it would
    assert attempt("cgroup2", script=FROM_LEAF) == HOLDS


def test_missing_controller_has_a_hint_that_works() -> None:
    """If the group has no memory controller, the hint has the command that repairs it."""
    (ROOT / "cgroup.subtree_control").write_text("-memory")
    hint = f"echo +memory > {ROOT}/cgroup.subtree_control"
    assert refused() == f"{GIVEN}: has no memory controller; have root run: {hint}"
    subprocess.run(hint, shell=True, check=True)  # noqa: S602
    assert attempt("cgroup2", script=FROM_LEAF) == HOLDS


def test_limit_above_that_of_the_group_is_refused() -> None:
    """A limit above that of the delegated group is refused, with the group's; one below it is enforced."""
    (GIVEN / "memory.max").write_text("100M")
    assert attempt("cgroup2", str(200 << 20), script=FROM_LEAF)["refused"] == (
        f"memory limit 200M: would not take effect, because {GIVEN}/memory.max is 100M; "
        "ask for less than that, or have it raised"
    )
    assert attempt("cgroup2", script=FROM_LEAF) == HOLDS
    (GIVEN / "memory.high").write_text("80M")
    assert f"because {GIVEN}/memory.high is 80M" in attempt("cgroup2", str(100 << 20), script=FROM_LEAF)["refused"]


def test_limit_of_the_group_is_named_if_it_is_reached() -> None:
    """A run that fits below its own limit, but not with pytest below the group's, is killed at the group's."""
    (GIVEN / "memory.max").write_text("100M")
    (GIVEN / "memory.swap.max").write_text("0")
    assert attempt("cgroup2", str(100 << 20), script=FROM_LEAF)["detail"] == (
        f"killed by the kernel at the limit of the groups around it, memory 100M ({GIVEN}/memory.max), "
        "before its own of 100M"
    )


def test_limits_of_groups_around_are_found() -> None:
    """The limits of swap and processor time that a group around sets are found from a leaf in it."""
    (ROOT / "cgroup.subtree_control").write_text("+cpu")
    (GIVEN / "memory.swap.max").write_text("0")
    (GIVEN / "cpu.max").write_text("50000 100000")
    program = "from pytest_edgeload.sandbox.caps import CAPS; print(*CAPS['cgroup2'].outer().limits)"
    command = ["sh", "-ec", FROM_LEAF, "sh", sys.executable, "-c", program]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert done.stdout.strip() == f"cpus 0.5 ({GIVEN}/cpu.max) swap off ({GIVEN}/memory.swap.max)"


def test_busy_group_has_a_hint_that_works() -> None:
    """A user whose group contains processes gets the commands that move them; then the limit is enforced."""
    (GIVEN / "leaf").rmdir()
    script = f'echo 0 >{GIVEN}/cgroup.procs; exec {AS_USER} "$@"'
    told, _, hint = refused(script=script).partition("; ")
    assert told == f"{GIVEN}: contains processes, so its groups cannot have the controllers memory"
    _, _, command = hint.partition(": ")
    mended = f'echo 0 >{GIVEN}/cgroup.procs; exec {AS_USER} sh -c \'{command}; exec "$@"\' sh "$@"'
    assert attempt("cgroup2", script=mended) == HOLDS


def test_groups_of_root_are_created_above() -> None:
    """The groups of root in a group with processes are created in the one above."""
    script = f'echo 0 >{GIVEN}/leaf/cgroup.procs; exec "$@"'
    assert attempt("auto", script=script) == HOLDS


def test_user_sees_the_limit_in_a_user_namespace(tmp_path: Path) -> None:
    """A user with a delegated group sees the limit of a run, is the same user there, and has no more rights."""
    for folder in (tmp_path.parent, tmp_path.parent.parent):
        folder.chmod(0o755)
    os.chown(tmp_path, USER, USER)
    plugins = ("-p", "no:cacheprovider", "-p", "xdist", "-p", "edgeload")
    options = (*plugins, "-o", "edge_html=", f"--basetemp={tmp_path}/base", "-q")
    test = "tests/sandbox/test_visible.py::test_files_show_the_limit_to_the_user_of_runs[cgroup2]"
    command = ["sh", "-ec", FROM_LEAF, "sh", sys.executable, "-B", "-m", "pytest", *options, test]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert "1 passed" in done.stdout, done.stdout + done.stderr


OWN_MOUNT = "umount /sys/fs/cgroup; mount -t cgroup2 none /sys/fs/cgroup; "


@pytest.mark.parametrize("mount", ["", OWN_MOUNT], ids=["hosts", "own"])
def test_limit_holds_in_a_cgroup_namespace(mount: str) -> None:
    """In a cgroup namespace the limit is enforced: by the host's mount, or its own once its root has no processes."""
    (GIVEN / "leaf").rmdir()
    enter = f'echo 0 >{GIVEN}/cgroup.procs; exec unshare --mount --cgroup sh -c \'{mount}{{}} exec "$@"\' sh "$@"'
    leave = ""
    if mount:
        told, _, hint = refused(script=enter.format("")).partition("; ")
        assert told == f"{ROOT}: contains processes, so its groups cannot have the controllers memory"
        leave = f"{hint.partition(': ')[2]};"
    assert attempt("cgroup2", script=enter.format(leave)) == HOLDS


def test_read_only_mount_has_hints(tmp_path: Path) -> None:
    """As in a plain container: `auto` measures without a limit and says so; `cgroup2` is refused with hints."""
    status, said = session(tmp_path, *MOUNTED, "sh", "-ec", READ_ONLY, "sh", outcome="ok")
    assert status == 0, said
    assert "NOT enforced (cap none)" in said
    told = attempt("cgroup2", script=READ_ONLY, prefix=MOUNTED)["refused"]
    assert told == (
        "cap=cgroup2: /sys/fs/cgroup: mounted read-only, as in most containers; start the container as "
        f"{hierarchy.CONTAINER}, or, if allowed: mount -o remount,rw,bind /sys/fs/cgroup; try cap=auto"
    )


def test_doctor_finds_the_limits_of_root(tmp_path: Path) -> None:
    """The doctor finds the limits that root has there."""
    found = {row.what: row.ok for row in examine(tmp_path)}
    yes = {"cap cgroup2", "memory controller", "cap auto", "io controller", "cpu controller", "root"}
    yes |= {"reads can be throttled", "cold page cache", "swap can be created"}
    assert {what for what in yes if not found[what]} == set()
    assert {what for what in ("cap systemd", "cap cgroup1", "cpuset controller") if found[what]} == set()
