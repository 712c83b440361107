"""Text of the kernel. The names in it are bytes that other programs chose: commands, groups, mounts, swap files.

Everything that reads /proc, /sys or a group's files decodes it here. A word of another form than expected is left out,
because an observation of one process must not end the measurement of another.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path

_NUMBER = re.compile(r"\d{1,20}", re.ASCII)  # 64 bits have at most 20 digits
_ESCAPED = re.compile(r"\\([0-3][0-7]{2})")


def read(path: Path | str) -> str:
    """Return the text of a file. Bytes that are not text become half characters, as in paths. Raises OSError."""
    return os.fsdecode(Path(path).read_bytes())


def lines(text: str) -> list[str]:
    """Return the lines of a text. Only a newline ends one: names may contain each other character."""
    return text.removesuffix("\n").split("\n") if text else []


def number(text: str) -> int | None:
    """Return the whole number that is all of `text`, with white space around it; None for any other text."""
    word = text.strip()
    return int(word) if _NUMBER.fullmatch(word) else None


def numbers(text: str) -> dict[str, int]:
    """Return the entries of lines `name number` or `name: number`, and leave all other lines out."""
    parts = (line.partition(" ") for line in lines(text))
    values = {name.removesuffix(":"): number(value) for name, _, value in parts}
    return {name: value for name, value in values.items() if value is not None}


def entries(file: Path) -> dict[str, int]:
    """Return the entries of a file of lines `name number`. Raises OSError."""
    return numbers(read(file))


def whole(words: Iterable[str]) -> list[int]:
    """Return the whole numbers among `words`."""
    return [value for value in map(number, words) if value is not None]


def unescaped(word: str) -> str:
    """Return a name that the kernel wrote with white space and backslashes as octal numbers; see mangle_path()."""
    return _ESCAPED.sub(lambda code: chr(int(code[1], 8)), word)
