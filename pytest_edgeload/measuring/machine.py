"""A machine made ready to measure on, and left as it was found: the same for pytest and the command line."""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from pytest_edgeload.base.errors import Unsupported
from pytest_edgeload.base.interrupts import Interrupts
from pytest_edgeload.measuring.directories import SessionDirectories, number_of
from pytest_edgeload.sandbox import swap as swaps
from pytest_edgeload.sandbox.caps import CAPS
from pytest_edgeload.sandbox.owner import is_abandoned, is_own
from pytest_edgeload.sandbox.swap import Swap

_KEPT_SESSIONS = 20


@contextmanager
def prepared(directories: SessionDirectories, swap_kind: str, say: Callable[[str], None]) -> Iterator[Swap]:
    """Clean up after dead sessions and switch swap on. Remove the groups and the swap at the end, however it ends.

    `say` gets a line for each thing that was cleaned up. For the owner of the session. Raises UsageError or
    Unsupported.
    """
    directories.make(directories.runs)
    told = set()
    for folder, line in _unreported(directories.folder.parent):
        say(line)
        told.add(folder)
    for name in [*swaps.sweep(directories.swaps), *(name for cap in CAPS.values() for name in cap.sweep(None))]:
        say(f"edgeload: removed {name}, left by a session that is gone")
    _prune(directories.folder.parent, told)
    swap: Swap | None = None
    try:
        with Interrupts():
            swap = swaps.open_swap(swap_kind, directories.swaps, directories.session)
        yield swap
    finally:
        with Interrupts():
            for each in CAPS.values():
                each.sweep(directories.session)
            if swap is not None:
                try:
                    swap.close()
                except Unsupported as error:  # what was measured is worth more than this
                    say(f"edgeload: {error}")


def _gone(sessions: Path) -> list[Path]:
    """Return the folders that sessions of this user left which are gone, the newest last."""
    folders = (folder for folder in sessions.iterdir() if is_abandoned(folder.name.partition(".")[2]))
    return sorted(filter(is_own, folders), key=lambda folder: (number_of(folder), folder.name))


def _unreported(sessions: Path) -> Iterator[tuple[Path, str]]:
    """Yield, once, the folder of each session that was killed before it could report, and how to see its results."""
    for directories in map(SessionDirectories.of, _gone(sessions)):
        if directories.unreported_marker.exists():
            count = sum(1 for _ in directories.runs.glob("*.json"))
            if count:
                runs = f"{count} run" if count == 1 else f"{count} runs"
                way = f"edgeload report {shlex.quote(str(directories.folder))}"
                words = "edgeload: a session that is gone did not report what it measured"
                yield directories.folder, f"{words}, {runs}; see it by: {way}"
            directories.unreported_marker.unlink(missing_ok=True)


def _prune(sessions: Path, told: Collection[Path]) -> None:
    """Remove the folders of sessions that are gone, except the newest and those in `told`."""
    for folder in _gone(sessions)[:-_KEPT_SESSIONS]:
        if folder not in told:
            shutil.rmtree(folder, ignore_errors=True)  # another session may be removing it at this moment
