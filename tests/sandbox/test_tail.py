"""The end of what a process prints is kept, and every descriptor is closed once."""

from __future__ import annotations

import os
import threading

import pytest

from pytest_edgeload.sandbox.tail import Tail


def test_no_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no thread can be started, `close` closes nothing again: the numbers may be somebody else's by then."""

    def refuse(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    tail = Tail()
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        with pytest.raises(RuntimeError, match="new thread"):
            tail.started()
    others = os.pipe()
    tail.close()
    for fd in others:
        os.fstat(fd)
        os.close(fd)
