"""The process that makes a network ends with the session that asked for it, however early that is killed."""

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

ASKER = """\
import os, signal, subprocess, sys
signal.signal(signal.SIGINT, signal.SIG_IGN)  # as a shell has it for `pytest &`
command = [sys.executable, "-P", "-m", "pytest_edgeload.exporting.maker", str(os.getpid())]
maker = subprocess.Popen(command, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
print(maker.pid, flush=True)
maker.wait()
"""


@contextmanager
def asking(request: str = "") -> Iterator[int]:
    """Ask for a network, and be killed when this is over; give the id of the process that makes it."""
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", ASKER], stdin=pipe, stdout=pipe, text=True) as asker:
        assert asker.stdin is not None
        assert asker.stdout is not None
        if request:  # the input of the maker is ours, and else stays open until it has ended
            asker.stdin.write(request)
            asker.stdin.close()
        maker = int(asker.stdout.readline())
        try:
            yield maker
        finally:
            asker.kill()
        assert witness.until(lambda: not witness.alive(maker))


@pytest.mark.parametrize("after_s", [0.0, 0.2, 0.5])
def test_killed_early(after_s: float) -> None:
    """It waits for no request of one that is gone, though PyTorch was not yet imported and Ctrl-C is ignored there."""
    with asking():
        time.sleep(after_s)


DEAF = """
import pathlib, time

def deaf():
    for _ in range({times}):
        try:
            pathlib.Path(__file__).with_name("begun").touch()
            time.sleep(600)
        except KeyboardInterrupt:
            pass
    time.sleep(600)
"""
"""A network whose factory hears Ctrl-C only after some times."""


@pytest.mark.parametrize("times", [0, 1, 2])
def test_killed_unheard(tmp_path: Path, times: int) -> None:
    """It ends though Ctrl-C was lost in it, and once is still time enough to undo what was begun."""
    (tmp_path / "deaf.py").write_text(DEAF.format(times=times))
    store = Store(tmp_path / "store")
    request = MakeNetwork(str(store.root), "key", (os.fsencode(tmp_path), *search_path()), "deaf:deaf", "deaf")
    with asking(msgspec.json.encode(request).decode()):
        assert witness.until((tmp_path / "begun").exists if times else lambda: any(_begun(store)))
    assert any(_begun(store)) == (times > 1)
    with store.making("key"):
        pass
    assert not any(_begun(store))


def _begun(store: Store) -> Iterator[Path]:
    return store.root.glob("networks/.making-*")
