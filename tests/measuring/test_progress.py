"""The progress display: one line of a terminal, and one line per network elsewhere."""

from __future__ import annotations

import io

import pytest

from pytest_edgeload.base.locks import once
from pytest_edgeload.measuring.progress import ProgressLine, RemainingTime

CLEAR = "\r\033[K"


class Terminal(io.StringIO):
    """An output that is a terminal."""

    def isatty(self) -> bool:
        """Return true, as a terminal does."""
        return True


@pytest.fixture(autouse=True)
def no_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    """Run outside of CI, on a terminal of 40 columns."""
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.setenv("COLUMNS", "40")


def making(output: io.StringIO) -> str:
    """Return the text of a network that is built, written in three steps, and done."""
    line = ProgressLine(lambda: output)
    for done, total in ((0, 0), (0, 200), (1, 200), (100, 200), (200, 200)):
        line("net", done, total)
    assert not line.is_shown
    return output.getvalue()


def test_terminal_shows_the_percentage_and_is_cleared_at_the_end() -> None:
    """On a terminal, one line is written again if its percentage changes, and removed when the network is made."""
    words = "edgeload: making network net"
    assert making(Terminal()) == f"{CLEAR}{words}{CLEAR}{words}: 0%{CLEAR}{words}: 50%{CLEAR}"


@pytest.mark.parametrize("is_ci", [False, True])
def test_log_gets_one_line_per_network(monkeypatch: pytest.MonkeyPatch, *, is_ci: bool) -> None:
    """An output that is not a terminal, or a terminal in CI, gets one plain line when the network begins."""
    if is_ci:
        monkeypatch.setenv("CI", "true")
    assert making(Terminal() if is_ci else io.StringIO()) == "edgeload: making network net\n"


def test_line_is_cut_to_the_width() -> None:
    """A long text does not wrap, because a wrapped line could not be removed."""
    output = Terminal()
    ProgressLine(lambda: output).show("x" * 100)
    assert output.getvalue() == CLEAR + "x" * 39


def test_message_replaces_the_line() -> None:
    """A message that stays begins on an empty line."""
    output = Terminal()
    line = ProgressLine(lambda: output)
    line.show("working")
    line.say("done")
    assert output.getvalue() == f"{CLEAR}working{CLEAR}done\n"


def test_log_shows_no_states() -> None:
    """States of the work are only shown on a terminal; messages always."""
    output = io.StringIO()
    line = ProgressLine(lambda: output)
    line.show("working")
    line.say("done")
    assert output.getvalue() == "done\n"


def test_quiet_line_writes_nothing_to_a_log() -> None:
    """A quiet display only uses a terminal."""
    output = io.StringIO()
    ProgressLine(lambda: output, is_quiet=True)("net", 0, 0)
    assert output.getvalue() == ""


def test_only_the_first_wait_is_said() -> None:
    """A session says the first line about a wait, and no other."""
    said: list[str] = []
    say = once(said.append)
    for line in ("waits for process 1", "waits for process 2", "waits for process 1"):
        say(line)
    assert said == ["waits for process 1"]


def test_remaining_time_is_that_of_runs_with_the_same_key() -> None:
    """Runs take as long as the mean of their key, or of all runs if none of their key is over."""
    remaining = RemainingTime(["a", "a", "b", "a", "a", "b", "c"])
    assert remaining.seconds is None
    for key, seconds in (("a", 1.0), ("a", 3.0), ("b", 8.0)):
        remaining.end(key, seconds)
    assert remaining.seconds == 2.0 + 2.0 + 8.0 + 4.0
    for key in ("a", "a", "b", "c"):
        remaining.end(key, 1.0)
    assert remaining.seconds == pytest.approx(0.0, abs=1e-9)
