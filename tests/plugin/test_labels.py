"""The texts of parameter values: the same in every session, short, and different for different values."""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from pytest_edgeload.plugin.labels import MAX_CHARACTERS, id_of, label


class Size(enum.Enum):
    """Values that pytest names."""

    SMALL = 1


@dataclass
class Config:
    """A value without a name."""

    width: int
    tags: frozenset[str] = frozenset()


class Broken:
    """A value that cannot be shown."""

    def __repr__(self) -> str:
        raise RuntimeError


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("resnet", "resnet"),
        (5, "5"),
        (b"\x00a", r"\x00a"),
        (None, "None"),
        (np.int64(5), "5"),
        (Path("fp32/model.bin"), "fp32/model.bin"),
        (Size.SMALL, "Size.SMALL"),
        (len, "len"),
        (SimpleNamespace(name="mix"), "mix"),
        ([1, "a{b}"], "[1, 'a{b}']"),
        ({"width": (1, 2)}, "{'width': (1, 2)}"),
    ],
    ids=repr,
)
def test_value_has_a_text(value: object, text: str) -> None:
    """A value with a name or a complete repr is named by it."""
    assert label(value) == text


@pytest.mark.parametrize(
    "value",
    [object(), {"b", "a"}, [frozenset("ab")], Config(1, frozenset("ab")), np.arange(10_000), [0] * 1000, Broken()],
    ids=["object", "set", "nested set", "dataclass with a set", "shortened array", "long list", "broken repr"],
)
def test_unstable_text_is_no_name(value: object) -> None:
    """An address, the order of a set and a shortened repr are no names, because they differ or collide."""
    assert label(value) is None


def test_long_text_is_cut_but_stays_different() -> None:
    """Long texts are cut to a maximum; those that differ anywhere differ still."""
    one, other = label("x" * 1_000_000 + "a"), label("x" * 1_000_000 + "b")
    assert one != other
    assert len(one or "") == len(other or "") == MAX_CHARACTERS


@pytest.mark.parametrize("value", ["short", b"short", 1, None, True, 1.5, Size.SMALL, re.compile("x"), len], ids=repr)
def test_pytest_names_simple_values(value: object) -> None:
    """Values that pytest names itself keep its id."""
    assert id_of(value) is None


def test_id_is_ascii() -> None:
    """An id is escaped as pytest escapes those of texts."""
    assert id_of(Path("\N{GREEK SMALL LETTER ALPHA}\n")) == r"\u03b1\\n"
