"""The end of the terminal summary: the chart of time by policy, and the three sentences."""

from __future__ import annotations

from typing import Any

from pytest_edgeload.report.closing import closing
from pytest_edgeload.results.record import Record
from tests.report.documents import record, view


def timed(policy: str, *seconds: float, swapped: int = 0, **changes: Any) -> Record:
    """Return a record with a round for each makespan."""
    return record(policy, *({"makespan_s": s, "swap_out_bytes": swapped} for s in seconds), **changes)


SMALL = [timed("bulk", 1.0, 1.01, 1.02), timed("stream", 0.5, 0.51, 0.52)]
LARGE = [
    timed("bulk", 8.0, 8.1, 8.2, swapped=3 << 29, workload="large"),
    timed("linear", 2.0, 2.1, 2.2, swapped=1 << 20, workload="large"),
    timed("stream", 0.8, 0.81, 0.82, workload="large"),
    record("masa", {"outcome": "oom"}, workload="large"),
]


def test_chart_shows_the_comparison_with_the_greatest_lead() -> None:
    """Bars are as long as times, the quickest is first, and swapped bytes and failures are written beside them."""
    chart, _, _ = closing([*SMALL, *LARGE], view()).partition("\n\n")
    assert chart.splitlines() == [
        "makespan by policy, large at 512M, median of 3 rounds",
        "stream  0.81s  ████",
        "linear   2.1s  ██████████▌  1M swapped",
        f"bulk     8.1s  {'█' * 40}  1.5G swapped",
        "masa      oom",
    ]


def test_chart_prefers_a_certain_winner() -> None:
    """A comparison of single rounds is not drawn if another one has a certain winner."""
    once = [timed("bulk", 9.0, workload="once"), timed("stream", 0.1, workload="once")]
    assert closing([*once, *SMALL], view()).startswith("makespan by policy, mix at 512M, median of 3 rounds\n")


def test_chart_fits_into_the_width() -> None:
    """On a narrow terminal no line is longer than the terminal."""
    lines, _, _ = closing(LARGE, view(width=50)).partition("\n\n")
    assert max(map(len, lines.splitlines()[1:])) <= 50


def test_programs_are_compared_with_the_quickest_one() -> None:
    """The sentences about programs name the quickest one and the times of the others relative to it."""
    fast, slow, slowest = (
        timed(name, *(s * each for each in (1.0, 1.01, 1.02)), workload="program")
        for name, s in (("fast", 1.0), ("slow", 2.0), ("slowest", 3.0))
    )
    _, _, sentences = closing([fast, slow], view()).partition("\n\n")
    assert sentences.splitlines()[:2] == [
        "fast is the quickest program in 1 of 1 comparison (at 512M).",
        "There the other takes 2.00 x its time.",
    ]
    assert "\nThere the others take 2.00 to 3.00 x its time.\n" in closing([fast, slow, slowest], view())


def test_sentences_name_the_winner_its_lead_and_the_most_swapped_bytes() -> None:
    """The sentences count only comparisons in which the winner is certain."""
    close = [timed("bulk", 1.0, 2.0, workload="close"), timed("stream", 0.9, 1.5, workload="close")]
    _, _, sentences = closing([*SMALL, *LARGE, *close], view()).partition("\n\n")
    assert sentences.splitlines() == [
        "stream is the quickest policy in 2 of 3 comparisons; no difference was seen in 1.",
        "There it takes 0.30 x the time of bulk (0.10 to 0.50).",
        "bulk swapped the most, 1.5G in large at 512M, where stream swapped nothing.",
    ]


def test_sentences_name_every_policy_that_wins_a_comparison() -> None:
    """The counts of a sentence add up to the number of comparisons, and the next sentence names its policy."""
    other = [timed("bulk", 1.0, 1.01, 1.02, workload="other"), timed("linear", 0.5, 0.51, 0.52, workload="other")]
    _, _, sentences = closing([*SMALL, *LARGE, *other], view()).partition("\n\n")
    assert sentences.splitlines()[:2] == [
        "stream is the quickest policy in 2 of 3 comparisons, linear in 1.",
        "Where stream is best, it takes 0.30 x the time of bulk (0.10 to 0.50).",
    ]


UNSEEN = "No difference between the quickest policies was seen in 1 comparison (mix at 512M)"


def test_single_round_has_no_winner() -> None:
    """Without intervals no policy is called the quickest."""
    _, _, sentences = closing([timed("bulk", 1.0), timed("stream", 0.1)], view()).partition("\n\n")
    assert sentences.splitlines() == [
        f"{UNSEEN}, because 1 round is no evidence; take 3 or more.",
        "Nothing was swapped.",
    ]
    _, _, sentences = closing([timed("bulk", 1.0, 3.0), timed("stream", 2.0, 4.0)], view()).partition("\n\n")
    assert sentences.startswith(f"{UNSEEN}.")


def test_single_policy_has_no_closing() -> None:
    """If no policies were compared, or none had a good run, nothing is shown."""
    assert closing([timed("bulk", 1.0)], view()) == ""
    assert closing([record("bulk", {"outcome": "oom"}), record("linear", {"outcome": "oom"})], view()) == ""
    assert closing([], view()) == ""
