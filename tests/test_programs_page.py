"""The page on programs, as a reader would type it in."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

PAGE = (Path(__file__).parents[1] / "docs" / "programs.md").read_text()


def test_the_pages_project_runs(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """The blocks of docs/programs.md, put into the files they name, measure with the options it shows."""
    pytest.importorskip("onnxruntime")
    monkeypatch.setenv("PYTEST_EDGE_CACHE_DIR", str(pytester.path / "cache"))
    for name, code in re.findall(r"```python\n# (\S+)\n(.*?)```", PAGE, re.DOTALL):
        (pytester.path / name).write_text(code)
    shown = re.search(r"^    pytest (--edge-mem=.*)$", PAGE, re.MULTILINE)
    assert shown is not None
    options = shown[1].replace("--edge-rounds=3", "--edge-rounds=1").split()
    result = pytester.runpytest_subprocess(*options)
    result.assert_outcomes(passed=7)
    result.stdout.fnmatch_lines(["*test_the_job_fits program at 128M*", "parse *ok*", "*at 64M*", "parse *ok*"])
    result.stdout.fnmatch_lines_random(["infer *ok*", "list *ok*", "array *ok*", "server *ok*"])
