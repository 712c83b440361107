"""A real worker process, with the protocol in `job`."""

from __future__ import annotations

import os
import re
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import psutil
import pytest
import torch
from msgspec.structs import replace
from torch import nn

from pytest_edgeload.job import CHECK, GO, Checked, Done, Event, Failed, Job, Ready
from pytest_edgeload.networks.folder import GRAPH, SAMPLES, read_graph
from pytest_edgeload.networks.layer import OUTPUT_TOLERANCE
from pytest_edgeload.planning.plan import Plan, Span
from pytest_edgeload.planning.simulate import peak_bytes
from pytest_edgeload.workload import Condition, Request, Workload
from tests.builders import job, job_of, plan_of, stored

COMMAND = [sys.executable, "-m", "pytest_edgeload.engine.worker"]
PATIENCE_S = 60
GIB = 1 << 30
DECODER: msgspec.json.Decoder[Event] = msgspec.json.Decoder(Event)


class Worker:
    """A worker process, or a parent that starts it; waits a limited time for every answer."""

    def __init__(self, command: list[str], environment: dict[str, str]) -> None:
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0, env=os.environ | environment
        )

    def send(self, message: bytes) -> Event:
        """Send a message and return the answer."""
        assert self.process.stdin is not None
        self.process.stdin.write(message)
        return DECODER.decode(self._answer())

    def ask(self, job: Job) -> Event:
        """Send a job and return the answer."""
        return self.send(msgspec.json.encode(job) + b"\n")

    def end(self) -> int:
        """Close standard input and return the exit status; the worker must not send another answer."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        assert self._answer() == b""
        return self.process.wait(PATIENCE_S)

    def _answer(self) -> bytes:
        assert self.process.stdout is not None
        line = b""
        while not line.endswith(b"\n"):
            assert select.select([self.process.stdout], [], [], PATIENCE_S)[0], f"no answer after {line!r}"
            byte = self.process.stdout.read(1)
            if not byte:
                return line
            line += byte
        return line


@contextmanager
def worker(*command: str, **environment: str) -> Iterator[Worker]:
    """Start a worker, and kill it at the end if it still runs."""
    started = Worker(list(command) or COMMAND, environment)
    with started.process:
        try:
            yield started
        finally:
            started.process.kill()


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a network with a convolution, which has 8 MiB of activations, and a linear layer of 16 MiB."""
    torch.manual_seed(0)
    module = nn.Sequential(
        nn.Conv2d(3, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(16), nn.Flatten(), nn.Linear(8192, 512)
    )
    samples = [(torch.rand(1, 3, 256, 256),) for _ in range(2)]
    return stored(tmp_path_factory.mktemp("network"), module, *samples)


def _anonymous_bytes(pid: int) -> int:
    match = re.search(r"RssAnon:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert match is not None
    return int(match[1]) << 10


def test_job_go_and_check_are_answered(network: Path) -> None:
    """Ready answers a job, Done with all spans and the peak `go`, and Checked with errors near 0 `check`."""
    plan_job, workload = job("linear", network, requests=2)
    with worker() as process:
        assert process.ask(plan_job) == Ready()
        done = process.send(GO)
        assert isinstance(done, Done)
        assert sorted(span.task for span in done.spans) == list(range(len(plan_job.plan.tasks)))
        assert done.makespan_s == max(span.end_s for span in done.spans) > 0
        assert done.ledger_peak_bytes == peak_bytes(plan_job.plan, workload)
        checked = process.send(CHECK)
        assert isinstance(checked, Checked)
        assert checked.output_error == pytest.approx({0: 0.0, 1: 0.0}, abs=OUTPUT_TOLERANCE)
        assert process.end() == 0


def test_arena_is_gone_when_the_tasks_have_ended(network: Path) -> None:
    """The report of a plan with many tasks takes memory, which must not come on top of the arena."""
    plan_job, _ = job("stream", network)
    plan = replace(plan_job.plan, arena_bytes=GIB)
    with worker() as process:
        assert process.ask(replace(plan_job, plan=plan)) == Ready()
        seen = psutil.Process(process.process.pid)
        address_space_bytes = seen.memory_info().vms
        assert isinstance(process.send(GO), Done)
        assert seen.memory_info().vms < address_space_bytes - GIB // 2, "threads that were started have taken some"
        assert isinstance(process.send(CHECK), Checked)


def _of(plan: Plan, span: Span) -> int:
    """Return the request of a span."""
    return plan.tasks[span.task].request


def test_done_contains_arrivals_and_dropped_requests(network: Path) -> None:
    """Done contains when each request arrived and which were dropped; Checked contains the errors of the others.

    A newer frame of a stream pushes out an older one, and a request that it triggers arrives when it is answered.
    """
    graph = read_graph(network)
    older, newer = (Request(graph, sample, 0.25, stream="camera", queue=1) for sample in (0, 1))
    triggered = Request(graph, arrival_s=0.25, after=3)
    requests = (Request(graph), Request(graph, when=Condition(0, 1e9)), older, newer, triggered)
    workload = Workload("deciding", requests)
    plan = plan_of("linear", workload)
    with worker() as process:
        assert process.ask(job_of(plan, workload, network)) == Ready()
        done = process.send(GO)
        assert isinstance(done, Done)
        assert done.arrived_s[:4] == (0.0, 0.0, 0.25, 0.25)
        answered_s = max(s.end_s for s in done.spans if _of(plan, s) == 3 and plan.tasks[s.task].kind == "exec")
        assert answered_s <= done.arrived_s[4] <= min(s.start_s for s in done.spans if _of(plan, s) == 4)
        assert (done.dropped, done.overrun) == ((1, 2), (2,))
        assert {_of(plan, span) for span in done.spans} == {0, 3, 4}
        assert done.makespan_s > 0.25
        checked = process.send(CHECK)
        assert isinstance(checked, Checked)
        assert checked.output_error == pytest.approx({0: 0.0, 3: 0.0, 4: 0.0}, abs=OUTPUT_TOLERANCE)
        assert process.end() == 0


def test_freed_memory_returns_to_the_system(network: Path) -> None:
    """After the plan, no weights, activations or scratch memory of operators are resident."""
    with worker() as process:
        assert process.ask(job("linear", network, requests=2)[0]) == Ready()
        idle = _anonymous_bytes(process.process.pid)
        done = process.send(GO)
        assert isinstance(done, Done)
        assert _anonymous_bytes(process.process.pid) - idle < 6 << 20 < (done.ledger_peak_bytes or 0)


def test_an_empty_job_is_answered() -> None:
    """A job without tasks, which measures the idle worker, is answered like any other."""
    with worker() as process:
        assert process.ask(Job(Plan(()), (), (), "read", 1)) == Ready()
        assert process.send(GO) == Done(0.0, (), 0, (), ())
        assert process.send(CHECK) == Checked({})
        assert process.end() == 0


def test_end_of_standard_input_ends_the_worker(network: Path) -> None:
    """A worker whose standard input ends before `go` exits 0 without another answer."""
    with worker() as process:
        assert process.ask(job("linear", network)[0]) == Ready()
        assert process.end() == 0


def test_printed_output_goes_to_standard_error(network: Path, tmp_path: Path) -> None:
    """Output that a library prints goes to standard error, never between the events."""
    errors = tmp_path / "errors"
    with worker("sh", "-c", 'exec "$@" 2>"$0"', str(errors), *COMMAND, ONEDNN_VERBOSE="all") as process:
        assert process.ask(job("linear", network)[0]) == Ready()
        assert isinstance(process.send(GO), Done)
        assert isinstance(process.send(CHECK), Checked)
        assert process.end() == 0
    assert "onednn_verbose" in errors.read_text()


def _copy(folder: Path, copy: Path) -> Path:
    copy.mkdir()
    for path in folder.iterdir():
        (copy / path.name).write_bytes(path.read_bytes())
    return copy


@pytest.mark.parametrize(
    ("name", "words"),
    [(GRAPH, "^DamagedNetwork: {}.* is damaged: .*; delete the folder"), (SAMPLES, "^FileNotFoundError: .*{}")],
)
def test_a_missing_file_is_named_in_one_sentence(network: Path, tmp_path: Path, name: str, words: str) -> None:
    """A job whose network lacks a file is answered with one sentence that names the file, and the worker exits 1."""
    plan_job, _ = job("linear", network)
    copy = _copy(network, tmp_path / "copy")
    (copy / name).unlink()
    with worker() as process:
        failed = process.ask(msgspec.structs.replace(plan_job, networks=(str(copy),)))
        assert isinstance(failed, Failed)
        assert re.search(words.format(copy / name), failed.message)
        assert "\n" not in failed.message
        assert not failed.memory
        assert process.end() == 1


def test_a_wrong_output_exceeds_the_tolerance(network: Path, tmp_path: Path) -> None:
    """An output that differs from the stored one has an error above the tolerance, for its own request only."""
    copy = _copy(network, tmp_path / "copy")
    due = read_graph(copy).samples[1].outputs[0]
    with (copy / SAMPLES).open("r+b") as file:
        file.seek(due.offset)
        file.write(bytes(4))
    plan_job, _ = job("linear", copy, requests=2)
    with worker() as process:
        assert process.ask(plan_job) == Ready()
        assert isinstance(process.send(GO), Done)
        checked = process.send(CHECK)
        assert isinstance(checked, Checked)
        right, wrong = checked.output_error[0], checked.output_error[1]
        assert right is not None
        assert wrong is not None
        assert right < OUTPUT_TOLERANCE < wrong


@pytest.mark.parametrize("room_bytes", [1 << 20, 20 << 20])
def test_refused_memory_is_reported(network: Path, room_bytes: int) -> None:
    """A worker that is refused memory, for activations or for weights, reports it and exits 1."""
    with worker() as process:
        assert process.ask(job("bulk", network)[0]) == Ready()
        watched = psutil.Process(process.process.pid)
        room = watched.memory_info().vms + room_bytes
        watched.rlimit(psutil.RLIMIT_AS, (room, room))
        failed = process.send(GO)
        assert isinstance(failed, Failed)
        assert failed.memory
        assert process.end() == 1


PARENT = "import subprocess, sys, time; subprocess.Popen(sys.argv[1:]); time.sleep(600)"


def test_worker_dies_with_its_parent(network: Path) -> None:
    """A worker whose parent is killed ends at once, even though its standard input stays open."""
    with worker(sys.executable, "-c", PARENT, *COMMAND) as process:
        assert process.ask(job("linear", network)[0]) == Ready()
        process.process.send_signal(signal.SIGKILL)
        assert process._answer() == b"", "the worker still holds its standard output open"
