"""Arrivals in words as a person would write them."""

from __future__ import annotations

import pytest

from pytest_edgeload.report.arrival_words import shortened
from pytest_edgeload.workload.arrivals import TIME_UNITS, Gamma, Periodic, Poisson, Process


@pytest.mark.parametrize(
    ("process", "words"),
    [
        (Periodic(1 / 30), "periodic, every 1/30 s"),
        (Periodic(1 / 30, 1 / 300), "periodic, every 1/30 s, jitter 1/300 s"),
        (Periodic(0.5), "periodic, every 0.5 s"),
        (Periodic(1000.001), "periodic, every 1000.001 s"),
        (Periodic(86400.25), "periodic, every 86400.25 s"),
        (Periodic(1e-5 / 3), "periodic, every 3.3333333333333337e-06 s"),
        (Periodic(0.1 + 0.2), "periodic, every 0.30000000000000004 s"),
        (Poisson(10 / 3), "poisson, 10/3 a second"),
        (Gamma(1 / 7, 2.0), "gamma, every 1/7 s, shape 2"),
    ],
)
def test_words_are_as_short_as_they_are_exact(process: Process, words: str) -> None:
    """A number is a fraction only if that has its value and small terms; a jitter of 0 is left out."""
    assert shortened(str(process)) == words


def test_words_of_streams_are_shortened_in_each() -> None:
    """The arrivals of a mix of streams contain those of each stream, in any unit."""
    words = Periodic(1 / 30).words(TIME_UNITS["service"])
    streams = f"for 2 s; a: {words}, from 1 s; b: periodic, every 2 s, jitter 0 s"
    assert shortened(streams) == "for 2 s; a: periodic, every 1/30 service times, from 1 s; b: periodic, every 2 s"
