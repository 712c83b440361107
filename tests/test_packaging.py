"""What the package says it needs is what it is tested with: the lowest versions, and one pinned set of new ones."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Final

from packaging.requirements import Requirement
from packaging.version import Version

ROOT: Final = Path(__file__).resolve().parents[1]
PROJECT: Final = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS: Final = PROJECT["optional-dependencies"]
USED: Final = ("xdist", "hypothesis", "html", "peers")
"""The extras that a user may want; the others are for those who work on the package."""


def _pins(name: str) -> dict[str, Version]:
    lines = [line for line in (ROOT / name).read_text().splitlines() if not line.startswith("#")]
    return {found.name: _version(found) for found in map(Requirement, lines)}


def _version(required: Requirement) -> Version:
    """Return the only version that a specifier names, whatever it says of it."""
    [specifier] = required.specifier
    return Version(specifier.version)


def _needed(*extras: str) -> dict[str, Requirement]:
    texts = [*PROJECT["dependencies"], *(text for extra in extras for text in EXTRAS[extra])]
    return {found.name: found for found in map(Requirement, texts) if found.name != PROJECT["name"]}


def test_lowest() -> None:
    """The lowest version of everything a user may install is the one that `constraints-lowest.txt` pins."""
    assert _pins("constraints-lowest.txt") == {name: _version(found) for name, found in _needed(*USED).items()}


def test_pinned() -> None:
    """Everything that is installed on purpose is pinned, in a version that the package allows."""
    pins = _pins("constraints.txt")
    assert {name for name, found in _needed(*EXTRAS).items() if pins[name] not in found.specifier} == set()
