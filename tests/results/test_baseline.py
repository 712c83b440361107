"""Baselines are saved, found and loaded on disk."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import pytest

from pytest_edgeload.base.errors import UsageError
from pytest_edgeload.results.baseline import check, check_name, default_name, find, load, save
from pytest_edgeload.results.document import Commit, Document, document, render

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def made() -> Document:
    """Give a document without records."""
    return document([], {}, HERE)


def _elsewhere(made: Document) -> Document:
    machine = msgspec.structs.replace(made.machine, processor="another")
    return msgspec.structs.replace(made, machine=machine)


def test_baselines_are_numbered_per_kind_of_machine(tmp_path: Path, made: Document) -> None:
    """Baselines are numbered in the folder of their kind of machine, and are read back unchanged."""
    first, second = save(tmp_path, made, "main"), save(tmp_path, made, "main")
    assert first.parent == second.parent == tmp_path / made.machine.key
    assert [path.name[:10] for path in (first, second)] == ["0001_main_", "0002_main_"]
    assert load(first) == made
    assert save(tmp_path, _elsewhere(made), "main").name.startswith("0001_")
    assert list(tmp_path.rglob("*.part")) == []


def test_check_leaves_no_file(tmp_path: Path, made: Document) -> None:
    """A folder that can be written stays empty; one that cannot be is an OSError."""
    check(tmp_path / "new")
    assert list((tmp_path / "new").iterdir()) == []
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="File exists"):
        check(tmp_path / "file")
    assert save(tmp_path / "new", made, "main").parent.parent == tmp_path / "new"


def test_sessions_that_save_at_once_lose_nothing(tmp_path: Path, made: Document) -> None:
    """Sessions that save at the same time lose nothing."""
    with ThreadPoolExecutor(8) as pool:
        paths = list(pool.map(lambda name: save(tmp_path, made, name), ["same"] * 8))
    assert len({path for path in paths if load(path) == made}) == 8


@pytest.mark.parametrize("wanted", ["2", "0002", "two", ""])
def test_baseline_is_found_by_number_or_name(tmp_path: Path, made: Document, wanted: str) -> None:
    """A baseline is found by its number or its name; the newest without either."""
    save(tmp_path, made, "one")
    second = save(tmp_path, made, "two")
    assert find(tmp_path, wanted, made.machine) == second


def test_baseline_is_found_by_path(tmp_path: Path, made: Document) -> None:
    """Any file of records is a baseline, also outside the storage."""
    file = tmp_path / "records.json"
    file.write_bytes(render(made))
    assert find(tmp_path / "nowhere", str(file), made.machine) == file


def test_baselines_of_this_kind_of_machine_come_first(tmp_path: Path, made: Document) -> None:
    """Baselines of this kind of machine come before newer ones of other kinds, which are better than none."""
    other = _elsewhere(made)
    own = save(tmp_path, made, "main")
    save(tmp_path, other, "gone")
    newest = save(tmp_path, other, "main")
    assert find(tmp_path, "main", made.machine) == find(tmp_path, "", made.machine) == own
    assert find(tmp_path, "2", made.machine) == newest


def test_unknown_name_is_refused_but_an_empty_storage_is_not(tmp_path: Path, made: Document) -> None:
    """An empty storage is not an error; an unknown name is, and the sentence suggests known ones."""
    assert find(tmp_path / "nowhere", "", made.machine) is None
    save(tmp_path, made, "main")
    with pytest.raises(UsageError, match=r"^mian: no such baseline in .*; did you mean main\?$"):
        find(tmp_path, "mian", made.machine)
    with pytest.raises(UsageError, match=r"^7: no such baseline in .*; choose from main$"):
        find(tmp_path, "7", made.machine)
    with pytest.raises(UsageError, match=r"^mian\.json: no such file; give a file, "):
        find(tmp_path, "mian.json", made.machine)


@pytest.mark.parametrize("text", [b"", b"[]", b"\xff", b'{"schema": 2}', b'{"schema": 9}', b'{"schema": "1"}'])
def test_file_of_something_else_is_refused(tmp_path: Path, text: bytes) -> None:
    """A file of something else is refused in a sentence that names it."""
    file = tmp_path / "0001_main_123456.json"
    file.write_bytes(text)
    with pytest.raises(UsageError, match=rf"^{re.escape(str(file))}: .*; save a new baseline, or name another$"):
        load(file)


def test_default_name_has_commit_time_and_dirt(made: Document) -> None:
    """Without a name a baseline is named by commit, time and `dirty` after uncommitted changes."""
    made = msgspec.structs.replace(made, created="2026-11-23T12:00:00Z", commit=None)
    assert default_name(made) == "no-commit_20261123T120000Z"
    for is_dirty, end in ((False, ""), (True, "_dirty")):
        known = msgspec.structs.replace(made, commit=Commit("0123456789abcdef", "main", is_dirty))
        assert default_name(known) == f"0123456789ab_20261123T120000Z{end}"


@pytest.mark.parametrize("name", ["main", "v1.0", "a-b_c+d", "1a"])
def test_names_of_branches_and_versions_are_valid(name: str) -> None:
    """The names of branches and versions are valid names of baselines."""
    assert check_name(name) == name


@pytest.mark.parametrize("name", ["12", "a/b", "", "a b", "../a"])
def test_numbers_and_paths_are_refused_as_names(name: str) -> None:
    """A name that is a number, or that cannot be part of a file name, is refused."""
    with pytest.raises(ValueError, match=r"^not a name for a baseline; use letters, "):
        check_name(name)


def test_names_longer_than_a_file_name_are_refused(made: Document, tmp_path: Path) -> None:
    """A name fits into a file name, counted in bytes, or is refused."""
    assert save(tmp_path, made, check_name("é" * 100)).exists()
    with pytest.raises(ValueError, match=r"^too long in bytes .*; use at most 200 "):
        check_name("語" * 67)


def test_save_without_a_folder_is_an_os_error(made: Document, tmp_path: Path) -> None:
    """If the folder cannot be created, `save` raises OSError and leaves nothing behind."""
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match=r"^\[Errno"):
        save(tmp_path / "file", made, "main")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
