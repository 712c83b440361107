"""A network is made again if a module that its factory imported, or an installed package, has changed."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import msgspec
import pytest

from pytest_edgeload.base import decoding
from pytest_edgeload.networks.dependencies import Dependencies, imported_since
from pytest_edgeload.networks.store import Store


@pytest.fixture
def imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Dependencies:
    """Return what an import of a factory with a helper, a part of a package, and an installed package brought."""
    (tmp_path / "edgeload_parts" / "inner").mkdir(parents=True)
    (tmp_path / "edgeload_parts" / "inner" / "blocks.py").write_text("WIDTH = 3")
    (tmp_path / "edgeload_helper.py").write_text("import json, tabulate\nDEPTH = 2")
    (tmp_path / "edgeload_factory.py").write_text("import edgeload_helper\nimport edgeload_parts.inner.blocks")
    monkeypatch.syspath_prepend(tmp_path)
    before = {name for name in sys.modules if not name.startswith("tabulate")}
    importlib.import_module("edgeload_factory")
    found = imported_since(before)
    for name in [name for name in sys.modules if name.startswith("edgeload_")]:
        del sys.modules[name]
    return found


def test_modules_and_packages_are_recorded(imported: Dependencies) -> None:
    """The project's modules are recorded by name, packages by version, and Python's own modules not at all."""
    assert list(imported.modules) == ["edgeload_factory", "edgeload_helper", "edgeload_parts.inner.blocks"]
    assert list(imported.packages) == ["tabulate"]
    assert decoding.decode(msgspec.json.encode(imported), Dependencies) == imported


@pytest.mark.parametrize("file", ["edgeload_helper.py", "edgeload_parts/inner/blocks.py"])
def test_changed_code_of_a_module_is_noticed(tmp_path: Path, imported: Dependencies, file: str) -> None:
    """A network is not found after a change or the removal of a module; a comment does not matter."""
    store = Store(tmp_path / "store")
    with store.making("key") as folder:
        kept = store.keep("key", folder, "digest", imported)
    source = tmp_path / file
    text = source.read_text()
    source.write_text(f"{text}  # a comment")
    assert store.find("key") == kept
    source.write_text(f"{text}0")
    assert store.find("key") is None
    source.write_text(text)
    assert store.find("key") == kept
    source.unlink()
    assert store.find("key") is None


def test_other_version_of_a_package_is_noticed(imported: Dependencies) -> None:
    """A package of another version, or one that is no longer installed, is noticed."""
    assert imported.are_current()
    assert not msgspec.structs.replace(imported, packages={"tabulate": "0.0.1"}).are_current()
    assert not msgspec.structs.replace(imported, packages={"no-such-package": "1"}).are_current()
