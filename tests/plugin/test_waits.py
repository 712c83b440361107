"""The line on the time that runs waited for their turns."""

from __future__ import annotations

import pytest

from pytest_edgeload.devices.constraints import Constraints
from pytest_edgeload.plugin.summary import waits
from pytest_edgeload.results.case import Case
from pytest_edgeload.results.measurement import Measurement
from pytest_edgeload.results.record import Entry

CASE = Case(test="t", workload="w", policy="p", reader="read", cap="none", swap="off", constraints=Constraints())
HINT = "--edge-parallel lets runs overlap that fit side by side"


def runs(*processes: str) -> list[Entry]:
    """Return a run of each of these processes that waited for two seconds."""
    run = Measurement(outcome="ok", started=1.0, ended=2.0, waited_s=2.0)
    return [Entry(CASE, run, f"00-{process}.json") for process in processes]


@pytest.mark.parametrize(
    ("processes", "is_on_hosts", "line"),
    [
        (["gw0"], False, "runs waited 2 s for runs of other sessions, because they take turns"),
        (["gw0", "gw1"], True, "runs waited 4 s for runs of other sessions, because they take turns"),
        (
            ["gw0", "gw1"],
            False,
            f"runs took turns: 4 s of waiting over 2 processes (-n 2); {HINT}",
        ),
    ],
)
def test_waits_recommend_only_what_is_possible(processes: list[str], is_on_hosts: bool, line: str) -> None:  # noqa: FBT001
    """Only processes that share a machine could overlap; hosts refuse the option."""
    assert waits(runs(*processes), "-n 2", may_overlap=False, is_on_hosts=is_on_hosts) == [line]
