"""The folder for temporary files of a run: empty before it and removed after it, so no run finds files of another."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from pytest_edgeload.base.errors import Unsupported
from pytest_edgeload.base.text import listed
from pytest_edgeload.base.units import format_size
from pytest_edgeload.sandbox.user import User

_VARIABLE = "TMPDIR"


@dataclass(frozen=True, slots=True)
class Scratch:
    """A folder for the temporary files of one run at a time, or of one run at a time on these cores."""

    folder: Path

    @classmethod
    def of_host(cls, cores: Sequence[int] = ()) -> Self:
        """Return the folder of the runs of this user on this host that take turns, or have these cores."""
        place = f"-{cores[0]}" if cores else ""
        return cls(Path(tempfile.gettempdir()) / f"edgeload-{os.getuid()}-run{place}")

    def prepare(self, user: User) -> None:
        """Make the folder empty, and give it to the user of the run. Raises Unsupported."""
        self._remove()  # a session that was killed may have left it
        try:
            self.folder.mkdir(mode=0o700)
            if user.ids is not None:
                os.chown(self.folder, *user.ids, follow_symlinks=False)
        except OSError as error:
            hint = "remove it, or set TMPDIR to a folder of your own"
            raise Unsupported(str(self.folder), error.strerror or "", hint) from error

    def env(self, env: Mapping[str, str]) -> dict[str, str]:
        """Return the environment with this folder for temporary files, unless the user set another one for the run."""
        is_inherited = env.get(_VARIABLE) == os.environ.get(_VARIABLE)
        return {**env, _VARIABLE: str(self.folder)} if is_inherited else {**env}

    def clear(self) -> tuple[str, ...]:
        """Remove the folder, and return a sentence about the files in it, if there are any."""
        files = sorted(Path(parent, name) for parent, _, names in os.walk(self.folder) for name in names)
        size_bytes = 0
        for file in files:
            with suppress(OSError):  # a process that lives on may remove it
                size_bytes += file.lstat().st_size
        self._remove()
        if not files:
            return ()
        names = listed([file.relative_to(self.folder) for file in files])
        return (f"it left {format_size(size_bytes)} in temporary files, which were removed: {names}",)

    def _remove(self) -> None:
        with suppress(OSError):
            self.folder.unlink()  # only if it is not a folder
        shutil.rmtree(self.folder, ignore_errors=True)
