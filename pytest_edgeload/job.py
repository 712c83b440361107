"""What crosses the boundary between the sandbox and the worker, as JSON lines: a Job or a Call in, Events out.

The conversation: the parent sends a Job, the worker answers Ready; the parent sends `go`, the worker carries the plan
out and answers Done; the parent, having read its counters, sends `check`, the worker compares outputs and answers
Checked. Failed may stand in place of any answer. The end of standard input ends the worker.

A call is the same conversation with another worker: after the line of the Call come the function and its arguments,
pickled, and the last answer is Returned. Nothing that comes from a worker is ever unpickled.
"""

from __future__ import annotations

import os
import sys
from typing import Any

import msgspec

from pytest_edgeload.base.decoding import Count, Duration, Seconds
from pytest_edgeload.planning.plan import Plan, Span
from pytest_edgeload.workload import Condition

SearchPath = tuple[bytes, ...]
"""Where modules are imported from, as the file system has it: its names need not be Unicode."""

GO, CHECK = b"go\n", b"check\n"


class JobRequest(msgspec.Struct, frozen=True, omit_defaults=True):
    """One request as the worker gets it; `network` is an index into the job's networks. See `workload.Request`."""

    network: int
    sample: int = 0
    arrival_s: float = 0.0
    batch: int = 0
    when: Condition | None = None


class Program(msgspec.Struct, frozen=True):
    """What a worker runs instead of a plan: a function, written as `module:function` and imported from `path`.

    `files` has, for each of the job's networks, the folder of what was made for the program beforehand; empty where
    nothing was. See `engine.program`.
    """

    function: str
    path: SearchPath
    files: tuple[str, ...] = ()


class Job(msgspec.Struct, frozen=True):
    """A plan, or a program and an empty plan, and all a worker needs for it.

    `networks` are folders of the store. `threads` is how many threads one operator may use.
    """

    plan: Plan
    networks: tuple[str, ...]
    requests: tuple[JobRequest, ...]
    reader: str
    threads: int
    program: Program | None = None


class Call(msgspec.Struct, frozen=True):
    """What a worker needs to know to call a function."""

    path: SearchPath


class Ready(msgspec.Struct, frozen=True, tag="ready"):
    """The worker has started and holds no weights."""


class Done(msgspec.Struct, frozen=True, tag="done"):
    """All tasks have ended; `spans` has those that were carried out. Of a program only the makespan is known.

    `ledger_peak_bytes` is the most bytes of weights and activations held at once. `arrived_s` is when each request
    arrived, and `dropped` has those whose condition failed. `notices` say what could not be done as it was asked.
    """

    makespan_s: Duration
    spans: tuple[Span, ...] = ()
    ledger_peak_bytes: Count | None = None
    arrived_s: tuple[Seconds, ...] = ()
    dropped: tuple[Count, ...] = ()
    notices: tuple[str, ...] = ()


class Checked(msgspec.Struct, frozen=True, tag="checked"):
    """For each request that was answered, how far its outputs are from plain PyTorch's, over the largest of these.

    None stands for outputs that hold what no number compares with (NaN), or are of another shape. `tolerance` is the
    most that may be, where the network computes in a type coarser than float32; see `Network.tolerance`.
    """

    output_error: dict[int, float | None]
    tolerance: dict[int, float] = {}


class Returned(msgspec.Struct, frozen=True, tag="returned"):
    """What a called function returned, if JSON can hold it; else `notices` say why it is not there."""

    value: Any = None
    notices: tuple[str, ...] = ()


class Failed(msgspec.Struct, frozen=True, tag="failed"):
    """The worker cannot go on: it was refused `memory`, or an assertion says that something is `wrong`, or neither."""

    message: str
    memory: bool = False
    wrong: bool = False


Event = Ready | Done | Checked | Returned | Failed


def search_path() -> SearchPath:
    """Return this process's."""
    return tuple(map(os.fsencode, sys.path))


def import_from(path: SearchPath) -> None:
    """Have this process import modules as that of `search_path` did."""
    sys.path[:] = map(os.fsdecode, path)
