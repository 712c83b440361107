"""The pages of the documentation, and the blocks of code, links and anchors of each."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from markdown_it import MarkdownIt

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]

COMMANDS = (
    "$ ",
    "pytest",
    "edgeload ",
    "make ",
    "pip install ",
    "uv ",
    "gh ",
    "bencher ",
    "python -m pytest_edgeload.",
)
"""The beginnings of lines that a reader types into a shell."""


@dataclass(frozen=True)
class Block:
    """A block of code: its page, first line, language (empty for an indented block), and text."""

    page: str
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"

    @property
    def file(self) -> str | None:
        """The file name in the first line, if there is one."""
        match = re.match(r"# (\S+\.(?:py|toml|ya?ml))\n", self.text)
        return match[1] if match else None

    @property
    def commands(self) -> list[str]:
        """The commands, without prompt and comment; continued lines are joined."""
        lines = self.text.replace("\\\n", " ").splitlines()
        return [re.sub(r"\s+# .*", "", line.removeprefix("$ ")) for line in lines if line.startswith(COMMANDS)]

    @property
    def output(self) -> str:
        """The lines that are not commands."""
        lines = self.text.replace("\\\n", " ").splitlines()
        return "\n".join(line for line in lines if not line.startswith(COMMANDS)).strip("\n")


def name_of(page: Path) -> str:
    """Return the path of a page in the repository."""
    return page.relative_to(ROOT).as_posix()


def blocks_of(page: Path) -> list[Block]:
    """Return the blocks of a page in order, without MyST's directives, which Sphinx checks."""
    tokens = MarkdownIt().parse(page.read_text(encoding="utf-8"))
    blocks = [token for token in tokens if token.type in {"fence", "code_block"} and not token.info.startswith("{")]
    return [Block(name_of(page), token.map[0] + 1, token.info, token.content) for token in blocks if token.map]


def links_of(page: Path) -> Iterator[str]:
    """Yield the targets of all links and images of a page."""
    for token in MarkdownIt("gfm-like", {"linkify": False}).parse(page.read_text(encoding="utf-8")):
        for child in token.children or ():
            target = child.attrs.get("href", child.attrs.get("src"))
            if target is not None:
                yield str(target)


def anchors_of(page: Path) -> set[str]:
    """Return the anchors of a page's headings, in the form of GitHub and MyST."""
    tokens = MarkdownIt().parse(page.read_text(encoding="utf-8"))
    titles = [tokens[i + 1].content for i, token in enumerate(tokens) if token.type == "heading_open"]
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


BLOCKS = [block for page in PAGES for block in blocks_of(page)]
