"""What is judged of a session, against what, and what of it fails: the same for pytest and the command line."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from pytest_edgeload.results.document import Document
from pytest_edgeload.results.gate import Finding, Side, Sides, Verdict, judge, judge_ceiling, missing
from pytest_edgeload.results.record import Case, Record
from pytest_edgeload.results.threshold import Ceiling, Figure, Threshold

_FAILING: frozenset[Verdict] = frozenset({"regressed"})
_STRICT: frozenset[Verdict] = _FAILING | {"inconclusive", "invalid", "incomparable", "missing", "new"}


@dataclass(frozen=True)
class Rules:
    """What is judged, against what, and what of it fails."""

    thresholds: tuple[Threshold, ...] = ()
    baseline: Document | None = None
    is_alike: bool = True
    is_strict: bool = False

    def fails(self, finding: Finding) -> bool:
        """Tell whether a finding fails the session."""
        return finding.verdict in (_STRICT if self.is_strict else _FAILING)

    def judge(self, case: Case, now: Sides, ceilings: Sequence[Ceiling], *, judged: int) -> list[Finding]:
        """Return what became of one case by each threshold, and whether it keeps to what its test allows.

        `judged` is how many figures are judged in all. A reference is not compared with itself.
        """

        def after(figure: Figure) -> Side | None:
            return None if figure.reference == case.policy else now.side(case, figure.reference)

        found = []
        for threshold in self.thresholds:
            side = after(threshold.figure)
            if self._then is not None and side is not None:
                before = self._then.side(case, threshold.figure.reference)
                found.append(judge(threshold, before, side, judged=judged, is_alike=self.is_alike))
        for ceiling in ceilings:
            side = after(ceiling.figure)
            if side is not None:
                found.append(judge_ceiling(ceiling, side, judged=judged))
        return found

    def judge_all(self, records: Collection[Record]) -> list[Finding]:
        """Return what became of a whole session: each of its cases, and those that the baseline alone has."""
        now = Sides.of(records)
        judged = max(1, len(now.records) * len(self.thresholds))
        found = [finding for case in now.records for finding in self.judge(case, now, (), judged=judged)]
        return [*found, *self.gone(records)]

    def gone(self, records: Iterable[Record]) -> list[Finding]:
        """Return the cases that the baseline has and nobody measured, of the tests that were run."""
        if self.baseline is None or not self.thresholds:
            return []
        first, reason = self.thresholds[0], "the baseline has it, and nobody measured it"
        cases = missing(self.baseline.records, records)
        return [Finding(case, first.figure, first.text, "missing", reason) for case in cases]

    @cached_property
    def _then(self) -> Sides | None:
        return None if self.baseline is None else Sides.of(self.baseline.records)
