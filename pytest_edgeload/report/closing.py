"""The end of the terminal summary: a chart of time by policy, and three sentences a person can repeat. Pure."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from pytest_edgeload.base.text import printable
from pytest_edgeload.base.units import format_duration, format_size
from pytest_edgeload.report.view import View
from pytest_edgeload.report.winners import Winner, winner
from pytest_edgeload.results.case import REFERENCE
from pytest_edgeload.results.record import Record, comparison_groups
from pytest_edgeload.results.statistics import outcomes, spread

_WIDTH, _MAX_BAR = 80, 40
_TITLES = {"makespan_s": "makespan", "response_mean_s": "mean response time"}


@dataclass(frozen=True, slots=True)
class _Contest:
    """The records of a comparison group, and its winner."""

    records: Sequence[Record]
    winner: Winner

    @property
    def name(self) -> str:
        """The workload and the limit."""
        case = self.winner.record.case
        return printable(f"{case.workload} at {case.limit or 'no limit'}")

    @property
    def lead(self) -> float:
        """The longest median time, relative to the winner's."""
        return max(filter(None, map(_median_s, self.records))) / self.winner.median_s


def closing(records: Iterable[Record], view: View) -> str:
    """Return the chart of the comparison in which policies differ most, and the three sentences.

    A comparison whose winner is certain comes first. The text is empty if no two policies were compared.
    """
    groups = comparison_groups(records).values()
    contests = [_Contest(group, won) for group in groups if (won := winner(group)) is not None and won.median_s]
    if not contests:
        return ""
    clearest = max(contests, key=lambda contest: (not contest.winner.close, contest.lead))
    return "\n".join([*_chart(clearest, view.width or _WIDTH), "", *_sentences(contests)])


# ---- the chart -------------------------------------------------------------------------------------------------------


def _chart(contest: _Contest, width: int) -> Iterator[str]:
    """Yield a title, and a bar for each policy, the quickest first."""
    case, rounds = contest.winner.record.case, max(len(record.rounds) for record in contest.records)
    median = f", median of {rounds} rounds" if rounds > 1 else ""
    yield f"{_TITLES[case.main_metric]} by policy, {contest.name}{median}"
    rows = [(_name(record), _time(record), record) for record in sorted(contest.records, key=_place)]
    longest_s = contest.lead * contest.winner.median_s
    names, times = (max(len(row[i]) for row in rows) for i in (0, 1))  # type: ignore[arg-type]
    room = min(_MAX_BAR, width - names - times - len("    ") - len("  9.99G swapped"))
    for name, time, record in rows:
        bar = _bar((_median_s(record) or 0.0) / longest_s * max(room, 1))
        yield f"{name:<{names}}  {time:>{times}}  {bar}{_swapped(record)}".rstrip()


def _place(record: Record) -> tuple[bool, float]:
    seconds = _median_s(record)
    return seconds is None, seconds or 0.0


def _name(record: Record) -> str:
    return printable(record.case.policy)


def _time(record: Record) -> str:
    """Return the median time, or the outcome if no run was ok."""
    seconds = _median_s(record)
    return next(iter(outcomes(record))) if seconds is None else format_duration(seconds)


def _bar(length: float) -> str:
    """Return a bar in half blocks; even the shortest is visible."""
    halves = max(1, round(2 * length)) if length else 0
    return "█" * (halves // 2) + "▌" * (halves % 2)


def _swapped(record: Record) -> str:
    swapped = _swapped_bytes(record)
    return f"  {format_size(swapped)} swapped" if swapped else ""


# ---- the sentences ---------------------------------------------------------------------------------------------------


def _sentences(contests: Sequence[_Contest]) -> Iterator[str]:
    """Yield the winning policy, its lead, and the most that was swapped."""
    certain = [contest for contest in contests if not contest.winner.close]
    if not certain:
        yield f"No difference between the quickest policies was seen in {_comparisons(contests)}{_few(contests)}."
    else:
        (first, wins), *_ = Counter(contest.winner.policy for contest in certain).most_common()
        unsure = len(contests) - len(certain)
        doubt = f"; no difference was seen in {unsure}" if unsure else ""
        yield f"{printable(first)} is the quickest policy in {wins} of {_comparisons(contests)}{doubt}."
        yield from _lead([contest for contest in certain if contest.winner.policy == first])
    yield _most_swapped(contests)


def _few(contests: Sequence[_Contest]) -> str:
    """Return words for the lack of rounds if there was a single one."""
    rounds = max(len(record.rounds) for contest in contests for record in contest.records)
    return ", because 1 round is no evidence; take 3 or more" if rounds == 1 else ""


def _comparisons(contests: Sequence[_Contest]) -> str:
    if len(contests) == 1:
        return f"1 comparison ({contests[0].name})"
    return f"{len(contests)} comparisons"


def _lead(contests: Sequence[_Contest]) -> Iterator[str]:
    ratios = sorted(contest.winner.ratio for contest in contests if contest.winner.ratio is not None)
    if ratios:
        spanned = f" ({ratios[0]:.2f} to {ratios[-1]:.2f})" if len(ratios) > 1 else ""
        yield f"There it takes {statistics.median(ratios):.2f} x the time of {REFERENCE}{spanned}."


def _most_swapped(contests: Sequence[_Contest]) -> str:
    contest, record = max(
        ((contest, record) for contest in contests for record in contest.records),
        key=lambda pair: _swapped_bytes(pair[1]),
    )
    if not _swapped_bytes(record):
        return "Nothing was swapped."
    most, least = format_size(_swapped_bytes(record)), _swapped_bytes(contest.winner.record)
    winning = f"{_name(contest.winner.record)} swapped {format_size(least) if least else 'nothing'}"
    return f"{_name(record)} swapped the most, {most} in {contest.name}, where {winning}."


def _swapped_bytes(record: Record) -> int:
    """Return the median bytes written to swap; 0 if unknown."""
    swapped = spread(record, "swap_out_bytes")
    return 0 if swapped is None else round(swapped.median)


def _median_s(record: Record) -> float | None:
    times = spread(record, record.case.main_metric)
    return None if times is None else times.median
