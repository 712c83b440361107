"""Files of records are read back as they were written."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import re
import subprocess
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_edgeload.base.arguments import MAX_INDEX
from pytest_edgeload.devices.constraints import Constraints
from pytest_edgeload.planning.plan import Span
from pytest_edgeload.results.case import Case
from pytest_edgeload.results.document import Commit, Document, commit, document, machine, parse, render
from pytest_edgeload.results.measurement import METRICS, Measurement, Outcome, ServiceStats, Timeline
from pytest_edgeload.results.record import SCHEMA, Record
from pytest_edgeload.results.stream_stats import StreamStats
from pytest_edgeload.workload import Ask, Condition

text = st.text(max_size=20)
maybe = st.none() | text
sizes = st.integers(0, 2**62)
seconds = st.floats(-1e12, 1e12)
outcomes: st.SearchStrategy[Outcome] = st.sampled_from(["ok", "oom", "timeout", "crashed", "wrong"])
indices = st.integers(0, MAX_INDEX)
conditions = st.builds(Condition, indices, seconds, st.sampled_from([">", ">="]), indices, st.lists(indices).map(tuple))
asks = st.builds(Ask, text, indices, indices, seconds, st.none() | seconds, st.none() | conditions)
some = st.none() | sizes
positive = st.none() | st.integers(1, 999_999)
constraints = st.builds(Constraints, some, some, positive, some, some, st.none() | st.floats(0.01, 1024), positive)
cases = st.builds(
    Case,
    **dict.fromkeys(("test", "workload", "policy", "reader", "cap", "swap", "loop", "arrivals", "conditions"), text),
    limit=maybe,
    constraints=constraints,
    device=maybe,
    requests=st.lists(asks, max_size=2).map(tuple),
    seed=some,
)
streams = st.builds(
    StreamStats, requests=st.just((0, 2)), requests_due=sizes, overruns=sizes, in_time=st.none() | seconds
)
services = st.builds(ServiceStats, sizes, sizes, *[st.none() | seconds] * 5, st.none() | sizes)


@st.composite
def measurements(draw: st.DrawFn) -> Measurement:
    """Draw a measurement with any set of metrics."""
    kinds = {name: sizes if metric.unit in {"bytes", "count"} else seconds for name, metric in METRICS.items()}
    figures: dict[str, object] = {name: draw(kind) for name, kind in kinds.items() if draw(st.booleans())}
    figures["response_s"] = draw(st.none() | st.lists(st.none() | seconds, max_size=3))
    known = {"outcome": draw(outcomes), "round": draw(sizes), "detail": draw(text), "interleaved": draw(st.booleans())}
    bulky = {
        "tasks": tuple(draw(st.lists(st.builds(Span, sizes, sizes, seconds, seconds, seconds), max_size=2))),
        "timeline": Timeline((draw(seconds),), (draw(sizes),), (draw(sizes),), (draw(sizes),)),
        "arrived_s": tuple(draw(st.lists(seconds, max_size=2))),
        "dropped": tuple(draw(st.lists(sizes, max_size=2))),
        "service": draw(st.dictionaries(text, services, max_size=2)),
        "streams": draw(st.dictionaries(text, streams, max_size=2)),
        "machine_wide": tuple(draw(st.lists(text, max_size=2))),
    }
    return msgspec.convert(figures | known | bulky, Measurement)


records = st.builds(Record, cases, st.lists(measurements(), max_size=3).map(tuple))

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def empty() -> Document:
    """Give a document without records."""
    return document([], {}, HERE)


@given(st.lists(records, max_size=3, unique_by=lambda record: record.case), st.dictionaries(text, text, max_size=3))
def test_file_is_read_back_unchanged(empty: Document, written: list[Record], settings: dict[str, str]) -> None:
    """A file that is read back has the same records and settings, to the last bit and letter."""
    whole = msgspec.structs.replace(empty, records=tuple(written), settings=settings)
    assert parse(render(whole)) == whole


def test_summary_omits_only_spans_and_time_lines(empty: Document) -> None:
    """A summary omits spans and time lines, and nothing else."""
    rounds = [Measurement(outcome="ok", makespan_s=1.0, tasks=spans) for spans in ((), (Span(0, 0, 0.0, 0.0, 1.0),))]
    case = Case(
        test="t",
        workload="w",
        policy="p",
        reader="read",
        cap="none",
        swap="off",
        constraints=Constraints(threads=1),
    )
    plain, whole = (msgspec.structs.replace(empty, records=(Record(case, (m,)),)) for m in rounds)
    assert whole.summary() == plain


def test_file_begins_with_its_schema(empty: Document) -> None:
    """A file begins with the number of its schema, so that a reader of another version can refuse it."""
    assert next(iter(json.loads(render(empty)).items())) == ("schema", SCHEMA)
    with pytest.raises(ValueError, match=f"^its schema is 7, but this version reads {SCHEMA}$"):
        parse(render(msgspec.structs.replace(empty, schema=7)))


def test_file_has_its_time_in_utc(empty: Document) -> None:
    """A file has the time of its writing in UTC."""
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", empty.created)


def test_unmeasured_metric_is_absent_from_the_file(empty: Document) -> None:
    """A metric that was not measured is absent from the file; a metric of 0 is present."""
    measured = Measurement(outcome="oom", swap_in_bytes=0)
    case = Case(
        test="t",
        workload="w",
        policy="p",
        reader="read",
        cap="none",
        swap="off",
        constraints=Constraints(threads=1),
    )
    whole = msgspec.structs.replace(empty, records=(Record(case, (measured,)),))
    [found] = json.loads(render(whole))["records"][0]["rounds"]
    assert found.keys() & METRICS.keys() == {"swap_in_bytes"}
    assert found["swap_in_bytes"] == 0


def test_file_describes_the_machine(empty: Document) -> None:
    """A file has the processor, memory, kernel, Python and PyTorch of its machine."""
    found = machine()
    assert (found.processors, found.kernel) == (os.cpu_count(), platform.release())
    assert found.python == platform.python_version()
    assert found.torch == importlib.metadata.version("torch")
    assert found.memory_bytes == os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    assert empty.machine == found


def test_machines_of_one_kind_share_a_key() -> None:
    """Machines of one kind have the same key, also with other software or a little less usable memory."""
    found = machine()
    other = msgspec.structs.replace(found, kernel="7.0", torch="3", memory_bytes=found.memory_bytes - 1000)
    assert other.key == found.key
    assert re.fullmatch(r"[a-z0-9-]+", found.key)
    assert msgspec.structs.replace(found, processors=99).key != found.key


def test_file_has_the_commit_of_its_repository(tmp_path: Path) -> None:
    """A file has the commit of its repository, if there is one, and whether there were uncommitted changes."""
    assert commit(tmp_path) is None

    def git(*words: str) -> str:
        names = ("-c", "user.name=test", "-c", "user.email=test@localhost")
        done = subprocess.run(["git", *names, *words], cwd=tmp_path, check=True, capture_output=True, text=True)
        return done.stdout.strip()

    git("init", "-q", "-b", "main")
    git("commit", "-q", "--allow-empty", "-m", "first")
    assert commit(tmp_path) == Commit(git("rev-parse", "HEAD"), "main", is_dirty=False)
    (tmp_path / "new").touch()
    found = commit(tmp_path)
    assert found is not None
    assert found.is_dirty


@pytest.mark.parametrize("cut", [1, 30, 300])
def test_truncated_file_is_refused(empty: Document, cut: int) -> None:
    """A truncated file is refused."""
    with pytest.raises(ValueError, match=r"^not a file of records \("):
        parse(render(empty)[:-cut])
