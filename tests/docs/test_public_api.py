"""The documentation and the suites use only the public API."""

from __future__ import annotations

import ast
import inspect
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import pytest_edgeload
from tests.docs.pages import BLOCKS, ROOT

MAX_OBVIOUS = 2  # arguments that a function may have without a word on each
PUBLIC = {"pytest_edgeload", "pytest_edgeload.runtime", "pytest_edgeload.strategies"}

FILES = [
    ROOT / "conftest.py",
    *sorted(path for folder in ("models", "suites") for path in (ROOT / folder).rglob("*.py")),
]
SOURCES = {path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8") for path in FILES}
SOURCES |= {str(block): block.text for block in BLOCKS if block.language == "python"}
"""Each file and each Python block of a page that imports the package as a user does."""


def imports(text: str) -> Iterator[tuple[str, str]]:
    """Yield the modules of this package that a source imports, each with the imported name (empty for a module)."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom) and node.module is not None:
            yield from ((node.module, alias.name) for alias in node.names)
        if isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)


@pytest.mark.parametrize("source", SOURCES)
def test_only_public_modules_are_imported(source: str) -> None:
    """Documentation, suites and models import `pytest_edgeload`, its runtime and its strategies, no other module."""
    ours = {module for module, _ in imports(SOURCES[source]) if module.partition(".")[0] == "pytest_edgeload"}
    assert ours <= PUBLIC


@pytest.mark.parametrize("source", SOURCES)
def test_only_public_names_are_imported(source: str) -> None:
    """Every name that they import from `pytest_edgeload` is in `__all__`."""
    names = {name for module, name in imports(SOURCES[source]) if module == "pytest_edgeload" and name}
    assert names <= {*pytest_edgeload.__all__, "strategies"}


@pytest.mark.parametrize("name", pytest_edgeload.__all__)
def test_public_name_exists(name: str) -> None:
    """Every name in `__all__` can be imported."""
    assert getattr(pytest_edgeload, name) is not None


def test_dir_lists_the_api() -> None:
    """`dir` lists the public names, which completion in a shell uses."""
    assert dir(pytest_edgeload) == sorted([*pytest_edgeload.__all__, "__version__", "strategies"])


def functions() -> Iterator[tuple[str, Any, str]]:
    """Yield the name, the function and the documentation of each public function and method."""
    for name in pytest_edgeload.__all__:
        found = getattr(pytest_edgeload, name)
        if inspect.isfunction(found):
            yield name, found, found.__doc__ or ""
        for own, member in vars(found).items() if inspect.isclass(found) else ():
            function = getattr(member, "__func__", member)
            if inspect.isfunction(function) and (found is pytest_edgeload.Builder or not own.startswith("_")):
                yield f"{name}.{own}", function, f"{found.__doc__} {function.__doc__}"


def test_help_explains_every_argument() -> None:
    """The documentation of a function with more than two arguments names each of them."""
    unnamed = []
    for name, function, text in functions():
        arguments = [argument for argument in inspect.signature(function).parameters if argument not in {"self", "cls"}]
        if len(arguments) > MAX_OBVIOUS:
            unnamed += [f"{name}: {argument}" for argument in arguments if f"`{argument}`" not in text]
    assert unnamed == []


def test_unknown_name_is_an_attribute_error() -> None:
    """A name that is not public raises AttributeError, as in any module."""
    with pytest.raises(AttributeError, match="no attribute 'colours'"):
        pytest_edgeload.colours  # noqa: B018


def test_import_loads_nothing_else() -> None:
    """`import pytest_edgeload` imports no other module of the package."""
    code = "import sys, pytest_edgeload; print([name for name in sys.modules if name.startswith('pytest_edgeload.')])"
    process = subprocess.run([sys.executable, "-c", code], cwd=Path("/"), check=True, capture_output=True, text=True)
    assert process.stdout.strip() == "[]"
