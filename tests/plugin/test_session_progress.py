"""Lines of the plugin between the dots of pytest."""

from __future__ import annotations

import pytest

SAYING = """
    import pytest
    from pytest_edgeload.plugin.terminal import SessionProgress

    @pytest.mark.parametrize("name", "abc")
    def test_it(name, pytestconfig):
        progress = SessionProgress(pytestconfig)
        if name == "b":
            progress.say("edgeload: waits")
        if name == "c":
            for done in (0, 1, 2):
                progress("net", done, 2)
"""


@pytest.mark.parametrize(
    ("args", "lines"),
    [
        (
            (),
            [
                "test_saying.py .",
                "edgeload: waits",
                "test_saying.py .",
                "edgeload: making network net",
                "test_saying.py . *100%?",
            ],
        ),
        (("-q",), [".", "edgeload: waits", ".", "edgeload: making network net", ". *100%?"]),
        (
            ("-v",),
            [
                "test_saying.py::test_it?a? PASSED*",
                "test_saying.py::test_it?b? ",
                "edgeload: waits",
                "test_saying.py::test_it?b? PASSED*",
                "test_saying.py::test_it?c? ",
                "edgeload: making network net",
                "test_saying.py::test_it?c? PASSED*",
            ],
        ),
    ],
)
def test_line_does_not_break_the_dots(bare: pytest.Pytester, args: tuple[str, ...], lines: list[str]) -> None:
    """A line during a test is a line of its own, and the dots go on after the name of their file."""
    bare.makepyfile(test_saying=SAYING)
    result = bare.runpytest_inprocess(*args)
    assert result.ret == 0
    result.stdout.fnmatch_lines(lines, consecutive=True)
