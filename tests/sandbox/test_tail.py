"""The end of a process's output is kept, and every descriptor is closed once."""

from __future__ import annotations

import os
import threading

import pytest

from pytest_edgeload.sandbox.tail import Tail


def test_close_without_a_thread_closes_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """If no thread can be started, `close` closes nothing a second time."""

    def refuse(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    tail = Tail()
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        with pytest.raises(RuntimeError, match="new thread"):
            tail.drain()
    others = os.pipe()
    tail.close()
    for fd in others:
        os.fstat(fd)
        os.close(fd)
