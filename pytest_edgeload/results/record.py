"""Cases, measurements and records: the contract between the plugin, its files and whoever reads them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from pytest_edgeload.base.decoding import Count, Seconds
from pytest_edgeload.planning.plan import Kind, Span
from pytest_edgeload.workload import Ask

SCHEMA = 1

PROGRAM = "program"
"""The workload of functions and commands: those of one test are compared with each other, by what they are called."""

REFERENCE = "bulk"
"""The policy that the others of a group are compared with."""

Outcome = Literal["ok", "oom", "timeout", "crashed", "wrong"]

Number = Annotated[float, Meta(ge=-1e100, le=1e100)]
"""What any other figure can be, whoever wrote the file: sums of them are finite, too."""


class Case(msgspec.Struct, frozen=True):
    """The coordinates of a measurement, without its round.

    Of a function or command `workload` is PROGRAM, `policy` what it is called, and `reader` `none`.

    `test` is the test's id, with those of its parameters that are its own; `parameters` are these by name. `requests`
    are what is asked, `workload` is what the test calls them; `loop` and `arrivals` say when they come, by random
    numbers from `seed` where it is given, and `conditions` what becomes of those with a condition.
    `limit` is the limit as asked for (`512M`, `base+256M`), `limit_bytes` what was enforced; both None without one.
    `cap` is the mechanism that enforced it, `swap` what the worker could swap to (`none`, `off`, or the swap's size),
    `read_bps` how many bytes a second it could read from its disk, None where nothing held it back.

    `device` is what stood for a board, and after a merge also the machine. What it asks for stands in `limit`,
    `threads` and `read_bps`, and in `write_bps`, in `cpus` (processors' time), in `cores` (how many processors), and
    in `swap_bytes` (the most it may swap, 0 for none); None where it asks for nothing. `by_device` names those of
    these fields that it and no option decided, and `unenforced` what of it this machine could not do: `cpus`, `cores`,
    `reads`, `writes`, `swap`, or in part, as in `cores: 2 of 4`.
    """

    test: str
    workload: str
    policy: str
    limit: str | None
    limit_bytes: Count | None
    reader: str
    threads: Count
    cap: str
    swap: str
    device: str | None = None
    read_bps: Count | None = None
    requests: tuple[Ask, ...] = ()
    loop: str = "once"
    arrivals: str = ""
    seed: int | None = None
    conditions: str = "wait"
    parameters: tuple[tuple[str, str], ...] = ()
    write_bps: Count | None = None
    cpus: Number | None = None
    cores: Count | None = None
    swap_bytes: Count | None = None
    by_device: tuple[str, ...] = ()
    unenforced: tuple[str, ...] = ()

    @property
    def group(self) -> Case:
        """The same case without its policy: the cases that are compared with each other share it."""
        return msgspec.structs.replace(self, policy="")

    @property
    def place(self) -> str:
        """Under which limit and on which device, in words: `at 512M`, `at no limit`, `at 768M on rpi3`."""
        return f"at {self.limit or 'no limit'}{'' if self.device is None else f' on {self.device}'}"

    @property
    def main_metric(self) -> str:
        """What cases are compared by: the makespan of what is asked at once, the mean response of what keeps coming."""
        return "makespan_s" if self.loop == "once" else "response_mean_s"


class Timeline(msgspec.Struct, frozen=True):
    """Memory of the worker over time: seconds after the plan's start (negative before), and bytes; equal lengths."""

    at_s: tuple[Seconds, ...] = ()
    anon_bytes: tuple[Count, ...] = ()
    file_bytes: tuple[Count, ...] = ()
    swap_bytes: tuple[Count, ...] = ()

    def __post_init__(self) -> None:
        """Raise ValueError where something is not known of each moment."""
        if any(len(held) != len(self.at_s) for held in (self.anon_bytes, self.file_bytes, self.swap_bytes)):
            raise ValueError("a time line has as many bytes of each kind as it has moments")


class Step(msgspec.Struct, frozen=True, array_like=True):
    """What a task of the plan was about: its kind, its request, the name of its layer or tile, and weight bytes."""

    kind: Kind
    request: Count
    layer: str = ""
    weight_bytes: Count = 0


class Service(msgspec.Struct, frozen=True, omit_defaults=True):
    """How the requests of one network were served; figures of those that were answered, None without any.

    `slowdown` is the mean of the response time over the time the request's own tasks took.
    """

    requests: Count
    dropped: Count = 0
    response_mean_s: Seconds | None = None
    response_p50_s: Seconds | None = None
    response_p90_s: Seconds | None = None
    response_p99_s: Seconds | None = None
    slowdown: Number | None = None


class Measurement(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Everything seen of one worker's run. A metric that the kernel does not give is None, and absent in JSON.

    `METRICS` says what each figure means. `arrived_s` and `response_s` are per request, in seconds; the response of a
    request that was `dropped` is None. `service` is by network. `detail` is one sentence on an outcome other than ok.
    `started` and `ended` are Unix times by the clock of this machine; nothing depends on them. `machine_wide` names the
    metrics that the kernel counts for the whole machine only. `interleaved` tells whether rounds were ordered A B C,
    A B C. `tasks` are those that ran, whose index is one of `steps`. `returned` is what a called function returned, as
    JSON can hold it: lists, dicts, texts, numbers.
    """

    outcome: Outcome
    round: Count = 0
    detail: str = ""
    started: Seconds = 0.0
    ended: Seconds = 0.0
    interleaved: bool = True
    makespan_s: Seconds | None = None
    response_s: tuple[Seconds | None, ...] | None = None
    response_mean_s: Seconds | None = None
    response_p50_s: Seconds | None = None
    response_p90_s: Seconds | None = None
    response_p99_s: Seconds | None = None
    response_wait_s: Seconds | None = None
    response_load_s: Seconds | None = None
    response_exec_s: Seconds | None = None
    worst_slowdown: Number | None = None
    throughput_per_s: Number | None = None
    lane_use: Number | None = None
    bound_s: Seconds | None = None
    bound_read_s: Seconds | None = None
    bound_compute_s: Seconds | None = None
    bound_read_bytes: Count | None = None
    deadline_misses: Count | None = None
    dropped_s: Seconds | None = None
    startup_s: Seconds | None = None
    load_s: Seconds | None = None
    exec_s: Seconds | None = None
    wait_s: Seconds | None = None
    cpu_s: Seconds | None = None
    stall_s: Seconds | None = None
    baseline_bytes: Count | None = None
    peak_bytes: Count | None = None
    peak_charged_bytes: Count | None = None
    peak_anon_bytes: Count | None = None
    peak_file_bytes: Count | None = None
    peak_swap_bytes: Count | None = None
    plan_peak_bytes: Count | None = None
    ledger_peak_bytes: Count | None = None
    swap_in_bytes: Count | None = None
    swap_out_bytes: Count | None = None
    read_bytes: Count | None = None
    refaults: Count | None = None
    major_faults: Count | None = None
    minor_faults: Count | None = None
    output_error: Number | None = None
    sampler_cpu_share: Number | None = None
    returned: Any = None
    machine_wide: tuple[str, ...] = ()
    notices: tuple[str, ...] = ()
    arrived_s: tuple[Seconds, ...] = ()
    dropped: tuple[Count, ...] = ()
    service: dict[str, Service] = {}
    tasks: tuple[Span, ...] = ()
    steps: tuple[Step, ...] = ()
    timeline: Timeline = Timeline()

    def summary(self) -> Measurement:
        """Return the measurement without its tasks and time line, and without what a function returned."""
        return msgspec.structs.replace(self, tasks=(), steps=(), timeline=Timeline(), returned=None)


class Metric(msgspec.Struct, frozen=True):
    """What a figure of a measurement means: its unit, which way is better, and one line of words."""

    unit: Literal["s", "bytes", "count", "ratio", "per s"]
    better: Literal["less", "more", "neither"]
    meaning: str


METRICS: dict[str, Metric] = {
    "makespan_s": Metric("s", "less", "from the start of the first task to the end of the last"),
    "response_s": Metric("s", "less", "per request, from its arrival to the end of its last exec"),
    "response_mean_s": Metric("s", "less", "mean response time of the requests that were answered"),
    "response_p50_s": Metric("s", "less", "median response time of the requests that were answered"),
    "response_p90_s": Metric("s", "less", "response time that 90 % of the answered requests do not exceed"),
    "response_p99_s": Metric("s", "less", "response time that 99 % of the answered requests do not exceed"),
    "response_wait_s": Metric("s", "less", "of the mean response time, what passed with none of its tasks running"),
    "response_load_s": Metric(
        "s", "less", "of the mean response time, what passed with its init or loads running only"
    ),
    "response_exec_s": Metric("s", "less", "of the mean response time, what passed with an exec running"),
    "worst_slowdown": Metric(
        "ratio", "less", "response over the time the request's own tasks took: the mean of the worst-served network"
    ),
    "throughput_per_s": Metric("per s", "more", "requests answered, over the makespan"),
    "lane_use": Metric("ratio", "more", "time the lanes spent in tasks, over the makespan and the lanes"),
    "bound_s": Metric("s", "neither", "what no makespan can beat: the longer of bound_read_s and bound_compute_s"),
    "bound_read_s": Metric("s", "neither", "reading all weights once past the page cache, and doing nothing else"),
    "bound_compute_s": Metric("s", "neither", "answering all requests with all weights in memory"),
    "bound_read_bytes": Metric("bytes", "neither", "weights that have to be read once, whatever the policy"),
    "dropped_s": Metric("s", "less", "time the lanes spent in tasks of requests that were then dropped"),
    "deadline_misses": Metric("count", "less", "requests answered after their deadline, where any has one"),
    "startup_s": Metric("s", "less", "from starting the worker until it is ready and holds no weights"),
    "load_s": Metric("s", "less", "time the lanes spent in load tasks, summed over lanes"),
    "exec_s": Metric("s", "less", "time the lanes spent in exec tasks, summed over lanes"),
    "wait_s": Metric("s", "less", "time tasks were ready and no lane had taken them, summed over tasks"),
    "cpu_s": Metric("s", "less", "processor time of the worker, user and system, during the plan"),
    "stall_s": Metric("s", "less", "time some task of the group stalled on memory (pressure stall information)"),
    "baseline_bytes": Metric("bytes", "less", "resident memory of the worker when ready, before the first task"),
    "peak_bytes": Metric("bytes", "less", "high-water mark of the worker's resident memory (VmHWM)"),
    "peak_charged_bytes": Metric("bytes", "less", "high-water mark of what the group was charged, page cache included"),
    "peak_anon_bytes": Metric("bytes", "less", "most anonymous memory seen by the sampler"),
    "peak_file_bytes": Metric("bytes", "less", "most page cache (or mapped file memory without a group) seen"),
    "peak_swap_bytes": Metric("bytes", "less", "most swap seen in use by the worker"),
    "plan_peak_bytes": Metric("bytes", "less", "most weights and activations the plan holds, known before the run"),
    "ledger_peak_bytes": Metric("bytes", "less", "most weights and activations the worker held, by its own account"),
    "swap_in_bytes": Metric("bytes", "less", "bytes read from swap during the plan"),
    "swap_out_bytes": Metric("bytes", "less", "bytes written to swap during the plan"),
    "read_bytes": Metric("bytes", "less", "bytes fetched from storage for the worker during the plan, swap included"),
    "refaults": Metric("count", "less", "pages that had been evicted and were needed again during the plan"),
    "major_faults": Metric("count", "less", "page faults that waited for storage during the plan"),
    "minor_faults": Metric("count", "less", "page faults that did not wait for storage during the plan"),
    "output_error": Metric("ratio", "less", "largest difference from plain PyTorch's outputs, over their largest"),
    "sampler_cpu_share": Metric("ratio", "less", "processor time of the sampler, relative to the time it ran"),
}


class Record(msgspec.Struct, frozen=True):
    """A case and its measurements."""

    case: Case
    rounds: tuple[Measurement, ...]


class Entry(msgspec.Struct, frozen=True):
    """One measurement and its case: what a run's own file holds, and what crosses xdist."""

    case: Case
    measurement: Measurement
    file: str = ""


def collect(entries: Iterable[Entry]) -> tuple[Record, ...]:
    """Return the records of `entries`, in order of first appearance; rounds by their number, and then as they come."""
    rounds: dict[Case, list[Measurement]] = {}
    for entry in entries:
        rounds.setdefault(entry.case, []).append(entry.measurement)
    return tuple(
        Record(case, tuple(sorted(found, key=lambda measurement: measurement.round))) for case, found in rounds.items()
    )


def groups(records: Iterable[Record]) -> dict[Case, list[Record]]:
    """Return the records by comparison group: all that agree in everything but the policy."""
    grouped: dict[Case, list[Record]] = {}
    for record in records:
        grouped.setdefault(record.case.group, []).append(record)
    return grouped
