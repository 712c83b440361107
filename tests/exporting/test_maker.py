"""The maker ends when its session is killed, however early, and removes its unfinished files."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest

from pytest_edgeload.base.functions import search_path
from pytest_edgeload.networks.making import MakeNetwork
from pytest_edgeload.networks.store import Store
from tests.sandbox import witness

PARENT = """\
import os, signal, subprocess, sys
signal.signal(signal.SIGINT, signal.SIG_IGN)  # like a shell for `pytest &`
command = [sys.executable, "-P", "-m", "pytest_edgeload.exporting.maker", str(os.getpid())]
maker = subprocess.Popen(command, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
print(maker.pid, flush=True)
maker.wait()
"""


@contextmanager
def killed_parent(request: str = "") -> Iterator[int]:
    """Start a maker whose parent is killed in the end, and yield the id of the maker."""
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", PARENT], stdin=pipe, stdout=pipe, text=True) as parent:
        assert parent.stdin is not None
        assert parent.stdout is not None
        if request:  # otherwise the maker's input stays open until it has ended
            parent.stdin.write(request)
            parent.stdin.close()
        maker = int(parent.stdout.readline())
        try:
            yield maker
        finally:
            parent.kill()
        assert witness.until(lambda: not witness.alive(maker))


@pytest.mark.parametrize("after_s", [0.0, 0.2, 0.5])
def test_maker_ends_with_a_parent_killed_early(after_s: float) -> None:
    """The maker ends though PyTorch is not imported yet, Ctrl-C is ignored and its input stays open."""
    with killed_parent():
        time.sleep(after_s)


DEAF = """
import pathlib, time

def sleep():
    while True:
        time.sleep(0.1)  # a signal that comes just before one long sleep would wait for its end

def deaf():
    for _ in range({times}):
        try:
            pathlib.Path(__file__).with_name("started").touch()
            sleep()
        except KeyboardInterrupt:
            pass
    sleep()
"""
"""A network whose factory swallows Ctrl-C a number of times."""


@pytest.mark.parametrize("times", [0, 1, 2])
def test_maker_ends_though_a_factory_swallows_ctrl_c(tmp_path: Path, times: int) -> None:
    """The maker ends though Ctrl-C was swallowed; swallowed once, it still removes its unfinished files."""
    (tmp_path / "deaf.py").write_text(DEAF.format(times=times))
    store = Store(tmp_path / "store")
    request = MakeNetwork(str(store.root), "key", (os.fsencode(tmp_path), *search_path()), "deaf:deaf", "deaf")
    with killed_parent(msgspec.json.encode(request).decode()):
        assert witness.until((tmp_path / "started").exists if times else lambda: any(_unfinished(store)))
    assert any(_unfinished(store)) == (times > 1)
    with store.making("key"):
        pass
    assert not any(_unfinished(store))


def _unfinished(store: Store) -> Iterator[Path]:
    return store.root.glob("networks/.making-*")
