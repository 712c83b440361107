"""The page on models, as a reader would type it in."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

PAGE = (Path(__file__).parents[1] / "docs" / "models.md").read_text()
BLOCKS = re.findall(r"```python\n# (?P<file>\S+)\n(?P<code>.*?)```", PAGE, re.DOTALL)


def test_the_page_runs(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """The blocks of the page, put into the files they name, measure every kind of model it tells of."""
    monkeypatch.setenv("PYTEST_EDGE_CACHE_DIR", str(pytester.path / "cache"))
    for name, code in BLOCKS:
        (pytester.path / name).write_text(code)
    shown = re.search(r"^    pytest (--edge-policy=.*)$", PAGE, re.MULTILINE)
    assert shown is not None
    result = pytester.runpytest_subprocess(*shown[1].split())
    result.assert_outcomes(passed=5)
    assert list((pytester.path / "cache" / "sessions").glob("*/live-*")) == []
