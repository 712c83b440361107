"""Measurements: everything that is observed of one run.

A metric is one field of `Measurement`; columns, thresholds, exports and the documentation derive from these fields.
Annotations are not strings in this file, because METRICS would have to compile all of them at each start of pytest.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

import msgspec

from pytest_edgeload.base.decoding import Count, Seconds
from pytest_edgeload.planning.plan import Kind, Span, TaskTotal
from pytest_edgeload.results.metric import Metric, Number, OwnMetric, OwnName, metrics_of
from pytest_edgeload.results.metric import metric_field as _metric
from pytest_edgeload.results.sharing import Sharing
from pytest_edgeload.results.stream_stats import STREAM_METRICS, StreamStats, split_name

Outcome = Literal["ok", "oom", "timeout", "crashed", "wrong"]


class Moment(msgspec.Struct, frozen=True):
    """A moment that the program named, or without a name the end of a repetition; in seconds after the plan's start."""

    name: str
    at_s: Seconds


class Timeline(msgspec.Struct, frozen=True):
    """Memory of the worker over time: seconds after the plan's start (negative before it) and bytes, equally long.

    The memory at each of the `moments` is one of the samples.
    """

    at_s: tuple[Seconds, ...] = ()
    anon_bytes: tuple[Count, ...] = ()
    file_bytes: tuple[Count, ...] = ()
    swap_bytes: tuple[Count, ...] = ()
    moments: tuple[Moment, ...] = ()

    def __post_init__(self) -> None:
        """Raise ValueError if the lengths differ."""
        if any(len(sizes) != len(self.at_s) for sizes in (self.anon_bytes, self.file_bytes, self.swap_bytes)):
            raise ValueError("a time line has as many bytes of each kind as it has moments")


class TaskInfo(msgspec.Struct, frozen=True, array_like=True):
    """The description of a task: its kind, its request, the name of its layer or tile, and its weight bytes."""

    kind: Kind
    request: Count
    layer: str = ""
    weight_bytes: Count = 0


class ThrottledRun(msgspec.Struct, frozen=True, omit_defaults=True):
    """A run that was repeated because the processor was throttled; the next one began after `cooled_s`.

    `makespan_s` is None if the run did not end, and `max_temperature_c` if no sensor has it.
    """

    throttled_s: Seconds
    cooled_s: Seconds
    makespan_s: Seconds | None = None
    max_temperature_c: Number | None = None


class ServiceStats(msgspec.Struct, frozen=True, omit_defaults=True):
    """The statistics of one network's requests; response times are those of answered ones, None if there are none.

    `late` counts the answers after their deadline; None if no request has one. `slowdown` is the mean ratio of a
    response time to the time of the request's own tasks.
    """

    requests: Count
    dropped: Count = 0
    response_mean_s: Seconds | None = None
    response_p50_s: Seconds | None = None
    response_p90_s: Seconds | None = None
    response_p99_s: Seconds | None = None
    slowdown: Number | None = None
    late: Count | None = None


class Measurement(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Everything observed of one worker's run. A metric that was not measured is None, and absent in JSON.

    `attempt` counts the earlier runs of the test in this round, which failed and made a plugin run it again. `detail`
    explains an outcome other than ok in one sentence, and `traceback` has the lines of the user's own code that raised
    an exception. `started` and `ended` are Unix times by the clock of this machine; nothing depends on them.
    `waited_s` is how long its process waited for turns on the machine since the measurement before.
    `interleaved`: whether rounds were ordered A B C, A B C. `host` is the machine if a session measured on several.
    `machine_wide` names the metrics that the kernel counts only for the whole machine. `arrived_s` and `response_s` are
    per request, in seconds; the response of a request that was `dropped` is None. `overrun` are the dropped requests
    that newer ones of their stream pushed out of a full queue; the others depend on one of them, or on a condition that
    failed. `service` is by network and `streams` by stream. `tasks` are the spans of the tasks that ran; the index of a
    task in `steps` leads to its description. `totals` has the tasks of later steps of a loop, and `step_ends_s` the
    ends of steps by request, if one has several: of all steps, or of the ones in `results.steps.kept_steps`. `own` are
    the metrics that the program reported about itself, by name. `returned` is the result of a called function as JSON
    types: lists, dicts, texts, numbers.
    """

    outcome: Outcome
    round: Count = 0
    attempt: Count = 0
    detail: str = ""
    traceback: str = ""
    started: Seconds = 0.0
    ended: Seconds = 0.0
    waited_s: Seconds = 0.0
    sharing: Sharing = Sharing()
    interleaved: bool = True
    host: str = ""
    makespan_s: Annotated[
        Seconds | None, _metric("s", "lower", "from the start of the first task to the end of the last")
    ] = None
    response_s: Annotated[
        tuple[Seconds | None, ...] | None,
        _metric("s", "lower", "per request, from its arrival to the end of its last exec"),
    ] = None
    response_mean_s: Annotated[
        Seconds | None, _metric("s", "lower", "mean response time of the requests that were answered")
    ] = None
    response_p50_s: Annotated[
        Seconds | None, _metric("s", "lower", "median response time of the requests that were answered")
    ] = None
    response_p90_s: Annotated[
        Seconds | None, _metric("s", "lower", "response time that 90 % of the answered requests do not exceed")
    ] = None
    response_p99_s: Annotated[
        Seconds | None, _metric("s", "lower", "response time that 99 % of the answered requests do not exceed")
    ] = None
    response_wait_s: Annotated[
        Seconds | None, _metric("s", "lower", "part of the mean response time in which none of the request's tasks ran")
    ] = None
    response_load_s: Annotated[
        Seconds | None, _metric("s", "lower", "part of the mean response time in which only its init or its loads ran")
    ] = None
    response_exec_s: Annotated[
        Seconds | None, _metric("s", "lower", "part of the mean response time in which one of its execs ran")
    ] = None
    worst_slowdown: Annotated[
        Number | None,
        _metric(
            "ratio", "lower", "response time over the time of the request's own tasks: mean of the worst-served network"
        ),
    ] = None
    throughput_per_s: Annotated[Number | None, _metric("1/s", "higher", "answered requests over the makespan")] = None
    lane_use: Annotated[
        Number | None,
        _metric("ratio", "higher", "time the lanes spent in tasks, over the makespan and the number of lanes"),
    ] = None
    bound_s: Annotated[
        Seconds | None,
        _metric("s", "neither", "lower bound of the makespan: the longer of bound_read_s and bound_compute_s"),
    ] = None
    bound_memory_s: Annotated[
        Seconds | None,
        _metric("s", "neither", "longer lower bound: weights that do not fit in memory cannot be read ahead"),
    ] = None
    bound_read_s: Annotated[
        Seconds | None,
        _metric("s", "neither", "time to read bound_read_bytes without the page cache, and to do nothing else"),
    ] = None
    bound_compute_s: Annotated[
        Seconds | None, _metric("s", "neither", "time to answer all requests with all weights in memory")
    ] = None
    bound_read_bytes: Annotated[
        Count | None,
        _metric("bytes", "neither", "weights that any policy must read: all once, and in each step what does not fit"),
    ] = None
    dropped_s: Annotated[
        Seconds | None, _metric("s", "lower", "time the lanes spent in tasks of requests that were later dropped")
    ] = None
    deadline_misses: Annotated[
        Count | None, _metric("count", "lower", "requests answered after their deadline, if any request has one")
    ] = None
    requests_due: Annotated[
        Count | None, _metric("count", "neither", "requests whose answer was due, if any request has a deadline")
    ] = None
    in_time: Annotated[
        Number | None, _metric("ratio", "higher", "requests that were answered by their deadline, over those due")
    ] = None
    worst_in_time: Annotated[Number | None, _metric("ratio", "higher", "in_time of the stream that has the lowest")] = (
        None
    )
    xr_score: Annotated[
        Number | None, _metric("ratio", "higher", "score of XRBench without energy: mean of the streams' scores")
    ] = None
    fairness: Annotated[
        Number | None, _metric("ratio", "higher", "Jain's index of the streams' in_time: 1 if all are equal")
    ] = None
    overruns: Annotated[
        Count | None,
        _metric("count", "lower", "requests due that a full queue dropped, and those that needed their answers"),
    ] = None
    startup_s: Annotated[
        Seconds | None, _metric("s", "lower", "from starting the worker until it is ready and holds no weights")
    ] = None
    load_s: Annotated[
        Seconds | None, _metric("s", "lower", "time the lanes spent in load tasks, summed over lanes")
    ] = None
    exec_s: Annotated[
        Seconds | None, _metric("s", "lower", "time the lanes spent in exec tasks, summed over lanes")
    ] = None
    wait_s: Annotated[
        Seconds | None, _metric("s", "lower", "time that ready tasks waited for a lane, summed over tasks")
    ] = None
    first_step_s: Annotated[
        Seconds | None,
        _metric("s", "lower", "mean time from the arrival of a request with several steps to the end of its first"),
    ] = None
    step_mean_s: Annotated[
        Seconds | None, _metric("s", "lower", "mean time from the end of a step to the end of the next one")
    ] = None
    step_p50_s: Annotated[
        Seconds | None, _metric("s", "lower", "median time from the end of a step to the end of the next one")
    ] = None
    step_p90_s: Annotated[Seconds | None, _metric("s", "lower", "step time that 90 % of the steps do not exceed")] = (
        None
    )
    step_p99_s: Annotated[Seconds | None, _metric("s", "lower", "step time that 99 % of the steps do not exceed")] = (
        None
    )
    steps_per_s: Annotated[
        Number | None, _metric("1/s", "higher", "steps of requests with several of them, over the makespan")
    ] = None
    state_bytes: Annotated[
        Count | None,
        _metric(
            "bytes",
            "lower",
            "caches and the like that a request passes from step to step, at most",
        ),
    ] = None
    read_per_step_bytes: Annotated[
        Count | None,
        _metric("bytes", "lower", "bytes read again from storage, all but the first reading, per step after the first"),
    ] = None
    bound_step_s: Annotated[
        Seconds | None,
        _metric("s", "neither", "lower bound of step_mean_s: to compute a step, or to read what memory cannot hold"),
    ] = None
    cpu_s: Annotated[
        Seconds | None,
        _metric("s", "lower", "CPU time of the worker and its children, user and system, during the plan"),
    ] = None
    others_cpu_s: Annotated[
        Seconds | None,
        _metric("s", "neither", "CPU time of all other programs of the machine during the plan, and of other guests"),
    ] = None
    stall_s: Annotated[
        Seconds | None,
        _metric("s", "lower", "time in which a task of the group stalled on memory (pressure stall information)"),
    ] = None
    service_time_s: Annotated[
        Seconds | None, _metric("s", "neither", "the service time that is the unit of arrivals and deadlines")
    ] = None
    baseline_bytes: Annotated[
        Count | None, _metric("bytes", "lower", "resident memory of the worker when ready, before the first task")
    ] = None
    peak_bytes: Annotated[
        Count | None, _metric("bytes", "lower", "highest resident memory of all processes of the run together")
    ] = None
    peak_charged_bytes: Annotated[
        Count | None,
        _metric("bytes", "lower", "high-water mark of the memory charged to the group, page cache included"),
    ] = None
    peak_anon_bytes: Annotated[
        Count | None,
        _metric("bytes", "lower", "highest anonymous and shared memory of all processes of the run together"),
    ] = None
    peak_file_bytes: Annotated[
        Count | None,
        _metric("bytes", "lower", "maximum page cache (or mapped file memory without a group) in the samples"),
    ] = None
    peak_swap_bytes: Annotated[
        Count | None, _metric("bytes", "lower", "maximum swap used by the worker in the samples")
    ] = None
    plan_peak_bytes: Annotated[
        Count | None,
        _metric("bytes", "lower", "maximum weights and activations that the plan holds, known before the run"),
    ] = None
    ledger_peak_bytes: Annotated[
        Count | None,
        _metric("bytes", "lower", "maximum weights and activations that the worker held, by its own account"),
    ] = None
    swap_in_bytes: Annotated[Count | None, _metric("bytes", "lower", "bytes read from swap during the plan")] = None
    swap_out_bytes: Annotated[Count | None, _metric("bytes", "lower", "bytes written to swap during the plan")] = None
    read_bytes: Annotated[
        Count | None,
        _metric("bytes", "lower", "bytes fetched from storage for the worker during the plan, swap included"),
    ] = None
    refaults: Annotated[
        Count | None, _metric("count", "lower", "evicted pages that were needed again during the plan")
    ] = None
    major_faults: Annotated[
        Count | None, _metric("count", "lower", "page faults that waited for storage during the plan")
    ] = None
    minor_faults: Annotated[
        Count | None, _metric("count", "lower", "page faults that did not wait for storage during the plan")
    ] = None
    output_error: Annotated[
        Number | None,
        _metric("ratio", "lower", "largest difference from plain PyTorch's outputs, over the largest output"),
    ] = None
    sampler_cpu_share: Annotated[
        Number | None, _metric("ratio", "lower", "CPU time of the sampler over the time it ran")
    ] = None
    energy_j: Annotated[
        Number | None, _metric("J", "lower", "energy of the run, less the energy of the idle machine in the same time")
    ] = None
    energy_per_answer_j: Annotated[Number | None, _metric("J", "lower", "energy_j over the answered requests")] = None
    idle_power_w: Annotated[
        Number | None, _metric("W", "neither", "power of the idle machine before the first run of the session")
    ] = None
    max_temperature_c: Annotated[
        Number | None, _metric("°C", "lower", "highest temperature of the processor during the plan")
    ] = None
    min_frequency_share: Annotated[
        Number | None,
        _metric("ratio", "higher", "lowest frequency of the fastest core at the time, over its highest possible one"),
    ] = None
    throttled_s: Annotated[
        Seconds | None, _metric("s", "lower", "time during which heat or a weak power supply slowed the processor")
    ] = None
    own: dict[OwnName, OwnMetric] = {}
    returned: Any = None
    machine_wide: tuple[str, ...] = ()
    notices: tuple[str, ...] = ()
    repeated: tuple[ThrottledRun, ...] = ()
    arrived_s: tuple[Seconds, ...] = ()
    dropped: tuple[Count, ...] = ()
    overrun: tuple[Count, ...] = ()
    service: dict[str, ServiceStats] = {}
    streams: dict[str, StreamStats] = {}
    step_ends_s: tuple[tuple[Seconds, ...], ...] = ()
    tasks: tuple[Span, ...] = ()
    totals: tuple[TaskTotal, ...] = ()
    steps: tuple[TaskInfo, ...] = ()
    timeline: Timeline = Timeline()

    def summary(self) -> Self:
        """Return the measurement without its tasks, its time line, and the result or the traceback of a function."""
        without_tasks = msgspec.structs.replace(self, tasks=(), steps=(), totals=(), step_ends_s=())
        return msgspec.structs.replace(without_tasks, timeline=Timeline(), returned=None, traceback="")

    def value(self, metric: str) -> Any:
        """Return the value of a metric, also of a stream or of the program's own; None if it was not measured.

        It is a number. The value of `response_s` and of other series is a tuple of numbers.
        """
        base, stream = split_name(metric)
        if stream is not None:
            return self._value_of_stream(base, self.streams.get(stream))
        if metric in METRICS:
            return getattr(self, metric)
        own = self.own.get(metric)
        return None if own is None else own.value

    def _value_of_stream(self, metric: str, stats: StreamStats | None) -> Any:
        if stats is None or metric not in STREAM_METRICS:
            return None
        if metric != "response_s":
            return getattr(stats, metric)
        times = self.response_s or ()
        return tuple(times[r] for r in stats.requests if r < len(times))


METRICS: Mapping[str, Metric] = metrics_of(Measurement)
"""All metrics by name, in the order of the fields of Measurement."""


def metric_of(name: str) -> Metric | None:
    """Return the built-in metric of this name, also of a stream, such as `in_time[camera]`; None if there is none."""
    base, stream = split_name(name)
    return METRICS.get(base) if stream is None else STREAM_METRICS.get(base)
