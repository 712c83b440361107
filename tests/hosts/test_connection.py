"""Work on several hosts at the same time, and the silence after which a host is given up."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys

import pytest

from pytest_edgeload.base.errors import Refusal, Unsupported
from pytest_edgeload.hosts.connection import on_each, patience_s
from pytest_edgeload.hosts.file import Host

SLEEPS = """
import time
from pytest_edgeload.hosts.connection import on_each
from pytest_edgeload.hosts.file import Host

def work(host):
    print("begun", flush=True)
    time.sleep(600)

on_each([Host(ssh="pi4")], work)
"""


def test_results_are_in_the_order_of_the_hosts() -> None:
    """A refusal is a result; any other error is raised."""

    def work(host: Host) -> str:
        if host.ssh == "pi4":
            raise Unsupported("pi4", "not reachable")
        return host.ssh.upper()

    refused, nano = on_each([Host(ssh="pi4"), Host(ssh="nano")], work)
    assert isinstance(refused, Refusal)
    assert nano == "NANO"
    with pytest.raises(ZeroDivisionError):
        on_each([Host(ssh="pi4")], lambda _: 1 // 0)


def test_interrupt_does_not_wait_for_the_work() -> None:
    """Ctrl-C ends a command although a host still works."""
    with subprocess.Popen([sys.executable, "-c", SLEEPS], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == b"begun\n"
            process.send_signal(signal.SIGINT)
            assert process.wait(60) == -signal.SIGINT
        finally:
            process.kill()


@pytest.mark.skipif(shutil.which("ssh") is None, reason="ssh is not installed")
@pytest.mark.parametrize(
    ("ssh", "expected_s"),
    [
        ("pi4", 60.0),
        ("-oServerAliveInterval=1 pi4", 10.0),
        ("-oServerAliveInterval=0 pi4", 900.0),
        ("-oNoSuchOption=1 pi4", 900.0),
    ],
)
def test_patience_is_twice_that_of_ssh(ssh: str, expected_s: float) -> None:
    """It is at least 10 s, and 15 minutes if ssh has no limit or does not say it."""
    assert patience_s(Host(ssh=ssh)) == expected_s
