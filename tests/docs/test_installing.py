"""The pages install PyTorch's CPU build, and the packages that their examples need."""

from __future__ import annotations

import ast
import re
import shlex
import tomllib
from collections.abc import Iterator

import pytest

from tests.docs.pages import BLOCKS, PAGES, ROOT, name_of

CPU_OPTIONS = ("--extra-index-url https://download.pytorch.org/whl/cpu", "--torch-backend=cpu")
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
EXTRA_OF = {
    re.split(r"[>=\[]", requirement)[0].replace("-", "_"): extra
    for extra in ("hypothesis", "html", "peers")
    for requirement in EXTRAS[extra]
}
"""The extra that contains a package."""
TEXTS = {name_of(page): page.read_text(encoding="utf-8") for page in PAGES}


def installing(page: str) -> list[str]:
    """Return the lines of a page that install something, in order."""
    lines = (line.strip().removeprefix("- ").removeprefix("run: ") for line in TEXTS[page].splitlines())
    return [line for line in lines if re.match(r"(?:python -m |uv )?pip install ", line)]


def extras(line: str) -> set[str]:
    """Return the extras of this project in a line that installs it."""
    [requirement] = [word for word in shlex.split(line) if re.match(r"pytest-edgeload|\.(?:\[|$)", word)]
    return {*filter(None, requirement.partition("[")[2].rstrip("]").split(","))}


LINES = [pytest.param(line, id=f"{page} {line}") for page in TEXTS for line in installing(page)]


@pytest.mark.parametrize("line", LINES)
def test_lines_install_the_cpu_build(line: str) -> None:
    """Every line that installs this project takes PyTorch from its CPU index, with pip's option or with uv's."""
    assert line.partition(" #")[0].rstrip().endswith(CPU_OPTIONS[line.startswith("uv ")])


@pytest.mark.parametrize("page", [page for page in TEXTS if any(line.startswith("pip ") for line in installing(page))])
def test_pages_begin_with_pip_and_uv(page: str) -> None:
    """A page that installs begins with pip's line and uv's, with the same extras; the template has its own uv line."""
    first, *others = installing(page)
    assert first.startswith("pip ")
    if page != "docs/template.md":
        assert others[0].startswith("uv ")
        assert extras(first) == extras(others[0])
        assert first in TEXTS[page].partition("```")[0]


def _modules(text: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""


def _needed(page: str) -> set[str]:
    """Return the extras that the Python files and the commands of a page need."""
    files = (block.text for block in BLOCKS if block.page == page and block.language == "python" and block.file)
    modules = {module for text in files for module in _modules(text)}
    needed = {EXTRA_OF[name] for name in (module.partition(".")[0] for module in modules) if name in EXTRA_OF}
    commands = "\n".join(command for block in BLOCKS if block.page == page for command in block.commands)
    return (
        needed
        | ({"hypothesis"} if "pytest_edgeload.strategies" in modules else set())
        | ({"html"} if "--edge-html" in commands or "--format=html" in commands else set())
    )


@pytest.mark.parametrize("page", [page for page in TEXTS if _needed(page)])
def test_first_line_has_the_extras_of_the_page(page: str) -> None:
    """The first line that a page installs with contains the extras of its examples."""
    lines = installing(page)
    assert lines, f"{page} needs {_needed(page)}"
    assert _needed(page) <= extras(lines[0])


def test_first_screen_shows_every_use() -> None:
    """The README installs, and names minmem, devices, functions and programs, within its first 40 lines."""
    screen = "\n".join(TEXTS["README.md"].splitlines()[:40])
    for words in (*CPU_OPTIONS, "edgeload minmem", "--edge-device=", "edge.call(", "edge.command(", "--edge-compare"):
        assert words in screen
