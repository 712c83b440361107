"""Documents of runs in virtual time, for tests of reports that draw."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from pytest_edgeload.devices.constraints import Constraints
from pytest_edgeload.planning.plan import Speeds
from pytest_edgeload.planning.simulate import simulate
from pytest_edgeload.results.case import Case
from pytest_edgeload.results.derived import complete
from pytest_edgeload.results.document import Commit, Document, Machine
from pytest_edgeload.results.measurement import Measurement, Timeline
from pytest_edgeload.results.record import SCHEMA, Record
from pytest_edgeload.workload import Ask, Request, Workload
from tests.builders import network, plan_of

MIB = 1 << 20
LIMITS = {"1G": 1024 * MIB, "384M": 384 * MIB, None: None}
POLICIES = ("bulk", "linear", "partial", "stream")
SPEEDS = Speeds(read_bytes_per_s=200.0 * MIB, flops_per_s=1e9)
CASE = Case(
    test="suites/test_a.py::test_a",
    workload="mix",
    policy="bulk",
    reader="read",
    cap="cgroup2",
    swap="8G",
    limit="384M",
    constraints=Constraints(384 * MIB, threads=2),
)
MACHINE = Machine("A processor", 4, 8 << 30, "6.1.0", "3.11.7", "2.13.0")


def asked(*names: str, gap_s: float = 0.0) -> Workload:
    """Return a request of each network, one every `gap_s` seconds: three layers of 8, 16 and 24 MiB."""
    layers = [(weight * MIB, MIB, MIB) for weight in (8, 16, 24)]
    made = (network(*layers, name=name, flops=[40_000_000] * len(layers)) for name in names)
    return Workload("mix", tuple(Request(one, arrival_s=i * gap_s) for i, one in enumerate(made)))


def run(policy: str, workload: Workload, number: int = 0, slower: float = 1.0) -> Measurement:
    """Return a run of `policy` in virtual time, `slower` than nominal, with samples of memory."""
    plan = plan_of(policy, workload)
    speeds = Speeds(SPEEDS.read_bytes_per_s / slower, SPEEDS.flops_per_s / slower)
    found = simulate(plan, workload, speeds=speeds)
    at_s = tuple(round(i * 0.01 - 0.2, 4) for i in range(20 + int(found.makespan_s * 100)))
    seen = Timeline(
        at_s,
        tuple((100 + i % 50) * MIB for i in range(len(at_s))),
        tuple(i % 30 * MIB for i in range(len(at_s))),
        tuple(i % 7 * MIB for i in range(len(at_s))),
    )
    measured = Measurement(
        outcome="ok", round=number, started=float(number), makespan_s=found.makespan_s, tasks=found.spans,
        arrived_s=tuple(at or 0.0 for at in found.arrived_s), dropped=found.dropped, timeline=seen,
        bound_s=0.2, peak_bytes=(180 + number) * MIB, swap_in_bytes=3 * MIB * (policy == "bulk"),
        swap_out_bytes=5 * MIB * (policy == "bulk"), major_faults=1234, read_bytes=96 * MIB,
    )  # fmt: skip
    return complete(measured, plan, workload, found.peak_bytes)


def record(policy: str, limit: str | None, workload: Workload, rounds: Sequence[Measurement] = ()) -> Record:
    """Return a record of that limit, with the rounds or else three of different speed, slower with less memory."""
    less = {"1G": 1.0, "384M": 1.5, None: 0.9}[limit]
    made = rounds or [run(policy, workload, i, less * (1 + i / 20)) for i in range(3)]
    asks = tuple(Ask(one.network.name, arrival_s=one.arrival_s) for one in workload.requests)
    loop = "open" if any(ask.arrival_s for ask in asks) else "once"
    changes = {
        "policy": policy,
        "limit": limit,
        "constraints": Constraints(LIMITS[limit], threads=2),
        "requests": asks,
        "loop": loop,
    }
    return Record(msgspec.structs.replace(CASE, workload=workload.name, **changes), tuple(made))


def document(*records: Record) -> Document:
    """Return the document that holds them."""
    commit = Commit("0123456789abcdef0123456789abcdef01234567", "main", is_dirty=False)
    settings = {"mem": "1G,384M,none", "rounds": "3"}
    return Document(SCHEMA, "2026-11-25T12:00:00Z", MACHINE, settings, records, commit, {"pytest": "9.2.0"})


def study() -> Document:
    """Return four policies at three limits, one of them killed at the smallest, and an open loop."""
    mix, late = asked("a", "b", "c"), asked("a", "b", "a", gap_s=0.05)
    killed = Measurement(outcome="oom", detail="killed for memory", timeline=run("bulk", mix).timeline)
    fitting = [(policy, limit) for limit in LIMITS for policy in POLICIES if (policy, limit) != ("bulk", "384M")]
    return document(
        *(record(policy, limit, mix) for policy, limit in fitting),
        record("bulk", "384M", mix, [killed]),
        *(record(policy, "1G", Workload("stream of requests", late.requests)) for policy in POLICIES[:2]),
    )
