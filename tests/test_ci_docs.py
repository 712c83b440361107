"""The workflows of docs/ci.md and the examples of other pages: they parse, and so does every command in them."""

from __future__ import annotations

import argparse
import os
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from pytest_edgeload import cli
from pytest_edgeload.plugin import options

DOCS = Path(__file__).parents[1] / "docs"
BLOCKS = re.findall(r"```yaml\n# (?P<title>.*?)\n(?P<text>.*?)```", (DOCS / "ci.md").read_text(), re.DOTALL)
PAGES = "".join(path.read_text() for path in (DOCS / "commands.md", DOCS / "doctor.md", DOCS.parent / "README.md"))
EXAMPLES = re.findall(r"^    (edgeload .*)$", PAGES, re.MULTILINE)
INLINE = re.findall(r"`(edgeload [a-z]+ [^`]+)`", (DOCS / "ci.md").read_text() + (DOCS / "commands.md").read_text())

_OURS = {"pytest", "edgeload"}


def _scripts(node: Any) -> Iterator[str]:
    """Yield every script of a workflow, whatever it is a part of."""
    for key, value in node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ():
        if key in {"run", "script"}:
            yield from [value] if isinstance(value, str) else value
        else:
            yield from _scripts(value)


def _commands(text: str) -> Iterator[list[str]]:
    """Yield the command lines of a workflow that are ours, as words; an expression stands for the option in it."""
    for script in _scripts(yaml.safe_load(text)):
        for line in script.splitlines():
            filled = re.sub(r"\$\{\{.*?(?:'(--[^']*)'.*?)?\}\}", lambda found: found[1] or "", line)
            words = shlex.split(filled.replace("$SAVE", "--edge-save=main"))
            start = next((i for i, word in enumerate(words) if word in _OURS), None)
            if start is not None and all("=" in word or word in {"sudo", "-E", "env"} for word in words[:start]):
                yield words[start:]


COMMANDS = [(title, words) for title, text in BLOCKS for words in _commands(text)]


def test_there_are_workflows() -> None:
    """The page shows three workflows and two groups of steps, and each of them runs a command of ours."""
    assert [title.split()[0] for title, _ in BLOCKS] == [
        ".github/workflows/edgeload.yml", ".gitlab-ci.yml", ".github/workflows/edgeload-twice.yml", "steps", "steps",
    ]  # fmt: skip
    assert {title for title, _ in COMMANDS} == {title for title, _ in BLOCKS}


@pytest.mark.parametrize("words", [words for _, words in COMMANDS if words[0] == "pytest"], ids=" ".join)
def test_pytest_takes_its_options(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, words: list[str]) -> None:
    """Pytest and the plugin understand every option, with the value it has."""
    for name in [name for name in os.environ if name.startswith("PYTEST_EDGE_")]:
        monkeypatch.delenv(name)
    pytester.mkdir("suites")
    config = pytester.parseconfig(*words[1:])
    given = options.read(config)
    options.parse(given)
    assert len(given) == sum(word.startswith("--edge-") for word in words)


@pytest.mark.parametrize("words", [words for _, words in COMMANDS if words[0] == "edgeload"], ids=" ".join)
def test_edgeload_takes_its_options(words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command understands every argument."""
    monkeypatch.chdir(tmp_path)
    assert cli._parser().parse_args(words[1:]).command == words[1]


@pytest.mark.parametrize("line", [*EXAMPLES, *INLINE])
def test_examples_parse(line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every command line that the pages show is one that the command understands."""
    monkeypatch.chdir(tmp_path)
    words = shlex.split(line.partition(" > ")[0].partition(" | ")[0])
    assert cli._parser().parse_args(words[1:]).command == words[1]


@pytest.mark.parametrize("name", [name for name in cli.COMMANDS if name != "plan"])
def test_documented(name: str) -> None:
    """docs/commands.md has a section on each command, which names all its options."""
    page = (DOCS / "commands.md").read_text()
    found = re.search(rf"^## `edgeload {name}`.*?(?=^## |\Z)", page, re.DOTALL | re.MULTILINE)
    assert found is not None
    parser = argparse.ArgumentParser()
    cli.COMMANDS[name].add(parser)
    flags = [flag for action in parser._actions for flag in action.option_strings if flag.startswith("--")]
    common = page[: page.index("## `edgeload report`")]
    assert [flag for flag in flags if flag != "--help" and f"`{flag}" not in found[0] + common] == []
