"""From a name alone anyone can tell whose it is, and whether that session still lives."""

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


def test_tag() -> None:
    """A tag is a process's id and when it started, which its parent's is not."""
    with Child() as child:
        assert tag(child.pid).startswith(f"{child.pid}-")
        assert tag(child.pid) == tag(child.pid)
        started = [int(text.split("-")[1]) / os.sysconf("SC_CLK_TCK") for text in (tag(child.pid), OWN)]
        seen = [psutil.Process(pid).create_time() for pid in (child.pid, os.getpid())]
        assert started[0] - started[1] == pytest.approx(seen[0] - seen[1], abs=0.1)


def test_tag_of_nobody() -> None:
    """A process that is gone, waited for or not, has no tag."""
    with Child() as child:
        child.process.kill()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        with pytest.raises(ProcessLookupError, match=f"no process {child.pid}"):
            tag(child.pid)
    with pytest.raises(ProcessLookupError, match=f"no process {child.pid}"):
        tag(child.pid)


@given(endings)
def test_living(ending: str) -> None:
    """Nothing that a living process named after itself is abandoned."""
    assert not is_abandoned(PREFIX + OWN + ending)
    assert belongs_to(PREFIX + OWN + ending, OWN)


@given(endings)
def test_gone(ending: str) -> None:
    """All that a process named after itself is abandoned once it is gone."""
    assert is_abandoned(PREFIX + GONE + ending)
    assert not belongs_to(PREFIX + GONE + ending, OWN)


def test_zombie() -> None:
    """A session that has exited is gone, even if nobody has waited for it."""
    with Child() as child:
        name = PREFIX + tag(child.pid)
        assert not is_abandoned(name)
        child.process.kill()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert is_abandoned(name)


def test_number_used_again() -> None:
    """Another process that has got the number of one that is gone does not keep what that one left."""
    pid, start, *rest = OWN.split("-")
    assert is_abandoned(PREFIX + "-".join([pid, str(int(start) + 1), *rest]))


def test_odd_command(tmp_path: os.PathLike[str]) -> None:
    """A process whose command looks like the kernel's own words in between has a tag like any other."""
    odd = os.path.join(tmp_path, "x) Z 1 (y")  # noqa: PTH118  # the name of a program, not of a place
    os.symlink(sys.executable, odd)  # noqa: PTH211
    with Child(program=odd) as child:
        assert child.do("again") == "intact"
        assert not is_abandoned(PREFIX + tag(child.pid))
        assert tag(child.pid).split("-")[0] == str(child.pid)


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("unshare"), reason="needs root and unshare (util-linux)")
def test_container() -> None:
    """A living session in a container, whose processes have other numbers out here, is not taken for gone."""
    script = "import os, sys; from pytest_edgeload.sandbox.owner import tag; print(tag(os.getpid())); sys.stdin.read()"
    command = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc", sys.executable, "-uc", script]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as container:
        assert container.stdout is not None
        inside = container.stdout.readline().strip()
        assert inside.startswith("1-")
        assert not is_abandoned(PREFIX + inside)
        container.communicate()


@given(st.text())
def test_foreign(name: str) -> None:
    """Names that we never give are nobody's: neither abandoned nor ours."""
    assert not is_abandoned(name)
    assert not belongs_to(name, OWN)


@pytest.mark.parametrize(
    "form",
    [
        *["{}", "xedgeload-{}", "edgeload--{}", "edgeload-{}x", "edgeload-{}-", "edgeload-{}.swap", "edgeload-{}/x"],
        *["edgeload-{}\n", "edgeload-{}-a b", "edgeload-1", "edgeload-notes", "edgeload-"],
    ],
)
def test_near(form: str) -> None:
    """Names that only look like ours are nobody's."""
    name = form.format(GONE)
    assert not is_abandoned(name)
    assert not belongs_to(name, OWN)


@given(tags, tags, endings)
def test_belongs_to_one(one: str, other: str, ending: str) -> None:
    """A name belongs to the session it was given by, and to no other whose tag begins or ends alike."""
    assert belongs_to(PREFIX + one + ending, one)
    assert belongs_to(PREFIX + one + ending, other) == (one == other)
