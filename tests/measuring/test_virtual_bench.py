"""A case has one prediction: by `predict`, by a session with --edge-simulate, and by the predictor of advice."""

from __future__ import annotations

import msgspec
import pytest

from pytest_edgeload import predict
from pytest_edgeload.devices.constraints import Constraints
from pytest_edgeload.measuring.predictor import Predictor
from pytest_edgeload.measuring.stored_mix import read_stored
from pytest_edgeload.measuring.virtual_bench import VirtualBench
from pytest_edgeload.networks.compressed import COMPRESSED, PLAIN, StoreForm
from pytest_edgeload.networks.registry import Registry
from pytest_edgeload.planning.budget import enforced_bytes
from pytest_edgeload.planning.machine_speeds import ComputeSpeed, MachineSpeeds
from pytest_edgeload.policies import POLICIES
from pytest_edgeload.results.advice import PolicyChoice
from pytest_edgeload.results.case import AUTO, SIMULATED, Case
from pytest_edgeload.results.measurement import Measurement
from pytest_edgeload.workload import Mix
from pytest_edgeload.workload.arrivals import Constant
from pytest_edgeload.workload.streams import Stream
from tests.measuring.parts import BPS, DECIDING, TIGHT

BOTH = Mix.of("both", ["wide", "tiny"], images=3)
TIMED = Mix.of_streams(
    "timed", [Stream("wide", "wide", Constant(0.5), deadline_s=2.0)], duration_s=6.0, clock="service"
)

SPEEDS = MachineSpeeds(computing=tuple(ComputeSpeed("", n, 1e-4 / n, 1e-10 / n, 0.0, 0.0) for n in (1, 2)))
"""The speeds of a machine on which one thread takes twice the time of two."""

LIMIT_BYTES = enforced_bytes(TIGHT, SPEEDS.worker.idle_bytes)


@pytest.mark.parametrize("read_bps", [None, BPS])
@pytest.mark.parametrize(
    ("mix", "policy", "threads", "store"),
    [
        (BOTH, "bulk", 2, PLAIN),
        (BOTH, "partial", 1, PLAIN),
        (DECIDING, "linear", 2, PLAIN),
        (TIMED, "masa", 1, PLAIN),
        (BOTH, "linear", 2, COMPRESSED),
    ],
)
def test_case_has_the_same_prediction_everywhere(
    registry: Registry, mix: Mix, policy: str, threads: int, store: StoreForm, read_bps: int | None
) -> None:
    """Throttles, conditions, compressed weights, the unit of times and the reader `auto` count for all three."""
    case = Case(
        test="test",
        workload=mix.name,
        policy=policy,
        reader=AUTO,
        store=store,
        cap=SIMULATED,
        swap="off",
        constraints=Constraints(LIMIT_BYTES, threads=threads, read_bps=read_bps),
    )
    entry = VirtualBench(registry, POLICIES, lambda *_: None, 300.0).measure(case, mix, SPEEDS, 1 << 30)
    stored = read_stored(mix, store, registry, lambda *_: None)
    predictor = Predictor(mix, stored, POLICIES, SPEEDS, swap_bytes=1 << 30, read_bps=read_bps)
    assert predictor.predict(PolicyChoice(policy, AUTO, threads), LIMIT_BYTES) == _plain(entry.measurement)
    assert predictor.reader(policy, LIMIT_BYTES) == entry.case.reader
    if store == PLAIN:
        workload = mix.workload(stored.networks, service_s=entry.measurement.service_time_s or 1.0)
        machine = {"speeds": SPEEDS, "holds": stored.holds, "read_bps": read_bps, "threads": threads}
        alone = predict(workload, policy, memory=LIMIT_BYTES, swap_bytes=1 << 30, **machine)  # type: ignore[arg-type]
        assert _plain(alone) == _plain(entry.measurement)


def _plain(run: Measurement) -> Measurement:
    """Return the run without its tasks and without the service time, which only cases have."""
    return msgspec.structs.replace(run.summary(), service_time_s=None)
