"""What the documentation shows: its pages, and the blocks and links of each."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from markdown_it import MarkdownIt

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]

COMMANDS = ("$ ", "pytest", "edgeload ", "make ", "pip install ", "gh ", "bencher ")
"""How a line begins that is typed into a shell."""


@dataclass(frozen=True)
class Block:
    """A block of code: its page, the line it begins at, its language (empty where it is indented), and its text."""

    page: str
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"

    @property
    def file(self) -> str | None:
        """The file that the first line names, if it names one."""
        found = re.match(r"# (\S+\.(?:py|toml|ya?ml))\n", self.text)
        return found[1] if found else None

    @property
    def commands(self) -> list[str]:
        """The lines that are typed, those that go on joined to one; without prompt and comment."""
        lines = self.text.replace("\\\n", " ").splitlines()
        typed = [line.removeprefix("$ ") for line in lines if line.startswith(COMMANDS)]
        return [re.sub(r"\s+# .*", "", line) for line in typed]

    @property
    def output(self) -> str:
        """What is left without these."""
        lines = self.text.replace("\\\n", " ").splitlines()
        return "\n".join(line for line in lines if not line.startswith(COMMANDS)).strip("\n")


def name_of(page: Path) -> str:
    """Return how a page is called here: its path in the repository."""
    return page.relative_to(ROOT).as_posix()


def blocks_of(page: Path) -> list[Block]:
    """Return the blocks of a page in order. MyST's directives are none: Sphinx checks them."""
    tokens = MarkdownIt().parse(page.read_text(encoding="utf-8"))
    found = [token for token in tokens if token.type in {"fence", "code_block"} and not token.info.startswith("{")]
    return [Block(name_of(page), token.map[0] + 1, token.info, token.content) for token in found if token.map]


def links_of(page: Path) -> Iterator[str]:
    """Yield where links and images of a page lead to."""
    for token in MarkdownIt("gfm-like", {"linkify": False}).parse(page.read_text(encoding="utf-8")):
        for child in token.children or ():
            target = child.attrs.get("href", child.attrs.get("src"))
            if target is not None:
                yield str(target)


def anchors_of(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub and MyST make them."""
    tokens = MarkdownIt().parse(page.read_text(encoding="utf-8"))
    titles = [tokens[i + 1].content for i, token in enumerate(tokens) if token.type == "heading_open"]
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


BLOCKS = [block for page in PAGES for block in blocks_of(page)]
