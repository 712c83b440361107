"""The tables of prediction errors: errors are relative, and the order of two policies counts if it is clear."""

from __future__ import annotations

import pytest

from tests.accuracy.simulation_table import ComparedCell, Figures, order_of_pairs, tables

MIB = 1 << 20


def cell(policy: str, real_s: float, predicted_s: float, swapped: tuple[int, int] = (0, 0)) -> ComparedCell:
    """Return a cell with these makespans, peaks of 100 and 110 MiB, and swapped MiB."""
    real = Figures("ok", real_s, 100 * MIB, swapped[0] * MIB)
    return ComparedCell("mix", policy, "none", real, Figures("ok", predicted_s, 110 * MIB, swapped[1] * MIB))


def test_errors_are_relative_to_the_real_run() -> None:
    """Swapped bytes count only if they are many, in either run."""
    assert cell("bulk", 2.0, 1.5).errors == pytest.approx({"makespan": -0.25, "peak": 0.1})
    assert cell("bulk", 2.0, 1.5, (200, 90)).errors["swapped"] == pytest.approx(-0.55)
    assert cell("bulk", 2.0, 1.5, (0, 200)).errors["swapped"] > 1


def test_runs_that_failed_have_no_errors() -> None:
    """Only their outcomes are compared."""
    failed = ComparedCell("mix", "bulk", "none", Figures("oom"), Figures("ok", 1.0, 1, 1))
    assert failed.errors == {}
    assert "Outcome: the same in 1 of 2 cells." in tables([failed, cell("linear", 1.0, 1.0)])


def test_streams_are_compared_by_their_responses() -> None:
    """Their makespan is the last arrival's, so its error says nothing."""
    found = ComparedCell("mix", "bulk", "none", Figures("ok", 4.0, response_s=0.2), Figures("ok", 4.0, response_s=0.3))
    assert found.errors == pytest.approx({"response": 0.5})
    assert next(line for line in tables([found]).splitlines() if line.startswith("| bulk")).split()[3:6] == [
        "1",
        "|",
        "50.0%",
    ]


def test_only_clear_differences_have_an_order() -> None:
    """Of three pairs, the first two differ by less than a fifth, and one of the others has the wrong order."""
    cells = [cell("a", 1.0, 1.0), cell("b", 1.1, 1.5), cell("c", 2.0, 1.2)]
    assert order_of_pairs(cells) == (1, 2)


def test_the_median_of_rounds_is_that_of_each_figure() -> None:
    """A round that failed is the outcome of all."""
    rounds = [Figures("ok", 1.0, 30, 3), Figures("ok", 3.0, 10, 2), Figures("ok", 2.0, 20, 1)]
    assert Figures.median(rounds) == Figures("ok", 2.0, 20, 2)
    assert Figures.median([*rounds, Figures("oom")]) == Figures("oom")


def test_goals_are_next_to_the_errors() -> None:
    """The second figure is the largest error of nine cells of ten."""
    cells = [cell(str(i), 1.0, 1.0 + i / 100) for i in range(10)]
    row = next(line for line in tables(cells).splitlines() if line.startswith("| makespan"))
    assert [part.strip() for part in row.split("|")[1:-1]] == ["makespan", "10", "4.5%", "8.0%", "15%, 30%"]
