"""Workload files of streams: the mix is that of Python, and each mistake gets one sentence with its line."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest
from hypothesis import given
from ruamel.yaml import YAML

from pytest_edgeload.base.errors import UsageError
from pytest_edgeload.networks.feed import Feed
from pytest_edgeload.workload import Condition, Mix
from pytest_edgeload.workload.arrivals import Periodic, Poisson, Trace
from pytest_edgeload.workload.file import parse
from pytest_edgeload.workload.stream_file import StreamEntry, StreamsDocument, TriggerCondition
from pytest_edgeload.workload.streams import Stream
from tests.workload.test_workload_file import CUTS, blocks, outcome

EXAMPLE = blocks("yaml")[1]
CAMERA = Stream("camera", "detector", Periodic(0.0333, 0.002), queue=1)
FACES = Stream("face_net", "face_net", after="camera", probability=0.5, when=Condition(0, 0.8, at=(0, 1)))
QUESTIONS = Stream("questions", "language_model", Poisson(0.1), start_s=2, deadline_s=5, steps=20)

FIELDS = ", ".join(StreamsDocument.__struct_encode_fields__)
HEAD = "duration_s: 2\nstreams:\n"
ONE = HEAD + "- {name: camera, network: a, arrivals: {process: constant, every_s: 1}}\n"


def test_the_guides_example_is_the_mix_in_python() -> None:
    """The guide's file is the mix that the same streams make in Python, also as JSON."""
    mix = Mix.of_streams("kitchen", [CAMERA, FACES, QUESTIONS], duration_s=10, seed=7)
    assert parse(EXAMPLE, "x.yaml") == mix
    assert parse(json.dumps(YAML(typ="safe", pure=True).load(EXAMPLE)), "x.json") == mix


def test_the_guides_example_uses_every_field() -> None:
    """The example has every field of a file with streams."""
    for kind in (StreamsDocument, StreamEntry, TriggerCondition):
        for field in kind.__struct_encode_fields__:
            assert re.search(rf"\b{field}:", EXAMPLE), field


def test_fields_of_the_file_are_those_of_the_mix() -> None:
    """The deadline of the file is for streams without their own; conditions, clock, name and feeds are the mix's."""
    text = (
        "duration_s: 2\nconditions: early\nclock: service\ndeadline_s: 0.25\nstreams:\n"
        "- {network: a, arrivals: {process: trace, at: [5, 6]}}\n"
        "- {network: b, after: a, deadline_s: 3, feeds: {states: 1, 2: 0}}\n"
    )
    feeds = (Feed("states", 1, request=0), Feed(2, 0, request=0))
    streams = [
        replace(Stream("a", "a", Trace.of([5, 6])), deadline_s=0.25),
        Stream("b", "b", after="a", deadline_s=3, feeds=feeds),
    ]
    mix = Mix.of_streams("home", streams, duration_s=2, clock="service").deciding("early")
    assert parse(text, "mixes/home.yaml") == mix


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("streams: [{network: a}]", "1: 'duration_s' is missing; add it"),
        (HEAD + "- a", "3: streams[0]: 'a' is not a mapping; give one"),
        ("duration_s: 0\nstreams: [{network: a}]", "1: duration_s: 0 is not a number > 0.0; give one"),
        ("duration_s: 1\nstreams: []", "2: streams: an empty list is not a list of length >= 1; give one"),
        (HEAD + "- name: x", "3: streams[0]: 'network' is missing; add it"),
        (ONE + "images: 3", f"4: 'images' is not a field; choose from {FIELDS}"),
        (HEAD + "- {network: a}", "3: streams[0]: stream a: has neither `arrivals` nor `after`; give one of them"),
        (HEAD + "- network: a\n  quue: 1", "4: streams[0]: 'quue' is not a field; did you mean queue?"),
        (HEAD + "- network: a\n  queue: 0", "4: streams[0].queue: 0 is not a whole number >= 1; give one"),
        (
            ONE + "- network: b\n  after: camra",
            "5: streams[1].after: 'camra' is not an earlier stream; did you mean camera?",
        ),
        (
            HEAD + "- network: b\n  after: camera\n- {name: camera, network: a}",
            "4: streams[0].after: 'camera' is not an earlier stream; list it after the stream that triggers it",
        ),
        (
            ONE + "- network: b\n  name: camera",
            "5: streams[1].name: 'camera' is the name of another stream; give each a `name`",
        ),
        (
            ONE + "- network: camera",
            "4: streams[1].network: 'camera' is the name of another stream; give each a `name`",
        ),
        (
            ONE + "- network: b\n  after: camera\n  probability: 2",
            "6: streams[1].probability: 2 is not a number <= 1.0; give one",
        ),
        (
            ONE + "- network: b\n  after: camera\n  when: {vlue: 2}",
            "6: streams[1].when: 'vlue' is not a field; did you mean value?",
        ),
        (
            HEAD + "- network: a\n  arrivals:\n    process: periodic\n    jiter_s: 2",
            "6: streams[0].arrivals: 'jiter_s' is not a field; did you mean jitter_s?",
        ),
        (
            HEAD + "- network: a\n  arrivals:\n    process: periodic\n    every_s: 1\n    jitter_s: 2",
            "7: streams[0].arrivals.jitter_s: 2 is not between 0 and every_s=1",
        ),
        (
            HEAD + "- network: a\n  arrivals:\n    process: trace\n    at_s: [1, 0]",
            (
                "6: streams[0].arrivals.at_s: at_s is not a trace; give times from 0 s on, in order, or "
                "recorded ones to Trace.of or as `at`"
            ),
        ),
        (
            ONE + "- network: b\n  after: camera\n  feeds: {x: y}",
            "6: streams[1].feeds.x: 'y' is not a whole number; give one",
        ),
        (
            "duration_s: 1\nstreams: [{network: a, start_s: 3, arrivals: {process: constant, every_s: 1}}]",
            "1: duration_s: workload home: has no request in 1 s; lengthen duration_s",
        ),
        (ONE + 'name: "\\a"', "4: name: workload '\\x07': not a name; give 1 to 1000 printable characters"),
    ],
)
def test_each_mistake_has_its_line(text: str, message: str) -> None:
    """A file with a mistake is refused in one sentence with the line, the place and a hint."""
    with pytest.raises(UsageError) as caught:
        parse(text, "home.yaml")
    assert str(caught.value) == f"home.yaml:{message}"


@given(CUTS)
def test_a_mutated_file_of_streams_is_a_mix_or_a_usage_error(cuts: list[tuple[float, int, str]]) -> None:
    """However a valid text is changed, it is a mix or refused in one sentence with a line of the file."""
    text = EXAMPLE
    for place, length, piece in cuts:
        start = int(place * len(text))
        text = text[:start] + piece + text[start + length :]
    said = outcome(text, "x.yaml")
    line = re.fullmatch(r"x\.yaml:(\d+): \S.*", said)
    assert said == "mix" or (line and 1 <= int(line[1]) <= len(text.splitlines()) + 1), said
