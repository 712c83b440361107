"""Names and paths that users choose: how they are shown, and whether they are valid. Standard library only."""

from __future__ import annotations

import hashlib
import os
import reprlib
from collections.abc import Sequence
from pathlib import Path

_MAX_LISTED = 3
MAX_NAME_CHARACTERS = 1000


def printable(text: str) -> str:
    """Return `text` on one line, with each character that a terminal would obey escaped as in Python."""
    return text if text.isprintable() else "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def bounded(text: str, max_characters: int) -> str:
    """Return `text`; if it is longer, its beginning and a hash of all of it, so that different texts stay different."""
    if len(text) <= max_characters:
        return text
    digest = hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:12]
    return f"{text[: max_characters - len(digest) - 1]}~{digest}"


def is_name(name: object) -> bool:
    """Return whether `name` is a text that can be shown and stored unchanged."""
    return isinstance(name, str) and 0 < len(name) <= MAX_NAME_CHARACTERS and name.isprintable()


def listed(names: Sequence[object]) -> str:
    """Return the first three names, and how many more there are."""
    first = ", ".join(printable(str(name)) for name in names[:_MAX_LISTED])
    return f"{first} and {len(names) - _MAX_LISTED} more" if len(names) > _MAX_LISTED else first


def comma_list(text: str) -> tuple[str, ...]:
    """Return the items of a comma list, without duplicates. Raises ValueError if there are none."""
    items = tuple(dict.fromkeys(item.strip() for item in text.split(",") if item.strip()))
    if not items:
        raise ValueError("an empty list; give at least one name")
    return items


def as_path(text: str, folder: Path | None = None) -> Path:
    """Return `text` as an absolute path; `~` is a home directory. A relative path starts at `folder`.

    Without `folder`, it starts at the current folder.

    Raises ValueError if no file can have this path, or if it is in a folder that this user may not enter.
    """
    try:
        path = (folder or Path()).joinpath(Path(text).expanduser()).absolute()
        path.exists()
    except PermissionError as error:
        raise ValueError(f"{error.strerror}; name another") from None
    except (OSError, RuntimeError):  # too long, or in the home of an unknown user
        raise ValueError("not a path that a file can have; name another") from None
    if not text.isprintable():
        raise ValueError("not a path that can be printed; name another")
    return path


def follow_links(path: Path) -> Path:
    """Return the file that `path` links to, or `path` itself, so that writing replaces the file and not the link."""
    return Path(os.path.realpath(path))  # unlike Path.resolve, it accepts a link to itself


def check(kind: str, name: str) -> None:
    """Raise ValueError if `name` cannot name a thing of this `kind`."""
    if not is_name(name):
        shown = reprlib.repr(name)
        raise ValueError(f"{kind} {shown}: not a name; give 1 to {MAX_NAME_CHARACTERS} printable characters")
