"""Files from users that are not what they should be: refused in one sentence, without traceback or waiting."""

from __future__ import annotations

import os
import re
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from pytest_edgeload import devices
from pytest_edgeload.base.errors import Refusal, UsageError
from pytest_edgeload.base.files import read, write
from pytest_edgeload.devices.constraints import Constraints
from pytest_edgeload.networks import checkpoint, folder
from pytest_edgeload.results import baseline, journal
from pytest_edgeload.results.case import Case
from pytest_edgeload.results.document import Document, document, render
from pytest_edgeload.results.measurement import Measurement
from pytest_edgeload.results.record import Record
from pytest_edgeload.workload import Mix
from tests.plugin.sessions import Begin
from tests.plugin.sessions import write as write_project

PATIENCE_S = 100
CASE = Case(
    test="test_a.py::test_a",
    workload="mix",
    policy="bulk",
    reader="read",
    cap="none",
    swap="off",
    constraints=Constraints(threads=2),
)


@pytest.fixture(autouse=True)
def patience() -> Iterator[None]:
    """Fail instead of waiting for a FIFO for ever."""

    def give_up(*_: object) -> None:
        raise AssertionError("waited for a file that never comes")

    before = signal.signal(signal.SIGALRM, give_up)
    signal.alarm(PATIENCE_S)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def _socket(path: Path) -> None:
    here = Path.cwd()
    os.chdir(path.parent)  # a socket's whole path may have a hundred characters
    try:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(path.name)
    finally:
        os.chdir(here)


def _sparse(path: Path) -> None:
    path.touch()
    os.truncate(path, 300_000_000)


NO_FILES: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing": (lambda _: None, "No such file or directory"),
    "a folder": (Path.mkdir, "Is a directory"),
    "a FIFO": (os.mkfifo, "not a regular file"),
    "a socket": (_socket, "not a regular file"),
    "a device": (lambda path: path.symlink_to("/dev/zero"), "not a regular file"),
    "a link to itself": (lambda path: path.symlink_to(path.name), "Too many levels of symbolic links"),
    "far too large": (_sparse, r"too large: 286\.1M, and at most \d+(\.\d)?[KM]"),
}
"""Things in a file's place, and the message about each."""

READERS: dict[str, tuple[Callable[[Path], object], str]] = {
    "a baseline": (baseline.load, "0001_main_123456.json"),
    "devices": (lambda path: devices.read(path, {}), "edge-devices.toml"),
    "a workload": (Mix.load, "mix.yaml"),
    "an index": (checkpoint._shards, "model.safetensors.index.json"),
    "a graph": (lambda path: folder.read_graph(path.parent), folder.GRAPH),
}
"""What reads files that others may have written, and what such a file is called."""


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("kind", NO_FILES)
def test_file_that_is_not_regular_is_refused(tmp_path: Path, kind: str, reader: str) -> None:
    """A file that is not regular, or far too large, is refused in one sentence with its name, without waiting."""
    make, reason = NO_FILES[kind]
    act, name = READERS[reader]
    make(tmp_path / name)
    with pytest.raises(Refusal, match=f"(?i){re.escape(str(tmp_path / name))}.*: {reason}; ") as refused:
        act(tmp_path / name)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("kind", NO_FILES)
def test_other_file_is_not_a_measurement(tmp_path: Path, kind: str) -> None:
    """A FIFO or folder instead of a measurement's own file is not a measurement."""
    make, _ = NO_FILES[kind]
    make(tmp_path / "1.json")
    assert journal.read(tmp_path / "1.json") is None


@pytest.mark.parametrize("size", [0, 7])
def test_file_at_the_limit_is_read(tmp_path: Path, size: int) -> None:
    """A file of exactly the maximum is read, and not one of a byte more, even if it does not report its size."""
    write(tmp_path / "file", bytes(size))
    assert read(tmp_path / "file", size) == bytes(size)
    write(tmp_path / "longer", bytes(size + 1))
    with pytest.raises(OSError, match=f"too large: {size + 1}, and at most {size}"):
        read(tmp_path / "longer", size)
    with pytest.raises(OSError, match="too large"):
        read(Path("/proc/self/status"), size)


@pytest.fixture(scope="module")
def made() -> Document:
    """Return a document of one record."""
    record = Record(CASE, (Measurement(outcome="ok", makespan_s=1.0, returned=[0]),))
    return document([record], {}, Path(__file__).parent)


DEEP = b"[" * 100_000 + b"]" * 100_000

HARMS: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "cut short": (lambda text: text[:-20], "not a file of records"),
    "no JSON": (lambda _: b"makespan", "not a file of records"),
    "other JSON": (lambda _: b"[1, 2, 3]", "not a file of records"),
    "another encoding": (lambda text: text.decode().encode("utf-16"), "not a file of records"),
    "no encoding": (lambda text: text.replace(b"mix", b"\xff\xfe"), "not a file of records"),
    "nested deeply": (lambda text: text.replace(b"[0]", DEEP), "not a file of records"),
    "nested where nobody looks": (
        lambda text: text.replace(b"{", b'{"more":' + DEEP + b",", 1),
        "not a file of records",
    ),
    "not a number": (lambda text: text.replace(b"1.0", b"NaN"), "not a file of records"),
    "infinite": (lambda text: text.replace(b"1.0", b"1e999"), "not a file of records"),
    "a number without end": (
        lambda text: text.replace(b'"schema":2', b'"schema":' + b"9" * 5000),
        "not a file of records",
    ),
    "another type": (lambda text: text.replace(b"1.0", b'"1.0"'), "not a file of records"),
    "an unknown outcome": (lambda text: text.replace(b'"ok"', b'"fine"'), "not a file of records"),
    "of the future": (
        lambda text: text.replace(b'"schema":2', b'"schema":3'),
        "its schema is 3, but this version reads",
    ),
    "of the past": (lambda text: text.replace(b'"schema":2', b'"schema":1'), "its schema is 1, but this version reads"),
}
"""Damages of a baseline, and the message about each."""


@pytest.mark.parametrize("harm", HARMS)
def test_damaged_baseline_is_refused(tmp_path: Path, made: Document, harm: str) -> None:
    """A baseline that is damaged, hostile or of another version is refused in one sentence with its name."""
    change, reason = HARMS[harm]
    path = tmp_path / "0001_main_123456.json"
    text = change(render(made))
    assert text != render(made)
    path.write_bytes(text)
    with pytest.raises(
        UsageError, match=f"^{re.escape(str(path))}: {reason}.*; save a new baseline, or name an"
    ) as told:
        baseline.load(path)
    assert len(str(told.value).splitlines()) == 1


def test_two_records_of_one_case_are_refused(tmp_path: Path, made: Document) -> None:
    """Two records of one case are refused, because either could be meant."""
    path = tmp_path / "twice.json"
    path.write_bytes(render(msgspec.structs.replace(made, records=made.records * 2)))
    with pytest.raises(
        UsageError, match=r"twice\.json: it has two records of the same case; save a new baseline, or name an"
    ):
        baseline.load(path)


def test_unknown_fields_are_ignored(tmp_path: Path, made: Document) -> None:
    """Fields that a later version has added within the same schema are ignored."""
    path = tmp_path / "more.json"
    path.write_bytes(render(made).replace(b"{", b'{"more":{"and":[1]},', 1))
    assert baseline.load(path) == made


@pytest.mark.parametrize("wanted", ["²", "9" * 5000, "٣", "nul\0.json", "x" * 5000 + ".json"])
def test_impossible_name_is_not_a_baseline(tmp_path: Path, made: Document, wanted: str) -> None:
    """A text that cannot be a baseline's name is not found, without a traceback."""
    baseline.save(tmp_path, made, "main")
    with pytest.raises(UsageError, match="no such"):
        baseline.find(tmp_path, wanted, made.machine)


DEVICES = {"deep": b"a = " + b"[" * 20_000, "endless": b"a = " + b"9" * 5000, "bytes": b"\xff\xfe"}


@pytest.mark.parametrize("kind", DEVICES)
def test_damaged_file_of_devices_is_refused(tmp_path: Path, kind: str) -> None:
    """A file of devices that no parser accepts is refused in one sentence; one with a byte order mark is not."""
    path = tmp_path / "edge-devices.toml"
    path.write_bytes(DEVICES[kind])
    with pytest.raises(UsageError, match=f"^{re.escape(str(path))}: not TOML: .*; see docs/devices.md$"):
        devices.read(path, {})
    path.write_text('[mine]\nmemory = "512M"\n', encoding="utf-8-sig")
    assert list(devices.read(path, {})) == ["mine"]


QUICK = "def test_quick(edge):\n    edge.command(['/bin/true'])\n"


def test_session_refuses_a_fifo_as_baseline(start: Begin, tmp_path: Path) -> None:
    """A session that compares with a FIFO ends before the first measurement, as a usage error."""
    folder = write_project(tmp_path, test_tiny=QUICK, conftest="")
    os.mkfifo(folder / "old.json")
    ended = start(folder, "--edge-compare=old.json").end()
    assert ended.status == pytest.ExitCode.USAGE_ERROR, ended.said
    ended.lines.fnmatch_lines(["ERROR: --edge-compare: */old.json: not a regular file; name another file of records"])
    assert "Traceback" not in ended.said
    assert ended.running.on_disk == []
    assert ended.running.leavings == []
