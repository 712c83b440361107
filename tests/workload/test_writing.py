"""The text of a workload file is read as the same workload."""

from __future__ import annotations

import msgspec
from hypothesis import given

from pytest_edgeload.workload.arrivals import Periodic
from pytest_edgeload.workload.file import WorkloadDocument, parse
from pytest_edgeload.workload.stream_file import StreamEntry, StreamsDocument
from pytest_edgeload.workload.writing import yaml_text
from pytest_edgeload.worst_mix import WorkloadForm, documents


@given(documents(["small", "large"], 0.13))
def test_written_workloads_are_read_as_the_same(document: WorkloadForm) -> None:
    """A drawn workload survives the way through its file, with all its times."""
    read, sent = parse(yaml_text(document), "worst.yaml"), parse(msgspec.json.encode(document).decode(), "worst.json")
    assert read == sent
    assert read.asks


def test_fields_with_default_values_are_left_out() -> None:
    """The text has only the fields that say something, in the order of the format."""
    assert yaml_text(WorkloadDocument(("small", "large"))) == "requests:\n- small\n- large\n"
    stream = StreamEntry("small", "camera", Periodic(0.1), deadline_s=0.2, queue=1)
    assert yaml_text(StreamsDocument((stream,), 2.0)).splitlines() == [
        "streams:",
        "- network: small",
        "  name: camera",
        "  arrivals:",
        "    process: periodic",
        "    every_s: 0.1",
        "  deadline_s: 0.2",
        "  queue: 1",
        "duration_s: 2.0",
    ]
