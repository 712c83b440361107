"""Any names that users choose are shown literally by every format."""

from __future__ import annotations

import csv
import io
import json
import re
from html.parser import HTMLParser
from typing import Any

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pytest_edgeload.devices.constraints import Shortfall
from pytest_edgeload.report import FORMATS
from pytest_edgeload.report.github import SourceLine, commands
from pytest_edgeload.report.view import View
from pytest_edgeload.results.document import Commit, Document, Machine, parse, render
from pytest_edgeload.results.finding import Judgement, Verdict
from pytest_edgeload.results.gate import Gate
from tests.report.documents import document, finding, record

NAMES = (
    "=cmd|' /C calc'!A0", "+1", "-1+1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "\N{FULLWIDTH EQUALS SIGN}1", "a;=1", '"',
    "<script>alert(1)</script>", "</script><script>alert(1)</script>", "<!--", "]]>", "a' onclick='b", 'x" onload="y',
    "javascript:alert(1)", "&lt;", "{{ 7 * 7 }}", "{% raw %}", "a|b", "`", "``a`", "@everyone", "#1", "![x](y)", "a\nb",
    "\x1b[2J", "\x1b]0;title\x07", "\x9b31m", "\x85", "\N{RIGHT-TO-LEFT OVERRIDE}cod.exe", "\N{LINE SEPARATOR}", "\0",
    "\x7f", "::set-env name=PATH::x", "##[add-matcher]x", "%0A::error::x", "\r\n::error::x", "../../etc/passwd", "-rf",
    "x" * 5000, "\N{CYRILLIC SMALL LETTER A}ge_net", "\N{ZERO WIDTH SPACE}", "\N{COMBINING ACUTE ACCENT}", "$x$", "<b>",
    "%{x}", "\\", "'",
)  # fmt: skip
names = st.sampled_from(NAMES) | st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)

FORMULA = re.compile(r"[=+\-@\t\r\n]")


def called(name: str) -> tuple[Document, Judgement]:
    """Return a document and a judgement in which each name that users choose is `name`."""
    seen = {"detail": name, "notices": (name,), "machine_wide": (name,), "outcome": "crashed"}
    good = {"makespan_s": 1.0, "peak_bytes": 7, "service": {name: {"requests": 1, "response_mean_s": 1.0}}}
    held = {column: [1] for column in ("anon_bytes", "file_bytes", "swap_bytes")}
    line = {"at_s": [0.5], **held, "moments": [{"name": name, "at_s": 0.5}]}
    task = {"tasks": [[0, 0, 0.0, 0.5, 1.0]], "steps": [["load", 0, name, 8]], "timeline": line}
    where: dict[str, Any] = dict.fromkeys(("workload", "test", "reader", "cap", "swap", "device", "arrivals"), name)
    where |= {
        "parameters": ((name, name),),
        "unenforced": (Shortfall(name, name), Shortfall("threads", name)),
        "by_device": ("threads",),
        "loop": "closed",
    }
    records = [record(f"{policy}{name}", good | task, good, seen, **where) for policy in ("", "b")]
    made = msgspec.structs.replace(
        document(*records),
        machine=Machine(name, 2, 8 << 30, name, name, name),
        settings={name: name},
        commit=Commit("0" * 40, name, is_dirty=True),
        versions={name: name},
    )
    verdicts: tuple[Verdict, ...] = ("regressed", "improved")
    found = (finding(one.case, verdict, reason=name) for one in records for verdict in verdicts)
    return made, Judgement(tuple(found), (name,))


def shown(kind: str, name: str, /, **view: Any) -> str:
    """Return the report of a format."""
    made, judgement = called(name)
    return FORMATS[kind](made, judgement, View(**view))


def each(check: Any) -> Any:
    """Let a test see all that is known to be dangerous, and more."""
    for name in NAMES:
        check = example(name)(check)
    return settings(deadline=None, max_examples=10)(given(names)(check))


@each
def test_terminal_prints_printable_lines_only(name: str) -> None:
    """The terminal gets lines of printable characters at any width."""
    for view in ({}, {"width": 80}, {"name": "long"}, {"columns": ("policy", "param:" + name)}):
        text = shown("terminal", name, **view)
        assert [char for char in text if not char.isprintable() and char != "\n"] == []


@each
def test_csv_has_no_formulas(name: str) -> None:
    """No cell begins like a formula, unless it is a number, and the number of cells stays the same."""
    table = list(csv.reader(io.StringIO(shown("csv", name), newline="")))
    assert {len(line) for line in table} == {len(table[0])}
    assert len(table) == 1 + 6
    for cell in (cell for line in table for cell in line):
        assert not FORMULA.match(cell) or cell.lstrip("-").replace(".", "").isdigit()


@each
def test_markdown_structure_is_independent_of_names(name: str) -> None:
    """Lines, cells and tags are as many as with a harmless name, and no user is mentioned."""
    text, usual = shown("markdown", name), shown("markdown", "x" * len(name))
    lines, others = text.split("\n"), usual.split("\n")
    assert [line.count("|") for line in map(_plain, lines) if line.startswith("|")] == [
        line.count("|") for line in map(_plain, others) if line.startswith("|")
    ]
    assert [_TAG.findall(_plain(line)) for line in lines] == [_TAG.findall(_plain(line)) for line in others]
    assert not any(re.search("[@#](?!\u200b)", _plain(line)) for line in lines[1:])
    assert [char for char in text if not char.isprintable() and char not in "\n\u200b"] == []


_TAG = re.compile(r"<[^>]*>")


def _plain(line: str) -> str:
    """Return a line without its literal parts: code, and outside of HTML characters after a backslash."""
    line = re.sub(r"<code>[^<]*</code>", "", line)
    return line if line.startswith("<") else re.sub(r"`[^`]+`|\\.", "", line)


class _Structure(HTMLParser):
    """The elements of a page, with the names of their attributes, and the text of the scripts that hold data."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, tuple[str, ...]]] = []
        self.data: list[str] = []
        self._is_data = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, tuple(name for name, _ in attrs)))
        self._is_data = ("type", "application/json") in attrs

    def handle_data(self, data: str) -> None:
        if self._is_data:
            self.data.append(data)
            self._is_data = False


def structure(page: str) -> tuple[list[tuple[str, tuple[str, ...]]], list[str]]:
    """Return the elements of a page without its scripts, and the data of its charts."""
    begin = page.index("<script>")
    parser = _Structure()
    parser.feed(page[:begin])
    return parser.found, parser.data


USUAL = "x"


@pytest.fixture(scope="module")
def usual() -> list[tuple[str, tuple[str, ...]]]:
    """Give the elements of the page with harmless names."""
    return structure(shown("html", USUAL))[0]


@example("".join(name for name in NAMES if len(name) < 100))
@settings(deadline=None, max_examples=8)
@given(names)
def test_html_structure_is_independent_of_names(usual: list[tuple[str, tuple[str, ...]]], name: str) -> None:
    """A page has the same elements and attributes as with a harmless name, and its data is JSON."""
    found, [data] = structure(shown("html", name))
    assert found == usual
    assert "<" not in data
    assert json.loads(data)["experiments"]


@each
def test_github_commands_are_one_line_each(name: str) -> None:
    """Each command is one line, and there is one for each finding and each idle threshold."""
    _, judgement = called(name)
    *lines, last = commands(judgement, Gate(), lambda case: SourceLine(case.test, 1))
    assert len(lines) == len(judgement.findings)
    assert last.startswith("::warning title=edgeload::")
    assert last.isprintable()
    for line in lines:
        assert line.isprintable()
        assert re.match("::(error|notice) file=[^:,]*,line=1,title=[^:,]*::", line)


@each
def test_exports_are_valid_and_complete(name: str) -> None:
    """Exports for services and viewers are valid JSON with any names, and no case hides another."""
    for kind in ("bmf", "gab", "gab-bigger", "trace"):
        assert json.loads(shown(kind, name)) is not None
    assert len(json.loads(shown("bmf", name))) == 2
    made, _ = called(name)
    assert parse(render(made)) == made
    assert parse(shown("json", name).encode()) == made
