"""The metrics of a stream in one run, and their names: `in_time[camera]` is the share in time of the stream `camera`.

A metric is one field of `StreamStats`. Annotations are not strings in this file, as in `measurement.py`.
"""

from collections.abc import Mapping
from typing import Annotated

import msgspec

from pytest_edgeload.base.decoding import Count, Seconds
from pytest_edgeload.results.metric import Metric, Number, metric_field, metrics_of


class StreamStats(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The metrics of a stream; `requests` are the indices of its requests. A metric that no request has is None.

    An answer is due unless the request's condition failed, or that of a request whose answer it needs. Response times
    are those of answered requests.
    """

    requests: tuple[Count, ...]
    requests_due: Annotated[Count, metric_field("count", "neither", "requests whose answer was due")]
    in_time: Annotated[
        Number | None, metric_field("ratio", "higher", "requests that were answered by their deadline, over those due")
    ] = None
    deadline_misses: Annotated[
        Count | None, metric_field("count", "lower", "requests answered after their deadline, if any request has one")
    ] = None
    overruns: Annotated[
        Count | None,
        metric_field("count", "lower", "requests due that a full queue dropped, and those that needed their answers"),
    ] = None
    rate_per_s: Annotated[
        Number | None, metric_field("1/s", "higher", "answered requests over the time that the stream lasted")
    ] = None
    xr_score: Annotated[
        Number | None,
        metric_field("ratio", "higher", "XRBench's real-time score times the share of requests that were not dropped"),
    ] = None
    response_mean_s: Annotated[Seconds | None, metric_field("s", "lower", "mean response time")] = None
    response_p50_s: Annotated[Seconds | None, metric_field("s", "lower", "median response time")] = None
    response_p90_s: Annotated[
        Seconds | None, metric_field("s", "lower", "response time that 90 % of the answered requests do not exceed")
    ] = None
    response_p99_s: Annotated[
        Seconds | None, metric_field("s", "lower", "response time that 99 % of the answered requests do not exceed")
    ] = None


_RESPONSE = Metric("s", "lower", "per request, from its arrival to the end of its last exec")

STREAM_METRICS: Mapping[str, Metric] = {**metrics_of(StreamStats), "response_s": _RESPONSE}
"""The metrics that each stream has, by the name before the brackets."""


def of_stream(metric: str, stream: str) -> str:
    """Return the name of a stream's metric: `in_time[camera]`."""
    return f"{metric}[{stream}]"


def split_name(name: str) -> tuple[str, str | None]:
    """Return a metric's name without brackets, and the stream in them: None if there are none."""
    metric, bracket, stream = name.removesuffix("]").partition("[")
    return (metric, stream) if bracket and name.endswith("]") else (name, None)
