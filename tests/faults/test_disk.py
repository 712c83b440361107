"""A disk that is really full: measurements are kept and shown, and no partial file is taken for a whole one."""

from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import pytest
import torch

from pytest_edgeload.base.errors import Unsupported, UsageError
from pytest_edgeload.devices.constraints import Constraints
from pytest_edgeload.exporting.live import keep_live
from pytest_edgeload.measuring.calibration import Calibration, FigureKey
from pytest_edgeload.measuring.directories import SessionDirectories
from pytest_edgeload.measuring.launcher import Launcher
from pytest_edgeload.measuring.machine import prepared
from pytest_edgeload.networks.edgenet_writer import write_edgenet
from pytest_edgeload.networks.folder import verify_network
from pytest_edgeload.networks.preparation import PreparationFailed
from pytest_edgeload.networks.registry import Registry
from pytest_edgeload.networks.store import Store, Unwritable
from pytest_edgeload.results import baseline, journal
from pytest_edgeload.results.case import Case
from pytest_edgeload.results.document import document
from pytest_edgeload.results.measurement import Measurement
from pytest_edgeload.results.record import Entry, Record
from pytest_edgeload.sandbox import swap as swaps
from pytest_edgeload.sandbox.caps import CAPS
from pytest_edgeload.sandbox.lock import host_lock
from pytest_edgeload.sandbox.swap import Swap, open_swap
from tests.builders import stored
from tests.plugin.sessions import Begin, write

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount")

PAGE: Final = os.sysconf("SC_PAGE_SIZE")
CASE: Final = Case(
    test="test_a.py::test_a",
    workload="mix",
    policy="bulk",
    reader="read",
    cap="none",
    swap="off",
    constraints=Constraints(threads=2),
)
ENTRY: Final = Entry(CASE, Measurement(outcome="ok", started=1.0, detail="x" * 2 * PAGE), "")
FULL: Final = "No space left on device"


class Disk:
    """A small file system in memory, and what fills it up."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._filler = folder / "filler"

    def fill(self) -> None:
        """Leave not a page free, so that files can be made and hold nothing."""
        with self._filler.open("wb", buffering=0) as file:
            try:
                while file.write(bytes(PAGE)):
                    pass
            except OSError as error:
                assert error.errno == errno.ENOSPC  # noqa: PT017  # it is how this ends

    def close(self) -> None:
        """Let no file be made."""
        found = os.statvfs(self.folder)
        self.remount(f"nr_inodes={found.f_files - found.f_ffree}")

    def empty(self) -> None:
        """Return all of the space."""
        self.remount("nr_inodes=1000")
        self._filler.unlink(missing_ok=True)

    def remount(self, options: str) -> None:
        """Mount with other options."""
        subprocess.run(["/bin/mount", "-o", f"remount,{options}", self.folder], check=True)

    @property
    def left(self) -> list[Path]:
        """All files there are, but for locks."""
        found = (path for path in self.folder.rglob("*") if path.is_file() and path.suffix != ".lock")
        return sorted(path for path in found if path != self._filler)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    """Return a disk of a mebibyte."""
    folder = tmp_path / "disk"
    folder.mkdir()
    subprocess.run(["/bin/mount", "-t", "tmpfs", "-o", "size=1M", "edgeload-test", folder], check=True)
    try:
        yield Disk(folder)
    finally:
        subprocess.run(["/bin/umount", folder], check=True)


# ---- networks --------------------------------------------------------------------------------------------------


def test_network_without_room_is_refused(disk: Disk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A network without room on the disk is refused with the folder and a hint, and leaves nothing."""
    monkeypatch.syspath_prepend(write(tmp_path))

    registry = Registry(Store(disk.folder))
    registry.register("small", "tiny:small")
    words = f"^network small .* could not be made: {disk.folder}: {FULL}; free some space, or "
    with pytest.raises(PreparationFailed, match=words):
        registry.get("small", lambda *_: None)
    assert disk.left == []


@pytest.mark.parametrize("is_full", [True, False], ids=["from the start", "in the middle"])
def test_live_model_without_room_is_refused(disk: Disk, is_full: bool) -> None:  # noqa: FBT001
    """A live model without room is refused in the same way, wherever the room ends; with room it is stored."""
    if is_full:
        disk.fill()
    with pytest.raises(
        PreparationFailed, match=f"^network net could not be made: {disk.folder}: {FULL}; free some space, or "
    ):
        keep_live(disk.folder, "net", torch.nn.Linear(600, 600), [(torch.rand(1, 600),)])
    assert disk.left == []
    disk.empty()
    disk.remount("size=4M")
    folder = keep_live(disk.folder, "net", torch.nn.Linear(600, 600), [(torch.rand(1, 600),)])
    assert verify_network(folder).name == "net"


def test_network_without_its_note_is_not_stored(disk: Disk) -> None:
    """If there is no room for the note of a recipe's network, the network does not count as stored."""
    store = Store(disk.folder)

    def make() -> None:
        with store.making("key") as folder:
            (folder / "file").write_text("word")
            disk.fill()
            store.keep("key", folder, "digest")

    with pytest.raises(Unwritable, match=f"^{disk.folder}: {FULL}; free some space, or name another folder "):
        make()
    assert store.find("key") is None
    disk.empty()
    with store.making("key") as folder:
        assert store.keep("key", folder, "digest") == store.find("key")


@pytest.mark.parametrize("is_full", [True, False], ids=["from the start", "in the middle"])
def test_file_of_a_network_is_whole_or_unchanged(disk: Disk, tmp_path: Path, is_full: bool) -> None:  # noqa: FBT001
    """A network's file without room is refused in one sentence; the old file stays, and no part of the new one."""
    source, path = stored(tmp_path, torch.nn.Linear(600, 600), (torch.rand(1, 600),)), disk.folder / "net.edgenet"
    path.write_text("old")
    if is_full:
        disk.fill()
    hint = "free some space, or name a file on another disk"
    with pytest.raises(UsageError, match=f"^{path}: {FULL}; {hint}$"):
        write_edgenet(path, source)
    assert [(file, file.read_text()) for file in disk.left] == [(path, "old")]


# ---- swap ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("size", "reason"),
    [(256 << 20, FULL), (PAGE, "mkswap: .*"), (64 * PAGE, "swapon: .*")],
    ids=["no room", "no swap", "not switched on"],
)
def test_failed_swap_leaves_no_file(disk: Disk, size: int, reason: str) -> None:
    """A failure at any step of switching swap on has a hint, and no file is left."""
    with pytest.raises(Unsupported, match=rf"a swap file of \S+ in {disk.folder} cannot be .*: {reason}; try swap=e"):
        swaps._make(disk.folder / "edgeload-1-1-1.swap", size)
    assert disk.left == []
    with pytest.raises(UsageError, match=f"^swap=256M: {disk.folder} has .* free, which is too little with 1G"):
        open_swap("256M", disk.folder, "1-1-1")


def test_swap_in_a_moved_folder_is_removed(tmp_path: Path) -> None:
    """Swap is switched off and removed even if its folder was moved; while it is on no one can remove it."""
    found = open_swap("256M", tmp_path / "before", f"{os.getpid()}-1-1")
    assert found.file is not None
    try:
        with pytest.raises(PermissionError):
            found.file.unlink()
        (tmp_path / "before").rename(tmp_path / "after")
    finally:
        found.close()
    assert found.file.name not in Path("/proc/swaps").read_text()
    assert list((tmp_path / "after").iterdir()) == []


def test_swap_that_stays_is_reported(tmp_path: Path) -> None:
    """Swap that cannot be removed at a session's end is reported in a line, and the rest of the end happens."""
    said: list[str] = []
    with prepared(SessionDirectories.new(tmp_path), "256M", said.append) as swap:
        assert swap.file is not None
        subprocess.run(["/bin/chattr", "+i", swap.file], check=True)  # then not even root may switch it off
    subprocess.run(["/bin/chattr", "-i", swap.file], check=True)
    swap.close()
    assert "edgeload: the swap file: cannot be removed: swapoff: " in said[-1]
    assert f"; free some memory and run swapoff {swap.file}, or let the next" in said[-1]


# ---- what a session notes and saves ----------------------------------------------------------------------------


def _save(folder: Path) -> None:
    baseline.save(folder, document([Record(CASE, (ENTRY.measurement,))], {}, folder), "main")


def _keep(folder: Path) -> None:
    journal.write(journal.place(folder / "runs", ENTRY))


def _noted(folder: Path) -> None:
    launcher = Launcher(CAPS["none"], Swap(0), "1-1-1", timeout_s=60.0)
    calibration = Calibration(launcher, Registry(Store(folder)), lambda *_: None, folder)
    calibration._figure_s(FigureKey("read"), lambda: 1.5)


def _locked(folder: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tempfile.tempdir", str(folder))
        with host_lock():
            pass


WRITERS: Final[dict[str, tuple[Callable[[Path], object], type[Exception]]]] = {
    "a baseline": (_save, OSError),
    "a measurement": (_keep, OSError),
    "a note": (_noted, UsageError),
    "a file of the session": (
        lambda folder: SessionDirectories.new(folder).write(folder / "shared.json", b"{}"),
        UsageError,
    ),
    "a folder of the session": (lambda folder: SessionDirectories.new(folder).make(folder / "a" / "b"), UsageError),
    "the lock": (_locked, Unsupported),
}
"""Functions that write to the disk, and their exceptions if it is full; the first four write bytes."""

WAYS: Final = [(writer, "pages") for writer in list(WRITERS)[:4]] + [(writer, "inodes") for writer in WRITERS]


@pytest.mark.parametrize(("writer", "lacking"), WAYS)
def test_no_partial_file_is_left(disk: Disk, writer: str, lacking: str) -> None:
    """A file without room, for its bytes or its name, is refused with its path, and no part of it is left."""
    act, kind = WRITERS[writer]
    if lacking == "pages":
        disk.fill()
    else:
        disk.close()
    with pytest.raises(kind, match=FULL) as refused:
        act(disk.folder)
    assert str(disk.folder) in str(refused.value)
    assert disk.left == []
    disk.empty()
    act(disk.folder)


# ---- sessions --------------------------------------------------------------------------------------------------

QUICK = """
import os, pathlib

def test_before(edge):
    assert edge.command(["/bin/true"], name="before").outcome == "ok"

def test_full():
    with open(os.environ["FILLER"], "wb", buffering=0) as file:
        try:
            while file.write(bytes(4096)):
                pass
        except OSError:
            pass

def test_after(edge):
    edge.command(["/bin/true"], name="after")
"""
FILES = ("json", "csv", "md", "trace")


def test_full_disk_costs_only_its_files(start: Begin, disk: Disk, tmp_path: Path) -> None:
    """A disk that fills up during a session costs only its files: the table is complete, each loss has a sentence."""
    project = write(tmp_path, test_tiny=QUICK, conftest="")
    at = disk.folder
    options = [f"--edge-{name}={at / f'out.{name}'}" for name in FILES]
    saving = ("--edge-save=main", f"--edge-storage={at / 'saved'}", "--junitxml=junit.xml")
    session = start(project, *options, *saving, PYTEST_EDGE_CACHE_DIR=str(at), FILLER=str(at / "filler"))
    ended = session.end()
    assert ended.status == pytest.ExitCode.TESTS_FAILED, ended.said
    assert ended.failure("test_after").attrib["message"].count("\n") == 0
    assert (
        f"{FULL}; free some space, or name another folder with --edge-cache-dir"
        in ended.failure("test_after").attrib["message"]
    )
    ended.lines.fnmatch_lines_random(["before *.* ok", "after *.* ok"])
    for name in FILES:
        ended.lines.fnmatch_lines_random(f"--edge-{name}={at / f'out.{name}'}: {FULL}; name a file elsewhere, each *")
    ended.lines.fnmatch_lines_random(f"--edge-storage={at / 'saved'}: {FULL}; name another folder")
    for words in ("Traceback", "INTERNALERROR", "written to"):
        assert words not in ended.said
    assert [entry.case.policy for entry in session.on_disk] == ["before"]
    # What no file tells of is told of by the next session.
    assert [path.name for path in disk.left if path.suffix != ".json" or path.parent == at] == ["unreported"]
    assert session.leavings == []


@pytest.mark.parametrize(("processes", "status"), [("-n0", 4), ("-n2", 1)])
def test_session_without_room_ends_in_a_sentence(
    start: Begin, disk: Disk, tmp_path: Path, processes: str, status: int
) -> None:
    """A session without room for its own notes ends in a sentence; under xdist each test has it."""
    project = write(tmp_path, test_tiny="def test_it(edge):\n    edge.command(['/bin/true'])\n", conftest="")
    disk.fill()
    ended = start(project, processes, PYTEST_EDGE_CACHE_DIR=str(disk.folder)).end()
    assert ended.status == status, ended.said
    ended.lines.fnmatch_lines([f"*{disk.folder}: {FULL}; *name another folder with --edge-cache-dir"])
    for words in ("Traceback", "INTERNALERROR", "passed"):
        assert words not in ended.said
    assert disk.left == []
    assert ended.running.leavings == []
