"""The preparation of this machine for a session, and its restoration; the same for pytest and the command line."""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from pytest_edgeload.base.errors import Unsupported
from pytest_edgeload.base.interrupts import Interrupts
from pytest_edgeload.measuring.directories import SessionDirectories, is_dead, number_of
from pytest_edgeload.sandbox import swap as swaps
from pytest_edgeload.sandbox.caps import CAPS
from pytest_edgeload.sandbox.caps.outer import NO_GROUPS, Outer
from pytest_edgeload.sandbox.owner import is_own
from pytest_edgeload.sandbox.swap import Swap

_KEPT_SESSIONS = 20


@contextmanager
def prepared(
    directories: SessionDirectories,
    swap_setting: str,
    say: Callable[[str], None],
    outer: Outer = NO_GROUPS,
    wanted: tuple[str, int] | None = None,
) -> Iterator[Swap]:
    """Clean up after dead sessions and switch swap on; in every case, remove the groups and the swap at the end.

    The swap has the kind and the bytes that are `wanted`, if the machine can have it, or else is that of
    `swap_setting`. It is what the groups around pytest, `outer`, leave of it. `say` receives a line about each thing
    that was cleaned up. Only the owner of the session calls this. Raises UsageError or Unsupported.
    """
    tidy(directories, say)
    for name in [*swaps.sweep(directories.swaps), *(name for cap in CAPS.values() for name in cap.sweep(None))]:
        say(f"edgeload: removed {name}, a leftover of a dead session")
    swap: Swap | None = None
    try:
        with Interrupts():
            folder, session = directories.swaps, directories.session
            if wanted is not None:
                swap = swaps.open_wanted(*wanted, folder, session, outer.swap)
            swap = swap or swaps.open_swap(swap_setting, folder, session, outer.swap)
        yield swap
    finally:
        with Interrupts():
            for each in CAPS.values():
                each.sweep(directories.session)
            if swap is not None:
                try:
                    swap.close()
                except Unsupported as error:  # the measurements are worth more than this
                    say(f"edgeload: {error}")


def tidy(directories: SessionDirectories, say: Callable[[str], None]) -> None:
    """Make the folder of a session, remove old ones, and `say` where the results of dead sessions are.

    Raises UsageError.
    """
    directories.make(directories.runs)
    reported = set()
    for folder, line in _unreported(directories.folder.parent):
        say(line)
        reported.add(folder)
    _prune(directories.folder.parent, reported)


def _dead(sessions: Path) -> list[Path]:
    """Return the folders of this user's dead sessions, the newest last."""
    folders = filter(is_own, filter(is_dead, sessions.iterdir()))
    return sorted(folders, key=lambda folder: (number_of(folder), folder.name))


def _unreported(sessions: Path) -> Iterator[tuple[Path, str]]:
    """Yield, once, the folder of each session that was killed before it could report, and a line about its results."""
    for directories in map(SessionDirectories.of, _dead(sessions)):
        if directories.unreported_marker.exists():
            count = sum(1 for _ in directories.runs.glob("*.json"))
            if count:
                runs = f"{count} run" if count == 1 else f"{count} runs"
                command = f"edgeload report {shlex.quote(str(directories.folder))}"
                yield directories.folder, f"edgeload: a dead session did not report its {runs}; see: {command}"
            directories.unreported_marker.unlink(missing_ok=True)


def _prune(sessions: Path, reported: Collection[Path]) -> None:
    """Remove the folders of dead sessions, except the newest ones and `reported`."""
    for folder in _dead(sessions)[:-_KEPT_SESSIONS]:
        if folder not in reported:
            shutil.rmtree(folder, ignore_errors=True)  # another session may remove it at the same time
