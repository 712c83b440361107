"""Internal links of the documentation exist, and external links are well-formed; `make links` opens those."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.docs.pages import PAGES, anchors_of, links_of, name_of

LINKS = [(page, link) for page in PAGES for link in links_of(page)]
INTERNAL = [(page, link) for page, link in LINKS if not urlsplit(link).scheme]
EXTERNAL = [(page, link) for page, link in LINKS if urlsplit(link).scheme]


def link_ids(links: list[tuple[Path, str]]) -> list[str]:
    return [f"{name_of(page)} {link}" for page, link in links]


@pytest.mark.parametrize(("page", "link"), INTERNAL, ids=link_ids(INTERNAL))
def test_internal_links_exist(page: Path, link: str) -> None:
    """An internal link leads to a file that exists, and to a heading in it."""
    place, _, anchor = link.partition("#")
    target = (page.parent / place).resolve() if place else page
    assert target.is_file()
    assert not anchor or anchor in anchors_of(target)


@pytest.mark.parametrize(("page", "link"), EXTERNAL, ids=link_ids(EXTERNAL))
def test_external_links_use_https(page: Path, link: str) -> None:
    """An external link is well-formed and uses https."""
    parts = urlsplit(link)
    assert parts.scheme == "https"
    assert "." in parts.netloc
    assert link == link.strip()
    assert " " not in link
