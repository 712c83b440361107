"""The conversation between the sandbox and its worker: every message, as one typed JSON line.

| parent sends              | worker answers            | meaning of the answer                     |
|---------------------------|---------------------------|-------------------------------------------|
| a Job                     | Ready                     | the worker has started                    |
| `go`                      | Done                      | the plan or the program has been executed |
| `check`                   | Checked                   | the outputs have been compared            |

The parent reads its counters between Done and `check`. A worker may answer Failed to any message, and it exits when its
standard input ends.

A function call is the same conversation with another worker process (`engine.call`). The parent sends a Call followed
by the pickled function and arguments, and the answer to `check` is Returned. The parent never unpickles data from a
worker.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from pytest_edgeload.base.decoding import Count, Duration, Seconds
from pytest_edgeload.base.functions import SearchPath
from pytest_edgeload.networks.compressed import PLAIN, StoreForm
from pytest_edgeload.networks.feed import Feed
from pytest_edgeload.planning.plan import Plan, Span, TaskTotal
from pytest_edgeload.workload import Condition, Workload
from pytest_edgeload.workload.pipelines import tensor_feeds

GO, CHECK = b"go\n", b"check\n"


class JobRequest(msgspec.Struct, frozen=True, omit_defaults=True):
    """One request of a job; `network` is an index into the job's networks. See `workload.Request`.

    The inputs of `feeds` are positions of tensors.
    """

    network: int
    sample: int = 0
    arrival_s: float = 0.0
    batch: int = 0
    when: Condition | None = None
    steps: int = 1
    feeds: tuple[Feed, ...] = ()
    stream: str = ""
    queue: int | None = None
    after: int | None = None


def job_requests(workload: Workload, networks: Iterable[int]) -> tuple[JobRequest, ...]:
    """Return the requests of a workload; `networks` has the index of each one's network in the job."""
    return tuple(
        JobRequest(
            network,
            each.sample,
            each.arrival_s,
            each.batch,
            each.when,
            each.steps,
            tensor_feeds(workload, r),
            each.stream,
            each.queue,
            each.after,
        )
        for r, (network, each) in enumerate(zip(networks, workload.asked, strict=True))
    )


class Program(msgspec.Struct, frozen=True):
    """A function that a worker runs instead of a plan, written as `module:function` and imported from `path`.

    `files` contains one folder per network of the job, with the files that were prepared for the program; it is empty
    if no files were prepared. `skeletons` are folders as well, with the networks' modules without weights, if the
    program runs these. See `engine.program`.
    """

    function: str
    path: SearchPath
    files: tuple[str, ...] = ()
    skeletons: tuple[str, ...] = ()


class Job(msgspec.Struct, frozen=True):
    """Everything a worker needs: a plan, or a program and an empty plan.

    `networks` are folders of the store, whose weights are read in the form `store`. `threads` is the number of threads
    that one operator may use.
    """

    plan: Plan
    networks: tuple[str, ...]
    requests: tuple[JobRequest, ...]
    reader: str
    threads: int
    program: Program | None = None
    store: StoreForm = PLAIN


class Call(msgspec.Struct, frozen=True):
    """The first message of a function call; the pickled function, arguments and keyword arguments follow it.

    The function is called `repeat` times. `metrics` are paths in the values that it returns.
    """

    path: SearchPath
    repeat: int = 1
    metrics: dict[str, tuple[str | int | None, ...]] = {}


class Ready(msgspec.Struct, frozen=True, tag="ready"):
    """The worker has started and holds no weights."""


class Done(msgspec.Struct, frozen=True, tag="done"):
    """The plan or the program has been executed; a program reports only its makespan.

    `spans` are the tasks that ran, and `ledger_peak_bytes` is the largest sum of weights and activations held at
    any moment. `arrived_s` contains the arrival time of each request, `dropped` the requests that were dropped, and
    `overrun` those of them that newer ones pushed out of their queue. `notices` are sentences about requested behavior
    that this machine could not provide. `repetitions_s` are the times of a function that was called several times.
    `totals` has the tasks whose spans are not kept, and `step_ends_s` the end of each step by request.
    """

    makespan_s: Duration
    spans: tuple[Span, ...] = ()
    ledger_peak_bytes: Count | None = None
    arrived_s: tuple[Seconds, ...] = ()
    dropped: tuple[Count, ...] = ()
    notices: tuple[str, ...] = ()
    repetitions_s: tuple[Duration, ...] = ()
    totals: tuple[TaskTotal, ...] = ()
    step_ends_s: tuple[tuple[Seconds, ...], ...] = ()
    overrun: tuple[Count, ...] = ()


class Checked(msgspec.Struct, frozen=True, tag="checked"):
    """The output error of each answered request: how far it is from plain PyTorch, relative to PyTorch's largest value.

    An error is None if no finite number expresses it: NaN at other places, another shape or type. `tolerance` contains
    the largest error allowed per request; see `Network.tolerance`. `details` describe the largest difference of each
    request that exceeds it. `notices` are sentences about what was not compared.
    """

    output_error: dict[int, float | None]
    tolerance: dict[int, float] = {}
    details: dict[int, str] = {}
    notices: tuple[str, ...] = ()


class Returned(msgspec.Struct, frozen=True, tag="returned"):
    """The value that a called function returned last; if JSON cannot represent it, `notices` contain the reason.

    `metrics` are the numbers at the paths of the call, from all repetitions, as a list if they are a series; `faults`
    are the reasons why there are none.
    """

    value: Any = None
    notices: tuple[str, ...] = ()
    metrics: dict[str, float | tuple[float, ...]] = {}
    faults: dict[str, str] = {}


class Failed(msgspec.Struct, frozen=True, tag="failed"):
    """The worker cannot continue: `memory` if an allocation was refused, `wrong` if an assertion of a call failed.

    `traceback` has the lines of the user's own code that raised the exception.
    """

    message: str
    memory: bool = False
    wrong: bool = False
    traceback: str = ""


Event = Ready | Done | Checked | Returned | Failed
"""Any answer of a worker."""
