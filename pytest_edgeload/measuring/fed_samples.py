"""Checks that samples were made with the outputs that a pipeline feeds to them: else theirs are not known."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pytest_edgeload.base.errors import UsageError
from pytest_edgeload.measuring.stored_samples import read_sample
from pytest_edgeload.networks.feed import Feed
from pytest_edgeload.workload import Workload
from pytest_edgeload.workload.pipelines import made_with, tensor_feeds


def check_fed_samples(workload: Workload, folders: Sequence[Path]) -> None:
    """Raise UsageError if a sample's input differs from the output of plain PyTorch that a request gets instead.

    `folders` has the folder of each request's network. Outputs are not compared if they are not stored: those of later
    steps that a network passes on to itself.
    """
    for r, request in enumerate(workload.requests):
        for feed in tensor_feeds(workload, r):
            difference = _difference(feed, workload, r, folders)
            if difference:
                source = workload.requests[feed.request or 0].network.name
                reason = f"{request.network.inputs[int(feed.input)]} of its sample {request.sample} is not output "
                raise UsageError(
                    f"workload {workload.name}, request {r}",
                    f"{reason}{feed.output} of request {feed.request} ({source}): {difference}",
                    made_with(source),
                )


def _difference(feed: Feed, workload: Workload, r: int, folders: Sequence[Path]) -> str:
    """Return how far the input of a feed is from the output that it becomes; an empty text if it agrees."""
    request, source = workload.requests[r], workload.requests[feed.request or 0]
    spec = source.network.expected(source.sample, source.steps - 1).get(feed.output)
    if spec is None:
        return ""
    samples = request.network.samples
    wanted = samples[request.sample % len(samples)].inputs[int(feed.input)]
    given = read_sample(folders[r], wanted)
    output = read_sample(folders[feed.request or 0], spec)
    if feed.rule == "argmax":
        numbers = output.argmax(-1)
        numbers = (numbers if numbers.size == given.size else numbers[..., -1:]).reshape(given.shape)
        same = (numbers == given).all()
        return "" if same else f"it is {given.astype(int).flatten().tolist()} instead of {numbers.flatten().tolist()}"
    error = abs(output - given).max(initial=0.0) / (abs(output).max(initial=0.0) or 1.0)
    return "" if error <= source.network.tolerance else f"they differ by {error:.1%} of its largest value"
