"""The behavior that all readers share, tested over the whole table, and the differences."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_edgeload.engine import readers
from pytest_edgeload.engine.memory import arena
from pytest_edgeload.engine.readers import READERS
from pytest_edgeload.networks.tile import PAGE, pages_bytes
from pytest_edgeload.sandbox import page_cache
from tests.sandbox import witness

FILE_BYTES = 300_000
EVERY_READER = pytest.mark.parametrize("name", READERS)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a file of random bytes that does not end at a page boundary."""
    path = tmp_path_factory.mktemp("readers") / "weights"
    path.write_bytes(os.urandom(FILE_BYTES))
    return path


@EVERY_READER
@given(offset=st.integers(0, FILE_BYTES - 1), size=st.integers(1, FILE_BYTES))
def test_reads_return_the_bytes_of_the_file(path: Path, name: str, offset: int, size: int) -> None:
    """A reader returns the bytes of the file for any offset and size."""
    size = min(size, FILE_BYTES - offset)
    reader = READERS[name](path)
    memory = reader.read(offset, size)
    assert memoryview(memory)[:size] == path.read_bytes()[offset : offset + size]
    reader.close()


@EVERY_READER
@given(offset=st.integers(0, FILE_BYTES - 1), size=st.integers(1, FILE_BYTES))
def test_reads_into_memory_change_nothing_around_it(path: Path, name: str, offset: int, size: int) -> None:
    """A reader that is given memory returns the bytes of the file and changes no byte outside of that memory."""
    size = min(size, FILE_BYTES - offset)
    pages = pages_bytes(offset, size)
    around = arena(pages + 2 * PAGE)
    reader = READERS[name](path)
    memory = reader.read(offset, size, around[PAGE : PAGE + pages])
    assert memory == path.read_bytes()[offset : offset + size]
    assert bytes(around[:PAGE]) == bytes(around[PAGE + pages :]) == bytes(PAGE)
    del memory
    reader.close()


def test_direct_reader_without_o_direct_has_a_notice() -> None:
    """If the file system refuses O_DIRECT, the direct reader has a notice and reads all the same."""
    refusing = Path("/proc/self/cmdline")
    with pytest.raises(OSError, match="Invalid argument"):
        os.open(refusing, os.O_RDONLY | os.O_DIRECT)
    reader = READERS["direct"](refusing)
    assert reader.notice == "reader direct: /proc/self refuses O_DIRECT, so it reads through the page cache"
    reader.close()


@pytest.mark.parametrize(
    ("name", "has_place", "expected"),
    [("direct", False, [0, 0]), ("direct", True, [0, 0]), ("read", False, [8, 8]), ("read", True, [8, 0])],
)
def test_page_cache_does_not_keep_repeated_reads(
    tmp_path: Path, name: str, expected: list[int], *, has_place: bool
) -> None:
    """The page cache never keeps direct reads, nor bytes that `read` brings to a place a second time."""
    path = tmp_path / "weights"
    path.write_bytes(os.urandom(8 << 20))
    with path.open("rb") as file:
        os.fsync(file.fileno())
    page_cache.drop([path])
    reader, found = READERS[name](path), list[int]()
    for _ in expected:
        memory = reader.read(0, 8 << 20, arena(8 << 20) if has_place else None)
        found.append(witness.cached_bytes(path) >> 20)
        del memory
    reader.close()
    assert found == expected


@EVERY_READER
@pytest.mark.parametrize("offset", [0, FILE_BYTES - 1, FILE_BYTES, FILE_BYTES * 2])
def test_reading_past_the_end_is_an_eof_error(path: Path, name: str, offset: int) -> None:
    """A read past the end of the file raises an EOFError with the file's size."""
    reader = READERS[name](path)
    with pytest.raises(EOFError, match=f"{path}: the weights file ends at byte {FILE_BYTES}; restore it"):
        reader.read(offset, FILE_BYTES + 1)
    reader.close()


@EVERY_READER
def test_memory_outlives_the_reader(path: Path, name: str) -> None:
    """Memory that a reader returned keeps its contents after the reader is closed and the file deleted."""
    copy = path.with_name("copy")
    copy.write_bytes(path.read_bytes())
    reader = READERS[name](copy)
    memory = reader.read(10, 100_000)
    reader.close()
    copy.unlink()
    assert memoryview(memory)[:100_000] == path.read_bytes()[10:100_010]


@EVERY_READER
def test_close_leaves_no_open_file(path: Path, name: str) -> None:
    """A closed reader leaves no open file."""
    before = psutil.Process().num_fds()
    reader = READERS[name](path)
    assert psutil.Process().num_fds() > before
    reader.close()
    assert psutil.Process().num_fds() == before


@EVERY_READER
def test_drop_returns_memory_to_the_system(tmp_path: Path, name: str) -> None:
    """Memory is resident after a read, and not after `drop` when the last reference is gone."""
    size, slack = 32 << 20, 1 << 20
    path = tmp_path / "weights"
    path.write_bytes(bytes(size))
    reader = READERS[name](path)
    for _ in range(3):
        before = psutil.Process().memory_info().rss
        memory = reader.read(0, size)
        view = memoryview(memory)
        assert view[:size] == bytes(size)
        del memory
        assert psutil.Process().memory_info().rss - before > size - slack
        view.release()
        del view
        reader.drop(0, size)
        assert psutil.Process().memory_info().rss - before < slack
    reader.close()


REFUSED = """
import resource, sys
from pathlib import Path
from pytest_edgeload.engine.readers import READERS
resource.setrlimit(resource.RLIMIT_AS, (256 << 20, 256 << 20))
try:
    reader = READERS[sys.argv[1]](Path(sys.argv[2]))
    reader.read(0, 1 << 30)
except MemoryError as error:
    sys.exit(str(error) != "no memory for 1073741824 bytes of weights: Cannot allocate memory")
sys.exit("not refused")
"""


@EVERY_READER
def test_refused_memory_is_a_memory_error(tmp_path: Path, name: str) -> None:
    """If the kernel refuses memory, the MemoryError contains the requested size."""
    path = tmp_path / "weights"
    path.touch()
    os.truncate(path, 1 << 30)
    subprocess.run([sys.executable, "-c", REFUSED, name, str(path)], check=True, env={"PYTHONPATH": ":".join(sys.path)})


def test_every_file_is_a_reader_of_the_table() -> None:
    """Every file in the folder is a reader in the table under the file's name, and every reader has a file."""
    assert {path.stem for path in Path(readers.__path__[0]).glob("*.py")} - {"__init__"} == set(READERS)
