"""A program's own metrics come from its output, its files, its answers and its own reports; faults become notices."""

from __future__ import annotations

import json
import os
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pytest_edgeload import mark, record
from pytest_edgeload.devices.constraints import Constraints
from pytest_edgeload.plugin.programs import pack_call
from pytest_edgeload.plugin.sources import Metrics, returned, sources_of
from pytest_edgeload.results.measurement import Measurement
from pytest_edgeload.sandbox import matching
from pytest_edgeload.sandbox.caps import Cap
from pytest_edgeload.sandbox.command import Command, launch_command
from pytest_edgeload.sandbox.constraints import Limits
from pytest_edgeload.sandbox.enclosure import Enclosure
from pytest_edgeload.sandbox.launch import launch_call
from tests.sandbox.child import MIB

Measure = Callable[..., Measurement]


@pytest.fixture
def call(cap: Cap, fresh: Callable[[], str]) -> Measure:
    """Return a function that calls a function in a worker."""

    def call(function: Callable[..., object], *args: object, metrics: Metrics = None, repeat: int = 1) -> Measurement:
        packed = pack_call("it", function, args, {}, [sys.modules[__name__]])
        packed = replace(packed, metrics=returned(metrics), repeat=repeat)
        return launch_call(packed, 1, Enclosure(cap, fresh(), Limits(Constraints(256 * MIB)), 60))

    return call


@pytest.fixture
def run(cap: Cap, fresh: Callable[[], str], tmp_path: Path) -> Measure:
    """Return a function that runs a command in an empty folder."""

    def run(*argv: str, metrics: Metrics = None, ready: Any = None, ask: Any = None) -> Measurement:
        command = Command.of(argv, os.environ, tmp_path, None, ready, ask)
        command = replace(command, metrics=sources_of(metrics))
        return launch_command(command, 1, Enclosure(cap, fresh(), Limits(), 60))

    return run


def values(run: Measurement) -> dict[str, object]:
    """Return the values of the own metrics of a run that was ok."""
    assert (run.outcome, run.detail) == ("ok", "")
    return {name: metric.value for name, metric in run.own.items()}


REPORT = """\
echo 'prompt eval: 100.5 tokens per second'
echo '{"timings": {"per_second": 31.25, "each": [{"s": 1}, {"s": 2}], "name": "x", "flag": true, "none": NaN}}'
echo 'eval: 12.5 t/s' >&2
echo '{"wer": 0.25}' > result.json
"""


def test_output_and_files_are_sources(run: Measure, tmp_path: Path) -> None:
    """A command's metrics are in JSON and text on its output, and in files; each one that is not is a notice."""
    (tmp_path / "old.json").write_text("{}")
    (tmp_path / "fifo.json").symlink_to("/dev/zero")
    found = run("sh", "-c", REPORT, metrics={
        "tokens_per_s": "$.timings.per_second",
        "latency_s": "$.timings.each[*].s",
        "prompt": r"/prompt eval: (?P<value>[\d.]+) tokens/",
        "generation": r"/^eval: (?P<value>[\d.]+) t.s$/",
        "both": r"/eval: (?P<value>[\d.]+)/g",
        "wer": "result.json:$.wer",
        "absent": "$.timings.missing",
        "text": "$.timings.name",
        "flag": "$.timings.flag",
        "none": "$.timings.none",
        "several": r"/eval: (?P<value>[\d.]+)/",
        "unwritten": "old.json:$.x",
        "endless": "fifo.json:$.x",
    })  # fmt: skip
    assert values(found) == {
        "tokens_per_s": 31.25, "latency_s": (1, 2), "prompt": 100.5, "generation": 12.5, "both": (100.5, 12.5),
        "wer": 0.25,
    }  # fmt: skip
    assert found.notices == (
        (
            "its metric absent is left out: $.timings has no 'missing', "
            "only ['per_second', 'each', 'name', 'flag', 'none']"
        ),
        "its metric text is left out: it is 'x' instead of a number",
        "its metric flag is left out: it is True instead of a number",
        "its metric none is left out: it is nan instead of a finite number",
        "its metric several is left out: /eval: (?P<value>[\\d.]+)/ matches 2 times; /.../g makes a series of them",
        "2 more of its metrics are left out",
    )
    assert found.own["tokens_per_s"].better == "higher"


def test_much_output_keeps_its_last_line(run: Measure) -> None:
    """The last line of 100 MB that are not text is read as JSON, without the rest in this process's memory."""
    script = 'head -c 100000000 /dev/zero; printf \'\\n\\377{"x": 1}\\n{"x": 2}\''
    assert values(run("sh", "-c", script, metrics=["x"])) == {"x": 2}


def test_failed_run_misses_no_metric(run: Measure) -> None:
    """A run that failed keeps the metrics that it reported, and none is missed in its row."""
    found = run("sh", "-c", "echo '{\"x\": 1}'; exit 3", metrics=["x", "y"])
    assert (found.outcome, found.notices) == ("crashed", ())
    assert [*found.own] == ["x"]


def test_runaway_expression_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """An expression that would match for ever is ended, with a sentence."""
    monkeypatch.setattr(matching, "_TIMEOUT_S", 0.5)
    with pytest.raises(ValueError, match=r"takes more than 0\.5 s to match; simplify it"):
        matching.matches(r"(?P<value>(a+)+)b", "value", "a" * 64)


SERVER = """\
import socket, sys
with socket.create_server(("127.0.0.1", int(sys.argv[1]))) as server:
    print('{"loaded": 3}', flush=True)
    while True:
        server.accept()[0].close()
"""


def _port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


def test_answer_of_a_service_is_a_source(run: Measure) -> None:
    """Paths lead through the mapping that `ask` returns, and `ask` may record and mark in pytest's process."""

    def ask() -> dict[str, float]:
        for latency_s in (0.1, 0.2):
            record("latency_s", latency_s, series=True)
        mark("asked")
        return {"requests_per_s": 5}

    def serve(ask: Callable[[], object], metrics: Metrics) -> dict[str, object]:
        port = _port()
        return values(
            run(sys.executable, "-c", SERVER, str(port), ready=f"tcp:127.0.0.1:{port}", ask=ask, metrics=metrics)
        )

    found = serve(ask, ["requests_per_s"])
    assert found.pop("anon_at.asked") is not None
    assert found == {"requests_per_s": 5, "latency_s": (0.1, 0.2)}
    assert serve(lambda: b"took 5 s", {"took_s": r"/took (?P<value>\d) s/"}) == {"took_s": 5}
    assert serve(lambda: None, ["loaded"]) == {"loaded": 3}


def test_function_reports_metrics_and_moments(call: Measure) -> None:
    """A function returns metrics and records others; its memory at named moments is that of all its processes."""

    def work() -> object:
        record("tokens_per_s", 31.2, unit="tok/s")
        held = [b"x" * (64 * MIB)]
        mark("loaded")
        held.clear()
        mark("unloaded")
        if os.fork() == 0:
            held.append(b"x" * (64 * MIB))
            mark("by_child")
            os._exit(0)
        os.wait()
        record("twice", 1)
        record("twice", 2)
        return {"a": {"b": 5}, "nan": float("nan")}

    found = call(work, metrics={"b": "$.a.b", "nan": "$.nan", "missing": "$.c"})
    own = values(found)
    loaded, unloaded, by_child = (own.pop(f"anon_at.{name}") for name in ("loaded", "unloaded", "by_child"))
    assert own == {"b": 5, "tokens_per_s": 31.2}
    assert found.own["tokens_per_s"].unit == "tok/s"
    assert isinstance(loaded, float)
    assert isinstance(unloaded, float)
    assert isinstance(by_child, float)
    assert 63 * MIB < loaded - unloaded < 66 * MIB
    assert 63 * MIB < by_child - unloaded < 72 * MIB
    assert [moment.name for moment in found.timeline.moments] == ["loaded", "unloaded", "by_child"]
    assert found.makespan_s is not None
    assert all(0 < moment.at_s < found.makespan_s for moment in found.timeline.moments)
    assert any("twice is left out: it was reported 2 times" in notice for notice in found.notices)
    assert any("nan is left out: it is nan instead of a finite number" in notice for notice in found.notices)
    assert any("missing is left out: $ has no 'c'" in notice for notice in found.notices)


_KEPT: list[bytes] = []


def _leak(size_bytes: int) -> dict[str, int]:
    _KEPT.append(b"x" * size_bytes)
    return {"kept": len(_KEPT)}


def _work(size_bytes: int) -> int:
    return len(b"x" * size_bytes)


def test_leak_is_the_growth_of_each_repetition(call: Measure) -> None:
    """A function that keeps 1 MiB per call leaks that, within its interval; its metrics are series."""
    found = call(_leak, MIB, repeat=20, metrics=["kept"])
    own = values(found)
    assert own["kept"] == tuple(range(1, 21))
    assert len(found.own["repetition_s"].value) == 20  # type: ignore[arg-type]
    at_s = {moment.at_s for moment in found.timeline.moments}
    held = [size for size, at in zip(found.timeline.anon_bytes, found.timeline.at_s, strict=True) if at in at_s]
    assert held[-1] - held[0] > 18 * MIB
    leak = found.own["leak"]
    assert leak.interval is not None
    assert leak.interval[0] <= leak.value <= leak.interval[1]  # type: ignore[operator]
    assert MIB <= leak.value < 1.1 * MIB  # type: ignore[operator]
    assert found.makespan_s == pytest.approx(sum(found.own["repetition_s"].value))  # type: ignore[arg-type]
    assert found.returned == {"kept": 20}


def test_function_that_frees_its_memory_does_not_leak(call: Measure) -> None:
    """A function that takes and frees 1 MiB per call has a leak of 0."""
    assert values(call(_work, MIB, repeat=20))["leak"] == 0


def test_failed_repetition_is_numbered(call: Measure) -> None:
    """The outcome of a function that fails later names the repetition."""

    def fail_later() -> None:
        _KEPT.append(b"")
        assert len(_KEPT) < 3

    found = call(fail_later, repeat=5)
    assert (found.outcome, found.detail.split(":")[0]) == ("wrong", "repetition 3")


def test_hostile_reports_end(call: Measure) -> None:
    """A function that reports far too much costs its run a few seconds at most, and a sentence."""

    def flood() -> None:
        for _ in range(300):
            record("x", [0.5] * 20_000)

    begin = time.monotonic()
    found = call(flood)
    assert found.outcome == "ok"
    assert time.monotonic() - begin < 60
    series = found.own["x"].value
    assert isinstance(series, tuple)
    assert len(series) <= 10_000
    assert any(notice.startswith("it reported too much: ") for notice in found.notices)
    assert len(json.dumps(series)) < MIB
