"""Annotations of GitHub Actions, as its runner parses them."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_edgeload.base.text import printable
from pytest_edgeload.report.github import SourceLine, commands
from pytest_edgeload.results.finding import Judgement
from pytest_edgeload.results.gate import Gate
from tests.report.documents import IDLE, finding, record


def parsed(line: str) -> tuple[str, dict[str, str], str]:
    """Return kind, properties and message of a workflow command, as the runner reads it."""
    match = re.fullmatch(r"::(\w+) (.*?)::(.*)", line)
    assert match is not None, line
    unescaped = {"%0A": "\n", "%0D": "\r", "%3A": ":", "%2C": ",", "%25": "%"}

    def plain(text: str) -> str:
        return re.sub("%(0A|0D|3A|2C|25)", lambda found: unescaped[found[0]], text)

    properties = dict(pair.split("=", 1) for pair in match[2].split(","))
    return match[1], {name: plain(text) for name, text in properties.items()}, plain(match[3])


def test_failures_are_errors_and_improvements_notices() -> None:
    """A failure is an error and an improvement a notice, each one line with file, line, title and text."""
    case = record().case
    bad, good = finding(case), finding(case, "improved", now=1.0)
    source = SourceLine("suites/test_a.py", 7)
    [error, notice] = commands(Judgement((good, bad)), Gate(), lambda _: source)
    assert parsed(error) == (
        "error",
        {"file": "suites/test_a.py", "line": "7", "title": "regressed: bulk, mix at 512M, reader read"},
        str(bad),
    )
    assert parsed(notice)[0] == "notice"
    assert "%2C mix" in error, "a comma ends a property"
    assert "+50.0%25" in error


def test_unknown_line_is_left_out() -> None:
    """An unknown line is left out."""
    [error] = commands(Judgement((finding(record().case),)), Gate(), lambda _: SourceLine("suites/test_a.py"))
    assert parsed(error)[1].keys() == {"file", "title"}


@pytest.mark.parametrize(("is_strict", "kind"), [(False, "warning"), (True, "error")])
def test_idle_threshold_is_an_error_only_if_it_fails(kind: str, *, is_strict: bool) -> None:
    """A threshold that judged nothing is a warning, and an error of a strict gate, which it fails."""
    [line] = commands(Judgement((), (IDLE,)), Gate(is_strict=is_strict), lambda _: SourceLine(""))
    assert parsed(line) == (kind, {"title": "edgeload"}, IDLE)


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_any_text_stays_in_one_line(text: str) -> None:
    """With any names the command is one line with these names."""
    made = Judgement((finding(record(text).case, reason=text),), (text,))
    error, warning = commands(made, Gate(), lambda _: SourceLine(text, 1))
    assert parsed(warning) == ("warning", {"title": "edgeload"}, printable(text))
    assert "\n" not in error
    assert "\r" not in error
    _, properties, message = parsed(error)
    assert properties["file"] == printable(text)
    assert properties["title"] == printable(f"regressed: {text}, mix at 512M, reader read")
    assert printable(text) in message
