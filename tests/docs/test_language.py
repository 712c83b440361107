"""The English of the project: words and constructions that make a sentence hard to read are rare in it.

Each pattern has an allowance per 10,000 words. Its hint shows how to reword it: the plain form is on the right.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NamedTuple

import pytest
from markdown_it import MarkdownIt
from markdown_it.token import Token

from tests.docs.pages import PAGES, ROOT, name_of

PROSE = [*PAGES, ROOT / "CHANGELOG.md", ROOT / "CONTRIBUTING.md"]
MAX_TOTAL = 15.0
"""The allowance per 10,000 words for all patterns together."""


class Pattern(NamedTuple):
    """A construction to avoid, its allowance per 10,000 words, and how to write it plainly."""

    expression: str
    allowance: float
    hint: str


PATTERNS: Mapping[str, Pattern] = {
    "noun clause": Pattern(
        r"\bwhat (?!\w+ing\b|if\b|kind\b|else\b)[a-z]+\b(?![^.?!]*\?)", 8, "what was measured -> the measurements"
    ),
    "where": Pattern(
        r"\bwhere (?:it|there|th[aei]\w*|no|none|nothing|one|an?)\b", 4, "where there is none -> if there is none"
    ),
    "stand": Pattern(r"\b(?:stands?|stood)\b", 3, "stands in the file -> is in the file"),
    "tell": Pattern(r"\b(?:tells?|told)\b", 3, "the table tells -> the table shows"),
    "of which": Pattern(r"\bof wh(?:ich|om|at|ose)\b", 3, "of which there is one -> whose, or two sentences"),
    "nobody": Pattern(r"(?<!as )\b(?:no|some)body\b", 2, "nobody does -> no one does; somebody -> a user"),
    "whatever": Pattern(r"\bwh(?:at|ich|o)ever\b", 2, "whatever it is called -> regardless of its name"),
    "is no": Pattern(r"(?<!there )\b(?:is|are|was|were|be) no (?!longer\b)[a-z]+", 3, "is no size -> is not a size"),
    "too": Pattern(r", too\b(?! \w)", 2, "a service, too -> also a service"),
    "beside": Pattern(r"\bbeside\b", 2, "beside the policies -> next to, with, or besides"),
}


class Passage(NamedTuple):
    """A piece of prose and its place."""

    place: str
    line: int
    text: str


def from_sources() -> Iterator[Passage]:
    """Yield the docstrings, comments and texts of the package."""
    for path in sorted((ROOT / "pytest_edgeload").rglob("*.py")):
        source = path.read_text(encoding="utf-8")
        place = path.relative_to(ROOT).as_posix()
        for token in tokenize.generate_tokens(io.StringIO(source).readline):
            if token.type == tokenize.COMMENT:
                yield Passage(place, token.start[0], token.string.lstrip("#"))
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value:
                yield Passage(place, node.lineno, node.value)


def from_pages() -> Iterator[Passage]:
    """Yield the paragraphs, headings, list items and cells of the documents, without code."""
    parser = MarkdownIt("gfm-like", {"linkify": False})
    for page in PROSE:
        for token in parser.parse(page.read_text(encoding="utf-8")):
            if token.type == "inline" and token.map:
                yield Passage(name_of(page), token.map[0] + 1, _words(token))


def _words(token: Token) -> str:
    """Return the words of a paragraph; code in it becomes one word."""
    return "".join(
        "x" if child.type == "code_inline" else " " if child.type == "softbreak" else child.content
        for child in token.children or ()
    )


def hits(pattern: Pattern, passages: Iterable[Passage]) -> list[str]:
    """Return the place and the words of each match."""
    return [
        f"{passage.place}:{passage.line}: ...{passage.text[max(0, match.start() - 40) : match.end() + 30]!r}"
        for passage in passages
        for match in re.finditer(pattern.expression, passage.text, re.IGNORECASE)
    ]


@pytest.mark.parametrize("source", [from_pages, from_sources], ids=["documents", "package"])
def test_prose_is_plain(source: Callable[[], Iterator[Passage]]) -> None:
    """No pattern exceeds its allowance, nor do all together; the message names the places and the plain form."""
    passages = list(source())
    words = sum(len(passage.text.split()) for passage in passages)
    places = {name: hits(pattern, passages) for name, pattern in PATTERNS.items()}
    rates = {name: 1e4 * len(matches) / words for name, matches in places.items()}
    excess = [name for name, pattern in PATTERNS.items() if rates[name] > pattern.allowance]
    if sum(rates.values()) > MAX_TOTAL:
        excess = list(PATTERNS)
    lines = [f"{name} ({PATTERNS[name].hint}): {place}" for name in excess for place in places[name]]
    assert lines == [], "\n".join([*lines, *(f"{name}: {rate:.1f}" for name, rate in rates.items())])


def test_a_hit_names_its_place() -> None:
    """A match is reported with file, line and the words around it; code and questions are not matches."""
    passage = Passage("docs/gate.md", 7, "The report tells what was measured.")
    assert hits(PATTERNS["tell"], [passage]) == ["docs/gate.md:7: ...'The report tells what was measured.'"]
    assert hits(PATTERNS["noun clause"], [Passage("x", 1, "And what is a tile?")]) == []
