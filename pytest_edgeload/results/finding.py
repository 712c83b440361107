"""Findings: the verdicts on figures of cases, and the sides of their comparison. Pure functions of records."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import msgspec

from pytest_edgeload.results.bootstrap import Runs
from pytest_edgeload.results.case import AUTO, Case
from pytest_edgeload.results.record import Record
from pytest_edgeload.results.statistics import Change, lacking, runs_of
from pytest_edgeload.results.threshold import Figure

Verdict = Literal["ok", "regressed", "improved", "inconclusive", "new", "missing", "invalid", "incomparable"]

_JUDGED: frozenset[Verdict] = frozenset({"ok", "regressed", "improved", "inconclusive"})
_SMALL = 0.001


@dataclass(frozen=True, slots=True)
class Finding:
    """The verdict on one figure of one case. `then` is None for a ceiling, and if there is nothing to compare with."""

    case: Case
    figure: Figure
    limit: str
    verdict: Verdict
    reason: str = ""
    then: float | None = None
    now: float | None = None
    change: Change | None = None

    @property
    def is_judged(self) -> bool:
        """Whether figures were compared."""
        return self.verdict in _JUDGED

    def __str__(self) -> str:
        values = ""
        if self.now is not None:
            then = "" if self.then is None else f"{self.figure.show(self.then)} -> "
            values = f" {then}{self.figure.show(self.now)}{self._change()}"
        reason = f": {self.reason}" if self.reason else ""
        return f"{self.figure}{values}, limit {self.limit}{reason}"

    def _change(self) -> str:
        if self.change is None:
            return ""
        ends = shown_interval(self.change, self.figure)
        return f" ({shown_change(self.change, self.figure)}{f', 95% interval {ends}' if ends else ''})"


@dataclass(frozen=True, slots=True)
class Judgement:
    """Everything a gate says about a session: its findings, and a sentence on each threshold that judged nothing."""

    findings: tuple[Finding, ...] = ()
    idle: tuple[str, ...] = ()

    @property
    def counts(self) -> Counter[Verdict]:
        """The number of findings with each verdict."""
        return Counter(finding.verdict for finding in self.findings)

    @property
    def regressed(self) -> set[Case]:
        """The identities of the cases that regressed."""
        return {identity(finding.case) for finding in self.findings if finding.verdict == "regressed"}

    def __str__(self) -> str:
        return ", ".join(f"{count} {verdict}" for verdict, count in self.counts.most_common())


def shown_change(change: Change, figure: Figure) -> str:
    """Return a change as a short text: `+5.2%`, or `+4K` if it is not a share."""
    return _shown(change.value, change, figure)


def shown_interval(change: Change, figure: Figure) -> str:
    """Return the interval of a change: `+1.3% to +9.8%`; an empty text if it has none."""
    ends = change.interval
    return "" if ends is None else " to ".join(_shown(end, change, figure) for end in (ends.low, ends.high))


def _shown(value: float, change: Change, figure: Figure) -> str:
    if not change.is_share:
        return f"{'-' if value < 0 else '+'}{figure.show(abs(value))}"
    return f"{100 * value:+.2g}%" if 0 < abs(value) < _SMALL else f"{value:+.1%}"


@dataclass(frozen=True, slots=True)
class Side:
    """A record of one session, and the record of the reference policy in its group."""

    record: Record
    reference: Record | None = None

    def runs(self, figure: Figure) -> Runs:
        """Return the samples of `figure`."""
        return runs_of(self.record, figure, self.reference)

    def has(self, figure: Figure) -> bool:
        """Return whether it has enough samples of `figure`."""
        return not lacking(self.runs(figure), figure.stat)


@dataclass(frozen=True, slots=True)
class Sides:
    """All records of a session by the identity of their cases, and by the identity without the test and the reader."""

    records: Mapping[Case, Record]
    similar: Mapping[Case, Sequence[Record]]

    @classmethod
    def of(cls, records: Iterable[Record]) -> Sides:
        """Return the sides of a session's records."""
        by_case = {identity(record.case): record for record in records}
        similar: dict[Case, list[Record]] = {}
        for case, record in by_case.items():
            similar.setdefault(_without_test(case), []).append(record)
        return cls(by_case, similar)

    def side(self, case: Case, reference: str | None) -> Side | None:
        """Return the record of `case` and its reference; None if the case was not measured."""
        record = self._record(case)
        if record is None:
            return None
        other = None if reference is None else msgspec.structs.replace(identity(record.case), policy=reference)
        return Side(record, None if other is None else self.records.get(other))

    def _record(self, case: Case) -> Record | None:
        """Return the record of the same case.

        A case of the command line has no test. It is the same as the only case of tests that is equal in all else. A
        case whose reader `auto` chose is the same as one with that reader, or else as the only one with any reader.
        """
        key = identity(case)
        if key in self.records:
            return self.records[key]
        found = [each for each in self.similar.get(_without_test(key), ()) if _may_be(identity(each.case), key)]
        found = [each for each in found if each.case.reader == case.reader] or found
        return found[0] if len(found) == 1 else None


def _without_test(key: Case) -> Case:
    return msgspec.structs.replace(key, test="", parameters=(), reader="", is_reader_auto=False)


def _may_be(one: Case, other: Case) -> bool:
    """Return whether two cases, equal in all else, have the same test and reader, as far as both have one."""
    same_test = (one.test, one.parameters) == (other.test, other.parameters) or not (one.test and other.test)
    return same_test and (one.reader == other.reader or AUTO in {one.reader, other.reader})


def identity(case: Case) -> Case:
    """Return the part of a case that is the same in every session: without the bytes of `base+`, the cap and the swap.

    A simulated case keeps its cap, so it is never compared with a measured one. A reader that `auto` chose is `auto`.
    The parameters are part of it, because the id of a test joins them by a hyphen, which they may contain.
    """
    constraints = case.constraints.without(["memory_bytes"])
    return msgspec.structs.replace(
        case,
        constraints=constraints,
        reader=case.given_reader,
        cap=case.simulated,
        swap="",
        by_device=(),
        unenforced=(),
    )


def missing_cases(before: Iterable[Record], after: Iterable[Record]) -> list[Case]:
    """Return the cases of the baseline that were not measured although their tests were."""
    after = list(after)
    now, tests = Sides.of(after), {record.case.test for record in after}
    cases = (record.case for record in before)
    return [case for case in cases if case.test in tests and now.side(case, None) is None]


def _swap_kind(case: Case) -> str:
    return "none" if case.swap in {"none", "off"} else "zram" if case.swap.startswith("zram:") else "file"


def incomparable(figure: Figure, then: Case, now: Case, *, is_alike: bool) -> str | None:
    """Return why a figure cannot be compared with that of a baseline; None if it can."""
    different = _other_conditions(figure, then, now)
    if different is not None:
        return different
    if figure.reference is not None or figure.is_exact:
        return None
    if not is_alike:
        if figure.is_own or figure.unit == "ratio":
            return f"{figure} of another machine cannot be compared; try a ratio to another row, as {figure}/NAME"
        return "times of another machine cannot be compared; try a ratio such as makespan/bulk:10%"
    return None if then.cap == now.cap else f"the cap was {then.cap} then, and is {now.cap} now"


def _other_conditions(figure: Figure, then: Case, now: Case) -> str | None:
    if _swap_kind(then) != _swap_kind(now):
        return f"swap was {then.swap} then, and is {now.swap} now"
    if then.reader != now.reader:
        return f"the reader was {then.reader} then, and is {now.reader} now"
    if not figure.is_exact and then.unenforced != now.unenforced:
        unenforced = (", ".join(map(str, case.unenforced)) or "none" for case in (then, now))
        return "unenforced constraints differ: {} then, {} now".format(*unenforced)
    return None
