"""What is fuzzed: each parser of what others write, what it may refuse by, and texts to begin with.

A target takes any bytes. It returns, or raises one of its `refusals`; anything else is a find. Used by hypothesis in
each run of the tests, and by atheris in `fuzz.py` for as long as one likes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from pytest_edgeload import devices, reading, units
from pytest_edgeload.errors import Refusal
from pytest_edgeload.networks import checkpoint
from pytest_edgeload.networks.layer import Network
from pytest_edgeload.plugin.options import OPTIONS
from pytest_edgeload.plugin.session import pack, unpack
from pytest_edgeload.report import FORMATS
from pytest_edgeload.report.columns import parse_columns, parse_group_by, parse_sort
from pytest_edgeload.report.html.experiment import experiments
from pytest_edgeload.report.html.figures import encoded, figures
from pytest_edgeload.report.html.summary import titles
from pytest_edgeload.report.view import View
from pytest_edgeload.results import baseline
from pytest_edgeload.results.document import Document, parse, render
from pytest_edgeload.results.threshold import Ceiling, parse_thresholds
from pytest_edgeload.sandbox import counters
from pytest_edgeload.sandbox.caps.hierarchy import mount_in
from pytest_edgeload.sandbox.launch import parse_event
from pytest_edgeload.sandbox.swap import areas
from pytest_edgeload.units import Limit
from pytest_edgeload.workload import file
from tests.report.documents import document, record


class Target(NamedTuple):
    """A parser, the errors that it may raise, and examples of what it reads."""

    run: Callable[[bytes], object]
    refusals: tuple[type[Exception], ...]
    examples: tuple[bytes, ...]


def _of_text(run: Callable[[str], object], *examples: str) -> Target:
    """Return the target of a parser of texts, lone surrogates among them, that raises ValueError."""
    return Target(lambda data: run(data.decode(errors="surrogateescape")), (ValueError,), _encoded(examples))


def _refusing(run: Callable[[str], object], *examples: str) -> Target:
    """Return the same of one that raises our own refusals."""
    return Target(lambda data: run(data.decode(errors="surrogateescape")), (Refusal,), _encoded(examples))


def _encoded(examples: tuple[str, ...]) -> tuple[bytes, ...]:
    return tuple(example.encode() for example in examples)


def _size(text: str) -> None:
    size = units.parse_size(text)
    assert units.parse_size(units.exact_size(size)) == size
    assert isinstance(units.parse_size(units.format_size(size)), int)


def _limit(text: str) -> None:
    limit = Limit.parse(text)
    assert Limit.parse(str(limit)) == limit


def _thresholds(text: str) -> None:
    found = parse_thresholds(text)
    assert parse_thresholds(",".join(one.text for one in found)) == found


def _ceiling(text: str) -> None:
    name, _, limit = text.partition(" ")
    Ceiling.parse(name, limit)


def _options(text: str) -> None:
    """Give the text to every option; that one refuses it says nothing of the others."""
    for option in OPTIONS.values():
        try:
            option.parse(text)
        except ValueError as error:
            assert str(error)  # noqa: PT017  # what it says is for people


def _mix(suffix: str) -> Callable[[str], object]:
    return lambda text: file.parse(text, f"mix{suffix}")


def _records(data: bytes) -> Document:
    found = parse(data)
    assert parse(render(found)) == found
    return found


def _reports(data: bytes) -> None:
    """Show what can be read in every format; of the page, whose script alone takes megabytes, its charts."""
    found = parse(data)
    for name, report in FORMATS.items():
        if name != "html":
            report(found, (), View())
    cases = experiments(found.records)
    encoded(figures(cases, titles(cases)))


def _entry(data: bytes) -> None:
    found = unpack(data.decode(errors="replace"))
    assert unpack(pack(found)).case == found.case


_DOCUMENT = render(
    document(
        record("bulk", {"makespan_s": 1.5, "peak_bytes": 7, "returned": [1, {"a": None}]}, {"outcome": "oom"}),
        record("linear", {"makespan_s": 0.5, "tasks": [[0, 0, 0.0, 0.1, 0.2]], "steps": [["load", 0, "fc", 8]],
                          "response_s": [0.1, None], "service": {"net": {"requests": 2, "response_mean_s": 0.1}},
                          "timeline": {"at_s": [-0.1, 0.2], "anon_bytes": [1, 2], "file_bytes": [3, 4],
                                       "swap_bytes": [0, 0]}}, limit=None, limit_bytes=None, loop="closed"),
    )
)  # fmt: skip
_ENTRY = b'{"case": %s, "measurement": {"outcome": "ok"}, "file": "f"}' % (
    b'{"test":"t","workload":"w","policy":"p","limit":"1G","limit_bytes":1,"reader":"read","threads":2,"cap":"none",'
    b'"swap":"off"}'
)
_YAML = (
    "requests: [face_net, age_net]\nimages: 8\n",
    (
        "name: mix\nrequests:\n- face_net\n"
        "- {network: age_net, as: age, when: {request: face_net, value: 0.5, at: [0]}}\n"
        "arrivals: {process: poisson, rate_per_s: 2}\nseed: 1\ndeadline_s: 0.5\n"
    ),
)
_JSON = ('{"requests": ["a", {"network": "b", "sample": 1}], "loop": "closed", "images": 2, "conditions": "early"}',)
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
    b',"carry_bytes":4,"flops":8}],"inputs":["x"],"outputs":["y"],"samples":[],"weights_sha256":"","samples_sha256":""}'
)
_STATUS = b"Name:\tx\nVmHWM:\t  10 kB\nVmRSS:\t  10 kB\nRssAnon:\t 4 kB\nRssFile:\t 6 kB\nVmSwap:\t 0 kB\n"
_MOUNTS = "25 30 0:23 / /sys rw - sysfs sysfs rw\n33 25 0:29 /a /sys/fs/cgroup rw shared:9 - cgroup cgroup rw,memory\n"
_SWAPS = "Filename\tType\tSize\tUsed\tPriority\n/a\\040b file 1024 0 -2\n/dev/zram0 partition 10 0 100\n"

TARGETS: Mapping[str, Target] = {
    "size": _of_text(_size, "512M", "1.5G", "1000001", " 3 KiB"),
    "limit": _of_text(_limit, "base+256M", "1G"),
    "rate": _of_text(units.parse_rate, "90M/s", "2M"),
    "duration": _of_text(units.parse_duration, "300s", "1.5m", "250ms"),
    "percent": _of_text(units.parse_percent, "5%", "0.1 %"),
    "swap": _of_text(units.parse_swap, "auto", "4G"),
    "thresholds": _of_text(_thresholds, "makespan.p90/bulk:10%+0.2,peak:64M", "swap_in:0,makespan:10%+0.2s"),
    "ceiling": _of_text(_ceiling, "makespan 0.5x bulk", "peak 600M"),
    "columns": _of_text(parse_columns, "makespan,peak.max,ratio,param:x", "response.p90/bulk"),
    "group-by": _of_text(parse_group_by, "workload,limit,param:x"),
    "sort": _of_text(parse_sort, "name", "makespan"),
    "options": _of_text(_options, "3-15", "1G,none", "bmf:out.json", "0001", "newest", "5%", "yes", "~/x"),
    "baseline-name": _of_text(baseline.check_name, "main", "v1.0+x"),
    "devices": _refusing(lambda text: devices.parse(text, Path("f.toml"), _SHIPPED), *_DEVICES),
    "workload-yaml": _refusing(_mix(".yaml"), *_YAML, *_JSON),
    "workload-json": _refusing(_mix(".json"), *_JSON),
    "records": Target(_records, (ValueError,), (_DOCUMENT,)),
    "reports": Target(_reports, (ValueError,), (_DOCUMENT,)),
    "entry": Target(_entry, (ValueError,), (_ENTRY,)),
    "event": Target(parse_event, (), _EVENTS),
    "checkpoint": Target(checkpoint.tensors, (ValueError, checkpoint.BadCheckpoint), (_HEADER,)),
    "graph": Target(lambda data: reading.decode(data, Network), (ValueError,), (_GRAPH,)),
    "counters": _of_text(counters.flat, "anon 4096\nfile 8192\nworkingset_refault_anon 0\n"),
    "status": Target(counters.resident, (), (_STATUS,)),
    "swaps": _of_text(areas, _SWAPS),
    "mounts": _of_text(lambda text: mount_in(text, "cgroup", "memory"), _MOUNTS),
}
"""All targets by name."""


def run(target: Target, data: bytes) -> None:
    """Let a target read `data`; raises what is a find. A sentence that it refuses by is one line."""
    try:
        target.run(data)
    except target.refusals as error:
        if isinstance(error, Refusal):
            assert str(error).isprintable()  # noqa: PT017
