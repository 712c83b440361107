"""Workload files in YAML and JSON, and the sentence with its line for each mistake."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

import pytest_edgeload
from pytest_edgeload.base.errors import UsageError
from pytest_edgeload.base.text import printable
from pytest_edgeload.networks.feed import Feed
from pytest_edgeload.workload import Ask, Condition, Mix
from pytest_edgeload.workload.arrivals import (
    PROCESSES,
    Constant,
    Exponential,
    Gamma,
    Normal,
    Periodic,
    Poisson,
    Process,
    Trace,
    Uniform,
    Weibull,
)
from pytest_edgeload.workload.arrivals_entry import Arrivals
from pytest_edgeload.workload.file import WorkloadDocument, parse, schema
from pytest_edgeload.workload.source import Source

DOCS = Path(__file__).parents[2] / "docs"
GUIDE = (DOCS / "workloads.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", GUIDE, re.MULTILINE | re.DOTALL)


EXAMPLE = blocks("yaml")[0]


FIELDS = ", ".join(WorkloadDocument.__struct_encode_fields__)


def from_yaml(text: str) -> Mix:
    return parse(text, "mixes/fga.yaml")


def error(text: str, file: str = "mixes/fga.yaml") -> str:
    with pytest.raises(UsageError) as caught:
        parse(text, file)
    return str(caught.value).removeprefix(f"{file}:")


# Valid files


def test_names_alone_are_a_mix_of_these_networks() -> None:
    """Bare names are requests, and the mix has the name of the file."""
    assert from_yaml("requests: [b, a, b]") == Mix.of("fga", ["b", "a", "b"])


def test_images_repeat_the_requests() -> None:
    """The requests are asked once for each image, about the sample with its index and as one batch."""
    assert from_yaml("name: three\nimages: 3\nrequests: [b, a]") == Mix.of("three", ["b", "a"], images=3)


def test_a_request_can_be_written_in_full() -> None:
    """A request with no more than a network is the same as the bare name, and its sample stays for all images."""
    assert from_yaml("requests: [{network: a}]") == from_yaml("requests: [a]")
    assert [ask.sample for ask in from_yaml("images: 2\nrequests: [a, {network: a, sample: 4}]").asks] == [0, 4, 1, 4]


def test_loop_is_once_or_closed() -> None:
    """`once` is the default, and `closed` the mix's closed loop."""
    plain = Mix.of("fga", ["a"], images=2)
    assert from_yaml("images: 2\nloop: once\nrequests: [a]") == plain
    assert from_yaml("images: 2\nloop: closed\nrequests: [a]") == plain.closed()


@pytest.mark.parametrize(
    ("written", "process"),
    [
        ("{process: constant, every_s: 0.5}", Constant(0.5)),
        ("{process: uniform, min_s: 0, max_s: 2}", Uniform(0, 2)),
        ("{process: periodic, every_s: 2}", Periodic(2)),
        ("{process: gamma, mean_s: 2, shape: 0.5}", Gamma(2, 0.5)),
        ("{process: weibull, mean_s: 2, shape: 0.5}", Weibull(2, 0.5)),
        ("{process: normal, mean_s: 1, sd_s: 0.1}", Normal(1, 0.1)),
        ("{process: exponential, mean_s: 1.0e-3}", Exponential(0.001)),
        ("{process: poisson, rate_per_s: 2}", Poisson(2)),
        ("{process: trace, at_s: [0, 1.5, 7]}", Trace((0, 1.5, 7))),
    ],
    ids=lambda one: type(one).__name__,
)
def test_arrivals_make_the_loop_open(written: str, process: Process) -> None:
    """Arrivals make the loop open, by any process, with the seed given or 0."""
    plain = Mix.of("fga", ["a"], images=2)
    text = f"images: 2\nrequests: [a]\narrivals: {written}\n"
    assert from_yaml(text) == plain.arriving(process, seed=0)
    assert from_yaml(f"{text}seed: 7") == plain.arriving(process, seed=7)


def test_the_deadline_is_for_requests_without_their_own() -> None:
    """The workload's deadline is for the requests that have none of their own."""
    assert from_yaml("deadline_s: 0.5\nrequests: [a]") == Mix.of("fga", ["a"]).due(0.5)
    asks = from_yaml("deadline_s: 0.5\nrequests: [a, {network: b, deadline_s: 0.2}]").asks
    assert [ask.deadline_s for ask in asks] == [0.5, 0.2]


@pytest.mark.parametrize("conditions", ["wait", "early", "ignore"])
def test_conditions_are_treated_as_the_file_says(conditions: Any) -> None:
    """The file says what becomes of conditions."""
    assert from_yaml(f"conditions: {conditions}\nrequests: [a]") == Mix.of("fga", ["a"]).deciding(conditions)


def test_a_condition_asks_about_the_same_image() -> None:
    """A condition names a network or a label, and means that request about the same image."""
    text = """
    images: 2
    requests:
      - a
      - {network: a, as: again}
      - network: b
        when: {request: a, output: 1, at: [0, 2], comparison: "<=", value: 3}
      - {network: b, when: {request: again, value: 0.5}}
    """
    first, second = Condition(0, 3.0, "<=", 1, (0, 2)), Condition(1, 0.5)
    third, fourth = Condition(4, 3.0, "<=", 1, (0, 2)), Condition(5, 0.5)
    assert from_yaml(text).asks == (
        *(Ask("a"), Ask("a"), Ask("b", when=first), Ask("b", when=second)),
        *(Ask("a", 1, 1), Ask("a", 1, 1), Ask("b", 1, 1, when=third), Ask("b", 1, 1, when=fourth)),
    )


def test_a_feed_comes_from_the_same_image() -> None:
    """A feed names a network or a label, and means that request about the same image; output 0 unless it says so."""
    text = """
    images: 2
    requests:
      - {network: a, as: first}
      - {network: b, steps: 3, feeds: {x: first, 1: {request: first, output: 2, rule: argmax}}}
    """
    assert [ask.feeds for ask in from_yaml(text).asks] == [
        (),
        (Feed("x", request=0), Feed(1, 2, "argmax", 0)),
        (),
        (Feed("x", request=2), Feed(1, 2, "argmax", 2)),
    ]


def test_a_labelled_request_leaves_its_networks_name_to_another() -> None:
    """A request with a label is called by that only, so that the other one of its network needs none."""
    mix = from_yaml("requests: [{network: a, as: x}, a, {network: b, when: {request: a, value: 1}}]")
    assert mix.asks[2].when == Condition(1, 1.0)


def test_json_may_be_written_in_any_way() -> None:
    """JSON is read as JSON: tabs, its own numbers, escapes, and what YAML would refuse or fold."""
    label = '{"network": "a", "as": "\x7f\u2028"}'
    text = f'{{\r\n\t"requests"\n\t: ["\\ud83d\\ude00\\/", {label}, "no"],\n\t"deadline_s":1E-3,"name":"y"}}'
    assert parse(text, "x.json") == Mix.of("y", ["\U0001f600/", "a", "no"]).due(0.001)


@pytest.mark.parametrize("name", ["no", "on", "yes", "y", "2026-11-23", "1:30", "="])
def test_words_of_yaml_1_1_are_text(name: str) -> None:
    """Words that YAML 1.1 reads as truth values, dates, times or signs are text, as YAML 1.2 has it."""
    assert from_yaml(f"requests: [{name}]") == Mix.of("fga", [name])


@pytest.mark.parametrize(("written", "images"), [("010", 10), ("0o12", 10), ("0xA", 10), ("1_0", 10)])
def test_numbers_are_those_of_yaml_1_2(written: str, images: int) -> None:
    """A leading zero means nothing; `0o` and `0x` begin octal and hexadecimal numbers."""
    assert from_yaml(f"images: {written}\nrequests: [a]") == Mix.of("fga", ["a"], images=images)


def test_a_power_of_ten_needs_no_point() -> None:
    """`1e-3` is a number, as in JSON."""
    assert from_yaml("deadline_s: 1e-3\nrequests: [a]") == Mix.of("fga", ["a"]).due(0.001)


@pytest.mark.parametrize("suffix", ["yaml", "yml", "json"])
def test_files_are_read_by_their_suffix(tmp_path: Path, suffix: str) -> None:
    """`Mix.load` reads a file by its suffix, given as a path or as text, with or without a byte order mark."""
    path = tmp_path / f"two.{suffix}"
    path.write_bytes(b'\xef\xbb\xbf{\r\n  "requests": ["a",\r\n "b"]}\r\n')
    assert Mix.load(path) == Mix.load(str(path)) == Mix.of("two", ["a", "b"])


# Mistakes


REQUESTS = "requests: [a]\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "1: the file is empty; begin with `requests:`"),
        ("\n# nothing\n", "1: the file is empty; begin with `requests:`"),
        ("\nhello", "2: 'hello' is not a mapping; give one"),
        ("\n- a", "2: a list is not a mapping; give one"),
        ("---\n", "2: nothing is not a mapping; give one"),
        ("name: x\nimages: 2", "1: 'requests' is missing; add it"),
        ("name: x\nrequests: []", "2: requests: an empty list is not a list of length >= 1; give one"),
        ("name: x\nrequests:\n", "2: requests: nothing is not a list; give one"),
        ("requests:\n- a\n- true", '3: requests[1]: true is not text or a mapping; write it in quotes: "true"'),
        ("requests:\n- network: 1.50", '2: requests[0].network: 1.50 is not text; write it in quotes: "1.50"'),
        ("requests:\n- 12", '2: requests[0]: 12 is not text or a mapping; write it in quotes: "12"'),
        ("requests:\n- ''", "2: requests[0]: '' is not text of length >= 1; give one"),
        ("requests:\n- [a]", "2: requests[0]: a list is not text or a mapping; give one"),
        ("requests:\n- sample: 3", "2: requests[0]: 'network' is missing; add it"),
        ("requests:\n- network: a\n  sampel: 3", "3: requests[0]: 'sampel' is not a field; did you mean sample?"),
        (REQUESTS + "\nrequsts: [b]", "3: 'requsts' is not a field; did you mean requests?"),
        (
            REQUESTS + "no: 1",
            f"2: 'no' is not a field; choose from {FIELDS}",
        ),
        (REQUESTS + "? [a]\n: 1", "2: '' is not the name of a field; give one"),
        (REQUESTS + '"a\\nb": 1', "2: 'a\\nb' is not the name of a field; give one"),
        (REQUESTS + "seed: 1\n\nrequests: [b]", "4: 'requests' is given twice; keep one"),
        ("requests:\n- network: a\n  network: b", "3: requests[0]: 'network' is given twice; keep one"),
        (REQUESTS + "name:", "2: name: nothing is not text; give one"),
        (
            REQUESTS + 'name: "\\e[2J"',
            "2: name: workload '\\x1b[2J': not a name; give 1 to 1000 printable characters",
        ),
        (REQUESTS + "images: 0", "2: images: 0 is not a whole number >= 1; give one"),
        (REQUESTS + "images: 10001", "2: images: 10001 is not a whole number <= 10000; give one"),
        (REQUESTS + "images: 1.5", "2: images: 1.5 is not a whole number; give one"),
        (
            REQUESTS + "images: '3'",
            "2: images: '3' is not a whole number; write it without quotes",
        ),
        (REQUESTS + "images: many", "2: images: 'many' is not a whole number; give one"),
        (REQUESTS + "deadline_s: 0", "2: deadline_s: 0 is not a number > 0.0; give one"),
        (REQUESTS + "deadline_s: yes", "2: deadline_s: 'yes' is not a number; give one"),
        (REQUESTS + "deadline_s: '1e-3'", "2: deadline_s: '1e-3' is not a number; write it without quotes"),
        (REQUESTS + "deadline_s: .inf", "2: deadline_s: '.inf' is not a value that can be read; give a plain one"),
        (REQUESTS + "deadline_s: 1:30", "2: deadline_s: '1:30' is not a number; give one"),
        (REQUESTS + 'name: "\\U00110000"', "2: not YAML: chr() arg not in range(0x110000); leave it out"),
        (
            REQUESTS + "arrivals: !!map x",
            "2: arrivals: a value of the kind map, which no field takes; write text in quotes",
        ),
        (REQUESTS + "images: 0b_", "2: images: '0b_' is not a value that can be read; give a plain one"),
        (REQUESTS + "images: !!bool x", "2: images: 'x' is not a value that can be read; give a plain one"),
        (REQUESTS + 'name: "\\ud83d"', "2: name: '\\ud83d' is not a value that can be read; give a plain one"),
        (
            REQUESTS + "name: !!python/name:len x",
            "2: name: a value of the kind python/name:len, which no field takes; write text in quotes",
        ),
        (REQUESTS + "name: !!set {x}", "2: name: a value of the kind set, which no field takes; write text in quotes"),
        (REQUESTS + "conditions: waits", "2: conditions: 'waits' is not a choice; did you mean wait?"),
        (REQUESTS + "conditions: late", "2: conditions: 'late' is not a choice; choose from wait, early, ignore"),
        (
            REQUESTS + "loop: open",
            "2: loop: 'open' is not a choice; choose from once, closed, and `arrivals` for an open one",
        ),
        (REQUESTS + "seed: 3", "2: seed: decides nothing without arrivals; leave it out or give `arrivals`"),
        (
            REQUESTS + "loop: closed\narrivals: {process: poisson, rate_per_s: 1}",
            "2: loop: arrivals make the loop open; leave out `loop` or `arrivals`",
        ),
        (REQUESTS + "arrivals: poisson", "2: arrivals: 'poisson' is not a mapping; give one"),
        (REQUESTS + "arrivals:\n  rate_per_s: 1", "2: arrivals: 'process' is missing; add it"),
        (
            REQUESTS + "arrivals:\n  process: poison",
            "3: arrivals.process: 'poison' is not a choice; did you mean poisson?",
        ),
        (REQUESTS + "arrivals:\n  process: poisson", "2: arrivals: 'rate_per_s' is missing; add it"),
        (
            REQUESTS + "arrivals:\n  process: poisson\n  rate_s: 1",
            "4: arrivals: 'rate_s' is not a field; did you mean rate_per_s?",
        ),
        (
            REQUESTS + "arrivals:\n  process: poisson\n  every: 1",
            "4: arrivals: 'every' is not a field; choose from process, rate_per_s",
        ),
        (
            REQUESTS + "arrivals:\n  process: poisson\n  rate_per_s: -1",
            "4: arrivals.rate_per_s: -1 is not positive",
        ),
        (
            REQUESTS + "arrivals:\n  process: uniform\n  max_s: 2\n  min_s: 3",
            "5: arrivals.min_s: 3 is not between 0 and max_s=2",
        ),
        (
            REQUESTS + "arrivals:\n  process: trace\n  at_s: [2, 1]",
            (
                "4: arrivals.at_s: at_s is not a trace; "
                "give times from 0 s on, in order, or recorded ones to Trace.of or as `at`"
            ),
        ),
        (
            REQUESTS + "arrivals:\n  process: trace\n  at_s:\n  - 1\n  - x",
            "6: arrivals.at_s[1]: 'x' is not a number; give one",
        ),
        (
            REQUESTS + "images: 3\narrivals:\n  process: trace\n  at_s: [0, 1]",
            "5: arrivals.at_s: the trace has 2 times for 3 arrivals; record more or request fewer",
        ),
        (
            REQUESTS + "images: 9\narrivals:\n  process: constant\n  every_s: 1.0e+308",
            "3: arrivals: workload fga, request 2: arrival_s=inf is not a time after the start; give 0 or more seconds",
        ),
        (
            "requests:\n- a\n- network: b\n  feeds:\n    x: a\n    y: c",
            "6: requests[1].feeds.y: 'c' is not an earlier request; choose from a",
        ),
        (
            "requests:\n- a\n- network: b\n  feeds:\n    x: b",
            "5: requests[1].feeds.x: 'b' is not an earlier request; only an earlier one can feed it",
        ),
        (
            "requests:\n- a\n- network: b\n  feeds:\n    x: a\n    y: {request: a, output: -1}",
            "6: requests[1].feeds.y.output: -1 is not a whole number >= 0; give one",
        ),
        (
            "requests:\n- a\n- network: b\n  feeds: {x: {request: a,\n   rule: next}}",
            "5: requests[1].feeds.x.rule: 'next' is not a choice; choose from same, argmax",
        ),
        (
            "requests:\n- a\n- {network: b, feeds: {x: {output: 1}}}",
            "3: requests[1].feeds.x: 'request' is missing; add it",
        ),
        (
            "requests:\n- a\n- {network: b, feeds: {x: {request: a, outptu: 1}}}",
            "3: requests[1].feeds.x: 'outptu' is not a field; did you mean output?",
        ),
        (
            "requests:\n- a\n- {network: b, feeds: {x.y: a}}",
            "3: requests[1].feeds: 'x.y' is not the name of an input; give its keyword or position",
        ),
        (
            "requests:\n- a\n- {network: b, feeds: {x: 3}}",
            '3: requests[1].feeds.x: 3 is not text or a mapping; write it in quotes: "3"',
        ),
        (
            "requests:\n- face_net\n- network: a\n  when:\n    value: 1\n    request: fase",
            "6: requests[1].when.request: 'fase' is not an earlier request; did you mean face_net?",
        ),
        (
            "requests:\n- a\n- b\n- a\n- {network: c, when: {request: xyz, value: 1}}",
            "5: requests[3].when.request: 'xyz' is not an earlier request; choose from a, b",
        ),
        (
            "requests:\n- a\n- network: b\n  when: {request: c, value: 1}\n- c",
            "4: requests[1].when.request: 'c' is not an earlier request; only an earlier one can decide",
        ),
        (
            "requests:\n- {network: b, when: {request: b, value: 1}}",
            "2: requests[0].when.request: 'b' is not an earlier request; only an earlier one can decide",
        ),
        (
            "requests:\n- a\n- a\n- {network: b,\n   when: {request: a, value: 1}}",
            "5: requests[2].when.request: 'a' may be requests[0] or requests[1]; give each its own label with `as`",
        ),
        ("requests:\n- a\n- {network: b, when: {request: a}}", "3: requests[1].when: 'value' is missing; add it"),
        (
            "requests:\n- a\n- network: b\n  when:\n    request: a\n    value: 1\n    at:\n    - 0\n    - -1",
            "9: requests[1].when.at[1]: -1 is not a whole number >= 0; give one",
        ),
        (
            "requests:\n- a\n- network: b\n  when:\n    request: a\n    value: 1\n    comparison: is",
            "7: requests[1].when.comparison: 'is' is not a choice; choose from >, >=, <, <=",
        ),
        (REQUESTS + "x: &a [1]\ny: *a", "2: 'a' is an anchor or an alias; write out the value"),
        (REQUESTS + "x: *a", "2: 'a' is an anchor or an alias; write out the value"),
        (
            REQUESTS + "<<: {images: 2}",
            f"2: '<<' is not a field; choose from {FIELDS}",
        ),
        (REQUESTS + "x:\n " + "[" * 50_000, "3: nested deeper than 10 levels; take some out"),
        ("a: 1\nb: c: d", "2: not YAML: mapping values are not allowed here"),
        (
            "a: 1\n\tb: 2",
            "2: not YAML: while scanning for the next token, found character '\\t' that cannot start any token",
        ),
        ("a: [1\nb: 2", "2: not YAML: while parsing a flow sequence, expected ',' or ']', but got ':'"),
        ("a: 1\n---\nb: 2", "2: not YAML: expected a single document in the stream, but found another document"),
        ("a: 1\nb: \x07", "2: not YAML: the character U+0007; leave it out"),
    ],
)
def test_errors_in_yaml(text: str, said: str) -> None:
    """Each mistake in YAML is reported in one sentence, with its line, the value and a hint."""
    assert error(text) == said


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (" ", "1: the file is empty; begin with `requests:`"),
        ('{"requests": ["a"],\n\n"images" 3}', "3: not JSON: expecting ':' delimiter"),
        ('{"requests": ["a"]}\n{}', "2: not JSON: extra data"),
        ("[" * 100_000, "1: nested deeper than 10 levels; take some out"),
        ('{\n\t"requests":\t[true]}', '2: requests[0]: true is not text or a mapping; write it in quotes: "true"'),
        (
            '{"requests": ["a"],\n\t"seed"\n\t:\t3, "arrivals": []}',
            "3: arrivals: an empty list is not a mapping; give one",
        ),
        ('{"requests": ["a"],\n"requests":\n["b"]}', "2: 'requests' is given twice; keep one"),
        (
            '{"requests": ["\u2028"],\n"images": NaN}',
            "2: images: 'NaN' is not a value that can be read; give a plain one",
        ),
        (
            '{"requests": ["a"],\n"images": 1e999}',
            "2: images: '1e999' is not a value that can be read; give a plain one",
        ),
        (
            '{"requests": ["a"],\n"images": ' + "9" * 5000 + "}",
            "2: images: '999999999999...9999999999999' is not a value that can be read; give a plain one",
        ),
        (
            '{"requests": ["a"],\n"name": "\\ud83d"}',
            "2: name: '\\ud83d' is not a value that can be read; give a plain one",
        ),
    ],
)
def test_errors_in_json(text: str, said: str) -> None:
    """Each mistake in JSON is reported in the same way, by the rules of JSON."""
    assert error(text, "x.json") == said


def test_long_numbers_are_shortened() -> None:
    """A number of any length takes one line of the error."""
    number, shown = f"0.{'9' * 100_000}", "0.9999999999...9999999999999"
    hint = f'write it in quotes: "{shown}"'
    assert error(f'{{"requests": [{number}]}}', "x.json") == f"1: requests[0]: {shown} is not text or a mapping; {hint}"


def test_a_repeated_key_is_refused_before_its_values() -> None:
    """The line of a repeated key is that of its last occurrence."""
    assert error('{"requests": ["a"],\n"seed": 1,\n"seed": [NaN]}', "x.json") == "3: 'seed' is given twice; keep one"


def test_aliases_cannot_grow() -> None:
    """A text of aliases of aliases, a billion values if it were followed, is refused at its first anchor."""
    bomb = "a: &a [x, x]\n" + "".join(
        f"{b}: &{b} [{', '.join(['*' + a] * 9)}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)
    )
    assert error(f"\n{bomb}").startswith("2: 'a' is an anchor")


def test_no_yaml_is_executed(tmp_path: Path) -> None:
    """Tags that would have YAML call Python are refused and call nothing."""
    made = tmp_path / "made"
    assert "which no field takes" in error(
        f"requests: !!python/object/apply:pathlib.Path.touch [!!python/object/apply:pathlib.Path [{made}]]"
    )
    assert not made.exists()


def test_unreadable_files_are_refused_by_path(tmp_path: Path) -> None:
    """A file that is missing, a folder, not UTF-8 or of an unknown format is refused by its path."""
    missing, folder, latin, text = (tmp_path / name for name in ("no.yaml", "of.yaml", "latin.yaml", "mix.txt"))
    folder.mkdir()
    latin.write_bytes(b"requests:\n- caf\xe9\n")
    text.write_text(REQUESTS)
    for path, said in {
        missing: ": no such file or directory; give a file of YAML or JSON",
        folder: ": is a directory; give a file of YAML or JSON",
        tmp_path / "\0.yaml": ": no such file or directory; give a file of YAML or JSON",
        latin: ":2: a byte that is not UTF-8; save the file as UTF-8",
        text: ": neither YAML nor JSON by its name; let the name end in .yaml, .yml or .json",
    }.items():
        with pytest.raises(UsageError) as caught:
            Mix.load(path)
        assert str(caught.value) == printable(f"{path}{said}")


@pytest.mark.parametrize(("suffix", "max_bytes", "limit"), [("json", 1 << 22, "4M"), ("yaml", 1 << 18, "256K")])
def test_files_have_a_maximum_size(tmp_path: Path, suffix: str, max_bytes: int, limit: str) -> None:
    """A file of the maximum size is a mix, and a larger one is refused."""
    path, text = tmp_path / f"x.{suffix}", '{"requests": ["a"]}'
    path.write_text(text.ljust(max_bytes))
    assert Mix.load(path) == Mix.of("x", ["a"])
    path.write_text(text.ljust(max_bytes + 1))
    with pytest.raises(UsageError, match=f"too large: .*, and at most {limit}; give a file of YAML or JSON"):
        Mix.load(path)


def test_long_traces_are_read_from_json(tmp_path: Path) -> None:
    """JSON of recorded times may be several megabytes, and an error in it still has its line."""
    times = [i / 8 for i in range(300_000)]
    path = tmp_path / "x.json"
    document = {"requests": ["a"], "images": 2, "arrivals": {"process": "trace", "at_s": times}}
    path.write_text(json.dumps(document, indent=0))
    assert Mix.load(path) == Mix.of("x", ["a"], images=2).arriving(Trace(tuple(times)), seed=0)
    path.write_text(json.dumps(document, indent=0).replace("\n12345.125", "\nnull"))
    with pytest.raises(UsageError, match=r":98770: arrivals\.at_s\[98761\]: null is not a number; give one"):
        Mix.load(path)


# Properties of all files

NAMES = st.text(st.characters(exclude_categories=["C", "Z"], include_characters=" "), min_size=1, max_size=8).filter(
    lambda name: name[0] != "?"  # ruamel.yaml writes that without quotes in a list, and cannot read it again
)
FINITE = st.floats(allow_nan=False, allow_infinity=False)
SECONDS = st.floats(1e-6, 1e6)
COUNTS = st.integers(0, 1000)
PROCESS = st.one_of(
    st.builds(Constant, SECONDS),
    st.builds(lambda min_s, more_s: Uniform(min_s, min_s + more_s), SECONDS, SECONDS),
    st.builds(Normal, SECONDS, SECONDS),
    st.builds(Exponential, SECONDS),
    st.builds(Poisson, SECONDS),
    st.lists(SECONDS, min_size=3, max_size=5).map(lambda times: Trace(tuple(sorted(times)))),
)


@st.composite
def documents(draw: st.DrawFn) -> dict[str, Any]:
    """Draw the content of a valid file."""
    when = st.fixed_dictionaries(
        {"value": FINITE},
        optional={
            "comparison": st.sampled_from([">", ">=", "<", "<="]),
            "output": COUNTS,
            "at": st.lists(COUNTS, max_size=2),
        },
    )
    asked: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
        {"network": NAMES}, optional={"sample": COUNTS, "deadline_s": SECONDS}
    )
    requests: list[Any] = []
    labels: list[str] = []
    for r in range(draw(st.integers(1, 4))):
        request = draw(asked)
        is_conditional: bool = draw(st.booleans())
        if labels and is_conditional:
            request["when"] = {"request": draw(st.sampled_from(labels)), **draw(when)}
        if draw(st.booleans()):
            request["as"] = f"{r} {draw(NAMES)}"
            labels.append(request["as"])
        requests.append(request["network"] if list(request) == ["network"] else request)
    document = draw(
        st.fixed_dictionaries(
            {"requests": st.just(requests)},
            optional={
                "name": NAMES,
                "images": st.integers(1, 3),
                "conditions": st.sampled_from(["wait", "early", "ignore"]),
                "deadline_s": SECONDS,
            },
        )
    )
    if draw(st.booleans()):
        document["arrivals"] = msgspec.to_builtins(draw(PROCESS))
        document |= draw(st.fixed_dictionaries({}, optional={"seed": COUNTS}))
    else:
        document |= draw(st.fixed_dictionaries({}, optional={"loop": st.sampled_from(["once", "closed"])}))
    return document


def dumped(value: Any, *, flow: bool, unicode: bool) -> str:
    """Return `value` as YAML, in flow or block style, with or without escapes."""
    yaml, text = YAML(typ="safe", pure=True), io.StringIO()
    yaml.default_flow_style, yaml.allow_unicode = flow, unicode
    yaml.dump(value, text)
    return text.getvalue()


def loaded(text: str) -> Any:
    """Return the value of a YAML text."""
    return YAML(typ="safe", pure=True).load(text)


@given(documents(), st.booleans(), st.booleans(), st.sampled_from([None, 1, "\t"]))
def test_yaml_and_json_say_the_same(document: dict[str, Any], flow: bool, unicode: bool, indent: Any) -> None:  # noqa: FBT001
    """A valid document, dumped as YAML and as JSON in any style, loads to the same mix, of all that is asked."""
    as_json = json.dumps(document, ensure_ascii=not unicode, indent=indent)
    as_yaml = dumped(json.loads(as_json), flow=flow, unicode=unicode)
    mix = parse(as_json, "x.json")
    assert parse(as_yaml, "x.yaml") == mix
    names = [request if isinstance(request, str) else request["network"] for request in document["requests"]]
    assert [ask.network for ask in mix.asks] == names * document.get("images", 1)
    assert mix.name == document.get("name", "x")
    assert mix.loop == ("open" if "arrivals" in document else document.get("loop", "once"))


def places(source: Source, path: str = "$") -> Iterator[tuple[str, int, Any, str]]:
    """Yield the path, the line and the value of what is at `path` and of all values in it, and how errors show them."""
    place = source[path]
    yield path, place.line, place.value, place.shown
    if isinstance(place.value, dict):
        for name in place.value:
            yield from places(source, f"{path}.{name}")
    elif isinstance(place.value, list):
        for i in range(len(place.value)):
            yield from places(source, f"{path}[{i}]")


@given(documents(), st.sampled_from([None, 0, 2]))
def test_places_in_json_are_those_in_yaml(document: dict[str, Any], indent: int | None) -> None:
    """JSON of more than one line is also YAML, and each value of it has the same place by both formats."""
    text = json.dumps(document, ensure_ascii=False, indent=indent)
    assert list(places(Source(text, "x.json"))) == list(places(Source(text, "x.yaml")))


PIECES = st.sampled_from(
    [
        *"[]{}:,-?&*!|>'\"%@`#\\ \n\t\r\0\x85\ud800é",
        "\n- ",
        "no",
        "~",
        ".nan",
        "1e999",
        "-1",
        "!!int ",
        "!!set ",
        "<<: ",
        "---\n",
    ]
) | st.text(max_size=3)
CUTS = st.lists(st.tuples(st.floats(0, 1), st.integers(0, 12), PIECES), min_size=1, max_size=3)


@given(st.sampled_from(["x.yaml", "x.json"]), CUTS)
def test_a_mutated_file_is_a_mix_or_a_usage_error(file: str, cuts: list[tuple[float, int, str]]) -> None:
    """However a valid text is changed, it is a mix or refused in one sentence with a line of the file."""
    text = EXAMPLE if file == "x.yaml" else json.dumps(loaded(EXAMPLE), indent="\t")
    for place, length, piece in cuts:
        start = int(place * len(text))
        text = text[:start] + piece + text[start + length :]
    said = outcome(text, file)
    line = re.fullmatch(r"x\.\w+:(\d+): \S.*", said)
    assert said == "mix" or (line and 1 <= int(line[1]) <= len(text.splitlines()) + 1), said


def outcome(text: str, file: str) -> str:
    try:
        parse(text, file)
    except UsageError as refused:
        return str(refused)
    return "mix"


# The schema and the guide


def test_the_schema_is_that_of_the_code() -> None:
    """docs/workload.schema.json is what `schema()` returns."""
    assert json.loads((DOCS / "workload.schema.json").read_text()) == json.loads(json.dumps(schema()))


def test_every_process_can_be_written_down() -> None:
    """The format has every arrival process, and no other."""
    tags = [kind.__struct_config__.tag for kind in get_args(Arrivals)]
    assert tags == [process.__struct_config__.tag for process in PROCESSES]


def test_the_guides_files_load(tmp_path: Path) -> None:
    """Every YAML block of the guide is a workload."""
    names = [parse(block, "fga.yaml").name for block in blocks("yaml")]
    assert names == ["FGA", "kitchen"]


def test_the_guides_example_uses_every_field() -> None:
    """The complete example has every field, `loop` as a comment, since arrivals exclude it."""
    for field in (
        *WorkloadDocument.__struct_encode_fields__,
        "network",
        "as",
        "sample",
        "when",
        "comparison",
        "output",
        "at",
        "feeds",
    ):
        assert re.search(rf"\b{field}:", EXAMPLE), field
    assert (
        parse(EXAMPLE.replace("# loop", "loop").replace("arrivals", "# ").replace("seed", "# "), "x.yaml").loop
        == "closed"
    )


def test_the_guides_error_is_what_is_said() -> None:
    """The error that the guide shows is the one that its example gives with the typing mistake."""
    typed = EXAMPLE.replace("request: face_net", "request: fase")
    assert [f"fga.yaml:{error(typed, 'fga.yaml')}\n"] == blocks("text")


def test_the_guides_python_runs() -> None:
    """The Python blocks of the guide run and make the mixes they speak of."""
    first: dict[str, Any] = {}
    streams: dict[str, Any] = {}
    heavy: dict[str, Any] = {}
    second: dict[str, Any] = {}
    mixes = [code for code in blocks("python") if not code.startswith("# test_")]
    for code, names in zip(mixes, (first, streams, heavy, second), strict=True):
        exec(code, names)  # noqa: S102  # our own guide
    assert (first["served"].loop, first["served"].arrivals, first["served"].seed) == ("open", "poisson, 2 a second", 1)
    assert {ask.deadline_s for ask in first["served"].asks} == {0.5}
    assert (first["in_turn"].loop, first["in_turn"].conditions) == ("closed", "early")
    assert (heavy["heavy"].clock, heavy["heavy"].arrivals) == ("service", "exponential, every 0.8 service times")
    assert {ask.stream for ask in streams["kitchen"].asks} == {"camera", "faces", "questions"}
    assert second["mix"].asks[2].when == Condition(0, 0.8, at=(0, 1))


def test_the_guides_table_of_processes() -> None:
    """The guide's table has each process in Python and as written in a file, and both are the same."""
    rows = re.findall(r"^\| `([A-Z].*?)` \| `(\{process.*?\})` \|", GUIDE, re.MULTILINE)
    written = [eval(python, vars(pytest_edgeload) | {p.__name__: p for p in PROCESSES}) for python, _ in rows]  # noqa: S307
    plain = Mix.of("fga", ["a"], images=3)
    for process, (_, file) in zip(written, rows, strict=True):
        assert from_yaml(f"requests: [a]\nimages: 3\narrivals: {file}") == plain.arriving(process)
    assert [type(process) for process in written] == list(PROCESSES)
