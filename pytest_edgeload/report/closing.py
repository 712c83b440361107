"""The end of the terminal summary: a chart of a metric by policy, and three sentences a person can repeat. Pure."""

from __future__ import annotations

import enum
import math
import statistics
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from pytest_edgeload.base.text import printable
from pytest_edgeload.base.units import format_size
from pytest_edgeload.report.bars import bar
from pytest_edgeload.report.view import View
from pytest_edgeload.report.winners import Winner, best_first, contest, in_words, value_in, winner
from pytest_edgeload.results.case import REFERENCE
from pytest_edgeload.results.record import Record, comparison_groups
from pytest_edgeload.results.statistics import outcomes, spread

_WIDTH, _MAX_BAR = 80, 40


class _Rows(enum.Enum):
    """The kinds of rows that are compared; the value is the word for several."""

    POLICIES = "policies"
    PROGRAMS = "programs"

    @property
    def singular(self) -> str:
        """The word for one row."""
        return "policy" if self is _Rows.POLICIES else "program"


@dataclass(frozen=True, slots=True)
class _Contest:
    """The records of a comparison group, and its winner."""

    records: Sequence[Record]
    winner: Winner

    def value(self, record: Record) -> float | None:
        """Return the figure of a record; None if no run was ok."""
        return value_in(self.records, record, self.winner.figure)

    @property
    def longest(self) -> float:
        """The largest value."""
        return max(value for record in self.records if (value := self.value(record)) is not None)

    @property
    def name(self) -> str:
        """The workload and the limit, and the loop if requests do not arrive all at once; of programs the limit."""
        case = self.winner.record.case
        loop = "" if case.loop == "once" else f", {case.loop} loop"
        simulated = f", {case.simulated}" if case.simulated else ""
        workload = "" if case.is_program else f"{case.workload} "
        host = "" if case.host is None else f" on host {case.host}"
        return printable(f"{workload}at {case.limit or 'no limit'}{host}{loop}{simulated}")

    @property
    def where(self) -> str:
        """The name behind a preposition: `in lenet at 512M`, or of programs `at 512M`."""
        return self.name if self.winner.record.case.is_program else f"in {self.name}"

    @property
    def lead(self) -> float:
        """The largest value, relative to the smallest one."""
        smallest = min(value for record in self.records if (value := self.value(record)) is not None)
        return self.longest / smallest if smallest > 0 else math.inf


def closing(records: Iterable[Record], view: View) -> str:
    """Return the chart of the comparison in which policies differ most, and the three sentences.

    Policies are compared by the figure that orders the rows of the view, if there is one. A comparison whose winner is
    certain comes first. The text is empty if no two policies were compared.
    """
    records = list(records)
    figure, groups = contest(records, view), comparison_groups(records).values()
    contests = [
        _Contest(group, won) for group in groups if (won := winner(group, figure)) is not None and won.value > 0
    ]
    if not contests:
        return ""
    clearest = max(contests, key=lambda one: (not one.winner.close, one.lead))
    by_praise: dict[str, list[_Contest]] = {}
    for one in contests:
        by_praise.setdefault(one.winner.superlative if not one.winner.is_quickest else "", []).append(one)
    sentences = [sentence for alike in by_praise.values() for sentence in _sentences(alike)]
    sentences += filter(None, [_most_swapped(contests)])
    return "\n".join([*_chart(clearest, view.width or _WIDTH), "", *sentences])


# ---- the chart -------------------------------------------------------------------------------------------------------


def _chart(contest: _Contest, width: int) -> Iterator[str]:
    """Yield a title, and a bar for each policy, the best first."""
    figure, rounds = contest.winner.figure, max(len(record.rounds) for record in contest.records)
    statistic = f", {figure.stat} of {rounds} rounds" if rounds > 1 else ""
    is_program = contest.winner.record.case.is_program
    by = f"by program {contest.name}" if is_program else f"by policy, {contest.name}"
    yield f"{in_words(figure)} {by}{statistic}"
    rows = [(_name(record), _value(contest, record), record) for record in best_first(contest.records, figure)]
    names, times = (max(len(row[i]) for row in rows) for i in (0, 1))  # type: ignore[arg-type]
    room = min(_MAX_BAR, width - names - times - len("    ") - len("  9.99G swapped"))
    for name, time, record in rows:
        drawn = bar(max(0.0, contest.value(record) or 0.0) / contest.longest * max(room, 1))
        yield f"{name:<{names}}  {time:>{times}}  {drawn}{_swapped(record)}".rstrip()


def _name(record: Record) -> str:
    return printable(record.case.policy)


def _value(contest: _Contest, record: Record) -> str:
    """Return the value with its unit, or the outcome if no run was ok."""
    value = contest.value(record)
    return next(iter(outcomes(record))) if value is None else printable(contest.winner.figure.show(value))


def _swapped(record: Record) -> str:
    swapped = _swapped_bytes(record)
    return f"  {format_size(swapped)} swapped" if swapped else ""


# ---- the sentences ---------------------------------------------------------------------------------------------------


def _sentences(contests: Sequence[_Contest]) -> Iterator[str]:
    """Yield the winning policy of contests by one figure, and its lead."""
    certain = [contest for contest in contests if not contest.winner.close]
    if not certain:
        won = contests[0].winner
        rows = _rows(contests).value
        best = f"quickest {rows}" if won.is_quickest else f"{rows} with the {won.superlative}"
        yield f"No difference between the {best} was seen in {_comparisons(contests)}{_few(contests)}."
    else:
        (first, wins), *others = Counter(contest.winner.policy for contest in certain).most_common()
        unsure = len(contests) - len(certain)
        doubt = f"; no difference was seen in {unsure}" if unsure else ""
        won = certain[0].winner
        best = f"is the quickest {_rows(contests).singular}" if won.is_quickest else f"has the {won.superlative}"
        also = "".join(f", {printable(name)} in {count}" for name, count in others)
        yield f"{printable(first)} {best} in {wins} of {_comparisons(contests)}{also}{doubt}."
        won_by_first = [contest for contest in certain if contest.winner.policy == first]
        there = f"Where {printable(first)} is best," if others else "There"
        yield from _lead(won_by_first, there)
        yield from _distance(won_by_first, there)


def _rows(contests: Iterable[_Contest]) -> _Rows:
    """Return the kind of the rows of contests: programs only if all are."""
    are_programs = all(contest.winner.record.case.is_program for contest in contests)
    return _Rows.PROGRAMS if are_programs else _Rows.POLICIES


def _few(contests: Sequence[_Contest]) -> str:
    """Return words for the lack of rounds if there was a single one."""
    rounds = max(len(record.rounds) for contest in contests for record in contest.records)
    return ", because 1 round is no evidence; take 3 or more" if rounds == 1 else ""


def _comparisons(contests: Sequence[_Contest]) -> str:
    if len(contests) == 1:
        return f"1 comparison ({contests[0].name})"
    return f"{len(contests)} comparisons"


def _lead(contests: Sequence[_Contest], there: str) -> Iterator[str]:
    """Yield the figure of the winner, relative to that of the reference; `there` names the contests."""
    ratios = sorted(contest.winner.ratio for contest in contests if contest.winner.ratio is not None)
    if ratios:
        spanned = f" ({ratios[0]:.2f} to {ratios[-1]:.2f})" if len(ratios) > 1 else ""
        won = contests[0].winner
        figure = "takes {} x the time" if won.is_quickest else f"has {{}} x the {in_words(won.figure)}"
        yield f"{there} it {figure.format(f'{statistics.median(ratios):.2f}')} of {REFERENCE}{spanned}."


def _distance(contests: Sequence[_Contest], there: str) -> Iterator[str]:
    """Yield the times of the other programs, relative to that of the quickest one; `there` names the contests."""
    if _rows(contests) is not _Rows.PROGRAMS or not contests[0].winner.is_quickest:
        return
    ratios = sorted(
        value / contest.winner.value
        for contest in contests
        for record in contest.records
        if record is not contest.winner.record and (value := contest.value(record)) is not None
    )
    if len(ratios) == 1:
        yield f"{there} the other takes {ratios[0]:.2f} x its time."
    elif ratios:
        yield f"{there} the others take {ratios[0]:.2f} to {ratios[-1]:.2f} x its time."


def _most_swapped(contests: Sequence[_Contest]) -> str:
    """Return a sentence about the row that swapped most; empty if that is not known of any."""
    if not any(spread(record, "swap_out_bytes") for contest in contests for record in contest.records):
        return ""
    contest, record = max(
        ((contest, record) for contest in contests for record in contest.records),
        key=lambda pair: _swapped_bytes(pair[1]),
    )
    if not _swapped_bytes(record):
        return "Nothing was swapped."
    most, least = format_size(_swapped_bytes(record)), _swapped_bytes(contest.winner.record)
    if record is contest.winner.record:
        return f"{_name(record)} swapped the most, {most} {contest.where}."
    winning = f"{_name(contest.winner.record)} swapped {format_size(least) if least else 'nothing'}"
    return f"{_name(record)} swapped the most, {most} {contest.where}, where {winning}."


def _swapped_bytes(record: Record) -> int:
    """Return the median bytes written to swap; 0 if unknown."""
    swapped = spread(record, "swap_out_bytes")
    return 0 if swapped is None else round(swapped.median)
