"""The code of a source changes with what it computes, and with nothing else."""

from __future__ import annotations

import pytest

from pytest_edgeload.networks.source import code_of

SOURCE = b"""
def make():
    return Net(1, "a # b")
"""


@pytest.mark.parametrize(
    "same",
    [
        b'"""A module."""\n# comment\ndef make():\n    """Make it."""\n\n    return Net(1, "a # b")  # why\n',
        b"def make(): return Net(1,\n    'a # b')",
        b'def make():\r\n\treturn Net(1, "a # b")\r\n',
    ],
)
def test_comments_and_layout_do_not_matter(same: bytes) -> None:
    """Comments, docstrings, quotes, blank lines and line breaks leave the code as it is."""
    assert code_of(same) == code_of(SOURCE)


@pytest.mark.parametrize(
    "other",
    [SOURCE.replace(b"1", b"2"), SOURCE.replace(b"#", b"%"), SOURCE.replace(b"Net", b"net"), SOURCE + b"x = 1", b""],
)
def test_computation_matters(other: bytes) -> None:
    """A number, a text, a name or a statement is part of the code."""
    assert code_of(other) != code_of(SOURCE)


@pytest.mark.parametrize("text", [b"def (", b"\0", b"# coding: no-such\nx", b"\xff", b"(" * 10_000])
def test_other_text_stays(text: bytes) -> None:
    """Text that Python cannot parse is its own code, so that each change of it matters."""
    assert code_of(text) == text
