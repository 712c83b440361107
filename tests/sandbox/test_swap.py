"""Swap is as requested, private, and removed afterwards under all circumstances."""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_edgeload.base.errors import Unsupported, UsageError
from pytest_edgeload.sandbox import zram
from pytest_edgeload.sandbox.caps.outer import OuterLimit
from pytest_edgeload.sandbox.owner import PREFIX, tag
from pytest_edgeload.sandbox.swap import AUTO_BYTES, Swap, open_swap, open_wanted, sweep
from tests.sandbox import witness
from tests.sandbox.child import MIB, Child

LEAVE = """
import os, sys
from pathlib import Path
from pytest_edgeload.sandbox.owner import tag
from pytest_edgeload.sandbox.swap import open_swap
print(open_swap("256M", Path(sys.argv[1]), tag(os.getpid())).file, flush=True)
sys.stdin.read()
"""

NOBODY = 65534

LEAVE_ZRAM = LEAVE.replace("256M", "zram:256M")

as_root = pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("swapon"), reason="only root may switch swap on")

with_zram = pytest.mark.skipif(
    os.geteuid() != 0 or not Path("/sys/class/zram-control").exists(), reason="only root may add zram devices"
)


def existing_bytes() -> int:
    """Return the machine's own swap, from /proc/swaps."""
    lines = [line.split() for line in witness.swaps().splitlines()[1:]]
    others = [(path, size) for path, _, size, *_ in lines if Path(path) not in zram.devices()]
    return sum(int(size) * 1024 for path, size in others if PREFIX not in Path(path).name)


@pytest.fixture
def opened(tmp_path: Path, session: str) -> Callable[[str], Swap]:
    """Open a session's swap in tmp_path."""
    return lambda setting: open_swap(setting, tmp_path, session)


def test_swap_is_what_the_groups_around_leave(tmp_path: Path, session: str) -> None:
    """The machine's swap is as large as an outer limit at most; with a limit of 0 no file is made, or it is refused."""
    limit = OuterLimit("swap_bytes", MIB, Path("/a/memory.swap.max"))
    none = limit._replace(value=0)
    assert open_swap("existing", tmp_path, session, limit).size_bytes == min(existing_bytes(), MIB)
    assert open_swap("auto", tmp_path, session, none) == Swap(0)
    sentence = "swap=256M: would not take effect, because /a/memory.swap.max is 1M; .*"
    with pytest.raises(UsageError, match=sentence if os.geteuid() == 0 else "swap=256M"):
        open_swap("256M", tmp_path, session, limit)
    assert list(tmp_path.iterdir()) == []


@as_root
@pytest.mark.parametrize("place", ["plain", "with blank", "über", "back\\slash", "relative", "link"])
def test_size_is_a_private_file(place: str, tmp_path: Path, session: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A size is a private file of that size that is swapped to until it is closed, in any folder."""
    folder = tmp_path / place
    if place == "relative":
        monkeypatch.chdir(tmp_path)
        folder = Path(place)
    if place == "link":
        (tmp_path / "target").mkdir()
        folder.symlink_to("target")
    swap = open_swap("256M", folder, session)
    try:
        assert swap.file is not None
        status = swap.file.stat()
        assert status.st_size == swap.size_bytes == 256 * MIB
        assert (status.st_mode & 0o7777, status.st_uid) == (0o600, 0)
        assert swap.usable
        assert str(swap) == "256M"
        assert f"{swap.file.name} " in witness.swaps()
    finally:
        try:
            swap.close()
        finally:  # if this is what fails
            ctypes.CDLL(None).swapoff(os.fsencode(folder / f"{PREFIX}{session}.swap"))
    assert session not in witness.swaps()
    assert list(folder.iterdir()) == []


def test_off_forbids_swap(opened: Callable[[str], Swap], tmp_path: Path) -> None:
    """`off`: no file is created, and workers may not swap."""
    swap = opened("off")
    swap.close()
    assert (swap.usable, swap.file, str(swap)) == (False, None, "off")
    assert list(tmp_path.iterdir()) == []


def test_existing_is_the_machines_swap(opened: Callable[[str], Swap], tmp_path: Path) -> None:
    """`existing`: no file is created, and the size is that of the machine's own swap."""
    before = witness.swaps()
    swap = opened("existing")
    swap.close()
    assert (swap.usable, swap.file, swap.size_bytes) == (True, None, existing_bytes())
    assert list(tmp_path.iterdir()) == []
    assert existing_bytes() or str(swap) == "none"
    assert len(witness.swaps()) >= len(before) or PREFIX in before


@as_root
def test_auto_is_the_machines_swap_or_a_file(opened: Callable[[str], Swap], tmp_path: Path) -> None:
    """`auto`: the machine's own swap, or else a file as large as the study's, or as half the disk."""
    free = shutil.disk_usage(tmp_path).free
    swap = opened("auto")
    try:
        if existing_bytes():
            assert (swap.file, swap.size_bytes) == (None, existing_bytes())
        else:
            assert swap.file is not None
            assert str(swap.file) in witness.swaps()
            assert swap.size_bytes == AUTO_BYTES or swap.size_bytes < free // 2
    finally:
        swap.close()
    assert list(tmp_path.iterdir()) == []


def test_size_without_rights_is_refused(tmp_path: Path) -> None:
    """A user who is not root is refused a size in one sentence with hints; `auto` is the existing swap."""
    imports = "from pathlib import Path; from pytest_edgeload.sandbox.swap import open_swap"
    told = witness.as_nobody(imports, f"open_swap('256M', Path({str(tmp_path)!r}), '1-1')")
    assert told.startswith("UsageError: swap=256M: only root may switch swap on")
    assert "try existing or off" in told
    told = witness.as_nobody(imports, f"open_swap('auto', Path({str(tmp_path)!r}), '1-1')")
    assert told in {"none", str(Swap(existing_bytes()))}
    assert list(tmp_path.iterdir()) == []


@as_root
def test_size_beyond_the_disk_is_refused(opened: Callable[[str], Swap], tmp_path: Path) -> None:
    """A size beyond the free space is refused in one sentence with a hint, and nothing is left."""
    with pytest.raises(UsageError, match=r"^swap=900T: .* free, which is too little .*; free some space, try"):
        opened("900T")
    assert list(tmp_path.iterdir()) == []


@as_root
def test_useless_size_is_refused(opened: Callable[[str], Swap], tmp_path: Path) -> None:
    """A size too small to be useful is refused as too small, not as too large for the disk."""
    with pytest.raises(UsageError, match=r"^swap=64M: .*256M") as refused:
        opened("64M")
    assert "free" not in str(refused.value)
    assert list(tmp_path.iterdir()) == []


@as_root
def test_refusal_of_the_kernel_has_a_hint(session: str) -> None:
    """If a file cannot be swapped to, the kernel's words and a hint say so, and no file is left."""
    folder = Path("/dev/shm") / f"{PREFIX}test-{session}"
    if not witness.in_memory(folder):
        pytest.skip("/dev/shm is no file system in memory, which swap cannot stand on")
    try:
        with pytest.raises(Unsupported, match=r"cannot be switched on: swapon: .*; try swap=existing"):
            open_swap("256M", folder, session)
        assert list(folder.iterdir()) == []
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@as_root
def test_hard_link_is_not_followed(opened: Callable[[str], Swap], tmp_path: Path, session: str) -> None:
    """Another name of an existing file is not followed: that file stays as it is."""
    (tmp_path / "precious").write_text("precious")
    (tmp_path / f"{PREFIX}{session}.swap").hardlink_to(tmp_path / "precious")
    with pytest.raises(Unsupported, match="cannot be switched on: File exists; try"):
        opened("256M")
    assert (tmp_path / "precious").read_text() == "precious"
    assert session not in witness.swaps()


def _of_another(folder: Path) -> None:
    os.chown(folder, NOBODY, NOBODY)


@as_root
@pytest.mark.parametrize("share", [_of_another, lambda folder: folder.chmod(0o777)], ids=["owned", "writable"])
@pytest.mark.parametrize("place", ["", "inner", "link"])
def test_shared_folder_is_refused(tmp_path: Path, session: str, share: Callable[[Path], None], place: str) -> None:
    """A folder in which others could replace the file is refused, behind a link as well; no file is created."""
    theirs, folder = tmp_path / "theirs", tmp_path / "theirs" / place
    theirs.mkdir()
    if place == "link":
        folder = tmp_path / "link"
        folder.symlink_to(theirs)
    share(theirs)
    with pytest.raises(
        UsageError, match=r"^swap=256M: other users can write to \S+/theirs, so they could replace a swap file; ch"
    ):
        open_swap("256M", folder, session)
    assert not [*theirs.rglob("*.swap")]
    assert session not in witness.swaps()


@as_root
def test_folder_of_the_sudo_caller_is_trusted(tmp_path: Path, session: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder of the caller of sudo is trusted as root's, and the file in it is root's alone."""
    _of_another(tmp_path)
    monkeypatch.setenv("SUDO_UID", str(NOBODY))
    swap = open_swap("256M", tmp_path / "made", session)
    try:
        assert swap.file is not None
        status = [place.stat() for place in (swap.file, swap.file.parent)]
        assert [(each.st_uid, each.st_mode & 0o7777) for each in status] == [(0, 0o600), (0, 0o700)]
    finally:
        swap.close()


@as_root
@pytest.mark.parametrize("target", ["precious", "missing"])
def test_link_is_not_followed(opened: Callable[[str], Swap], tmp_path: Path, session: str, target: str) -> None:
    """A link in the file's place is never followed: its target is neither written nor created."""
    (tmp_path / "precious").write_text("precious")
    path = tmp_path / f"{PREFIX}{session}.swap"
    path.symlink_to(target)
    with pytest.raises(Unsupported, match="cannot be switched on: File exists; try"):
        opened("256M")
    assert (tmp_path / "precious").read_text() == "precious"
    assert not (tmp_path / "missing").exists()
    assert session not in witness.swaps()


@as_root
@pytest.mark.parametrize("place", ["", "elsewhere"])
def test_swap_of_a_killed_session_is_swept(opened: Callable[[str], Swap], tmp_path: Path, place: str) -> None:
    """The swap of a killed session is removed, even by one with another folder; that of a living one stays."""
    living = opened("256M")
    try:
        pipe = subprocess.PIPE
        with subprocess.Popen([sys.executable, "-c", LEAVE, tmp_path], stdin=pipe, stdout=pipe, text=True) as session:
            assert session.stdout is not None
            left = Path(session.stdout.readline().strip())
            sweep(tmp_path / place)
            assert str(left) in witness.swaps()
            session.send_signal(signal.SIGKILL)
        sweep(tmp_path / place)
        assert str(left) not in witness.swaps()
        assert str(living.file) in witness.swaps()
        assert list(tmp_path.iterdir()) == [living.file]
    finally:
        living.close()


@as_root
def test_sweep_keeps_files_of_other_users(tmp_path: Path) -> None:
    """A file or link of another user stays under any name."""
    with Child() as child:
        gone = tag(child.pid)
    (tmp_path / "precious").write_text("precious")
    planted = [tmp_path / f"{PREFIX}{gone}-{kind}.swap" for kind in ("file", "link")]
    planted[0].write_text("")
    planted[1].symlink_to("precious")
    for path in planted:
        os.chown(path, NOBODY, NOBODY, follow_symlinks=False)
    assert not [name for name in sweep(tmp_path) if gone in name]
    assert sorted(tmp_path.iterdir()) == sorted([*planted, tmp_path / "precious"])


def test_sweep_removes_unused_files(tmp_path: Path) -> None:
    """A file that was never switched on is removed; a link is, but not its target; foreign names stay."""
    with Child() as child:
        gone = tag(child.pid)
    names = [f"{PREFIX}{gone}-link.swap", f"{PREFIX}{gone}.swap"]
    (tmp_path / "precious").write_text("precious")
    (tmp_path / f"{PREFIX}notes.swap").write_text("mine")
    (tmp_path / names[0]).symlink_to("precious")
    (tmp_path / names[1]).write_bytes(bytes(MIB))
    assert [name for name in sweep(tmp_path) if gone in name] == names
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"{PREFIX}notes.swap", "precious"]
    assert not [name for name in sweep(tmp_path / "never made") if gone in name]


@with_zram
def test_zram_is_swapped_to_until_it_is_closed(opened: Callable[[str], Swap], tmp_path: Path) -> None:
    """`zram:SIZE` is a device of that size, used before all files, and no device is left."""
    existing = existing_bytes()
    swap = opened("zram:256M")
    try:
        assert swap.file is not None
        assert swap.file.is_block_device()
        assert (swap.size_bytes, str(swap)) == (256 * MIB, "zram:256M")
        line = next(line for line in witness.swaps().splitlines() if line.startswith(f"{swap.file} "))
        assert line.split()[-1] == "100"
        assert open_swap("existing", tmp_path, "other").size_bytes == existing
    finally:
        swap.close()
    assert f"{swap.file} " not in witness.swaps()
    assert not Path("/sys/block", swap.file.name).exists()
    assert swap.file not in zram.devices()


@with_zram
def test_swap_that_devices_want_is_made_unless_the_machine_has_it(tmp_path: Path, session: str) -> None:
    """A wanted kind and size is a device of at least 256 MiB; a size that cannot be made leaves nothing."""
    swap = open_wanted("zram", 1 << 20, tmp_path, session)
    assert swap is not None
    try:
        assert swap.kind == "zram"
        assert swap.size_bytes >= 256 * MIB
        assert swap.shortfall("zram", 1 << 20) == ""
    finally:
        swap.close()
    before = zram.devices()
    assert open_wanted("zram", 1 << 60, tmp_path, session) is None
    assert open_wanted("file", 1 << 50, tmp_path, session) is None
    assert (zram.devices(), [*tmp_path.iterdir()]) == (before, [])


@with_zram
def test_sweep_removes_zram_of_dead_sessions(tmp_path: Path) -> None:
    """The device of a session that was killed is removed by the next one, and that of a living session stays."""
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", LEAVE_ZRAM, tmp_path], stdin=pipe, stdout=pipe, text=True) as session:
        assert session.stdout is not None
        left = Path(session.stdout.readline().strip())
        assert left.name not in sweep(tmp_path)
        assert f"{left} " in witness.swaps()
        session.send_signal(signal.SIGKILL)
    sweep(tmp_path)  # unless another session is quicker
    assert witness.until(lambda: f"{left} " not in witness.swaps())
    assert witness.until(lambda: not Path("/sys/block", left.name).exists())


@with_zram
def test_zram_that_cannot_be_made_is_refused(opened: Callable[[str], Swap]) -> None:
    """A size beyond what the kernel allows is one sentence, and no device is left."""
    before = zram.devices()
    with pytest.raises(Unsupported, match=r"^swap: no compressed memory of 1048576T can be swapped to: .*; load the "):
        opened(f"zram:{1 << 20}T")
    assert zram.devices() == before
