"""The gate: which figures are compared with which baseline, and which verdicts fail; for pytest and the commands."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from pytest_edgeload.results.document import Document
from pytest_edgeload.results.finding import Finding, Side, Sides, Verdict, judge, judge_ceiling, missing_cases
from pytest_edgeload.results.record import Case, Record
from pytest_edgeload.results.threshold import Ceiling, Figure, Threshold

_FAILING: frozenset[Verdict] = frozenset({"regressed"})
_STRICT: frozenset[Verdict] = _FAILING | {"inconclusive", "invalid", "incomparable", "missing", "new"}


@dataclass(frozen=True)
class Gate:
    """Thresholds on the change of figures since a baseline; if strict, each verdict that is not good fails.

    `is_alike` says whether the baseline was measured on the same kind of machine.
    """

    thresholds: tuple[Threshold, ...] = ()
    baseline: Document | None = None
    is_alike: bool = True
    is_strict: bool = False

    def fails(self, finding: Finding) -> bool:
        """Return whether a finding fails the session."""
        return finding.verdict in (_STRICT if self.is_strict else _FAILING)

    def judge(self, case: Case, now: Sides, ceilings: Sequence[Ceiling], *, comparisons: int) -> list[Finding]:
        """Return the findings on one case: one for each threshold and one for each ceiling of its test.

        `comparisons` is the number of comparisons in the session. A reference is not compared with itself.
        """

        def side_of(figure: Figure) -> Side | None:
            return None if figure.reference == case.policy else now.side(case, figure.reference)

        findings = []
        for threshold in self.thresholds:
            side = side_of(threshold.figure)
            if self._then is not None and side is not None:
                before = self._then.side(case, threshold.figure.reference)
                findings.append(judge(threshold, before, side, comparisons=comparisons, is_alike=self.is_alike))
        for ceiling in ceilings:
            side = side_of(ceiling.figure)
            if side is not None:
                findings.append(judge_ceiling(ceiling, side, comparisons=comparisons))
        return findings

    def judge_all(self, records: Collection[Record]) -> list[Finding]:
        """Return the findings on a whole session: on each of its cases, and on those that only the baseline has."""
        now = Sides.of(records)
        comparisons = max(1, len(now.records) * len(self.thresholds))
        findings = [finding for case in now.records for finding in self.judge(case, now, (), comparisons=comparisons)]
        return [*findings, *self.missing(records)]

    def missing(self, records: Iterable[Record]) -> list[Finding]:
        """Return a finding on each case of the baseline that was not measured although its test ran."""
        if self.baseline is None or not self.thresholds:
            return []
        first, reason = self.thresholds[0], "in the baseline, but not measured now"
        cases = missing_cases(self.baseline.records, records)
        return [Finding(case, first.figure, first.text, "missing", reason) for case in cases]

    @cached_property
    def _then(self) -> Sides | None:
        return None if self.baseline is None else Sides.of(self.baseline.records)
