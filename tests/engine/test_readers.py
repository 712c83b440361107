"""What every reader does, whatever its way; run over the whole table."""

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
    """Give a file of random bytes whose end is not a page's."""
    path = tmp_path_factory.mktemp("readers") / "weights"
    path.write_bytes(os.urandom(FILE_BYTES))
    return path


@EVERY_READER
@given(offset=st.integers(0, FILE_BYTES - 1), size=st.integers(1, FILE_BYTES))
def test_bytes(path: Path, name: str, offset: int, size: int) -> None:
    """A reader gives the bytes of the file, wherever the stretch begins and ends."""
    size = min(size, FILE_BYTES - offset)
    reader = READERS[name](path)
    memory = reader.read(offset, size)
    assert memoryview(memory)[:size] == path.read_bytes()[offset : offset + size]
    reader.close()


@EVERY_READER
@given(offset=st.integers(0, FILE_BYTES - 1), size=st.integers(1, FILE_BYTES))
def test_into(path: Path, name: str, offset: int, size: int) -> None:
    """A reader that is given memory gives the bytes of the file there, or where it has them, and changes no other."""
    size = min(size, FILE_BYTES - offset)
    pages = pages_bytes(offset, size)
    around = arena(pages + 2 * PAGE)
    reader = READERS[name](path)
    memory = reader.read(offset, size, around[PAGE : PAGE + pages])
    assert memory == path.read_bytes()[offset : offset + size]
    assert bytes(around[:PAGE]) == bytes(around[PAGE + pages :]) == bytes(PAGE)
    del memory
    reader.close()


def test_a_file_system_that_refuses_direct_reads() -> None:
    """The direct reader says so in a notice, and reads all the same."""
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
def test_the_page_cache(tmp_path: Path, name: str, expected: list[int], *, has_place: bool) -> None:
    """It never holds what the direct reader reads; and not what `read` reads, if it is brought to a place once more."""
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
def test_the_end_of_the_file(path: Path, name: str, offset: int) -> None:
    """A stretch that goes past the end of the file is an EOFError that says where the file ends."""
    reader = READERS[name](path)
    with pytest.raises(EOFError, match=f"the weights file ends at byte {FILE_BYTES}"):
        reader.read(offset, FILE_BYTES + 1)
    reader.close()


@EVERY_READER
def test_memory_outlives_the_reader(path: Path, name: str) -> None:
    """Memory that was handed out stays as it is when the reader is closed and its file deleted."""
    copy = path.with_name("copy")
    copy.write_bytes(path.read_bytes())
    reader = READERS[name](copy)
    memory = reader.read(10, 100_000)
    reader.close()
    copy.unlink()
    assert memoryview(memory)[:100_000] == path.read_bytes()[10:100_010]


@EVERY_READER
def test_files_are_closed(path: Path, name: str) -> None:
    """A closed reader leaves no open file."""
    before = psutil.Process().num_fds()
    reader = READERS[name](path)
    assert psutil.Process().num_fds() > before
    reader.close()
    assert psutil.Process().num_fds() == before


@EVERY_READER
def test_memory_goes_back_to_the_system(tmp_path: Path, name: str) -> None:
    """Memory is resident after it was read, and the process's no more when it is dropped after the last reference."""
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
def test_memory_that_the_kernel_refuses(tmp_path: Path, name: str) -> None:
    """Memory that the kernel refuses is a MemoryError that says how much it was."""
    path = tmp_path / "weights"
    path.touch()
    os.truncate(path, 1 << 30)
    subprocess.run([sys.executable, "-c", REFUSED, name, str(path)], check=True, env={"PYTHONPATH": ":".join(sys.path)})


def test_the_table_is_the_folder() -> None:
    """Every file of the folder is a reader of the table under the file's name, and every reader has its file."""
    assert {path.stem for path in Path(readers.__path__[0]).glob("*.py")} - {"__init__"} == set(READERS)
