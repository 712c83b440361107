"""Records saved to be compared with later: numbered files, in a folder for each kind of machine."""

from __future__ import annotations

import os
import re
import secrets
from pathlib import Path

from pytest_edgeload.base import files
from pytest_edgeload.base.errors import UsageError
from pytest_edgeload.results.document import Document, Machine, parse, render

_NUMBERED = re.compile(r"(?P<number>\d{4,})_(?P<name>.+)_[0-9a-f]{6}\.json")
_DIGITS = re.compile(r"\d{1,100}", re.ASCII)
_NAME = re.compile(r"[\w.+-]{1,100}")
_MOST_NAME = 200  # bytes: a file's name may have 255, with the number and the random digits
_MOST = 1 << 28  # of a file: a long session with all its spans has a few million


def check_name(name: str) -> str:
    """Return `name` if a baseline may be called that. Raises ValueError."""
    if not _NAME.fullmatch(name) or name.isdigit():
        raise ValueError(
            "not a name for a baseline; use letters, digits, '.', '+', '-' and '_', at most 100, not digits alone"
        )
    if len(os.fsencode(name)) > _MOST_NAME:
        raise ValueError(f"too long in bytes for the name of a file; use at most {_MOST_NAME}, a letter may have four")
    return name


def default_name(document: Document) -> str:
    """Return what a baseline is called that nobody named: commit, time, and whether more had been changed."""
    made = re.sub("[-:]", "", document.created)
    commit = document.commit
    return f"{'no-commit' if commit is None else commit.id[:12]}_{made}{'_dirty' if commit and commit.is_dirty else ''}"


def save(storage: Path, document: Document, name: str) -> Path:
    """Write `document`, less spans and time lines, under the next number; return the file. Raises OSError.

    The file is there whole or not at all. Six random digits keep files of several machines apart that are put together.
    """
    folder = storage / document.machine.key
    folder.mkdir(parents=True, exist_ok=True)
    number = 1 + max((_number(path) for path in _saved(folder)), default=0)
    path = folder / f"{number:04}_{name}_{secrets.token_hex(3)}.json"
    files.write(path, render(document.summary()))
    return path


def find(storage: Path, wanted: str, machine: Machine) -> Path | None:
    """Return the file that `wanted` names: a path, a number or a name; the newest for the empty string.

    Those of machines like `machine` come first. Raises UsageError where there is none; None where none was named.
    """
    if wanted and (path := Path(wanted)).suffix == ".json":
        if not os.path.lexists(path):
            raise UsageError(f"{wanted}: no such file; name one, a number or a name of those in {storage}")
        return path
    own = _saved(storage / machine.key)
    others = [path for folder in sorted(storage.glob("*/")) if folder.name != machine.key for path in _saved(folder)]
    for found in (own, others):
        fitting = [path for path in found if _is(path, wanted)]
        if fitting:
            return fitting[-1]
    if not wanted:
        return None
    names = ", ".join(sorted({_parts(path)["name"] for path in [*own, *others]})) or "none"
    raise UsageError(f"{wanted}: no such baseline in {storage}; there are {names}")


def load(path: Path) -> Document:
    """Return the document in `path`: a baseline, or what --edge-json wrote. Raises UsageError."""
    try:
        return parse(files.read(path, _MOST))
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}; name another file of records") from error
    except ValueError as error:
        raise UsageError(f"{path} {error}; save a new baseline, or name another") from error


def saved(storage: Path, machine: Machine) -> list[Path]:
    """Return the baselines of machines like `machine`, the oldest first."""
    return _saved(storage / machine.key)


def title(path: Path) -> str:
    """Return the number and the name of a baseline: `0001 main`."""
    parts = _parts(path)
    return f"{parts['number']} {parts['name']}"


def _saved(folder: Path) -> list[Path]:
    """Return the baselines of a folder, the oldest first."""
    return sorted((path for path in folder.glob("*.json") if _NUMBERED.fullmatch(path.name)), key=_number)


def _parts(path: Path) -> re.Match[str]:
    found = _NUMBERED.fullmatch(path.name)
    assert found is not None  # or it would not have been listed
    return found


def _number(path: Path) -> int:
    return int(_parts(path)["number"])


def _is(path: Path, wanted: str) -> bool:
    if _DIGITS.fullmatch(wanted):
        return f"{_number(path)}" == wanted.lstrip("0")
    return not wanted or _parts(path)["name"] == wanted
