"""Claims: regressions and improvements that are settled together, because each may be chance. Pure functions.

If enough cases became worse, less evidence is enough for each of them.
"""

from __future__ import annotations

from bisect import insort
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import NamedTuple

from pytest_edgeload.results.case import Case
from pytest_edgeload.results.evidence import DOUBT, level
from pytest_edgeload.results.finding import Finding, Verdict, identity


class ClaimKind(NamedTuple):
    """The kind of a claim. Claims of one kind are settled together, because one may be evidence for the others."""

    verdict: Verdict
    is_exact: bool


@dataclass(frozen=True, slots=True)
class Claim:
    """A regression or an improvement, and the probability that chance alone explains it.

    `otherwise` returns the finding if that is too likely among a number of comparisons.
    """

    finding: Finding
    chance: float
    otherwise: Callable[[int], Finding]

    @property
    def kind(self) -> ClaimKind:
        """Its kind."""
        return ClaimKind(self.finding.verdict, self.finding.figure.is_exact)

    def settled(self, level: float, comparisons: Comparisons) -> Finding:
        """Return the finding if a claim holds up to this chance."""
        return self.finding if self.chance <= level else self.otherwise(comparisons[self.kind.is_exact])


Judged = Finding | Claim
"""The result of a comparison."""


Comparisons = Mapping[bool, int]
"""The number of comparisons of exact figures (True), which are bytes and counts, and of all others, such as times."""


def comparisons_in(judged: Iterable[Judged]) -> Counter[bool]:
    """Return the number of comparisons; a case that is new or invalid, for example, was not compared."""
    findings = (one.finding if isinstance(one, Claim) else one for one in judged)
    return Counter(finding.figure.is_exact for finding in findings if finding.is_judged)


def settle(judged: Sequence[Judged]) -> list[Finding]:
    """Return the findings of comparisons that are settled together, in the same order."""
    claims, comparisons = Claims(), comparisons_in(judged)
    claims.add(one for one in judged if isinstance(one, Claim))
    levels = claims.levels(comparisons)
    return [one.settled(levels[one.kind], comparisons) if isinstance(one, Claim) else one for one in judged]


class Claims:
    """The claims of a session, which arrive one after the other. A claim holds as soon as there is enough evidence."""

    def __init__(self) -> None:
        self._chances: defaultdict[ClaimKind, list[float]] = defaultdict(list)
        self._open: list[Claim] = []

    def add(self, claims: Iterable[Claim]) -> None:
        """Add claims."""
        for claim in claims:
            chances = self._chances[claim.kind]
            if claim.chance <= DOUBT:  # otherwise it is no evidence for others
                insort(chances, claim.chance)
            self._open.append(claim)

    def withdraw(self, case: Case) -> None:
        """Remove the open claims on the case with this identity, which will be judged again."""
        withdrawn = [claim for claim in self._open if identity(claim.finding.case) == case]
        self._open = [claim for claim in self._open if claim not in withdrawn]
        for claim in withdrawn:
            with suppress(ValueError):  # it was no evidence
                self._chances[claim.kind].remove(claim.chance)

    def levels(self, comparisons: Comparisons) -> dict[ClaimKind, float]:
        """Return the largest chance, by kind, with which a claim holds among so many comparisons."""
        return {kind: level(chances, comparisons[kind.is_exact]) for kind, chances in self._chances.items()}

    def holding(self, comparisons: Comparisons) -> list[Finding]:
        """Return the open claims that hold, and close them."""
        levels = self.levels(comparisons)
        holding = [claim.finding for claim in self._open if claim.chance <= levels[claim.kind]]
        self._open = [claim for claim in self._open if claim.chance > levels[claim.kind]]
        return holding

    def others(self, comparisons: Comparisons) -> list[Finding]:
        """Return the findings on the claims that are still open, and close them."""
        findings = [claim.otherwise(comparisons[claim.kind.is_exact]) for claim in self._open]
        self._open = []
        return findings
