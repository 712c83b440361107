"""The `metrics` of `edge.call` and `edge.command`: where to find the numbers that a program reports."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pytest_edgeload.base import arguments
from pytest_edgeload.base.arguments import BadArgument
from pytest_edgeload.base.errors import UsageError
from pytest_edgeload.results.naming import check_own_name
from pytest_edgeload.results.source import JsonPath, MetricSource

Metrics = Mapping[str, MetricSource | str] | Sequence[str] | None
"""The metrics as a test gives them: sources by name, or names of keys."""

_HINT = "try {'tokens_per_s': '$.timings.predicted_per_second'}, or a list of keys"


def sources_of(metrics: Metrics) -> dict[str, MetricSource]:
    """Return the source of each metric; a name alone is a key of the output. Raises UsageError."""
    if metrics is None:
        return {}
    if not isinstance(metrics, Mapping):
        metrics = {name: f'$["{name}"]' for name in arguments.texts("metrics", metrics, _HINT)}
    found = {}
    for name, source in metrics.items():
        check_own_name(name)
        if not isinstance(source, str | MetricSource):
            raise BadArgument.of(f"metrics[{name!r}]", source, "neither text nor a MetricSource", _HINT)
        found[name] = MetricSource(source) if isinstance(source, str) else source
    return found


def returned(metrics: Metrics) -> dict[str, MetricSource]:
    """Return the path of each metric in the value that a function returns. Raises UsageError."""
    found = sources_of(metrics)
    for name, source in found.items():
        if not isinstance(source.place, JsonPath) or source.place.file:
            hint = "give a path in the value that it returns, such as $.tokens_per_s"
            raise UsageError(f"metrics[{name!r}]={source.source!r}", "a function has no output", hint)
    return found
