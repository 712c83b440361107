"""Claims are settled together: all at once, or as they arrive."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from pytest_edgeload.results.claims import Claim, Claims, comparisons_in, settle
from pytest_edgeload.results.finding import Finding, identity
from pytest_edgeload.results.threshold import Threshold
from tests.cases import CASE

TIME, PEAK = Threshold.parse("makespan:10%"), Threshold.parse("peak:10%")
OK = Finding(CASE, TIME.figure, TIME.text, "ok")


def _claim(chance: float, number: int = 0, threshold: Threshold = TIME) -> Claim:
    finding = Finding(CASE, threshold.figure, threshold.text, "regressed", now=number)
    return Claim(finding, chance, lambda _comparisons: replace(finding, verdict="inconclusive"))


def _verdicts(*judged: Finding | Claim) -> list[str]:
    return [finding.verdict for finding in settle(judged)]


def test_one_claim_among_many_needs_more_evidence() -> None:
    """A claim that holds alone is inconclusive among a hundred cases without a change."""
    assert _verdicts(_claim(0.004)) == ["regressed"]
    assert _verdicts(_claim(0.004), *[OK] * 99) == ["inconclusive", *["ok"] * 99]


def test_claims_support_each_other() -> None:
    """The same claim holds if enough other cases regressed."""
    assert _verdicts(*[_claim(0.004)] * 10, *[OK] * 90) == ["regressed"] * 10 + ["ok"] * 90


def test_bytes_are_no_evidence_for_times() -> None:
    """Regressions of bytes do not make less evidence enough for times, and their comparisons do not need more."""
    bytes_claims = [_claim(0.0, threshold=PEAK)] * 50
    assert _verdicts(_claim(0.004), *bytes_claims, *[OK] * 49)[0] == "inconclusive"
    assert _verdicts(_claim(0.004), *bytes_claims)[0] == "regressed"


def test_cases_without_figures_are_not_comparisons() -> None:
    """A case that is new, missing, invalid or incomparable was not compared."""
    others = [replace(OK, verdict=verdict) for verdict in ("new", "missing", "invalid", "incomparable")]
    assert comparisons_in([OK, _claim(0.5), _claim(0.5, threshold=PEAK), *others]) == {False: 2, True: 1}


@given(st.lists(st.floats(0, 0.1), min_size=1, max_size=40))
def test_arriving_claims_end_as_if_settled_together(chances: list[float]) -> None:
    """Claims that arrive one after the other get the same verdicts as all together, and each gets one."""
    claims, arriving, held = [_claim(chance, i) for i, chance in enumerate(chances)], Claims(), list[Finding]()
    for claim in claims:
        arriving.add([claim])
        held += arriving.holding({False: len(claims)})
    found = [*held, *arriving.others({False: len(claims)})]
    assert sorted(found, key=lambda finding: finding.now or 0) == settle(claims)


def test_withdrawn_claim_is_no_evidence() -> None:
    """A case that is measured again has no claim, and its earlier chance is no evidence for others."""
    claims = Claims()
    claims.add([_claim(0.01), _claim(0.2)])
    claims.withdraw(identity(CASE))
    claims.add([_claim(0.04)])
    assert claims.holding({False: 2}) == []
    assert [finding.verdict for finding in claims.others({False: 2})] == ["inconclusive"]
