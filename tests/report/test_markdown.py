"""Markdown for comments and summaries: findings first, tables that unfold, escaped names."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_edgeload.report import FORMATS
from pytest_edgeload.report.markdown import MAX_BYTES, code
from pytest_edgeload.results.finding import Finding, Judgement
from pytest_edgeload.results.record import Record
from tests.report.documents import IDLE, document, finding, record, view


def render(
    *records: Record,
    findings: tuple[Finding, ...] = (),
    idle: tuple[str, ...] = (),
    columns: tuple[str, ...] = (),
) -> str:
    """Return the report."""
    return FORMATS["markdown"](document(*records), Judgement(findings, idle), view(columns=columns))


def test_findings_come_first() -> None:
    """Findings come first, the worst on top, then failures, tables and notes."""
    bulk, never = record("bulk", {"makespan_s": 3.0}), record("never", {"outcome": "oom", "detail": "killed"})
    findings = (finding(bulk.case, "ok"), finding(bulk.case, "improved"), finding(bulk.case))
    text = render(bulk, never, findings=findings)
    lines = [line for line in text.splitlines() if line]
    assert lines[0] == "### edgeload: 1 ok, 1 improved, 1 regressed"
    assert lines[1].startswith("Measured 2026-01-02T03:04:05Z on 2x Some CPU, 8 GiB, ")
    assert lines[2].startswith("- ❌ **regressed** `bulk, mix at 512M, reader read`: makespan 2s -\\> 3s (+50.0%, ")
    assert lines[3].startswith("- ✅ **improved** ")
    assert lines[4] == "- ❌ `never, mix at 512M, round 0: oom: killed`"
    assert lines[5].startswith("<details><summary><code>suites/test_a.py::test_a mix at 512M</code> cap cgroup2, ")
    headers = [cell.strip() for cell in lines[6].strip("|").split("|")]
    assert headers == ["policy", "makespan s", "x bulk", "peak", "swap in/out", "faults", "outcome"]
    assert [line.split("|")[1].strip() for line in lines[8:10]] == ["**`bulk`**", "`never`"]
    assert lines[10] == "</details>"


def test_idle_thresholds_follow_the_findings() -> None:
    """A threshold that judged nothing has a line between the findings and the failed runs."""
    never = record("never", {"outcome": "oom", "detail": "killed"})
    lines = [line for line in render(never, findings=(finding(never.case),), idle=(IDLE,)).splitlines() if line]
    assert [line[:4] for line in lines[2:5]] == ["- ❌ ", "- ❔ ", "- ❌ "]
    assert lines[3] == f"- ❔ {IDLE}"


def test_unfolding_tables_have_blank_lines_around() -> None:
    """A table that unfolds has blank lines around it, because Markdown requires them."""
    text = render(record("bulk", {"makespan_s": 3.0}))
    assert re.search(r"</summary>\n\n\| policy .*\|\n\n</details>", text, re.DOTALL)


def test_tables_have_the_chosen_columns() -> None:
    """The tables have the chosen columns."""
    text = render(record("bulk", {"makespan_s": 3.0}), columns=("min", "rounds"))
    assert re.search(r"^\| policy +\| +makespan.min s \| +rounds \|$", text, re.MULTILINE)


def test_arriving_requests_have_a_table_by_network() -> None:
    """If requests keep arriving there is also a table by network."""
    served = {"service": {"a_net": {"requests": 1, "response_mean_s": 1.5}}}
    text = render(record("bulk", served, loop="closed"))
    assert re.search(r"^\| `a_net` +\| `bulk` +\| +1.50 \| +0 \|$", text, re.MULTILINE)


@pytest.mark.parametrize("count", [0, 1, 40, 1000])
def test_report_fits_into_a_comment(count: int) -> None:
    """The report fits into a comment of any document, and a sentence counts omitted blocks."""
    records = [record(f"policy{n}", {"makespan_s": 1.0}, workload=f"mix{n}" + "ü" * 100) for n in range(count)]
    text = render(*records, findings=tuple(finding(r.case) for r in records))
    assert len(text.encode()) <= MAX_BYTES
    shown = text.count("- ❌ **regressed**") + text.count("</details>")
    left_out = re.search(r"^(\d+) more lines and tables do not fit here; .*\.$", text, re.MULTILINE)
    assert (left_out is None) == (count <= 40)
    assert text.count("<details>") == text.count("</details>"), "no block is cut"
    if left_out is None:
        assert shown == 2 * count


words = st.text(st.characters(exclude_categories=("Cs", "Cc"))) | st.sampled_from(
    [
        "a|b",
        "`",
        "a`b",
        "``",
        "\\|",
        "a\nb",
        "<script>",
        "</details>",
        "@everyone",
        "#1",
        "*x*",
        "[x](y)",
        "&lt;",
        " x ",
    ]
)


@given(words, words, words)
def test_markup_in_names_is_escaped(policy: str, workload: str, detail: str) -> None:
    """With any names the numbers of cells, tags and lines are the same, and no user is mentioned."""
    usual = render(record("bulk", {"makespan_s": 1.0}, {"outcome": "oom", "detail": "x"}))
    text = render(record(policy, {"makespan_s": 1.0}, {"outcome": "oom", "detail": detail}, workload=workload))
    outside = re.sub(r"`[^`\n]+`|<code>[^<\n]*</code>", "CODE", text)
    assert len(text.split("\n")) == len(usual.split("\n"))
    assert re.findall(r"<[^>]*>", outside) == re.findall(r"<[^>]*>", re.sub(r"<code>[^<]*</code>", "CODE", usual))
    table, other = ([line.count("|") for line in shown.split("\n") if line.startswith("|")] for shown in (text, usual))
    assert table == other
    assert "@" not in outside


@pytest.mark.parametrize(
    ("text", "shown"),
    [("age_net", "`age_net`"), ("a|b", "<code>a&#124;b</code>"), ("`", "<code>&#96;</code>"), ("<b>", "`<b>`")],
)
def test_code_uses_a_span_or_a_tag(text: str, shown: str) -> None:
    """A word is a code span, or a code tag if a span or a table cell would break it."""
    assert code(text) == shown
