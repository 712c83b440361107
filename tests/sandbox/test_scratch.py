"""A run has a folder for temporary files of its own, which is empty at its start and removed at its end."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from pytest_edgeload.base.errors import Unsupported
from pytest_edgeload.results.measurement import Measurement
from pytest_edgeload.sandbox.caps import CAPS
from pytest_edgeload.sandbox.command import Command, launch_command
from pytest_edgeload.sandbox.constraints import Limits
from pytest_edgeload.sandbox.enclosure import Enclosure
from pytest_edgeload.sandbox.scratch import Scratch
from pytest_edgeload.sandbox.user import choose, ourselves

Run = Callable[..., Measurement]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return the folder of the runs, which does not exist yet."""
    for parent in (tmp_path, *tmp_path.parents[:2]):
        parent.chmod(0o755)
    return tmp_path / "run"


@pytest.fixture
def run(folder: Path) -> Run:
    """Return a function that runs a script of the shell, as an unprivileged user."""

    def run(script: str, env: Mapping[str, str] = os.environ) -> Measurement:
        wanted = Command.of(["sh", "-c", script], env, "/", None, None, None)
        user = choose("auto")
        return launch_command(
            wanted, 1, Enclosure(CAPS["none"], "it", Limits(), 60, user=user, scratch=Scratch(folder))
        )

    return run


def test_temporary_files_end_with_the_run(run: Run, folder: Path) -> None:
    """Temporary files of a run are removed and named, and the next run does not find them."""
    script = 'test -z "$(ls "$TMPDIR")" && mkdir "$TMPDIR/a" && head -c 3M /dev/zero > "$TMPDIR/a/b"'
    for _ in range(2):
        seen = run(script)
        assert (seen.outcome, seen.detail) == ("ok", "")
        assert seen.notices == ("it left 3M in temporary files, which were removed: a/b",)
        assert not folder.exists()


def test_files_of_a_killed_session_are_removed(run: Run, folder: Path) -> None:
    """Files that a killed session left are removed before the next run, and are not in its row."""
    folder.mkdir()
    (folder / "old").touch()
    seen = run('test ! -e "$TMPDIR/old"')
    assert (seen.outcome, seen.notices) == ("ok", ())


def test_folder_of_the_user_is_kept(run: Run, tmp_path: Path) -> None:
    """A folder for temporary files that the user sets for the run stays as it is."""
    seen = run(f'test "$TMPDIR" = {tmp_path}', env={**os.environ, "TMPDIR": str(tmp_path)})
    assert (seen.outcome, seen.notices) == ("ok", ())


def test_many_files_are_counted(folder: Path) -> None:
    """Of many files three are named."""
    scratch = Scratch(folder)
    scratch.prepare(ourselves())
    for name in "abcde":
        (folder / name).write_bytes(b"1" * 1024)
    assert scratch.clear() == ("it left 5K in temporary files, which were removed: a, b, c and 2 more",)
    assert scratch.clear() == ()


def test_link_is_not_followed(folder: Path, tmp_path: Path) -> None:
    """A link in place of the folder is removed, and nothing behind it."""
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "file").touch()
    folder.symlink_to(tmp_path / "other")
    Scratch(folder).prepare(ourselves())
    assert [*folder.iterdir()] == []
    assert (tmp_path / "other" / "file").exists()


def test_missing_place_is_refused(tmp_path: Path) -> None:
    """A place where no folder can be made is refused in one sentence."""
    with pytest.raises(Unsupported, match="run: No such file or directory; remove it, or set TMPDIR to a folder"):
        Scratch(tmp_path / "missing" / "run").prepare(ourselves())
