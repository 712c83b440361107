"""From inside a measured program: messages reach the run, and outside a run nothing happens."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pytest_edgeload
from pytest_edgeload import inside
from pytest_edgeload.sandbox.inbox import Inbox


@pytest.fixture
def inbox() -> Iterator[Inbox]:
    """Yield the inbox of a run that this process is part of."""
    inbox = Inbox()
    with inbox.offered():
        yield inbox
    inbox.close()


def records(inbox: Inbox) -> list[dict[str, Any]]:
    """Return the records that have arrived."""
    messages = iter(lambda: inbox.receive()[0], b"")
    return [json.loads(message.removeprefix(inside.RECORD)) for message in messages]


def test_records_arrive(inbox: Inbox) -> None:
    """A number, a list, an array and a scalar of NumPy arrive as numbers, and anything else as text."""
    pytest_edgeload.record("tokens_per_s", 31.2, unit="1/s", better="higher")
    for value in (np.arange(2), np.float32(0.5), (1, 2), float("nan"), object, 10**400):
        pytest_edgeload.record("x", value)
    pytest_edgeload.record("x", 1, series=True)
    first, *others = records(inbox)
    assert first == {"name": "tokens_per_s", "value": 31.2, "unit": "1/s", "better": "higher", "series": False}
    assert [(each["value"], each["series"]) for each in others] == [
        ([0, 1], True), (0.5, False), ([1, 2], True), (pytest.approx(float("nan"), nan_ok=True), False),
        ("<class 'object'>", False), (10**400, False), (1, True),
    ]  # fmt: skip


def test_long_list_arrives_in_parts(inbox: Inbox) -> None:
    """A list that is too long for a datagram arrives in several records of one series, in its order."""
    sender = threading.Thread(target=pytest_edgeload.record, args=("x", range(5500)))
    list_sender = threading.Thread(target=pytest_edgeload.record, args=("x", [*range(5500)]))
    for thread in (sender, list_sender):
        thread.start()
        thread.join()
    text, *parts = records(inbox)
    assert text["value"] == "range(0, 5500)"
    assert [number for part in parts for number in part["value"]] == [*range(5500)]
    assert all(part["series"] for part in parts)


def test_mark_waits_until_memory_has_been_read(inbox: Inbox) -> None:
    """A mark returns when the run has answered it."""
    answered: list[float] = []

    def answer() -> None:
        message, sender = b"", None
        while not message:
            message, sender = inbox.receive()
        time.sleep(0.05)
        answered.append(time.monotonic())
        assert message == b"mark un\\udcffloaded"
        inbox.answer(sender)

    run = threading.Thread(target=answer)
    run.start()
    pytest_edgeload.mark("un\udcffloaded")
    assert answered
    assert time.monotonic() >= answered[0]
    run.join()


def test_nothing_happens_outside_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a run, or after it, nothing is sent and nothing is raised."""
    monkeypatch.delenv(inside.INBOX, raising=False)
    for _ in range(2):
        pytest_edgeload.record("x", 1)
        pytest_edgeload.mark("x")
        monkeypatch.setenv(inside.INBOX, "edgeload-of-a-run-that-is-over")


def test_import_and_record_cost_nothing_outside_a_run() -> None:
    """Outside a run, `record` and `mark` import one module of the package, and only the standard library."""
    code = (
        "import sys, pytest_edgeload as e; e.record('x', 1); e.mark('x');"
        "print(sorted(name for name in sys.modules if 'edgeload' in name or name in {'socket', 'msgspec', 'pytest'}))"
    )
    process = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=Path("/"))
    assert process.stdout.strip() == "['pytest_edgeload', 'pytest_edgeload.inside']"


def test_environment_is_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """The variable of an outer run is back after an inner one."""
    monkeypatch.setenv(inside.INBOX, "outer")
    inbox = Inbox()
    with inbox.offered():
        assert os.environ[inside.INBOX] == inbox.name
    inbox.close()
    assert os.environ[inside.INBOX] == "outer"
