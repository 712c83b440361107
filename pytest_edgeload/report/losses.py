"""The text about a workload under which a policy loses: the figures, the workload file, and a test of it. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from pytest_edgeload.base.text import printable
from pytest_edgeload.report.advice import figure_name, shown_value
from pytest_edgeload.results.advice import TIE_SHARE, Objective


class FoundLoss(NamedTuple):
    """A policy, the rival that wins, the limit, and their values: predicted by policy, and measured in some runs each.

    `tried` is the number of workloads that were tried. A run that failed has the value None. After an interrupt there
    may be fewer runs, and a run of the policy that its rival lacks.
    """

    policy: str
    rival: str
    limit: str
    objective: Objective
    tried: int
    predicted: Mapping[str, float]
    measured: Mapping[str, Sequence[float | None]]


def text(found: FoundLoss, file: str, workload: str) -> str:
    """Return everything about a loss; `workload` is the text of the file."""
    return "\n".join([*_figures(found), "", f"# {file}", workload.rstrip(), "", *_test(found, file)])


def _figures(found: FoundLoss) -> Iterator[str]:
    objective = found.objective
    yield printable(
        f"{found.policy} loses most to {found.rival} at {found.limit}, by its {figure_name(objective)}, "
        f"of {found.tried} workloads tried"
    )
    yield f"predicted: {_pair(found, found.predicted)}"
    rounds = min(map(len, found.measured.values()), default=0)
    if not rounds:
        yield "not confirmed by a run"
        return
    medians = {
        policy: statistics.median(each for each in values[:rounds] if each is not None)
        for policy, values in found.measured.items()
        if None not in values[:rounds]
    }
    runs = f"median of {rounds} runs" if rounds > 1 else "1 run"
    yield f"measured, {runs}: {_pair(found, medians)}"
    yield _verdict(found, medians)


def _verdict(found: FoundLoss, medians: Mapping[str, float]) -> str:
    """Return whether the runs confirm the loss."""
    policy, rival = printable(found.policy), printable(found.rival)
    if found.rival not in medians:
        return f"not confirmed: a run under {rival} failed"
    if found.policy not in medians:
        return f"confirmed: a run under {policy} failed"
    loss = found.objective.excess(medians[found.policy], medians[found.rival])
    if loss > TIE_SHARE:
        return "confirmed"
    return f"not confirmed: {policy} does not lose more than {TIE_SHARE:.0%} when it runs"


def _pair(found: FoundLoss, values: Mapping[str, float]) -> str:
    """Return the values of the policy and its rival, and the loss if both work."""
    words = [
        f"{printable(policy)} {shown_value(found.objective, values[policy]) if policy in values else 'fails'}"
        for policy in (found.policy, found.rival)
    ]
    if found.policy not in values or found.rival not in values:
        return ", ".join(words)
    loss = found.objective.excess(values[found.policy], values[found.rival])
    return f"{', '.join(words)} ({loss:.0%} worse)" if loss > 0 else ", ".join(words)


def _test(found: FoundLoss, file: str) -> Iterator[str]:
    """Yield the lines of a test that runs both policies under the workload."""
    yield "# test_worst.py"
    yield "import pytest"
    yield "from pytest_edgeload import Mix"
    yield ""
    yield f'@pytest.mark.parametrize("policy", ["{found.rival}", "{found.policy}"])'
    yield "def test_worst(edge, policy):"
    yield f'    measurement = edge.run(Mix.load("{file}"), policy=policy, memory="{found.limit}")'
    yield '    assert measurement.outcome == "ok", measurement.detail'
