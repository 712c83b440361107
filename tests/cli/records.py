"""Made-up records, and files of them."""

from __future__ import annotations

from pathlib import Path

import msgspec

from pytest_edgeload.results import baseline
from pytest_edgeload.results.document import Document, document
from pytest_edgeload.results.measurement import Measurement
from pytest_edgeload.results.record import Record
from tests.cases import CASE

EMPTY = document([], {}, Path(__file__).parent)


def session(*records: Record) -> Document:
    """Return the document of a session on this machine."""
    return msgspec.structs.replace(EMPTY, records=records)


def record(policy: str, *makespans: float, peak_bytes: int = 300 << 20, started: float = 1e9, **case: object) -> Record:
    """Return the record of a policy with these makespans, and a case with these fields changed."""
    rounds = (
        Measurement(
            outcome="ok", round=i, makespan_s=s, peak_bytes=peak_bytes, started=started + i, ended=started + i + s
        )
        for i, s in enumerate(makespans)
    )
    return Record(msgspec.structs.replace(CASE, policy=policy, **case), tuple(rounds))


def save(folder: Path, name: str, *records: Record) -> Path:
    """Save a session as a baseline below `folder`."""
    return baseline.save(folder / ".edgeload", session(*records), name)
