"""The names of classes, which have one meaning in the whole package, and of files of tests."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "pytest_edgeload"

ALLOWED: Mapping[str, str] = {}
"""The names that several classes may share, each with the reason."""


def classes(path: Path) -> Iterable[str]:
    """Return the names of the classes in a file, without leading underscores."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return [node.name.lstrip("_") for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]


def test_each_class_name_is_defined_once() -> None:
    """No two classes of the package share a name, even if one of them is private."""
    files = defaultdict(list)
    for path in sorted(PACKAGE.rglob("*.py")):
        for name in classes(path):
            files[name].append(path.relative_to(PACKAGE).as_posix())
    shared = {name: places for name, places in files.items() if len(places) > 1}
    assert [f"{name}: {', '.join(places)}" for name, places in shared.items() if name not in ALLOWED] == []


def test_allowed_names_are_shared() -> None:
    """Every allowed name is still shared; otherwise its entry must go."""
    names = [name for path in PACKAGE.rglob("*.py") for name in classes(path)]
    assert [name for name in ALLOWED if names.count(name) < 2] == []


def test_each_file_of_tests_has_its_own_name() -> None:
    """Pytest imports them by their names alone, because folders of tests are no packages."""
    names = [path.name for path in Path(__file__).parent.rglob("test_*.py")]
    assert sorted({name for name in names if names.count(name) > 1}) == []
