"""The links of the documentation. `make links` asks for the external ones; here they only have to be well-formed."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.docs.pages import PAGES, anchors_of, links_of, name_of

LINKS = [(page, link) for page in PAGES for link in links_of(page)]
INTERNAL = [(page, link) for page, link in LINKS if not urlsplit(link).scheme]
EXTERNAL = [(page, link) for page, link in LINKS if urlsplit(link).scheme]


def ids(links: list[tuple[Path, str]]) -> list[str]:
    return [f"{name_of(page)} {link}" for page, link in links]


@pytest.mark.parametrize(("page", "link"), INTERNAL, ids=ids(INTERNAL))
def test_links_lead_somewhere(page: Path, link: str) -> None:
    """A link within the documentation leads to a file that exists, and to a heading of it."""
    place, _, anchor = link.partition("#")
    target = (page.parent / place).resolve() if place else page
    assert target.is_file()
    assert not anchor or anchor in anchors_of(target)


@pytest.mark.parametrize(("page", "link"), EXTERNAL, ids=ids(EXTERNAL))
def test_links_to_others_are_secure(page: Path, link: str) -> None:
    """A link to elsewhere is well-formed, by https."""
    parts = urlsplit(link)
    assert parts.scheme == "https"
    assert "." in parts.netloc
    assert link == link.strip()
    assert " " not in link
