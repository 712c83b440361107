"""The parsers of foreign input, tested with almost valid texts."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.fuzz.targets import TARGETS, run

PIECES = (
    b"", b"\0", b"\n", b"\x1b[2J", b"\xff", b"\xed\xa0\x80", "\N{RIGHT-TO-LEFT OVERRIDE}".encode(), b" ", b"-", b"-1",
    b"0", b"1e400", b"NaN", b"null", b"[", b"{", b'"', b"\\", b"..", b"/", b"~x", b"%", b",", b":", b"=", b"'", b"#",
    b"9" * 20, b"9" * 5000, b"[" * 2000, b"\\ud800", b"x" * 5000, "\N{SUPERSCRIPT TWO}\N{FULLWIDTH DIGIT ONE}".encode(),
)  # fmt: skip
"""Bytes that made parsers fail in the past."""


@st.composite
def corrupted(draw: st.DrawFn, examples: tuple[bytes, ...]) -> bytes:
    """Draw an example with some ranges deleted, duplicated or replaced."""
    data = draw(st.sampled_from((*examples, b"")))
    for _ in range(draw(st.integers(0, 3))):
        begin = draw(st.integers(0, len(data)))
        end = draw(st.integers(begin, min(len(data), begin + 8)))
        piece = draw(st.sampled_from(PIECES) | st.binary(max_size=4) | st.just(data[begin:end] * 2))
        data = data[:begin] + piece + data[end:]
    return data


@pytest.mark.hypothesis
@pytest.mark.parametrize("name", TARGETS)
def test_every_input_is_parsed_or_refused(name: str) -> None:
    """A parser returns a value that can be written and parsed again, or refuses the input with its own exception."""
    target = TARGETS[name]
    for valid in target.examples:
        target.check(target.parse(valid))

    @settings(max_examples=max(150, settings().max_examples), suppress_health_check=[HealthCheck.too_slow])
    @given(corrupted(target.examples))
    def check(data: bytes) -> None:
        run(target, data)

    for data in target.failures:
        check = example(data)(check)
    check()
