"""The process that makes a network ends with the session that asked for it, however early that is killed."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest

from tests.sandbox import witness

ASKER = """\
import os, signal, subprocess, sys
signal.signal(signal.SIGINT, signal.SIG_IGN)  # as a shell has it for `pytest &`
command = [sys.executable, "-P", "-m", "pytest_edgeload.networks.maker", str(os.getpid())]
maker = subprocess.Popen(command, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
print(maker.pid, flush=True)
maker.wait()
"""


@pytest.mark.parametrize("after_s", [0.0, 0.2, 0.5])
def test_killed_early(after_s: float) -> None:
    """It waits for no request of one that is gone, though PyTorch was not yet imported and Ctrl-C is ignored there."""
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", ASKER], stdin=pipe, stdout=pipe, text=True) as asker:
        assert asker.stdout is not None
        maker = int(asker.stdout.readline())
        time.sleep(after_s)
        asker.kill()
        assert witness.until(lambda: not witness.alive(maker))  # its input is ours, and stays open until then
