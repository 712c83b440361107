"""The parent's side of the conversation with the maker, whose part a script plays here."""

from __future__ import annotations

import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any

import msgspec
import pytest

from pytest_edgeload.base import decoding
from pytest_edgeload.base.errors import Setting
from pytest_edgeload.networks.making import (
    ConvertNetwork,
    Event,
    Made,
    MakeNetwork,
    NotMade,
    Progress,
    Request,
    Waiting,
)
from pytest_edgeload.networks.preparation import PreparationFailed, prepare
from tests.sandbox import witness

MAKE = MakeNetwork("/store", "key", (b"/folder", b"/not \xff unicode"), "module:make", "net", "/weights")
CONVERT = ConvertNetwork("/store", "key", (b"/folder",), "module:make", "/store/networks/0", "module:convert", "/files")
WAITING, HALF, ALL, MADE = Waiting("process 7"), Progress(1, 2), Progress(2, 2), Made("/made")
GARBAGE = "the code in the process wrote between the events"

PYTHON = sys.executable
Shown = list[tuple[str, int, int]]


@pytest.fixture
def maker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a function that replaces the maker by one with this output and this last statement."""

    def replace(*output: Event | bytes, last: str = "", reads: bool = True) -> Path:
        lines = [event if isinstance(event, bytes) else msgspec.json.encode(event) + b"\n" for event in output]
        script = tmp_path / "maker"
        request = tmp_path / "request"
        reading = f"pathlib.Path({str(request)!r}).write_bytes(sys.stdin.buffer.read())" if reads else ""
        script.write_text(
            f"#!{PYTHON}\nimport os, pathlib, sys, time\n{reading}\n"
            f"sys.stdout.buffer.write({b''.join(lines)!r})\nsys.stdout.flush()\n{last}\n"
        )
        script.chmod(0o755)
        monkeypatch.setattr(sys, "executable", str(script))
        return request

    return replace


def _prepare(request: Request = MAKE) -> tuple[Path, Shown]:
    shown: Shown = []
    return prepare(request, "net", lambda *progress: shown.append(progress)), shown


@pytest.mark.parametrize("request_", [MAKE, CONVERT], ids=["make", "convert"])
def test_maker_receives_the_request(maker: Any, request_: Request) -> None:
    """Both requests arrive as they were sent, also with a search path that is not Unicode."""
    file = maker(MADE)
    assert _prepare(request_) == (Path("/made"), [])
    assert decoding.decode(file.read_bytes(), Request) == request_  # type: ignore[arg-type]  # a union of structs


@pytest.mark.parametrize("request_", [MAKE, CONVERT], ids=["make", "convert"])
def test_progress_is_shown_for_both_requests(maker: Any, request_: Request) -> None:
    """Progress is shown under the label as it arrives, and ends with the folder."""
    maker(Progress(0, 0), HALF, ALL, MADE)
    assert _prepare(request_) == (Path("/made"), [("net", 0, 0), ("net", 1, 2), ("net", 2, 2)])


def test_waiting_is_shown_and_ends(maker: Any) -> None:
    """A maker that waits is shown with the process that it waits for, and as finished in the end."""
    maker(WAITING, HALF, MADE)
    waiting = "net (waiting for process 7)"
    assert _prepare() == (Path("/made"), [(waiting, 0, 0), ("net", 1, 2), (waiting, 1, 1)])


@pytest.mark.parametrize(
    "garbage",
    [b"words\n", b"\xff\n", b"[1]\n", b'{"type":"unknown"}\n', b'{"type":"progress","done_bytes":-1,"total_bytes":0}\n',
     b"\n", b"[" * 100_000 + b"\n", b"x" * (3 << 20) + b"\n"],
    ids=["words", "bytes", "another type", "unknown tag", "negative", "empty", "nested", "long"],
)  # fmt: skip
def test_garbage_between_events_is_skipped(maker: Any, garbage: bytes) -> None:
    """Lines that are not events are skipped while events follow; as the last word they are the failure."""
    maker(garbage, HALF, garbage, MADE)
    assert _prepare() == (Path("/made"), [("net", 1, 2)])
    maker(HALF, garbage)
    with pytest.raises(PreparationFailed, match=f"^{GARBAGE}$"):
        _prepare()


@pytest.mark.parametrize(
    ("output", "last", "reason"),
    [
        ([], "os._exit(3)", "the process ended with status 3"),
        ([HALF], "os.kill(os.getpid(), 9)", "the process ended with status -9"),
        ([WAITING, HALF], "", "the process ended with status 0"),
        ([MADE], "os._exit(3)", "the process ended with status 3"),
    ],
    ids=["at once", "in the middle", "silently", "after its answer"],
)
def test_maker_that_dies_fails_by_its_status(maker: Any, output: list[Event], last: str, reason: str) -> None:
    """A maker that ends without Made, or with a status other than 0, fails with its status."""
    maker(*output, last=last)
    with pytest.raises(PreparationFailed, match=f"^{reason}$"):
        _prepare()


def test_maker_that_dies_before_the_request(maker: Any) -> None:
    """A maker that ends without reading the request fails by its status, not with a broken pipe."""
    maker(last="os._exit(3)", reads=False)
    large = msgspec.structs.replace(MAKE, path=(b"x" * (1 << 20),))  # more than a pipe holds
    with pytest.raises(PreparationFailed, match="ended with status 3"):
        _prepare(large)


def test_failure_keeps_its_parts(maker: Any) -> None:
    """A failure arrives with its hint apart, and each front end still spells the options in it."""
    maker(NotMade.because("/store: it is full", ("name another by ", Setting("cache-dir"))), last="os._exit(1)")
    with pytest.raises(PreparationFailed) as failed:
        _prepare()
    error = failed.value.about("network net").spelled(lambda setting: f"--edge-{setting}")
    assert str(error) == "network net: /store: it is full; name another by --edge-cache-dir"


def test_reason_need_not_be_unicode() -> None:
    """A reason with the name of a file that is not Unicode can be sent, written as Python writes it."""
    sent = msgspec.json.encode(NotMade.because(os.fsdecode(b"\xff is missing"), Setting("cache-dir", "\udcfe")))
    assert msgspec.json.decode(sent, type=NotMade) == NotMade(
        ("\\udcff is missing",), (Setting("cache-dir", "\\udcfe"),)
    )


def test_interrupt_stops_the_maker(maker: Any, tmp_path: Path) -> None:
    """Ctrl-C in the parent reaches the maker as Ctrl-C, so that it can remove its files, and it is gone afterwards."""
    maker(HALF, last=f"""
pid = pathlib.Path({str(tmp_path / "pid")!r})
pid.write_text(str(os.getpid()))
try:
    time.sleep(600)
except KeyboardInterrupt:
    pid.with_name("removed").touch()
""")  # fmt: skip

    def interrupt() -> None:
        witness.until((tmp_path / "pid").exists)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        _prepare()
    thread.join()
    assert (tmp_path / "removed").exists()
    assert not witness.alive(int((tmp_path / "pid").read_text()))
