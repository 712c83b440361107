"""The comparison with a baseline: which machines are the same kind as then."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from pytest_edgeload.results import baseline
from pytest_edgeload.results.comparison import NEWEST, find, strangers
from pytest_edgeload.results.document import Document, document, machine
from pytest_edgeload.results.measurement import Measurement
from pytest_edgeload.results.record import Record
from tests.cases import CASE

SMALL, LARGE = (msgspec.structs.replace(machine(), processors=count) for count in (4, 64))


@pytest.fixture(scope="module")
def before() -> Document:
    """Return a session on a small host and a large one, which measured nothing."""
    return document((), {}, Path(__file__).parent, measured_on=SMALL, hosts={"pi": SMALL, "pc": LARGE})


def test_each_host_is_compared_with_itself(before: Document) -> None:
    """A host is another machine if its own kind differs, whatever the others are; a new host is none."""
    assert strangers(before, LARGE, {"pc": LARGE, "new": LARGE}) == {None}
    assert strangers(before, SMALL, {"pi": LARGE, "pc": LARGE}) == {"pi"}
    assert strangers(before, SMALL, {}) == set()


def test_newest_baseline_is_that_of_the_same_hosts(tmp_path: Path) -> None:
    """The newest one with a host of this session is taken, although its hosts had less, or more, in common."""
    kinds = {"pi": SMALL, "pc": LARGE}
    paths = []
    sessions = [(SMALL, ["pi"]), (LARGE, ["pi", "pc"]), (SMALL, ["pc"]), (SMALL, ["old"])]
    for day, (measured_on, names) in enumerate(sessions, 1):
        records = [Record(msgspec.structs.replace(CASE, host=name), (Measurement(outcome="ok"),)) for name in names]
        made = document(records, {}, tmp_path, measured_on=measured_on)
        made = msgspec.structs.replace(made, created=f"2026-01-0{day}T00:00:00Z")
        paths.append(baseline.save(tmp_path, made, "main"))

    def found(*names: str) -> str:
        hosts = {name: kinds.get(name, SMALL) for name in names}
        return find(tmp_path, NEWEST, (), SMALL, hosts, is_strict=False).sentence

    assert found("pi") == f"compared with {paths[1]}"
    assert found("pc", "pi").startswith(f"compared with {paths[2]}, without host pi")
    assert found("new").startswith(f"compared with {paths[3]}"), "without such a baseline, that of this machine"
    assert found() == f"compared with {paths[3]}"
