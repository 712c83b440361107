"""The parsers of what others write, by drawn texts that nearly make sense."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz.targets import TARGETS, run

PIECES = (
    b"", b"\0", b"\n", b"\x1b[2J", b"\xff", b"\xed\xa0\x80", "\N{RIGHT-TO-LEFT OVERRIDE}".encode(), b" ", b"-", b"-1",
    b"0", b"1e400", b"NaN", b"null", b"[", b"{", b'"', b"\\", b"..", b"/", b"~x", b"%", b",", b":", b"=", b"'", b"#",
    b"9" * 20, b"9" * 5000, b"[" * 2000, b"\\ud800", b"x" * 5000, "\N{SUPERSCRIPT TWO}\N{FULLWIDTH DIGIT ONE}".encode(),
)  # fmt: skip
"""What parsers have stumbled over."""


@st.composite
def spoilt(draw: st.DrawFn, examples: tuple[bytes, ...]) -> bytes:
    """Draw an example, a stretch of which is cut out, doubled, or replaced."""
    data = draw(st.sampled_from((*examples, b"")))
    for _ in range(draw(st.integers(0, 3))):
        begin = draw(st.integers(0, len(data)))
        end = draw(st.integers(begin, min(len(data), begin + 8)))
        piece = draw(st.sampled_from(PIECES) | st.binary(max_size=4) | st.just(data[begin:end] * 2))
        data = data[:begin] + piece + data[end:]
    return data


@pytest.mark.parametrize("name", TARGETS)
def test_refused_or_read(name: str) -> None:
    """Whatever a parser is given, it gives a value that can be written and read again, or refuses in its own words."""
    target = TARGETS[name]
    for example in target.examples:
        target.check(target.parse(example))

    @settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(spoilt(target.examples))
    def check(data: bytes) -> None:
        run(target, data)

    check()
