"""Markdown for the comment of a pull request or the summary of a job: findings first, then tables that unfold.

The text fits into a comment on GitHub. Blocks that do not fit are left out, and the last line says so.
"""

from __future__ import annotations

import html
import re
from collections.abc import Collection, Sequence
from dataclasses import replace
from itertools import accumulate

from pytest_edgeload.base.text import printable
from pytest_edgeload.report import details
from pytest_edgeload.report.comparison import label
from pytest_edgeload.report.grid import Cell, Grid
from pytest_edgeload.report.notes import failures, outlying, remarks
from pytest_edgeload.report.tables import Table, tables
from pytest_edgeload.report.view import View
from pytest_edgeload.results.case import Case
from pytest_edgeload.results.document import Document
from pytest_edgeload.results.finding import Judgement

MAX_BYTES = 65_536
"""The maximum size of a comment on GitHub, which counts characters; a text has at least as many bytes."""

_SIGNS = {"regressed": "❌ ", "improved": "✅ ", "inconclusive": "❔ "}
_MARKUP = re.compile(r"([\\`*_{}\[\]<>|~&!])")
_REFERRING = re.compile("([@#])")
_LITERAL = re.compile(r"[^\s`|\\](?:[^`|\\\x00-\x1f\x7f]*[^\s`|\\])?")  # texts that need no escapes in a code span


def render(document: Document, judgement: Judgement, view: View) -> str:
    """Return the report, at most 65,536 bytes long."""
    records = document.records
    failed = [f"- ❌ {code(line)}" for line in failures(records)]
    unfolding = [_unfolding(table, judgement.regressed) for table in tables(records, view)]
    notes = [f"- {line}" for line in (*map(code, outlying(records)), *map(_escaped, remarks(records, view)))]
    return _within(MAX_BYTES, [_heading(document, judgement), *_verdicts(judgement), *failed, *unfolding, "", *notes])


def _heading(document: Document, judgement: Judgement) -> str:
    verdicts = str(judgement)
    return f"### edgeload{': ' if verdicts else ''}{verdicts}\n\n{_escaped(_origin(document))}\n"


def _verdicts(judgement: Judgement) -> list[str]:
    """Return a block for each finding that is not ok, the worst first, and one for each idle threshold."""
    order = [*_SIGNS, *judgement.counts]
    bad = sorted((f for f in judgement.findings if f.verdict != "ok"), key=lambda finding: order.index(finding.verdict))
    lines = [f"- {_SIGNS.get(f.verdict, '')}**{f.verdict}** {code(label(f.case))}: {_escaped(str(f))}" for f in bad]
    return [*lines, *(f"- ❔ {_escaped(sentence)}" for sentence in judgement.idle)]


def _unfolding(table: Table, regressed: Collection[Case]) -> str:
    first, *lines = table.title
    summary = f"<code>{_html(first)}</code>" + "".join(f" {_html(line)}" for line in lines[:1])
    served = details.grid(table)
    names = len(table.labels)
    shown = [_grid(table.grid(regressed), names), *([] if served is None else [_grid(served, 1 + names)])]
    blocks = [f"\n<details><summary>{summary}</summary>", *map(_escaped, lines[1:]), *shown, "</details>"]
    return "\n\n".join(blocks)


def _grid(grid: Grid, labels: int) -> str:
    """Return the table as Markdown: names as code in the first columns, highlighted cells in bold."""
    rows = tuple(tuple(_cell(cell, is_name=i < labels) for i, cell in enumerate(row)) for row in grid.rows)
    return replace(grid, headers=tuple(map(_escaped, grid.headers)), rows=rows).lines(layout="pipe")


def _cell(cell: Cell, *, is_name: bool) -> Cell:
    text = code(cell.text) if is_name and cell.text else _escaped(cell.text)
    return Cell(f"**{text}**" if cell.style in {"best", "bad"} else text)


def _origin(document: Document) -> str:
    machine, commit = document.machine, document.commit
    where = f"{machine.processors}x {machine.processor}, {round(machine.memory_bytes / (1 << 30))} GiB"
    version = "" if commit is None else f", commit {commit.id[:12]}{' and changes' if commit.is_dirty else ''}"
    verb = "Simulated" if document.is_simulated else "Measured"
    return f"{verb} {document.created} on {where}, Linux {machine.kernel}, PyTorch {machine.torch}{version}"


def code(text: str) -> str:
    """Return a user's text as code that is shown literally, also in a table, and mentions no GitHub user."""
    text = printable(" ".join(text.split()))
    return f"`{text}`" if _LITERAL.fullmatch(text) else f"<code>{_entities(text)}</code>"


def _entities(text: str) -> str:
    return "".join(c if c.isalnum() or c in " .,:;/()" else f"&#{ord(c)};" for c in text)


def _html(text: str) -> str:
    return html.escape(_REFERRING.sub("\\1\u200b", printable(" ".join(text.split()))), quote=False)


def _escaped(text: str) -> str:
    """Return our own text with escaped markup, in which `@` and `#` refer to no user or issue."""
    return _REFERRING.sub("\\1\u200b", _MARKUP.sub(r"\\\1", printable(" ".join(text.split()))))


def _within(max_bytes: int, blocks: Sequence[str]) -> str:
    """Return as many blocks as fit, with a last line that counts the omitted ones."""
    room = max_bytes - len(_left_out(len(blocks)).encode())
    lengths = accumulate(len(block.encode()) + 1 for block in blocks)
    count = sum(length <= room for length in lengths)
    rest = _left_out(len(blocks) - count) if count < len(blocks) else ""
    return "".join(f"{block}\n" for block in blocks[:count]) + rest


def _left_out(count: int) -> str:
    return f"\n{count} more lines and tables do not fit here; the CSV and JSON files have everything.\n"
