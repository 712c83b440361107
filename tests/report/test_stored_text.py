"""The tables of stored networks."""

from __future__ import annotations

from pathlib import Path

from pytest_edgeload.networks.usage import StoredFolder
from pytest_edgeload.report.stored import table, table_of_files
from tests.builders import network


def test_name_like_a_number_is_shown_as_it_is() -> None:
    """A network may be called `007` or `1e3`, and a line break in the name of a file starts no row."""
    shown = table_of_files([("a\nb.edgenet", network((4, 4, 4), name="007"), 0.5)]).splitlines()
    assert len(shown) == 3
    assert shown[2].split()[:3] == ["a\\nb.edgenet", "007", "1"]
    cached = table([StoredFolder(Path("x"), "1e3", 1 << 20, 0.0)], Path("/cache"), 10.0).splitlines()
    assert cached[2].split() == ["1e3", "1M", "just", "now"]
