"""Each cell is measured once in each round, and the tables contain the rounds that were asked for."""

from __future__ import annotations

from pytest_edgeload import Mix
from tests.accuracy.simulation_errors import RealRun, _by_cell, _cells, _rounds
from tests.accuracy.simulation_table import Figures
from tests.builders import network

MIX = Mix.of("mix", ["net"])
CELLS = _cells([MIX, MIX], ["bulk", "linear", "bulk"], (None, 0.75, 0.2), {"net": network((4096, 1, 1))})


def test_equal_cells_are_one() -> None:
    """Shares of a small mix are the same limit, and a mix or policy that is given twice counts once."""
    limits = ("none", "base+64M")
    assert [cell.key for cell in CELLS] == [("mix", policy, limit) for limit in limits for policy in ("bulk", "linear")]


def test_rounds_limit_the_tables() -> None:
    """Rounds of an earlier start that are not asked for are left out, and so are cells without a run."""
    runs = [
        RealRun(*CELLS[i].key, "read", Figures("ok", 1.0), turn=turn) for i, turn in ((0, 1), (0, 2), (0, 3), (2, 1))
    ]
    measured = _by_cell(runs, CELLS, 2)
    assert measured == [(CELLS[0], runs[:2]), (CELLS[2], runs[3:])]
    assert _rounds(measured) == "Rounds of each cell: 1 to 2."
    assert _rounds(_by_cell(runs, CELLS, 1)) == "Rounds of each cell: 1."
