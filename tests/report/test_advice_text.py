"""The text of advice: its title, the curve, and a sentence on each thing that a reader needs."""

from __future__ import annotations

import msgspec

from pytest_edgeload.report.advice import text
from pytest_edgeload.results.advice import (
    SLOWEST,
    AdviceChange,
    Certainty,
    Confirmation,
    Objective,
    PolicyChoice,
    best_first,
)
from tests.report.advices import ADVICE, M, prediction


def _lines(**changed: object) -> list[str]:
    return text(msgspec.structs.replace(ADVICE, **changed)).splitlines()


def test_curve_has_a_row_for_each_limit() -> None:
    """The largest limit is the first row, bars are as long as the figures, and a limit may have no choice."""
    title, _, _, _, first, second, third, *_ = _lines()
    assert title == "both on rpi3: slowest response by memory limit, predicted with the calibration of this machine"
    assert first.split()[:6] == ["400M", "bulk", "direct", "2", "0.2s", "90M"]
    assert second.split()[:6] == ["200M", "stream", "direct", "2", "0.4s", "90M"]
    assert second.count("█") == 2 * first.count("█") > 0
    assert third.split() == ["100M", "none", "works", "-", "-", "-", "-"]


def test_recommendation_has_its_reason_and_ties() -> None:
    """The sentence names the choice, the limit, the figure, the goal and the first ties."""
    assert _lines()[8] == (
        "use stream, reader direct, 2 threads at 200M: slowest response 0.4s; the smallest limit tried with a slowest "
        "response of at most 0.5s; tied with lru, mema, masa and 1 more, within 5%"
    )
    changed = {"recommended": None, "objective": Objective(SLOWEST, 0.1)}
    assert _lines(**changed)[8] == (
        "no limit gives a slowest response of at most 0.1s; the best is 0.2s, by bulk, reader direct, 2 threads at 400M"
    )


def test_certainty_is_stated_in_every_case() -> None:
    """Without confirmed predictions the advice is not confirmed; with some it has their errors."""
    assert _lines()[9] == "how sure: not confirmed; no prediction was compared with a run on this machine"
    assert _lines(certainty=Certainty(3, 0.12, 0.3))[9] == (
        "how sure: 3 confirmed predictions on this machine differed from the runs by 12% (median) and at most 30%"
    )


def test_limit_that_misses_the_goal_has_a_bound() -> None:
    """Its row has the most that the best choice can reach, without a bar, and no peak, which is that of the beginning.

    So has the sentence if no limit will do, unless there is a prediction of all requests.
    """
    objective, bound = Objective("in_time", 0.9), prediction("stream", 0.87, 100)
    missed = best_first([msgspec.structs.replace(bound, is_bound=True), prediction("bulk", None, 100)], objective)
    lines = _lines(objective=objective, limits=(missed,), recommended=None, tied=())
    assert lines[4].split() == ["100M", "stream", "direct", "2", "at", "most", "87%", "-"]
    assert "of at least 90%; the best is at most 87%, by stream, reader direct, 2 threads at 100M" in lines[6]
    known = best_first([prediction("bulk", 0.7, 400), msgspec.structs.replace(bound, is_bound=True)], objective)
    lines = _lines(objective=objective, limits=(missed, known), recommended=None, tied=())
    assert "of at least 90%; the best is 70%, by bulk, reader direct, 2 threads at 400M" in lines[7]


def test_each_change_is_a_sentence() -> None:
    """A change has its circumstance and its gain, or says that the advice does not work there."""
    choice = PolicyChoice("linear", "direct", 2)
    changes = (
        AdviceChange("less memory", 150 * M, choice),
        AdviceChange("more memory", 800 * M, choice, 0.2),
        AdviceChange("slower reads", 45 * M, choice, 0.12),
        AdviceChange("slower processor", 0.5, choice, 0.1),
    )
    assert _lines(changes=changes)[10:] == [
        "it would change: at 150M, linear works and stream does not",
        "it would change: at 800M, stream is 20% behind linear",
        "it would change: with reads at 45M/s, stream is 12% behind linear",
        "it would change: with a processor 2 times slower, stream is 10% behind linear",
    ]


def test_runs_are_next_to_their_predictions() -> None:
    """Each run has its prediction and error; a run that misses the goal or fails contradicts the advice."""
    assert ADVICE.recommended is not None
    for value, words in {
        0.8: "but its run has a slowest response of 0.8s, which misses the goal; try more memory",
        None: "but its run at 200M ended with oom",
    }.items():
        lines = _lines(confirmations=(Confirmation(ADVICE.recommended, prediction("stream", value, 200)),))
        assert lines[9] == words
        assert lines[-1].split()[:5] == ["stream", "direct", "2", "200M", "0.4s"]
        assert lines[-1].split()[5:] == (["0.8s", "50%"] if value else ["oom", "-"])
