"""Data of other processes is read up to a limit, or refused in one sentence."""

from __future__ import annotations

import json
import signal
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from pytest_edgeload import devices
from pytest_edgeload.base import decoding
from pytest_edgeload.base.errors import Refusal
from pytest_edgeload.networks import checkpoint
from pytest_edgeload.networks.folder import read_graph
from pytest_edgeload.results import baseline, journal
from pytest_edgeload.results.document import parse, render
from pytest_edgeload.workload import Mix
from tests.report.documents import document, record

HUGE = 1 << 40

READERS: dict[str, tuple[str, Callable[[Path], object]]] = {
    "baseline": ("main.json", baseline.load),
    "devices": ("edge-devices.toml", lambda path: devices.read(path, {})),
    "workload": ("mix.yaml", Mix.load),
    "graph": ("graph.json", lambda path: read_graph(path.parent)),
    "index": ("model.safetensors.index.json", lambda path: checkpoint.read_checkpoint(path.parent, 0)),
    "header": ("model.safetensors", lambda path: checkpoint.read_checkpoint(path.parent, 0)),
}


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("begin", [b"\0", b"[" * 100_000, (HUGE - 8).to_bytes(8, "little"), b"\xff" * 7 + b"\x7f"])
@pytest.mark.parametrize("size_bytes", [0, HUGE])
def test_every_reader_refuses_hostile_data(tmp_path: Path, name: str, begin: bytes, size_bytes: int) -> None:
    """Data of any size, nesting or claimed content is refused in one sentence."""
    file, read = READERS[name]
    path = tmp_path / file
    with path.open("wb") as out:
        out.write(begin)
        out.truncate(max(len(begin), size_bytes))
    with pytest.raises(Refusal, match=file) as refused:
        read(path)
    assert str(refused.value).isprintable()
    assert len(str(refused.value)) < 500


@pytest.mark.parametrize("size_bytes", [0, HUGE])
def test_damaged_measurement_costs_only_itself(tmp_path: Path, size_bytes: int) -> None:
    """A file of the session's folder that is not a measurement is left out alone."""
    path = tmp_path / "1-1.json"
    with path.open("wb") as out:
        out.truncate(size_bytes)
    assert journal.read(path) is None


CHANGES: dict[str, Callable[[Any], object]] = {
    "negative bytes": lambda r: r["rounds"][0].update(peak_bytes=-1),
    "endless bytes": lambda r: r["rounds"][0].update(peak_bytes=10**30),
    "endless time": lambda r: r["rounds"][0].update(makespan_s=1e300),
    "a number as text": lambda r: r["rounds"][0].update(makespan_s="1"),
    "half a time line": lambda r: r["rounds"][0].update(timeline={"at_s": [1.0]}),
    "task before the first": lambda r: r["rounds"][0].update(tasks=[[-1, 0, 0.0, 0.0, 1.0]]),
    "negative limit": lambda r: r["case"]["constraints"].update(memory_bytes=-5),
    "another outcome": lambda r: r["rounds"][0].update(outcome="fine"),
    "no case": lambda r: r.pop("case"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_impossible_record_is_refused(change: str) -> None:
    """A record with an impossible value is refused, and the sentence says where it is."""
    made = json.loads(render(document(record("bulk", {"makespan_s": 1.0}))))
    CHANGES[change](made["records"][0])
    with pytest.raises(ValueError, match=r"^not a file of records \(.*\$\.records"):
        parse(json.dumps(made).encode())


@pytest.mark.parametrize(
    "text", [b"1e400", b"NaN", b"-Infinity", b'"\\ud800"', b'"\xed\xa0\x80"', b"[" * 100_000, b"", b"\0"]
)
def test_invalid_json_is_refused(text: bytes) -> None:
    """Invalid numbers, half characters and endless nesting are refused for every type."""
    for kind in (object, dict, float, str):
        with pytest.raises(ValueError):  # noqa: PT011  # the words are msgspec's
            decoding.decode(text, kind)


class _Odd(msgspec.Struct):
    """A type at which Ctrl-C comes when msgspec first looks at it, and in the call that Python drops it from."""

    value: _interrupted()  # type: ignore[valid-type]  # looked at only then


def _interrupted() -> type[int]:
    class Gone:
        pass

    gone = Gone()
    _CALLED_BACK.append(weakref.ref(gone, lambda _: signal.raise_signal(signal.SIGINT)))
    return int


_CALLED_BACK: list[object] = []


def test_interrupt_is_not_dropped() -> None:
    """Ctrl-C while a type is examined for the first time is raised afterwards."""
    with pytest.raises(KeyboardInterrupt):
        decoding.decode('{"value": 1}', _Odd)
    assert decoding.decode('{"value": 1}', _Odd).value == 1
