"""The README's project, as a reader would type it in."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pytest_edgeload.plugin.options import OPTIONS, flag
from pytest_edgeload.policies import POLICIES

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def _blocks(document: str) -> list[tuple[str, str]]:
    """Return the files that a document shows, by name and code."""
    return re.findall(r"```python\n# (?P<file>\S+)\n(?P<code>.*?)```", (ROOT / document).read_text(), re.DOTALL)


BLOCKS = _blocks("README.md")


def test_the_readmes_project_runs(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """The blocks of the README, put into the files they name, measure with the options it shows and its own policy."""
    monkeypatch.setenv("PYTEST_EDGE_CACHE_DIR", str(pytester.path / "cache"))
    for name, code in BLOCKS:
        path = pytester.path / name
        path.write_text((path.read_text() if path.exists() else "") + code)
    shown = re.search(r"^    pytest (--edge-mem=.*)$", README, re.MULTILINE)
    assert shown is not None
    options = shown[1].replace("bulk,linear", "bulk,linear,backwards").replace("--edge-rounds=3", "--edge-rounds=1")
    result = pytester.runpytest_subprocess(*options.split())
    result.assert_outcomes(passed=15)
    assert (pytester.path / "results.json").exists()
    result.stdout.fnmatch_lines(["open loop: poisson, 4 a second, seed 1", "backwards *ok*"])
    result.stdout.fnmatch_lines(["*digits-twice at 512M*", "backwards *ok*", "*digits-twice at base+64M*"])
    result.stdout.fnmatch_lines(["*test_joining program at base+64M*", "join *ok*", "*at 128M*", "holds-32M *ok*"])


def test_the_peer_of_the_docs_runs(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """The blocks of docs/peers.md, put into the README's project, measure a peer beside a policy."""
    monkeypatch.setenv("PYTEST_EDGE_CACHE_DIR", str(pytester.path / "cache"))
    for name, code in [*BLOCKS, *_blocks("docs/peers.md")]:
        path = pytester.path / name
        path.write_text((path.read_text() if path.exists() else "") + code)
    result = pytester.runpytest_subprocess("test_digits.py", "--edge-policy=linear,my-runtime")
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines_random(["linear *ok", "my-runtime *ok"])


def test_the_readme_has_every_policy_and_option() -> None:
    """The tables name all policies and all options there are."""
    assert [name for name in POLICIES if f"`{name}`" not in README] == []
    assert [flag(name) for name in OPTIONS if not re.search(rf"`{flag(name)}[=`]", README)] == []
