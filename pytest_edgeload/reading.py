"""What files and other processes wrote, taken up to a limit, as values or as one ValueError. Knows no file of ours."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TypeVar

import msgspec

from pytest_edgeload.units import format_size

T = TypeVar("T")


def read(path: Path, most_bytes: int) -> bytes:
    """Return the whole of a file of at most so many bytes. Raises OSError, and ValueError for a longer one."""
    try:
        with path.open("rb") as file:
            is_longer = os.fstat(file.fileno()).st_size > most_bytes  # of a pipe nobody knows before
            data = b"" if is_longer else file.read(most_bytes + 1)
    except ValueError as error:  # of a path that no file can have, which holds NUL or half a character
        raise FileNotFoundError(2, "no such file", str(path)) from error
    if is_longer or len(data) > most_bytes:
        raise ValueError(f"has more than {format_size(most_bytes)}, the most that is read")
    return data


def decode(data: bytes | str, kind: type[T]) -> T:
    """Return what JSON of the type `kind` says. Raises ValueError, whatever `data` is.

    Numbers are finite and texts are Unicode, as JSON has it; of a key that is given twice the last counts.
    """
    try:
        return msgspec.json.decode(data, type=kind)
    except RecursionError:
        raise ValueError("is nested too deep") from None
    except ValueError as error:  # msgspec's own are, and that of bytes that are no text
        raise ValueError(str(error)) from error
