"""Text of the kernel is decoded and parsed in one way, whatever names other programs chose."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pytest_edgeload.base import kernel_text

SANDBOX = Path(kernel_text.__file__).parents[1] / "sandbox"


def test_any_bytes_are_text(tmp_path: Path) -> None:
    """Every byte is decoded, and the text is the path that the bytes name."""
    file, name = tmp_path / "file", bytes(range(1, 256))
    file.write_bytes(name)
    assert os.fsencode(kernel_text.read(file)) == name


@pytest.mark.parametrize("character", ["\r", "\v", "\f", "\x1c", "\x85", "\N{LINE SEPARATOR}", "\N{NO-BREAK SPACE}"])
def test_only_a_newline_ends_a_line(character: str) -> None:
    """Other characters that end lines elsewhere are parts of names."""
    assert kernel_text.lines(f"a{character}b\nc\n") == [f"a{character}b", "c"]
    assert kernel_text.lines("") == []


@pytest.mark.parametrize(
    ("text", "number"),
    [("0", 0), ("18446744073709551615\n", 2**64 - 1), (" 7 ", 7), ("max", None), ("", None), ("-1", None),
     ("9" * 21, None), ("9" * 5001, None), ("\N{SUPERSCRIPT TWO}", None), ("\N{ARABIC-INDIC DIGIT ONE}", None)],
)  # fmt: skip
def test_number_has_at_most_64_bits(text: str, number: int | None) -> None:
    """A number has ASCII digits alone, and at most as many as 64 bits can have."""
    assert kernel_text.number(text) == number


def test_unknown_lines_are_left_out() -> None:
    """Entries without a number, or in another form, hide no other entry."""
    text = f"anon 4096\nread_bytes: 7\nlimit max\nname\n\n x 1\nhuge {'9' * 5001}\nfile 8192"
    assert kernel_text.numbers(text) == {"anon": 4096, "read_bytes": 7, "file": 8192}


def test_escapes_are_undone() -> None:
    """Octal numbers of the kernel become white space and backslashes; other backslashes stay."""
    assert kernel_text.unescaped("/a\\040b\\011\\134040\\x\\99") == "/a b\t\\040\\x\\99"


def test_sandbox_decodes_nothing_by_itself() -> None:
    """No file of the sandbox decodes the kernel's text strictly, or in the encoding of the user."""
    assert [path.name for path in SANDBOX.rglob("*.py") if ".read_text(" in path.read_text(encoding="utf-8")] == []
