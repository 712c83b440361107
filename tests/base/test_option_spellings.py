"""Only the plugin and the command line spell options, and no code takes the message of an error apart."""

from __future__ import annotations

import argparse
import ast
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest_edgeload
from pytest_edgeload.cli import main_parser

PACKAGE = Path(pytest_edgeload.__file__).parent
FRONT_ENDS = {"plugin", "cli"}
FILES = [
    path
    for path in sorted(PACKAGE.rglob("*"))
    if path.suffix in {".py", ".js"} and path.relative_to(PACKAGE).parts[0] not in FRONT_ENDS
]

OTHER_PROGRAMS: Mapping[str, set[str]] = {
    "sandbox/caps/systemd.py": {"--user"},
    "sandbox/caps/cgroup2.py": {"--user"},
    "sandbox/doctor/caps.py": {"--user"},
    "sandbox/visible.py": {"--user"},
    "peers/gguf_model.py": {"--output"},
    "peers/llama_cpp.py": {"--threads"},
}
"""Options of other programs (systemd-run, unshare, the programs of peers) that edgeload has as well, by file."""

TAKING_APART = {
    *("split", "rsplit", "splitlines", "partition", "rpartition", "replace", "translate", "find", "index"),
    *("removeprefix", "removesuffix", "strip", "rstrip", "lstrip", "startswith", "endswith"),
}


def _name(path: Path) -> str:
    return str(path.relative_to(PACKAGE))


def _options(parser: argparse.ArgumentParser) -> Iterator[str]:
    """Yield the long options of a command and of its subcommands."""
    for action in parser._actions:
        yield from (option for option in action.option_strings if option.startswith("--"))
        if isinstance(action, argparse._SubParsersAction):
            for subparser in action.choices.values():
                yield from _options(subparser)


OWN_OPTIONS = {*_options(main_parser())} - {"--help"}


def test_no_option_is_spelled_below_the_front_ends() -> None:
    """Messages and comments below the plugin and the command line name settings, not options."""
    spelled = set()
    for path in FILES:
        words = set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", path.read_text()))
        own = {word for word in words if word.startswith("--edge-") or word in OWN_OPTIONS}
        spelled |= {(_name(path), word) for word in own - OTHER_PROGRAMS.get(_name(path), set())}
    assert spelled == set()


def _refusals() -> set[str]:
    """Return the names of Refusal and of all classes derived from it, by their definitions in the package."""
    names, count = {"Refusal"}, 0
    while len(names) > count:
        count = len(names)
        for path in PACKAGE.rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.ClassDef) and names & {
                    base.id for base in node.bases if isinstance(base, ast.Name)
                }:
                    names.add(node.name)
    return names


REFUSALS = _refusals()


def _dissections(tree: ast.AST) -> Iterator[int]:
    """Yield the lines that call a method of `str` on the text of an error that is a Refusal."""
    for handler in ast.walk(tree):
        if not isinstance(handler, ast.ExceptHandler) or handler.type is None:
            continue
        caught = {node.id for node in ast.walk(handler.type) if isinstance(node, ast.Name)}
        if not caught & REFUSALS:
            continue
        texts = {f"str({handler.name})"}
        for node in ast.walk(handler):
            if isinstance(node, ast.Assign) and ast.unparse(node.value) in texts:
                texts |= {ast.unparse(target) for target in node.targets}
        for node in ast.walk(handler):
            if isinstance(node, ast.Attribute) and node.attr in TAKING_APART and ast.unparse(node.value) in texts:
                yield node.lineno


def test_no_code_takes_the_message_of_an_error_apart() -> None:
    """Code that needs a part of an error reads its subject, reason or hint."""
    paths = sorted(PACKAGE.rglob("*.py"))
    assert [(_name(path), line) for path in paths for line in _dissections(ast.parse(path.read_text()))] == []


def test_code_that_takes_a_message_apart_is_found() -> None:
    """The search finds direct calls and calls through a variable, and ignores errors of other libraries."""
    code = """
try:
    pass
except (OSError, Unsupported) as error:
    a = str(error).partition(": ")
    text = str(error)
    b = text.replace("-", "")
except ValueError as error:
    c = str(error).split()
"""
    assert list(_dissections(ast.parse(code))) == [5, 7]
