"""Work on several hosts at the same time, and the silence after which a host is given up."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys

import pytest

pytest.importorskip("execnet")

import execnet

from pytest_edgeload.base.errors import Refusal, Unsupported
from pytest_edgeload.hosts.connection import on_each, patience_s
from pytest_edgeload.hosts.file import Host
from pytest_edgeload.hosts.silence import limited_silence

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


STOPS = "import os, signal; os.kill(os.getpid(), signal.SIGSTOP)"


def test_silent_host_is_given_up() -> None:
    """An interpreter that stands still before pytest runs there is named after the patience, and not waited for."""
    said = r"^alpha: no answer for 1 s; look at the host, and start the session again$"
    group = execnet.Group()
    try:
        gateway = group.makegateway("popen")
        with pytest.raises(Unsupported, match=said), limited_silence(gateway, Host(ssh="pi4", name="alpha"), 1.0):
            gateway.remote_exec(STOPS).waitclose()
    finally:
        group.terminate(timeout=1)
