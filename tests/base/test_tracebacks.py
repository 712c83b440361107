"""The user's lines of a traceback: those of the project and of its libraries, without Python's, torch's and ours."""

from __future__ import annotations

import importlib
import json
from pathlib import Path

import pytest

from pytest_edgeload.base import decoding
from pytest_edgeload.base.tracebacks import bounded_lines, user_lines, with_user_lines


def _lines(function: object, *args: object) -> str:
    with pytest.raises(Exception) as raised:  # noqa: PT011  # of any kind
        function(*args)  # type: ignore[operator]
    return user_lines(raised.value)


def test_frames_of_python_and_of_this_package_are_left_out() -> None:
    """Only the line that called a function of Python or of this package is shown."""
    for function, args in ((json.loads, ("{",)), (decoding.decode, (b"{", int))):
        lines = _lines(function, *args).splitlines()
        assert ["test_tracebacks.py" in line for line in lines if line.startswith("  File")] == [True]
        assert "function(*args)" in lines[1]


def test_line_of_a_syntax_error_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that is not Python is shown with its line, though no frame is in it."""
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "edgeload_broken.py").write_text("x = 1\ndef make(:\n")
    shown = _lines(importlib.import_module, "edgeload_broken")
    assert 'edgeload_broken.py", line 2' in shown
    assert "def make(:" in shown


def test_long_tracebacks_and_lines_are_cut() -> None:
    """At most 32 lines of 200 characters are kept, the last ones, and their escape characters are shown."""
    lines = bounded_lines("\n".join(f"{n}\x1b[2J{'x' * 500}" for n in range(100)) + "\n").split("\n")
    assert [line.partition("\\x1b[2J")[0] for line in lines] == [str(n) for n in range(68, 100)]
    assert {len(line) for line in lines} == {203}


def test_error_without_such_lines_gets_no_note() -> None:
    """An error that never passed the user's code gets no empty note."""
    error = with_user_lines(ValueError(), KeyError())
    assert not hasattr(error, "__notes__")
