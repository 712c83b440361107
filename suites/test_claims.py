"""Do the published claims about loading policies hold here? Judges them by the measurements of this session.

These tests run last. A claim is skipped if no measurement fits it. The ratio of a group is the median over its rounds,
and a claim fails if the median over all groups exceeds 1.1; a smaller excess is not evidence against it.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence

import pytest

from pytest_edgeload import Case, Record, comparison_groups, format_size, ratio, spread

Group = dict[str, Record]
"""The records of one comparison group by policy."""

INTERLEAVED = ("linear", "partial", "deepeye", "execprio", "execprio-inter", "masa", "masa-hrrn", "mema")
WHOLE_NETWORKS = ("bulk", "bulk-unchained", "multi-bulk")
CONCURRENT = ("partial", "multi-bulk")
PRESSURE_BYTES = 64 << 20
"""A run is under memory pressure if it reads at least this much back from swap."""

TOLERANCE = 1.10


def _complete_groups(records: Sequence[Record], loop: str) -> dict[Case, Group]:
    """Return the comparison groups with this loop in which every run of every policy has the outcome ok."""
    return {
        case: {record.case.policy: record for record in members}
        for case, members in comparison_groups(records).items()
        if case.loop == loop and all(run.outcome == "ok" for record in members for run in record.rounds)
    }


def _under_pressure(group: Group, policies: Sequence[str]) -> list[str]:
    """Return those of `policies` that ran under memory pressure in a group."""
    measured = [policy for policy in policies if policy in group]
    return [policy for policy in measured if _median(group[policy], "swap_in_bytes") >= PRESSURE_BYTES]


def _median(record: Record, metric: str) -> float:
    rounds = spread(record, metric)
    return 0.0 if rounds is None else rounds.median


def _ratio(group: Group, policies: Sequence[str], references: Sequence[str], metric: str) -> float | None:
    """Return the metric of the best of `policies` over that of the best of `references`; None if a side is missing."""
    best_ratios = []
    for reference in references:
        ratios = [
            ratio(group[policy], group[reference], metric)
            for policy in policies
            if policy in group and reference in group and policy != reference
        ]
        best = min((value for value in ratios if value is not None), default=None)
        if best is not None:
            best_ratios.append(best)
    return max(best_ratios, default=None)


def _judge(ratios: dict[Case, float | None], reason: str) -> None:
    """Fail if the median of `ratios` refutes the claim that they are at most 1; skip with `reason` if there is none."""
    known = {f"{case.workload} at {case.limit}": value for case, value in ratios.items() if value is not None}
    if not known:
        pytest.skip(reason)
    assert statistics.median(known.values()) <= TOLERANCE, known


@pytest.mark.full
@pytest.mark.quick
def test_interleaving_beats_whole_networks_under_pressure(edge_records: tuple[Record, ...]) -> None:
    """The 2020 study: under memory pressure, interleaving loads and execs is faster than loading whole networks."""
    ratios = {
        case: _ratio(group, INTERLEAVED, whole, "makespan_s")
        for case, group in _complete_groups(edge_records, "once").items()
        if (whole := _under_pressure(group, WHOLE_NETWORKS))
    }
    size = format_size(PRESSURE_BYTES)
    _judge(
        ratios, f"no policy read {size} of whole networks back from swap beside an interleaved one; lower --edge-mem"
    )


@pytest.mark.full
@pytest.mark.quick
def test_concurrency_is_not_worse_with_memory_to_spare(edge_records: tuple[Record, ...]) -> None:
    """The 2020 study: as long as memory suffices, running networks concurrently is not slower than one by one."""
    ratios = {
        case: _ratio(group, CONCURRENT, ["bulk"], "makespan_s")
        for case, group in _complete_groups(edge_records, "once").items()
        if len(case.requests) > 1
        and not any(_median(group[policy], "swap_out_bytes") for policy in ("bulk", *CONCURRENT) if policy in group)
    }
    _judge(ratios, "bulk and partial never ran several requests without swap in one group; raise --edge-mem")


@pytest.mark.full
@pytest.mark.quick
def test_strict_linear_wins_when_swapping_is_heavy(edge_records: tuple[Record, ...]) -> None:
    """The 2020 study: if partial swaps as well, loading one layer at a time is the fastest."""
    others = ["partial", "deepeye", *WHOLE_NETWORKS]
    ratios = {
        case: _ratio(group, ["linear"], others, "makespan_s")
        for case, group in _complete_groups(edge_records, "once").items()
        if _under_pressure(group, ["partial"])
    }
    _judge(ratios, "partial never swapped in a group with linear; lower --edge-mem")


@pytest.mark.full
@pytest.mark.quick
def test_memory_awareness_answers_sooner_under_pressure(edge_records: tuple[Record, ...]) -> None:
    """Masa: if requests keep coming under memory pressure, memory-aware policies have shorter mean response times."""
    ratios = {
        case: _ratio(group, ["masa", "masa-hrrn"], whole, "response_mean_s")
        for case, group in _complete_groups(edge_records, "open").items()
        if (whole := _under_pressure(group, WHOLE_NETWORKS))
    }
    _judge(ratios, "no policy that loads whole networks swapped in an open loop with masa; lower --edge-mem")
