"""The tests draw the same examples in every run, in any order and selection."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st


def _drawn() -> list[tuple[int, str]]:
    found: list[tuple[int, str]] = []

    @settings(max_examples=300)
    @given(st.integers(), st.text())
    def draw(number: int, text: str) -> None:
        found.append((number, text))

    draw()
    return found


def test_examples_do_not_depend_on_loaded_modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Numbers and texts in a module that another test imports are not drawn."""
    if not settings().derandomize:
        pytest.skip("this profile explores")
    before = _drawn()
    lines = [f"A{number} = {number}, 'text {number}'" for number in range(10_000, 10_100)]
    (tmp_path / "module_with_constants.py").write_text("\n".join(lines))
    monkeypatch.syspath_prepend(tmp_path)
    __import__("module_with_constants")
    assert _drawn() == before
