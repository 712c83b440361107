"""Every block of code in the documentation belongs to a class, and the blocks of each class are checked or run.

test_doc_projects.py runs console sessions and Python that names its file.
"""

from __future__ import annotations

import argparse
import ast
import configparser
import json
import os
import re
import shlex
import tomllib
from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy  # noqa: F401, ICN001  # it can be loaded once per process, and pytester unloads modules after a test
import pytest
from ruamel.yaml import YAML

from pytest_edgeload import cli
from pytest_edgeload.base.errors import Unsupported, UsageError
from pytest_edgeload.plugin import options
from pytest_edgeload.plugin.settings import OPTIONS
from pytest_edgeload.report.columns import column
from pytest_edgeload.results.measurement import METRICS
from pytest_edgeload.results.threshold import Ceiling
from pytest_edgeload.workload.file import parse
from tests.docs.pages import BLOCKS, ROOT, Block

SOURCE = "\n".join(path.read_text(encoding="utf-8") for path in sorted((ROOT / "pytest_edgeload").rglob("*.py")))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
_FOREIGN = {"gh", "bencher"}
_OURS = {"pytest", "edgeload"}
_GRAMMAR = "METRIC[.STAT][/REFERENCE]:LIMIT[+LIMIT]"


def class_of(block: Block) -> str | None:
    """Return the class of a block; None for a block that no test checks."""
    if block.language == "python":
        return "file" if block.file else "snippet"
    if block.language == "yaml" and re.search(r"^(requests|streams):", block.text, re.MULTILINE):
        return "workload"
    if block.language in {"toml", "yaml", "json", "console"}:
        return block.language
    if block.language not in {"", "sh", "text"}:
        return None
    if block.commands:
        return "commands"
    return next((name for name, looks_so in OUTPUTS.items() if looks_so(block.text)), "sentences")


def _is_table(text: str) -> bool:
    return re.search(r"^-+(  -+)+$", text, re.MULTILINE) is not None


OUTPUTS: Mapping[str, Callable[[str], bool]] = {
    "table": _is_table,
    "grammar": lambda text: text.strip() == _GRAMMAR,
    "written": lambda text: text.startswith(("::error", "<property", "{", "[{")),
    "ini": lambda text: re.search(r"^\[\w+\]$", text, re.MULTILINE) is not None,
    "pandas": lambda text: text.startswith("pandas."),
}
"""Classes of output by appearance; all other output is sentences."""


def of(*classes: str) -> list[Any]:
    """Return the blocks of these classes as parameters of a test."""
    return [pytest.param(block, id=str(block)) for block in BLOCKS if class_of(block) in classes]


def test_every_block_has_a_class() -> None:
    """Every block is checked by a test."""
    assert [str(block) for block in BLOCKS if class_of(block) is None] == []


@pytest.mark.parametrize("block", of("snippet"))
def test_snippets_run(block: Block) -> None:
    """Python without a file name runs on its own."""
    exec(block.text, {"pytest": pytest})  # noqa: S102  # a page of our own


@pytest.mark.parametrize("block", of("workload"))
def test_workloads_load(block: Block) -> None:
    """Every workload file can be parsed."""
    assert parse(block.text, "mix.yaml").asks


@pytest.mark.parametrize("block", of("toml"))
def test_settings_are_known_and_valid(block: Block) -> None:
    """Tables of pyproject.toml parse; the plugin knows the keys, their values and the thresholds."""
    tool = tomllib.loads(block.text).get("tool", {})
    settings = {
        key: value for key, value in tool.get("pytest", {}).get("ini_options", {}).items() if key[:5] == "edge_"
    }
    known = {options.ini_key(name): option for name, option in OPTIONS.items()}
    for key, value in settings.items():
        known[key].parse(str(value))
    for name, text in _leaves(tool.get("edgeload", {}).get("thresholds", {})):
        Ceiling.parse(name, text)


def test_json_and_ini_blocks_parse() -> None:
    """Blocks of JSON and ini files parse."""
    for block in BLOCKS:
        if class_of(block) == "json":
            json.loads(block.text)
        if class_of(block) == "ini":
            configparser.ConfigParser().read_string(block.text)


def _leaves(table: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name, value in table.items():
        if isinstance(value, dict):
            yield from _leaves(value)
        else:
            yield name, value


# Commands


def _scripts(node: Any) -> Iterator[str]:
    """Yield every script of a workflow, at any depth."""
    for key, value in node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ():
        if key in {"run", "script"}:
            yield from [value] if isinstance(value, str) else value
        else:
            yield from _scripts(value)


def _of_workflow(text: str) -> Iterator[list[str]]:
    """Yield our command lines in a workflow as words; an expression is replaced by the option in it."""
    for script in _scripts(YAML(typ="safe", pure=True).load(text)):
        for line in script.splitlines():
            expanded = re.sub(r"\$\{\{.*?(?:'(--[^']*)'.*?)?\}\}", lambda match: match[1] or "", line)
            words = shlex.split(expanded.replace("$SAVE", "--edge-save=main"))
            start = next((i for i, word in enumerate(words) if word in _OURS), None)
            if start is not None and all("=" in word or word in {"sudo", "-E", "env"} for word in words[:start]):
                yield words[start:]


def _commands() -> Iterator[tuple[str, list[str]]]:
    """Yield the place and the words of all command lines of the pages, in blocks and in sentences."""
    for block in BLOCKS:
        if class_of(block) == "yaml":
            yield from ((str(block), words) for words in _of_workflow(block.text))
        elif class_of(block) in {"commands", "console"}:
            yield from ((str(block), shlex.split(re.split(r" [>|] ", line)[0])) for line in block.commands)
    for page in sorted({block.page for block in BLOCKS}):
        text = (ROOT / page).read_text(encoding="utf-8")
        yield from ((page, shlex.split(line)) for line in re.findall(r"`((?:pytest|edgeload [a-z]+) [^`]+)`", text))


WORDS = [
    pytest.param(words, id=f"{place} {' '.join(words)}")
    for place, words in _commands()
    if not any(word.isupper() and "=" not in word for word in words)  # NETWORKS is a placeholder
]


def test_workflows_run_our_commands() -> None:
    """Each workflow, and each part of one, runs one of our commands."""
    workflows = [block for block in BLOCKS if class_of(block) == "yaml"]
    assert [str(block) for block in workflows if not any(_of_workflow(block.text))] == []


@pytest.mark.parametrize("words", WORDS)
def test_commands_parse(words: list[str], pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """The program accepts every command line, with every option and value."""
    for name in [name for name in os.environ if name.startswith("PYTEST_EDGE_")]:
        monkeypatch.delenv(name)
    pytester.mkdir("suites")
    _PARSERS[words[0]](words[1:], pytester)


def _parse_pytest(words: list[str], pytester: pytest.Pytester) -> None:
    config = pytester.parseconfig(*words)
    texts = options.read(config)
    options.parse(texts, config.rootpath)
    assert len(texts) == len({word.partition("=")[0] for word in words if word.startswith("--edge-")})


def _parse_edgeload(words: list[str], _pytester: object) -> None:
    if words[0] == "--help":
        return
    assert cli.parse(words).subcommand == words[0]


def _parse_make(words: list[str], _pytester: object) -> None:
    targets = [word for word in words if "=" not in word]
    variables = [word.partition("=")[0] for word in words if "=" in word]
    assert [target for target in targets if not re.search(rf"^{target}:", MAKEFILE, re.MULTILINE)] == []
    assert [name for name in variables if not re.search(rf"^{name} \?=", MAKEFILE, re.MULTILINE)] == []


def _parse_install(words: list[str], _pytester: object) -> None:
    """Require this project with known extras; test_installing.py checks the options."""
    [match] = filter(None, (re.fullmatch(r"(pytest-edgeload|\.)(?:\[(.*)\])?", word) for word in words))
    assert match[1] in {PROJECT["name"], "."}
    assert {*filter(None, (match[2] or "").split(","))} <= {*PROJECT["optional-dependencies"], "test"}


def _parse_python(words: list[str], _pytester: object) -> None:
    """Parse the arguments of a program of a peer."""
    assert words[0] == "-m"
    try:
        module = import_module(words[1])
    except Unsupported as missing:
        pytest.skip(str(missing))
    module.parser().parse_args(words[2:])


def _parse_uv(words: list[str], pytester: object) -> None:
    assert words[:2] in (["pip", "install"], ["venv", "--seed"]) or words == ["sync", "--extra=test"]
    if words[0] == "pip":
        _parse_install(words[2:], pytester)


def _parse_foreign(words: list[str], _pytester: object) -> None:
    """Metrics in the arguments of another program are ours."""
    metrics = [words[i + 1] for i, word in enumerate(words) if word == "--threshold-measure"]
    assert {*metrics} <= {*METRICS}


_PARSERS: Mapping[str, Callable[[list[str], pytest.Pytester], None]] = {
    "pytest": _parse_pytest,
    "edgeload": _parse_edgeload,
    "make": _parse_make,
    "python": _parse_python,
    "pip": _parse_install,
    "uv": _parse_uv,
    **dict.fromkeys(_FOREIGN, _parse_foreign),
}


@pytest.mark.parametrize("name", [name for name in cli.SUBCOMMANDS if not (ROOT / f"docs/{name}.md").exists()])
def test_commands_page_has_every_option(name: str) -> None:
    """docs/commands.md has a section with all options for each command without a page of its own."""
    page = (ROOT / "docs/commands.md").read_text(encoding="utf-8")
    section = re.search(rf"^## `edgeload {name}`.*?(?=^## |\Z)", page, re.DOTALL | re.MULTILINE)
    assert section is not None
    parser = argparse.ArgumentParser()
    cli.SUBCOMMANDS[name].add_arguments(parser)
    flags = [flag for action in parser._actions for flag in action.option_strings if flag.startswith("--")]
    common = page[: page.index("## `edgeload report`")]
    assert [flag for flag in flags if flag != "--help" and f"`{flag}" not in section[0] + common] == []


# Output


@pytest.mark.parametrize("block", [p for p in of("table", "commands", "console") if _is_table(p.values[0].output)])
def test_tables_have_our_headings(block: Block) -> None:
    """Every heading of a table is a heading that a report writes."""
    lines = block.output.splitlines()
    heads = [lines[i - 1] for i, line in enumerate(lines) if _is_table(line)]
    headings = {heading for head in heads for heading in re.split(r" {2,}", head.strip())}
    assert sorted(heading for heading in headings if not _is_heading(heading)) == []


def _is_heading(heading: str) -> bool:
    if f'"{heading}"' in SOURCE or re.fullmatch(r"x [a-z-]+", heading):
        return True
    try:
        return column(heading.partition(" ")[0]).title == heading
    except (ValueError, UsageError):
        return False


@pytest.mark.parametrize("block", of("written"))
def test_files_have_our_metrics(block: Block) -> None:
    """Every word with the shape of a metric's name in the content of a file is a metric's name."""
    names = re.findall(r"\b[a-z]+(?:_[a-z]+)*_(?:s|bytes)\b", block.text)
    assert {*names} <= {*METRICS}


@pytest.mark.parametrize("block", of("pandas"))
def test_pandas_line_uses_a_metric(block: Block) -> None:
    """The line parses, and uses a metric."""
    names = {node.attr for node in ast.walk(ast.parse(block.text)) if isinstance(node, ast.Attribute)}
    assert names & {*METRICS}


@pytest.mark.parametrize("block", of("sentences", "grammar"))
def test_sentences_are_ours(block: Block) -> None:
    """Quoted messages are in the code: at least one phrase of every line except the first."""
    for line in block.text.splitlines()[1:] or block.text.splitlines():
        phrases = re.findall(r"[A-Za-z]+(?: [a-z]+){2,}|METRIC[^:]*", line)
        assert any(phrase in SOURCE for phrase in phrases), line


@pytest.mark.parametrize("path", sorted((ROOT / "docs/images").iterdir()), ids=lambda path: path.name)
def test_images_are_small(path: Path) -> None:
    """A picture is small enough for the README."""
    assert path.stat().st_size < 300_000
