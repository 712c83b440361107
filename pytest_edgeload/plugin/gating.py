"""The gate of a session: when a case can be judged, and what came of it. Knows ids of tests, but no hook.

A test of several rounds is several items; its cases can be judged when all of them have reported, and those of the
references too.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import msgspec

from pytest_edgeload.results.finding import Finding, Sides, identity
from pytest_edgeload.results.gate import Gate
from pytest_edgeload.results.record import Case, Entry, Record, collect
from pytest_edgeload.results.threshold import Ceiling, Threshold

_ROUND = re.compile(r"-?round\d+(?=\]$)")


def test_of(nodeid: str) -> str:
    """Return what the ids of a test's rounds have in common."""
    return _ROUND.sub("", nodeid).removesuffix("[]")


@dataclass(slots=True)
class _Waiting:
    """What is known of a case that was measured and not judged yet: the test that did, with the ceilings of that."""

    test: str
    ceilings: tuple[Ceiling, ...]


class SessionGate:
    """Judges each case once, when it is complete.

    `rounds` is how many items a test has at most, `measuring` the ids of all items that are going to report. A report
    costs the same however many came before: only what waited for its test is looked at.
    """

    def __init__(self, gate: Gate, rounds: int, measuring: Iterable[str]) -> None:
        self.gate = gate
        self.findings: list[Finding] = []
        self._rounds = rounds
        self._expected = set(map(test_of, measuring))
        self._items: defaultdict[str, set[str]] = defaultdict(set)
        self._measured: defaultdict[Case, list[Entry]] = defaultdict(list)
        self._tests: dict[Case, str] = {}
        self._cases: defaultdict[str, dict[Case, None]] = defaultdict(dict)  # by test, in the order of their coming
        self._followers: defaultdict[Case, dict[Case, None]] = defaultdict(dict)  # by what they are compared with
        self._waiting: dict[Case, _Waiting] = {}

    def take(self, nodeid: str, entries: Iterable[Entry], ceilings: Sequence[Ceiling]) -> list[Finding]:
        """Note that an item has reported and what it measured; return what fails of all that is complete now."""
        test = test_of(nodeid)
        self._items[test].add(nodeid)
        for entry in entries:
            self._note(entry, _Waiting(test, tuple(ceilings)))
        touched = {key: None for case in self._cases[test] for key in (case, *self._followers[case])}
        complete = [key for key in touched if key in self._waiting and self._is_complete(key, self._waiting[key])]
        return self._judge(complete, self._sides(complete)) if complete else []

    def _note(self, entry: Entry, waiting: _Waiting) -> None:
        key = identity(entry.case)
        self._measured[key].append(entry)
        self._tests[key] = waiting.test
        self._cases[waiting.test][key] = None
        self._waiting[key] = waiting
        for other in self._others(key, waiting):
            self._followers[other][key] = None

    def _sides(self, keys: Iterable[Case]) -> Sides:
        """Return the records of these cases and of what they are compared with."""
        wanted = {case: None for key in keys for case in (*self._others(key, self._waiting[key]), key)}
        return Sides.of(collect(entry for case in wanted for entry in self._measured.get(case, ())))

    def finish(self, records: Iterable[Record]) -> list[Finding]:
        """Judge what never became complete, and what the baseline has and nobody measured; return what fails of it."""
        records = list(records)
        failing = self._judge(list(self._waiting), Sides.of(records))
        gone = self.gate.missing(records)
        self.findings += gone
        return failing + [finding for finding in gone if self.gate.fails(finding)]

    def items_of(self, findings: Iterable[Finding]) -> set[str]:
        """Return the ids of all items that measured the cases of `findings`, or their references."""
        cases = {identity(finding.case) for finding in findings}
        cases |= {self._other(identity(f.case), f.figure.reference) for f in findings if f.figure.reference is not None}
        return {nodeid for case in cases if case in self._tests for nodeid in self._items[self._tests[case]]}

    def _is_complete(self, key: Case, waiting: _Waiting) -> bool:
        tests = [waiting.test, *(self._tests.get(other, "") for other in self._others(key, waiting))]
        return all(len(self._items.get(test, ())) >= self._rounds for test in tests)

    def _others(self, key: Case, waiting: _Waiting) -> list[Case]:
        """Return the cases that `key` is compared with."""
        limits: list[Threshold | Ceiling] = [*self.gate.thresholds, *waiting.ceilings]
        references = {limit.figure.reference for limit in limits}
        return [self._other(key, reference) for reference in references if reference is not None]

    @staticmethod
    def _other(key: Case, policy: str) -> Case:
        return msgspec.structs.replace(key, policy=policy)

    def _judge(self, keys: Iterable[Case], now: Sides) -> list[Finding]:
        """Judge these cases; return what fails."""
        new: list[Finding] = []
        for key in keys:
            waiting = self._waiting.pop(key)
            tests = len(self._expected) + (waiting.test not in self._expected)
            comparisons = tests * max(1, len(self.gate.thresholds) + len(waiting.ceilings))
            new += self.gate.judge(key, now, waiting.ceilings, comparisons=comparisons)
        self.findings += new
        return [finding for finding in new if self.gate.fails(finding)]
