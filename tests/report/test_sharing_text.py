"""The sentences about runs that may overlap."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_edgeload.report.sharing import sharing
from tests.report.documents import record


def beside(makespan: float, alone: float | None) -> dict[str, Any]:
    """Return a run that had a neighbour."""
    shared = {"cores": (0,), "neighbours": 1} | ({} if alone is None else {"alone_s": alone})
    return {"makespan_s": makespan, "sharing": shared}


WAITED = {"sharing": {"cores": (1,), "reason": "files"}}
LONELY = {"sharing": {"reason": "no limit"}}


@pytest.mark.parametrize(
    ("runs", "lines"),
    [
        ([{}, {}], []),
        ([WAITED, WAITED, LONELY], ["0 of 3 runs overlapped", "2 runs waited for others: files", "1 run waited"]),
        ([beside(1.0, None), {}], ["1 of 1 runs overlapped", "the interference of runs that overlapped was not"]),
        ([beside(1.1, 1.0)], ["1 of 1 runs", "next to others, runs took 1.10 times as long as alone (1 pair)"]),
        (
            [beside(1.1, 1.0), beside(3.0, 1.5), beside(0.9, 1.0)],
            ["3 of 3", "next to others, runs took 1.10 times as long as alone (median of 3 pairs, 0.90 to 2.00)"],
        ),
    ],
)
def test_sharing_in_words(runs: list[dict[str, Any]], lines: list[str]) -> None:
    """The sentences count the runs next to others, give the reasons of those that waited, and the interference."""
    said = list(sharing([record("bulk", *runs)]))
    assert len(said) == len(lines)
    assert all(line.startswith(begin) for line, begin in zip(said, lines, strict=True)), said
