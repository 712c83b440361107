"""Before each run the weights are out of the page cache, and the machine's free memory is present."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pytest_edgeload.sandbox import page_cache
from pytest_edgeload.sandbox.counters import process, resident, status
from tests.sandbox.child import MIB, Child

SIZE = 24 * MIB

BACK_BYTES = 96 * MIB

BACK = f"""
import os, resource
from pytest_edgeload.sandbox import counters, page_cache
before = counters.resident(counters.status(os.getpid()))
page_cache.back({BACK_BYTES}, 60.0)
after = counters.resident(counters.status(os.getpid()))
children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
print(page_cache.gives_memory_back(), children, after.highest - before.now)
"""


@pytest.fixture
def file(storage: Path, tmp_path: Path) -> Path:
    """Return a file that has just been written whole."""
    path = storage / tmp_path.name
    path.write_bytes(os.urandom(SIZE))
    with path.open("rb") as written:
        os.fsync(written.fileno())
    return path


def fetched(file: Path) -> float:
    """Return the bytes that a fresh process has fetched from storage when it has read `file`."""
    with Child() as child:
        child.do("again")
        before = process(child.pid)["read_bytes"]
        child.do("read", file)
        return process(child.pid)["read_bytes"] - before


def test_dropped_file_is_fetched_again(file: Path) -> None:
    """A dropped file is fetched from storage again, all of it; another one is not."""
    assert fetched(file) == 0
    page_cache.drop([file])
    assert SIZE <= fetched(file) <= SIZE + MIB
    assert fetched(file) == 0


def test_all_files_are_dropped(storage: Path, file: Path) -> None:
    """All the files are dropped, and their content stays."""
    other = storage / "other"
    other.write_bytes(b"x" * MIB)
    os.sync()
    content = file.read_bytes()
    page_cache.drop([file, other])
    assert fetched(other) >= MIB
    assert fetched(file) >= SIZE
    assert file.read_bytes() == content


def test_arguments_name_files_as_words_and_as_values_of_options(tmp_path: Path) -> None:
    """Files are found as words of their own, relative or not, and after the equals sign of an option; no others are."""
    for name in ("a", "b", "c", "x=y"):
        (tmp_path / name).touch()
    words = [
        "a",
        "--model=b",
        f"-f={tmp_path / 'c'}",
        "x=y",
        "X=a",
        "--none=d",
        "--empty=",
        "=",
        3,
        None,
        "\0",
        "a" * 9999,
    ]
    found = page_cache.files_named(words, str(tmp_path))
    assert found == [tmp_path / name for name in ("a", "b", "c", "x=y")]


def test_missing_file_is_an_error(tmp_path: Path) -> None:
    """A missing file is an error before the first measurement."""
    with pytest.raises(FileNotFoundError, match="weights"):
        page_cache.drop([tmp_path / "weights"])


def test_memory_is_touched_only_where_it_was_returned() -> None:
    """Memory is touched on a machine that returns it to its host, left alone elsewhere, and never by pytest itself."""
    told = subprocess.run([sys.executable, "-c", BACK], check=True, capture_output=True, text=True).stdout.split()
    gives, touched, kept = told[0] == "True", int(told[1]), int(told[2])
    assert (touched >= BACK_BYTES) == gives
    assert kept < 4 * MIB


@pytest.mark.parametrize("size_bytes", [0, -1])
def test_no_memory_is_fine(size_bytes: int) -> None:
    """No bytes to bring back is fine."""
    before = resident(status(os.getpid()))
    page_cache.back(size_bytes, 60.0)
    after = resident(status(os.getpid()))
    assert before is not None
    assert after is not None
    assert after.now - before.now < MIB
