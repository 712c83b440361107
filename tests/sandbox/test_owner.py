"""A name alone shows which session gave it, and whether that session still lives."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_edgeload.sandbox.owner import PREFIX, belongs_to, is_abandoned, tag
from tests.sandbox.child import Child

OWN = tag(os.getpid())
with Child() as _child:
    GONE = tag(_child.pid)

endings = st.just("") | st.from_regex(r"-[\w.-]+", fullmatch=True)
tags = st.builds("{}-{}".format, st.integers(1, 300), st.integers(1, 300))


def test_tag_identifies_a_process() -> None:
    """A tag is a process's id and its start time, which differs from its parent's."""
    with Child() as child:
        assert tag(child.pid).startswith(f"{child.pid}-")
        assert tag(child.pid) == tag(child.pid)
        started = [int(text.split("-")[1]) / os.sysconf("SC_CLK_TCK") for text in (tag(child.pid), OWN)]
        seen = [psutil.Process(pid).create_time() for pid in (child.pid, os.getpid())]
        assert started[0] - started[1] == pytest.approx(seen[0] - seen[1], abs=0.1)


def test_dead_process_has_no_tag() -> None:
    """A process that is gone, waited for or not, has no tag."""
    with Child() as child:
        child.process.kill()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        with pytest.raises(ProcessLookupError, match=f"no process {child.pid}"):
            tag(child.pid)
    with pytest.raises(ProcessLookupError, match=f"no process {child.pid}"):
        tag(child.pid)


@given(endings)
def test_name_of_a_living_process_is_not_abandoned(ending: str) -> None:
    """No name of a living process is abandoned."""
    assert not is_abandoned(PREFIX + OWN + ending)
    assert belongs_to(PREFIX + OWN + ending, OWN)


@given(endings)
def test_name_of_a_dead_process_is_abandoned(ending: str) -> None:
    """Every name of a dead process is abandoned."""
    assert is_abandoned(PREFIX + GONE + ending)
    assert not belongs_to(PREFIX + GONE + ending, OWN)


def test_name_of_a_zombie_is_abandoned() -> None:
    """A session that has exited is dead, even before it is waited for."""
    with Child() as child:
        name = PREFIX + tag(child.pid)
        assert not is_abandoned(name)
        child.process.kill()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert is_abandoned(name)


def test_reused_number_does_not_keep_a_name() -> None:
    """Another process with the number of a dead one does not keep that one's names."""
    pid, start, *rest = OWN.split("-")
    assert is_abandoned(PREFIX + "-".join([pid, str(int(start) + 1), *rest]))


def test_odd_command_has_a_tag(tmp_path: os.PathLike[str]) -> None:
    """A process whose command looks like fields of the kernel has a tag like any other."""
    odd = os.path.join(tmp_path, "x) Z 1 (y")  # noqa: PTH118  # the name of a program, not of a place
    os.symlink(sys.executable, odd)  # noqa: PTH211
    with Child(program=odd) as child:
        assert child.do("again") == "intact"
        assert not is_abandoned(PREFIX + tag(child.pid))
        assert tag(child.pid).split("-")[0] == str(child.pid)


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("unshare"), reason="needs root and unshare (util-linux)")
def test_session_in_a_container_is_not_abandoned() -> None:
    """A living session in a container, with other numbers outside, is not abandoned."""
    script = "import os, sys; from pytest_edgeload.sandbox.owner import tag; print(tag(os.getpid())); sys.stdin.read()"
    command = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc", sys.executable, "-uc", script]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as container:
        assert container.stdout is not None
        inside = container.stdout.readline().strip()
        assert inside.startswith("1-")
        assert not is_abandoned(PREFIX + inside)
        container.communicate()


@given(st.text())
def test_foreign_name_is_not_ours(name: str) -> None:
    """A name that no session gives is neither abandoned nor ours."""
    assert not is_abandoned(name)
    assert not belongs_to(name, OWN)


@pytest.mark.parametrize(
    "form",
    [
        *["{}", "xedgeload-{}", "edgeload--{}", "edgeload-{}x", "edgeload-{}-", "edgeload-{}.swap", "edgeload-{}/x"],
        *["edgeload-{}\n", "edgeload-{}-a b", "edgeload-1", "edgeload-notes", "edgeload-"],
    ],
)
def test_similar_name_is_not_ours(form: str) -> None:
    """A name that only looks like ours is not ours."""
    name = form.format(GONE)
    assert not is_abandoned(name)
    assert not belongs_to(name, OWN)


@given(tags, tags, endings)
def test_name_belongs_to_one_session(one: str, other: str, ending: str) -> None:
    """A name belongs to the session that gave it, and to no other with a similar tag."""
    assert belongs_to(PREFIX + one + ending, one)
    assert belongs_to(PREFIX + one + ending, other) == (one == other)
