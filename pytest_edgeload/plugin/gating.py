"""The gate of a session: decides when a case is complete, and collects the verdicts. Knows ids of tests, but no hook.

A test of several rounds is several items. Its cases are complete when all of these items have reported, and those of
the references as well. A regression that may be chance waits for other cases, whose regressions are evidence for it.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import msgspec

from pytest_edgeload.results.case import Case
from pytest_edgeload.results.claims import Claim, Claims, Judged, comparisons_in
from pytest_edgeload.results.finding import Finding, Judgement, Sides, identity
from pytest_edgeload.results.gate import Gate
from pytest_edgeload.results.metric import Metric
from pytest_edgeload.results.own import optional_metrics
from pytest_edgeload.results.record import Entry, Record, collect
from pytest_edgeload.results.threshold import Ceiling, Threshold

_ROUND = re.compile(r"-?round\d+(?=\]$)")


def test_of(nodeid: str) -> str:
    """Return the part of the id that all rounds of a test have in common."""
    return _ROUND.sub("", nodeid).removesuffix("[]")


@dataclass(slots=True)
class _Pending:
    """A case that was measured but not judged yet: the test that measured it, and the ceilings of that test."""

    test: str
    ceilings: tuple[Ceiling, ...]


class SessionGate:
    """Judges each case once, when it is complete.

    `rounds` is the maximum number of items of a test, and `measuring` has the ids of all items that will report. The
    cost of a report does not depend on the number of earlier reports: only the cases of its test and the cases that are
    compared with them are checked.
    """

    def __init__(self, gate: Gate, rounds: int, measuring: Iterable[str]) -> None:
        self.gate = gate
        self.findings: list[Finding] = []
        self._rounds = rounds
        self._unseen = set(map(test_of, measuring))
        self._claims = Claims()
        self._ceilings: dict[Ceiling, None] = {}
        self._compared = Counter[bool]()
        self._limits = _count(gate.thresholds)
        self._reported: dict[str, Metric] = {}
        self._items: defaultdict[str, set[str]] = defaultdict(set)
        self._measured: defaultdict[Case, list[Entry]] = defaultdict(list)
        self._tests: dict[Case, str] = {}
        self._cases: defaultdict[str, dict[Case, None]] = defaultdict(dict)  # by test, in the order of arrival
        self._followers: defaultdict[Case, dict[Case, None]] = defaultdict(dict)  # by the case they are compared with
        self._pending: dict[Case, _Pending] = {}

    def expect(self, measuring: Iterable[str]) -> None:
        """Expect the reports of further items with these ids."""
        self._unseen |= set(map(test_of, measuring))

    def take(self, nodeid: str, entries: Iterable[Entry], ceilings: Sequence[Ceiling]) -> list[Finding]:
        """Take the report of an item and its entries. Return the findings that fail, of all cases complete now."""
        test = test_of(nodeid)
        self._items[test].add(nodeid)
        self._unseen.discard(test)
        self._ceilings.update(dict.fromkeys(ceilings))
        self._limits |= _count([*self.gate.thresholds, *ceilings])
        self.note(nodeid, entries, ceilings)
        touched = {key: None for case in self._cases[test] for key in (case, *self._followers[case])}
        complete = [key for key in touched if key in self._pending and self._is_complete(key, self._pending[key])]
        return self._judge(complete, self._sides(complete)) if complete else []

    def note(self, nodeid: str, entries: Iterable[Entry], ceilings: Sequence[Ceiling]) -> None:
        """Take the entries of an item that runs again, so that its cases are not judged yet."""
        for entry in entries:
            self._note(entry, _Pending(test_of(nodeid), tuple(ceilings)))

    def _note(self, entry: Entry, pending: _Pending) -> None:
        key = identity(entry.case)
        if self._measured[key] and key not in self._pending:  # judged, but its test ran again after that
            self.findings = [finding for finding in self.findings if identity(finding.case) != key]
            self._claims.withdraw(key)
        self._measured[key].append(entry)
        self._reported |= optional_metrics([Record(entry.case, (entry.measurement,))])
        self._tests[key] = pending.test
        self._cases[pending.test][key] = None
        self._pending[key] = pending
        for reference in self._references(key, pending):
            self._followers[reference][key] = None

    def _sides(self, keys: Iterable[Case]) -> Sides:
        """Return the records of these cases and of their references."""
        cases = {case: None for key in keys for case in (*self._references(key, self._pending[key]), key)}
        return Sides.of(collect(entry for case in cases for entry in self._measured.get(case, ())))

    def finish(self, records: Iterable[Record]) -> list[Finding]:
        """Judge the incomplete cases, and the cases of the baseline that were not measured. Return what fails."""
        records, earlier = list(records), len(self.findings)
        self._unseen.clear()
        self._judge(list(self._pending), Sides.of(records))
        self.findings += [*self._claims.others(self._compared), *self.gate.missing(records)]
        return [finding for finding in self.findings[earlier:] if self.gate.fails(finding)]

    @property
    def has_limits(self) -> bool:
        """Whether the session has a threshold, or a test a ceiling."""
        return bool(self.gate.thresholds or self._ceilings)

    @property
    def judgement(self) -> Judgement:
        """All findings, and each threshold of the session and each ceiling of a test by which nothing was judged."""
        idle = self.gate.idle(self.findings, self._ceilings, self._reported)
        return Judgement(tuple(self.findings), tuple(idle))

    def items_of(self, findings: Iterable[Finding]) -> set[str]:
        """Return the ids of all items that measured the cases of `findings`, or their references."""
        cases = {identity(finding.case) for finding in findings}
        cases |= {_with(identity(f.case), f.figure.reference) for f in findings if f.figure.reference is not None}
        return {nodeid for case in cases if case in self._tests for nodeid in self._items[self._tests[case]]}

    def _is_complete(self, key: Case, pending: _Pending) -> bool:
        tests = [pending.test, *(self._tests.get(case, "") for case in self._references(key, pending))]
        return all(len(self._items.get(test, ())) >= self._rounds for test in tests)

    def _references(self, key: Case, pending: _Pending) -> list[Case]:
        """Return the cases that `key` is compared with."""
        limits: list[Threshold | Ceiling] = [*self.gate.thresholds, *pending.ceilings]
        policies = {limit.figure.reference for limit in limits}
        return [_with(key, policy) for policy in policies if policy is not None]

    def _judge(self, keys: Iterable[Case], now: Sides) -> list[Finding]:
        """Judge these cases. Return the findings that fail, also on earlier cases if they are certain now.

        If the gate is strict, a regression that may be chance fails at once.
        """
        judged: list[Judged] = []
        for key in keys:
            judged += self.gate.judge(key, now, self._pending.pop(key).ceilings)
        claims = [one for one in judged if isinstance(one, Claim)]
        self._claims.add(claims)
        self._compared += comparisons_in(judged)
        comparisons = self._comparisons()
        certain = self._claims.holding(comparisons)
        new = [*(one for one in judged if isinstance(one, Finding)), *certain]
        self.findings += new
        open_claims = [claim for claim in claims if claim.finding not in certain]
        doubtful = [claim.otherwise(comparisons[claim.kind.is_exact]) for claim in open_claims]
        return [finding for finding in [*new, *(doubtful if self.gate.is_strict else [])] if self.gate.fails(finding)]

    def _comparisons(self) -> Counter[bool]:
        """Return the comparisons so far and those still to come, with one case for each test that has not reported."""
        cases = len(self._pending) + len(self._unseen)
        return self._compared + Counter({is_exact: cases * count for is_exact, count in self._limits.items()})


def _count(limits: Iterable[Threshold | Ceiling]) -> Counter[bool]:
    return Counter(limit.figure.is_exact for limit in limits)


def _with(case: Case, policy: str) -> Case:
    return msgspec.structs.replace(case, policy=policy)
