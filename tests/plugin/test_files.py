"""The summary of a job: text is appended as long as there is room."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from pytest_edgeload.plugin.files import append


def test_append_keeps_to_the_maximum_size(tmp_path: Path) -> None:
    """Text is appended as long as there is room, and otherwise the file is unchanged."""
    path = tmp_path / "summary"
    path.write_text("above\n")
    append(path, "ü\n", 9)
    assert path.read_text(encoding="utf-8") == "above\nü\n"
    with pytest.raises(OSError, match="more than 9 bytes") as caught:
        append(path, "x", 9)
    assert caught.value.errno == errno.EFBIG
    assert path.read_text(encoding="utf-8") == "above\nü\n"
