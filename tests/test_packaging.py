"""The declared requirements are the tested ones: the lowest versions, and one pinned set of recent versions."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Final

from packaging.requirements import Requirement
from packaging.version import Version

ROOT: Final = Path(__file__).resolve().parents[1]
PROJECT: Final = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS: Final = PROJECT["optional-dependencies"]
USER_EXTRAS: Final = ("xdist", "hypothesis", "html", "peers")
"""The extras for users; the others are for developers of the package."""


def _pins(name: str) -> dict[str, Version]:
    lines = [line for line in (ROOT / name).read_text().splitlines() if not line.startswith("#")]
    return {each.name: _version(each) for each in map(Requirement, lines)}


def _version(required: Requirement) -> Version:
    """Return the version in the only specifier of a requirement."""
    [specifier] = required.specifier
    return Version(specifier.version)


def _requirements(*extras: str) -> dict[str, Requirement]:
    texts = [*PROJECT["dependencies"], *(text for extra in extras for text in EXTRAS[extra])]
    return {each.name: each for each in map(Requirement, texts) if each.name != PROJECT["name"]}


def test_lowest_versions_are_pinned() -> None:
    """`constraints-lowest.txt` pins the lowest version of each package that a user may install."""
    assert _pins("constraints-lowest.txt") == {
        name: _version(requirement) for name, requirement in _requirements(*USER_EXTRAS).items()
    }


def test_pins_are_allowed_versions() -> None:
    """`constraints.txt` pins each required package, in a version that the package allows."""
    pins = _pins("constraints.txt")
    assert {name for name, each in _requirements(*EXTRAS).items() if pins[name] not in each.specifier} == set()
