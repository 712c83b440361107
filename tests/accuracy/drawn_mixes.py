r"""Draws mixes, and prints those in which `stream` is furthest behind the best policy in virtual time.

    python -m tests.accuracy.drawn_mixes
    python -m tests.accuracy.drawn_mixes --mixes=500 --seed=1 --worst=20

The mixes are those of `edgeload search`, of networks that resemble the study's: convolutions of 21 MiB that compute
for long, linear layers of 209 MiB, both in one network of 70 MiB, and a network of 1 MiB. Memory is 64 MiB and a share
of the weights of the mix. 500 mixes take about five minutes.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import msgspec
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from msgspec import UNSET
from tabulate import tabulate

from pytest_edgeload.base.units import format_size
from pytest_edgeload.measuring.predictor import Predictor, main_objective
from pytest_edgeload.measuring.stored_mix import StoredMix
from pytest_edgeload.networks.compose import Composer
from pytest_edgeload.networks.layer import Network
from pytest_edgeload.planning.machine_speeds import MachineSpeeds
from pytest_edgeload.planning.plan import Speeds
from pytest_edgeload.policies import POLICIES
from pytest_edgeload.results.advice import PolicyChoice
from pytest_edgeload.results.case import AUTO
from pytest_edgeload.workload.file import WorkloadDocument, parse
from pytest_edgeload.worst_mix import WorkloadForm, documents

STREAM = "stream"
SHARES, MORE_BYTES = (0.25, 0.5, 1.0, 1.5), 64 << 20
"""The memory for weights and activations, in parts of the weights of the mix, and besides that; operators need more."""


def _network(name: str, convolutions: int, channels: int, features: Sequence[int]) -> Network:
    """Return a network of convolutions on 28 by 28 pixels, and then linear layers of these features."""
    composer = Composer(1, 3, 28, 28)
    x = composer.input
    for _ in range(convolutions):
        x = composer.relu(composer.conv2d(x, channels, kernel=3))
    x = composer.conv2d(x, 64, kernel=1, stride=4)
    x = composer.flatten(x)
    for width in features:
        x = composer.linear(x, width)
    return msgspec.structs.replace(composer.done(x), name=name)


NETWORKS = {
    made.name: made
    for made in (
        _network("small", 3, 64, [64]),
        _network("convolutions", 10, 256, [64]),
        _network("mixed", 6, 192, [2048, 2048, 2048, 1024]),
        _network("linear", 4, 64, [4096, 4096, 4096, 2048]),
    )
}
"""Networks of 1, 21, 70 and 209 MiB."""


class DrawnLoss(NamedTuple):
    """How far `stream` is behind the best policy in a mix: the loss, the metric, and both figures."""

    document: WorkloadForm
    share: float
    memory_bytes: int
    loss: float
    metric: str
    best: str
    value: float
    best_value: float


def losses(count: int, first: int = 0, policies: Sequence[str] = (*POLICIES,)) -> Iterator[DrawnLoss]:
    """Yield the losses in `count` mixes, drawn with this seed; none where `stream` or all others run out of memory."""
    for document, share in _drawn(count, first):
        found = loss_of(document, share, policies)
        if found is not None:
            yield found


def _drawn(count: int, first: int) -> Sequence[tuple[WorkloadForm, float]]:
    """Return so many different mixes, each with its share of memory."""
    speeds = Speeds()
    alone_s = sum(map(speeds.service_s, NETWORKS.values())) / len(NETWORKS)
    found: dict[tuple[WorkloadForm, float], None] = {}

    @seed(first)
    @settings(
        max_examples=2 * count,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=[*HealthCheck],
    )
    @given(documents(tuple(NETWORKS), alone_s), st.sampled_from(SHARES))
    def draw(document: WorkloadForm, share: float) -> None:
        found[document, share] = None

    draw()
    return [*found][:count]


def loss_of(document: WorkloadForm, share: float, policies: Sequence[str] = (*POLICIES,)) -> DrawnLoss | None:
    """Return the loss of `stream` in a mix; None if `stream` or all others run out of memory.

    A policy that exceeds its memory, for which a worker may have a reserve, does not count.
    """
    mix = parse(msgspec.json.encode(document).decode(), "drawn.json")
    predictor = Predictor(mix, StoredMix({name: NETWORKS[name] for name in mix.networks}), POLICIES, MachineSpeeds())
    memory_bytes = MORE_BYTES + int(share * sum(NETWORKS[name].distinct_bytes for name in mix.networks))
    objective = main_objective(mix)
    values = {}
    for policy in policies:
        run = predictor.predict(PolicyChoice(policy, AUTO, 1), predictor.min_limit_bytes + memory_bytes)
        if run is not None and run.outcome == "ok" and (run.ledger_peak_bytes or 0) <= memory_bytes:
            value = objective.value(run)
            if value is not None:
                values[policy] = value
    value = values.pop(STREAM, None)
    if value is None or not values:
        return None
    better = max if objective.kind.better == "higher" else min
    best = better(values, key=values.__getitem__)
    loss = objective.excess(value, values[best])
    return DrawnLoss(document, share, memory_bytes, loss, objective.metric, best, value, values[best])


def _words(document: WorkloadForm) -> str:
    """Return a workload in one line."""
    if isinstance(document, WorkloadDocument):
        loop = "" if document.loop is UNSET else f", {document.loop}"
        return f"{document.images} x {' '.join(map(str, document.requests))}{loop}"
    streams = [
        f"{each.network} {msgspec.json.encode(each.arrivals).decode()} due {each.deadline_s}s"
        + ("" if each.queue is UNSET else f" queue {each.queue}")
        for each in document.streams
    ]
    return f"{'; '.join(streams)}; {document.duration_s}s, seed {document.seed}"


def main(given_arguments: Sequence[str] | None = None) -> int:
    """Print the worst mixes."""
    parser = argparse.ArgumentParser(prog="drawn_mixes", description="Compare stream with others in drawn mixes.")
    parser.add_argument("--mixes", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--worst", type=int, default=15, help="the number of mixes to print")
    options = parser.parse_args(given_arguments)
    found = sorted(losses(options.mixes, options.seed), key=lambda each: -each.loss)
    rows = [
        (
            f"{each.loss:.0%}",
            each.metric,
            each.best,
            f"{each.value:.3f}",
            f"{each.best_value:.3f}",
            format_size(each.memory_bytes),
            _words(each.document),
        )
        for each in found[: options.worst]
    ]
    headers = ("behind", "metric", "best", STREAM, "best value", "memory", "mix")
    sys.stdout.write(tabulate(rows, headers, tablefmt="github", disable_numparse=True) + "\n\n")
    for bound in (0.0, 0.05, 0.1, 0.2, 0.3):
        count = sum(each.loss > bound for each in found)
        sys.stdout.write(f"more than {bound:.0%} behind: {count} of {len(found)}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
