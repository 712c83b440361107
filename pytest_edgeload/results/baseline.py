"""Baselines: records saved for later comparisons, in numbered files, in one folder per kind of machine."""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

from pytest_edgeload.base import files
from pytest_edgeload.base.errors import UsageError, suggestion
from pytest_edgeload.results.document import Document, Machine, parse, render

_NUMBERED = re.compile(r"(?P<number>\d{4,})_(?P<name>.+)_[0-9a-f]{6}\.json")
_DIGITS = re.compile(r"\d{1,100}", re.ASCII)
_NAME = re.compile(r"[\w.+-]{1,100}")
_MAX_NAME_BYTES = 200  # a file name may have 255, including the number and the random digits
_MAX_FILE_BYTES = 1 << 28  # a long session with all its spans has a few million


def check_name(name: str) -> str:
    """Return `name` if a baseline may have it. Raises ValueError."""
    if not _NAME.fullmatch(name) or name.isdigit():
        raise ValueError(
            "not a name for a baseline; use letters, digits, '.', '+', '-' and '_', at most 100, not digits alone"
        )
    if len(os.fsencode(name)) > _MAX_NAME_BYTES:
        raise ValueError(f"too long in bytes for a file name; use at most {_MAX_NAME_BYTES} (a letter has up to four)")
    return name


def default_name(document: Document) -> str:
    """Return the name of a baseline that the user did not name: commit, time, and `dirty` after uncommitted changes."""
    created = re.sub("[-:]", "", document.created)
    commit = document.commit
    commit_id = "no-commit" if commit is None else commit.id[:12]
    return f"{commit_id}_{created}{'_dirty' if commit and commit.is_dirty else ''}"


def save(storage: Path, document: Document, name: str) -> Path:
    """Write `document` without spans and time lines under the next number; return the file. Raises OSError.

    The file is written completely or not at all. Six random digits make names unique when several machines share a
    folder.
    """
    folder = storage / document.machine.key
    folder.mkdir(parents=True, exist_ok=True)
    number = 1 + max((_number(path) for path in _saved(folder)), default=0)
    path = folder / f"{number:04}_{name}_{secrets.token_hex(3)}.json"
    files.write(path, render(document.summary()))
    return path


def check(storage: Path) -> None:
    """Create the folder of the baselines, and write and remove a file there. Raises OSError."""
    storage.mkdir(parents=True, exist_ok=True)
    tried = storage / f".{secrets.token_hex(8)}.tried"
    try:
        files.write(tried, b"tried")
    finally:
        tried.unlink(missing_ok=True)


def find(storage: Path, query: str, machine: Machine) -> Path | None:
    """Return the file that `query` names: a path, a number or a name; the newest for an empty text.

    Baselines of machines like `machine` come first. Returns None if `query` is empty and there is no baseline. Raises
    UsageError if `query` names none.
    """
    if query and (path := Path(query)).suffix == ".json":
        if not os.path.lexists(path):
            hint = f"give a file, or a number or a name of a baseline in {storage}"
            raise UsageError(query, "no such file", hint)
        return path
    own = _saved(storage / machine.key)
    others = [path for folder in sorted(storage.glob("*/")) if folder.name != machine.key for path in _saved(folder)]
    for paths in (own, others):
        matches = [path for path in paths if _is(path, query)]
        if matches:
            return matches[-1]
    if not query:
        return None
    names = sorted({_parts(path)["name"] for path in [*own, *others]})
    raise UsageError(query, f"no such baseline in {storage}", suggestion(query, names) if names else "save one first")


def newest_of(storage: Path, hosts: Collection[str]) -> Path | None:
    """Return the newest baseline with measurements of one of these hosts; None without one.

    The folder of a baseline depends on all hosts of its session, so baselines of one host are in several folders. Files
    that cannot be read are left out.
    """
    found: list[tuple[str, int, Path]] = []
    for path in (path for folder in storage.glob("*/") for path in _saved(folder)):
        with suppress(UsageError):
            document = load(path)
            if any(record.case.host in hosts for record in document.records):
                found.append((document.created, _number(path), path))
    return max(found)[-1] if found else None


def load(path: Path) -> Document:
    """Return the document in `path`: a baseline or another file of records. Raises UsageError."""
    try:
        return parse(files.read(path, _MAX_FILE_BYTES))
    except OSError as error:
        raise UsageError(str(path), error.strerror or str(error), "name another file of records") from error
    except ValueError as error:
        raise UsageError(str(path), str(error), "save a new baseline, or name another") from error


def saved(storage: Path, machine: Machine) -> list[Path]:
    """Return the baselines of machines like `machine`, oldest first."""
    return _saved(storage / machine.key)


def title(path: Path) -> str:
    """Return the number and the name of a baseline: `0001 main`."""
    parts = _parts(path)
    return f"{parts['number']} {parts['name']}"


def _saved(folder: Path) -> list[Path]:
    """Return the baselines of a folder, oldest first."""
    return sorted((path for path in folder.glob("*.json") if _NUMBERED.fullmatch(path.name)), key=_number)


def _parts(path: Path) -> re.Match[str]:
    parts = _NUMBERED.fullmatch(path.name)
    assert parts is not None  # other files are not listed
    return parts


def _number(path: Path) -> int:
    return int(_parts(path)["number"])


def _is(path: Path, query: str) -> bool:
    if _DIGITS.fullmatch(query):
        return f"{_number(path)}" == query.lstrip("0")
    return not query or _parts(path)["name"] == query
