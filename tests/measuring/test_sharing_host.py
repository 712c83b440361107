"""The order in which runs get the cores of this machine."""

from __future__ import annotations

import pytest

from pytest_edgeload.measuring.sharing import physical_first


@pytest.mark.parametrize(
    ("siblings", "order"),
    [
        ({0: "0,2\n", 1: "1,3\n", 2: "0,2\n", 3: "1,3\n"}, (0, 1, 2, 3)),
        ({0: "0-1\n", 1: "0-1\n", 2: "2-3\n", 3: "2-3\n"}, (0, 2, 1, 3)),
        ({0: "", 1: "", 2: "", 3: ""}, (0, 1, 2, 3)),
        ({2: "0,2\n", 3: "3\n", 10: "10\n"}, (3, 10, 2)),
    ],
)
def test_runs_share_a_physical_core_last(siblings: dict[int, str], order: tuple[int, ...]) -> None:
    """The first thread of each physical core comes before all second threads."""
    assert physical_first(siblings, siblings.__getitem__) == order
