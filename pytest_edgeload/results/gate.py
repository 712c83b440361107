"""The gate: which figures are compared with which baseline, and which verdicts fail; for pytest and the commands."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from pytest_edgeload.results.case import Case
from pytest_edgeload.results.claims import Judged, settle
from pytest_edgeload.results.document import Document
from pytest_edgeload.results.finding import Finding, Judgement, Side, Sides, Verdict, missing_cases
from pytest_edgeload.results.judging import judge, judge_ceiling
from pytest_edgeload.results.own import optional_metrics, unreported
from pytest_edgeload.results.record import Record
from pytest_edgeload.results.threshold import Ceiling, Figure, Threshold

_FAILING: frozenset[Verdict] = frozenset({"regressed"})
_STRICT: frozenset[Verdict] = _FAILING | {"inconclusive", "invalid", "incomparable", "missing", "new"}


@dataclass(frozen=True)
class Gate:
    """Thresholds on the change of figures since a baseline; if strict, each verdict that is not good fails.

    `strangers` are the hosts that are another kind of machine than in the baseline; None is this machine.
    """

    thresholds: tuple[Threshold, ...] = ()
    baseline: Document | None = None
    strangers: frozenset[str | None] = frozenset()
    is_strict: bool = False

    def is_alike(self, case: Case) -> bool:
        """Return whether the baseline was measured on the same kind of machine as a case."""
        return case.host not in self.strangers

    def fails(self, finding: Finding) -> bool:
        """Return whether a finding fails the session."""
        return finding.verdict in (_STRICT if self.is_strict else _FAILING)

    def judge(self, case: Case, now: Sides, ceilings: Sequence[Ceiling] = ()) -> list[Judged]:
        """Return the results of one case: one for each threshold and one for each ceiling of its test.

        A reference is not compared with itself. A threshold on a metric that programs report, or
        of a stream, does not concern a case that never had it.
        """

        def side_of(figure: Figure) -> Side | None:
            return None if figure.reference == case.policy else now.side(case, figure.reference)

        judged: list[Judged] = []
        for threshold in self.thresholds:
            side = side_of(threshold.figure)
            known = case if side is None else side.record.case  # with the reader that `auto` chose
            before = None if self._then is None else self._then.side(known, threshold.figure.reference)
            if self._then is not None and side is not None and _concerns(threshold, side, before):
                judged.append(judge(threshold, before, side, is_alike=self.is_alike(side.record.case)))
        for ceiling in ceilings:
            side = side_of(ceiling.figure)
            if side is not None:
                judged.append(judge_ceiling(ceiling, side))
        return judged

    def judge_all(self, records: Collection[Record]) -> Judgement:
        """Judge a whole session: each of its cases, and those that only the baseline has."""
        now = Sides.of(records)
        judged = [one for case in now.records for one in self.judge(case, now)]
        findings = (*settle(judged), *self.missing(records))
        before = () if self.baseline is None else self.baseline.records
        return Judgement(findings, tuple(self.idle(findings, reported=optional_metrics([*records, *before]))))

    def idle(
        self, findings: Iterable[Finding], ceilings: Iterable[Ceiling] = (), reported: Collection[str] = ()
    ) -> list[str]:
        """Return a sentence on each threshold and ceiling by which no figure was judged.

        `reported` are the names of the metrics that only some runs have, of programs and streams.
        """
        by_limit: dict[str, list[Finding]] = {}
        limits: list[Threshold | Ceiling] = [*self.thresholds, *ceilings]
        for finding in findings:
            by_limit.setdefault(finding.limit, []).append(finding)
        return [
            f"threshold {limit.text} judged nothing: {self._reason(limit, by_limit.get(limit.text, []), reported)}"
            for limit in dict.fromkeys(limits)
            if not any(finding.is_judged for finding in by_limit.get(limit.text, []))
        ]

    def _reason(self, limit: Threshold | Ceiling, findings: Sequence[Finding], reported: Collection[str]) -> str:
        """Return why nothing was judged by `limit`; `findings` are those on it."""
        if isinstance(limit, Threshold) and self.baseline is None:
            return "there is no baseline"
        if (sentence := unreported(limit.figure, reported)) is not None:
            return sentence
        counts = Counter(finding.verdict for finding in findings if finding.verdict != "missing")
        if counts:
            verdicts = ", ".join(f"{count} {verdict}" for verdict, count in counts.most_common())
            return f"no case has a figure to compare ({verdicts})"
        reference = limit.figure.reference
        return "no case was measured" if reference is None else f"no case was measured besides {reference} itself"

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


def _concerns(threshold: Threshold, after: Side, before: Side | None) -> bool:
    sides = [after] if before is None else [after, before]
    return not threshold.figure.is_optional or threshold.figure.metric in optional_metrics(
        side.record for side in sides
    )
