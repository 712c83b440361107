"""Fuzz targets: each parser of foreign input, the exceptions it may raise, and example inputs.

The input of a target is any bytes. Its parser returns a value or raises one of its `refusals`; the check of a returned
value must not fail. Anything else is a bug. Hypothesis runs the targets in every test session, and atheris in `fuzz.py`
for any length of time.
"""

from __future__ import annotations

import io
import math
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from pytest_edgeload import devices
from pytest_edgeload.base import decoding, kernel_text, units
from pytest_edgeload.base import text as texts
from pytest_edgeload.base.errors import Refusal
from pytest_edgeload.base.units import Limit
from pytest_edgeload.devices import Device
from pytest_edgeload.job import Event
from pytest_edgeload.networks import checkpoint
from pytest_edgeload.networks.layer import Network
from pytest_edgeload.plugin.properties import pack, unpack
from pytest_edgeload.plugin.settings import OPTIONS
from pytest_edgeload.report import FORMATS
from pytest_edgeload.report.columns import parse_columns, parse_group_by, parse_sort
from pytest_edgeload.report.html.experiment import experiments
from pytest_edgeload.report.html.figures import figures
from pytest_edgeload.report.html.frame import encoded
from pytest_edgeload.report.html.summary import titles
from pytest_edgeload.report.view import View
from pytest_edgeload.results import baseline
from pytest_edgeload.results.document import Document, parse, render
from pytest_edgeload.results.finding import Judgement
from pytest_edgeload.results.record import Entry
from pytest_edgeload.results.threshold import Ceiling, Threshold, parse_figure, parse_thresholds
from pytest_edgeload.sandbox import counters
from pytest_edgeload.sandbox.caps.hierarchy import group_in, mount_in
from pytest_edgeload.sandbox.launch import parse_event
from pytest_edgeload.sandbox.swap_area import areas
from pytest_edgeload.workload import Mix, file, recording
from pytest_edgeload.workload.arrivals import Trace
from tests.report.documents import document, record


class Target(NamedTuple):
    """A parser, the exceptions it may raise, example inputs, and a check of every value that it returns.

    `failures` are inputs that this parser once failed on.
    """

    parse: Callable[[bytes], Any]
    refusals: tuple[type[Exception], ...]
    examples: tuple[bytes, ...]
    check: Callable[[Any], None] = lambda _: None
    failures: tuple[bytes, ...] = ()


def _of_text(parse: Callable[[str], object], *examples: str, check: Callable[[Any], None] = lambda _: None) -> Target:
    """Return the target of a parser that raises ValueError; its input is text, possibly with lone surrogates."""
    return Target(_decoding(parse), (ValueError,), _encoded(examples), check)


def _of_kernel(parse: Callable[[str], object], example: bytes, *failures: bytes) -> Target:
    """Return the target of a parser of the kernel's text, which refuses nothing and leaves unknown parts out."""
    return Target(lambda data: parse(os.fsdecode(data)), (), (example,), failures=failures)


def _refusing(parse: Callable[[str], object], *examples: str, check: Callable[[Any], None] = lambda _: None) -> Target:
    """Return the target of a parser of text that raises Refusal."""
    return Target(_decoding(parse), (Refusal,), _encoded(examples), check)


def _decoding(parse: Callable[[str], object]) -> Callable[[bytes], object]:
    return lambda data: parse(data.decode(errors="surrogateescape"))


def _encoded(examples: tuple[str, ...]) -> tuple[bytes, ...]:
    return tuple(example.encode() for example in examples)


def _check_size(size: int) -> None:
    assert units.parse_size(units.exact_size(size)) == size
    assert abs(units.parse_size(units.format_size(size)) - size) <= size / 20


def _check_limit(limit: Limit) -> None:
    assert Limit.parse(str(limit)) == limit


def _check_amount(amount: float) -> None:
    assert 0 < amount < math.inf


def _check_thresholds(thresholds: tuple[Threshold, ...]) -> None:
    assert parse_thresholds(",".join(threshold.text for threshold in thresholds)) == thresholds
    for threshold in thresholds:
        assert parse_figure(str(threshold.figure)) == threshold.figure
        assert threshold.allowed(1.0) >= 0
        assert threshold.figure.show(threshold.allowed(1.0))


def _ceiling(text: str) -> Ceiling:
    name, _, limit = text.partition(" ")
    return Ceiling.parse(name, limit)


def _check_ceiling(ceiling: Ceiling) -> None:
    assert _ceiling(ceiling.text) == ceiling
    assert ceiling.figure.show(ceiling.value)


def _same_names(parse: Callable[[str], object]) -> Callable[[Any], None]:
    """Return a check that names, joined with commas, are parsed as the same names."""

    def check(names: tuple[str, ...]) -> None:
        assert parse(",".join(names)) == names

    return check


def _options(text: str) -> None:
    """Parse the text with every option, because each refuses different texts."""
    for option in OPTIONS.values():
        try:
            option.parse(text, Path.cwd()) if option.is_path else option.parse(text)
        except ValueError as error:
            assert str(error)  # noqa: PT017  # the message is for people


def _mix(suffix: str) -> Callable[[str], object]:
    return lambda text: file.parse(text, f"mix{suffix}")


def _check_devices(by_name: Mapping[str, Device]) -> None:
    for device in by_name.values():
        _check_limit(device.memory)
        assert all(value > 0 or name == "swap_bytes" for name, value in device.constraints.values.items())


def _trace(name: str) -> Callable[[bytes], Trace]:
    return lambda data: Trace(*recording.read(io.BytesIO(data), name, None, None))


def _check_times(trace: Trace) -> None:
    assert trace.at_s[0] == 0
    assert Mix.of("mix", ["a"], images=len(trace.at_s)).arriving(trace).arrivals.isprintable()


def _check_mix(mix: Mix) -> None:
    texts.check("workload", mix.name)
    assert decoding.decode(msgspec.json.encode(mix), Mix) == mix


def _check_document(parsed: Document) -> None:
    assert parse(render(parsed)) == parsed


def _check_reports(parsed: Document) -> None:
    """Render the document in every format; of the HTML page, whose script alone takes megabytes, only the charts."""
    for name, report in FORMATS.items():
        if name != "html":
            assert isinstance(report(parsed, Judgement(), View()), str)
    cases = experiments(parsed.records)
    encoded(figures(cases, titles(cases)))


def _entry(data: bytes) -> Entry:
    return unpack(data.decode(errors="replace"))


def _check_entry(entry: Entry) -> None:
    """Check that all but the spans and the timeline crosses xdist, and that it crosses again unchanged."""
    crossed = unpack(pack(entry))
    assert crossed.case == entry.case
    assert crossed.measurement == entry.measurement.summary()
    assert unpack(pack(crossed)) == crossed


def _check_graph(network: Network) -> None:
    assert decoding.decode(msgspec.json.encode(network), Network) == network


def _check_event(event: Event) -> None:
    line = msgspec.json.encode(event) + b"\n"
    assert parse_event(line) == event


_DOCUMENT = render(
    document(
        record("bulk", {"makespan_s": 1.5, "peak_bytes": 7, "returned": [1, {"a": None}]}, {"outcome": "oom"}),
        record("linear", {"makespan_s": 0.5, "tasks": [[0, 0, 0.0, 0.1, 0.2]], "steps": [["load", 0, "fc", 8]],
                          "response_s": [0.1, None], "service": {"net": {"requests": 2, "response_mean_s": 0.1}},
                          "timeline": {"at_s": [-0.1, 0.2], "anon_bytes": [1, 2], "file_bytes": [3, 4],
                                       "swap_bytes": [0, 0]}}, limit=None, memory_bytes=None, loop="closed"),
    )
)  # fmt: skip
_ENTRY = b'{"case": %s, "measurement": {"outcome": "ok"}, "file": "f"}' % (
    b'{"test":"t","workload":"w","policy":"p","limit":"1G","reader":"read","cap":"none","swap":"off",'
    b'"constraints":{"memory_bytes":1,"threads":2}}'
)
_YAML = (
    "requests: [face_net, age_net]\nimages: 8\n",
    (
        "name: mix\nrequests:\n- face_net\n"
        "- {network: age_net, as: age, when: {request: face_net, value: 0.5, at: [0]}}\n"
        "arrivals: {process: poisson, rate_per_s: 2}\nseed: 1\ndeadline_s: 0.5\n"
    ),
    (
        "duration_s: 2\nstreams:\n- {name: camera, network: a, queue: 1, arrivals: {process: constant, every_s: 1}}\n"
        "- {network: b, after: camera, probability: 0.5, when: {value: 0.5}}\n"
    ),
)
_JSON = ('{"requests": ["a", {"network": "b", "sample": 1}], "loop": "closed", "images": 2, "conditions": "early"}',)
_CSV = (
    b"TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:15:46.6805900,374,44\n2023-11-16 18:15:50+00:00,396,109\n",
    b"app,func,end_timestamp,duration\na,b,2.5,2.25\n", b"at\n1\n1.5e3\n",
)  # fmt: skip
_JSONL = (
    b'{"timestamp": 27482, "input_length": 69, "output_length": 5}\n',
    b'{"at": "2026-11-16"}\n\n{"at": "2026-11-17T01"}',
)
_SHIPPED = devices.known_devices(None)
_DEVICES = (
    '[board]\nmemory = "512M"\ncpus = 0.5\ncores = 1\nthreads = 2\nread = "90M"\nswap = "off"\nsources = ["x"]\n',
    '[b]\nextends = "rpi3"\nnote = "x"\n',
)
_EVENTS = (
    b'{"type":"done","makespan_s":1.0,"spans":[[0,0,0.0,0.0,1.0]],"arrived_s":[0.0],"dropped":[0],"notices":["x"]}\n',
    b'{"type":"checked","output_error":{"0":0.1,"1":null}}\n', b'{"type":"returned","value":[1,{"a":2}]}\n',
    b'{"type":"failed","message":"x","memory":true}\n', b'{"type":"ready"}\n',
)  # fmt: skip
_HEADER = b'{"__metadata__":{"a":"b"},"w":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]}}'
_GRAPH = (
    b'{"name":"n","layers":[{"name":"l","kind":"linear","weights":[{"name":"w","dtype":"float32","shape":[1],"offset":0'
    b',"size_bytes":4}],"ops":[{"target":"aten.relu.default","args":[1],"kwargs":{},"output":"x"}],"activation_bytes":4'
    b',"live_out_bytes":4,"flops":8}],"inputs":["x"],"outputs":["y"],"samples":[],"weights_sha256":"","samples_sha256":""}'
)
_STATUS = (
    b"Name:\tx\nVmHWM:\t  10 kB\nVmRSS:\t  10 kB\nRssAnon:\t 4 kB\nRssFile:\t 6 kB\nRssShmem:\t 0 kB\nVmSwap:\t 0 kB\n"
)
_STAT = b"4711 (a) R) S 1 4711 4711 0 -1 4194560 166 0 5 0 10 6 0 0 20 0 1 0 1719 8970240 983 18446744073709551615\n"
_GROUPS = b"4:memory:/a b/\xff:c\n1:cpu,cpuacct:/\n0::/\n"
_DIGITS = b"9" * 5001  # int() refuses more than 4,300
_MOUNTS = b"25 30 0:23 / /sys rw - sysfs sysfs rw\n33 25 0:29 /a /sys/fs/cgroup rw shared:9 - cgroup cgroup rw,memory\n"
_SWAPS = b"Filename\tType\tSize\tUsed\tPriority\n/a\\040b file 1024 0 -2\n/dev/zram0 partition 10 0 100\n"

TARGETS: Mapping[str, Target] = {
    "size": _of_text(units.parse_size, "512M", "1.5G", "1000001", "7", " 3 KiB", check=_check_size),
    "limit": _of_text(Limit.parse, "base+256M", "1G", check=_check_limit),
    "rate": _of_text(units.parse_rate, "90M/s", "2M", check=_check_size),
    "duration": _of_text(units.parse_duration, "300s", "1.5m", "250ms", check=_check_amount),
    "percent": _of_text(units.parse_percent, "5%", "0.1 %", check=_check_amount),
    "swap": _of_text(units.parse_swap, "auto", "4G"),
    "thresholds": _of_text(
        parse_thresholds, "makespan.p90/bulk:10%+0.2,peak:64M", "swap_in:0,makespan:10%+0.2s", check=_check_thresholds
    ),
    "ceiling": _of_text(_ceiling, "makespan 0.5x bulk", "peak 600M", check=_check_ceiling),
    "columns": _of_text(
        parse_columns, "makespan,peak.max,ratio,param:x", "response.p90/bulk", check=_same_names(parse_columns)
    ),
    "group-by": _of_text(parse_group_by, "workload,limit,param:x", check=_same_names(parse_group_by)),
    "sort": _of_text(parse_sort, "name", "makespan"),
    "options": _of_text(_options, "3-15", "1G,none", "bmf:out.json", "0001", "newest", "5%", "yes", "~/x"),
    "baseline-name": _of_text(baseline.check_name, "main", "v1.0+x"),
    "devices": _refusing(lambda text: devices.parse(text, Path("f.toml"), _SHIPPED), *_DEVICES, check=_check_devices),
    "workload-yaml": _refusing(_mix(".yaml"), *_YAML, *_JSON, check=_check_mix),
    "workload-json": _refusing(_mix(".json"), *_JSON, check=_check_mix),
    "trace-csv": Target(_trace("t.csv"), (Refusal,), _CSV, _check_times),
    "trace-jsonl": Target(_trace("t.jsonl"), (Refusal,), _JSONL, _check_times),
    "records": Target(parse, (ValueError,), (_DOCUMENT,), _check_document),
    "reports": Target(parse, (ValueError,), (_DOCUMENT,), _check_reports),
    "entry": Target(_entry, (ValueError,), (_ENTRY,), _check_entry),
    "event": Target(parse_event, (), _EVENTS, _check_event),
    "checkpoint": Target(checkpoint.header_tensors, (ValueError, checkpoint.BadCheckpoint), (_HEADER,)),
    "graph": Target(lambda data: decoding.decode(data, Network), (ValueError,), (_GRAPH,), _check_graph),
    "counters": _of_kernel(kernel_text.numbers, b"anon 4096\nfile 8192\nread_bytes: 7\n", b"anon " + _DIGITS),
    "status": Target(counters.resident, (), (_STATUS,), failures=(_STATUS.replace(b"10", _DIGITS),)),
    "stat": _of_kernel(counters.parse_stat, _STAT, _STAT.replace(b"19", _DIGITS), _STAT.replace(b"a) R", b"\xe5\xa4")),
    "stall": _of_kernel(counters.stall_in, b"some avg10=0.00 total=16101493\n", b"some total=" + _DIGITS),
    "swaps": _of_kernel(areas, _SWAPS, _SWAPS.replace(b"1024", _DIGITS), _SWAPS.replace(b"/a", "/\xa0 ".encode())),
    "mounts": _of_kernel(lambda text: mount_in(text, "cgroup", "memory"), _MOUNTS, b"25 30 0:23 / /sys rw - \n"),
    "groups": _of_kernel(lambda text: group_in(text, "memory"), _GROUPS, b"4:memory\n", b"\n"),
}
"""All targets by name."""


def run(target: Target, data: bytes) -> None:
    """Run a target on `data`; raise any bug as an exception. The message of a refusal must be one line."""
    try:
        value = target.parse(data)
    except target.refusals as error:
        if isinstance(error, Refusal):
            assert str(error).isprintable()  # noqa: PT017
    else:
        target.check(value)
