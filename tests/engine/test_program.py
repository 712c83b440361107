"""A real worker that runs a program instead of a plan."""

from __future__ import annotations

import os
import textwrap
from pathlib import Path

import msgspec
import pytest
import torch

from pytest_edgeload.base.functions import search_path
from pytest_edgeload.job import CHECK, GO, Checked, Done, Failed, Job, JobRequest, Program, Ready
from pytest_edgeload.networks.feed import Feed
from pytest_edgeload.networks.inputs import Inputs
from pytest_edgeload.networks.layer import OUTPUT_TOLERANCE
from pytest_edgeload.planning.plan import Plan
from tests.builders import stored
from tests.engine.test_steps import Close
from tests.engine.test_worker import Worker, worker

HEAD = """
import sys, weakref
from pathlib import Path
import torch
from pytest_edgeload.engine.program import network_by_network
from safetensors.torch import load_file

NOTES = Path(__file__).with_suffix(".notes")

def note(text):
    with NOTES.open("a") as file:
        file.write(text + "\\n")

def small(weights):
    def forward(x):
        x = torch.nn.functional.conv2d(x, weights["0.weight"], weights["0.bias"]).relu()
        x = torch.nn.functional.max_pool2d(x, 2).flatten(1)
        x = torch.nn.functional.linear(x, weights["4.weight"], weights["4.bias"])
        return torch.nn.functional.linear(x, weights["5.weight"], weights["5.bias"])
    return forward

def prepare(network):
    note(f"prepare {network.files.name} for {network.threads} threads")
    def load():
        note(f"load {network.files.name}")
        return small(load_file(network.weights[0]))
    return load

def right(job):
    return network_by_network(job, prepare)

note("import")
"""
"""Programs that compute the network of the fixture `small` with PyTorch's functions, and note each step in a file."""


class Programs:
    """A folder with a module of programs, and the network that they compute."""

    def __init__(self, folder: Path, network: Path) -> None:
        self._folder = folder
        self._network = network

    def job(self, body: str = "", function: str = "right", *, samples: tuple[int, ...] = (0,), copies: int = 1) -> Job:
        """Return a job for the program `function` of the module, with requests for each copy of the network in turn."""
        (self._folder / "programs.py").write_text(HEAD + textwrap.dedent(body))
        networks = (str(self._network),) * copies
        files = tuple(str(self._folder / f"files{copy}") for copy in range(copies))
        requests = tuple(JobRequest(copy, sample) for sample in samples for copy in range(copies))
        program = Program(f"programs:{function}", (os.fsencode(self._folder), *search_path()), files)
        return Job(Plan(()), networks, requests, "read", 2, program)

    @property
    def notes(self) -> list[str]:
        """The steps so far."""
        return (self._folder / "programs.notes").read_text().splitlines()


@pytest.fixture
def programs(tmp_path: Path, small: Path) -> Programs:
    """Return programs for the small network."""
    return Programs(tmp_path, small)


def _output_errors(process: Worker, job: Job) -> dict[int, float | None]:
    assert process.ask(job) == Ready()
    assert isinstance(process.send(GO), Done)
    checked = process.send(CHECK)
    assert isinstance(checked, Checked)
    return checked.output_error


def test_weights_are_loaded_on_the_clock(programs: Programs) -> None:
    """Imports and preparation precede Ready, weights are loaded after `go`, and Done contains only the makespan."""
    with worker() as process:
        assert process.ask(programs.job(samples=(0, 1))) == Ready()
        assert programs.notes == ["import", "prepare files0 for 2 threads"]
        done = process.send(GO)
        assert programs.notes[2:] == ["load files0"]
        assert isinstance(done, Done)
        assert done == Done(done.makespan_s)
        assert done.makespan_s > 0
        checked = process.send(CHECK)
        assert isinstance(checked, Checked)
        assert checked.output_error == pytest.approx({0: 0.0, 1: 0.0}, abs=OUTPUT_TOLERANCE)
        assert process.end() == 0


def test_search_path_comes_from_the_parent(programs: Programs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Modules are imported from the folders of the parent process, even if a name is not Unicode."""
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff"))
    folder.mkdir()
    (folder / "found_there.py").touch()
    monkeypatch.syspath_prepend(folder)
    with worker() as process:
        assert process.ask(programs.job("import found_there")) == Ready()


def test_each_network_is_freed_before_the_next_is_loaded(programs: Programs) -> None:
    """Each network is loaded once, answers all its requests in any order, and is gone before the next is loaded."""
    body = """
        living = []
        def prepare_counting(network):
            whole = prepare(network)
            def load():
                assert not any(ref() for ref in living), "the previous network is still there"
                forward = whole()
                weights = forward.__closure__[0].cell_contents
                living.extend(weakref.ref(tensor) for tensor in weights.values())
                forward.itself = forward  # like a module with hooks, which refers to itself
                return forward
            return load

        def counting(job):
            return network_by_network(job, prepare_counting)
    """
    with worker() as process:
        errors = _output_errors(process, programs.job(body, "counting", samples=(0, 1), copies=2))
        assert errors == pytest.approx(dict.fromkeys(range(4), 0.0), abs=OUTPUT_TOLERANCE)
        assert programs.notes[3:] == ["load files0", "load files1"]


ALTERED = """
    def altered(change):
        def program(job):
            answer = right(job)
            def changed():
                answers = dict(answer())
                change(answers)
                return answers
            return changed
        return program

    def add(answers): answers[1] = [answers[1][0] + 1e-3 * answers[1][0].abs().max()]
    def swap(answers): answers[1] = answers[0]
    def nan(answers): answers[1] = [answers[1][0] * float("nan")]
    def narrow(answers): answers[1] = [answers[1][0][:, :-1]]
    def twice(answers): answers[1] = answers[1] * 2
    def forget(answers): del answers[1]
    added, swapped, undefined, narrowed, doubled, forgotten = map(altered, (add, swap, nan, narrow, twice, forget))
"""


@pytest.mark.parametrize("function", ["added", "swapped", "undefined", "narrowed", "doubled", "forgotten"])
def test_wrong_outputs_are_errors_of_their_request(programs: Programs, function: str) -> None:
    """Wrong or missing outputs are an error of their own request only."""
    with worker() as process:
        errors = _output_errors(process, programs.job(ALTERED, function, samples=(0, 1)))
        right, wrong = errors[0], errors[1]
        assert right is not None
        assert right < OUTPUT_TOLERANCE
        if function in {"added", "swapped"}:
            assert wrong is not None
            assert wrong > OUTPUT_TOLERANCE
        else:
            assert wrong is None


FAILING = """
    def early(job):
        raise RuntimeError("the moon is too far away")

    def late(job):
        return lambda: {}["moon"]

    def greedy(job):
        def answer():
            raise MemoryError("no room for the moon")
        return answer

    def huge(job):
        return lambda: {0: [torch.empty(1 << 60)]}
"""


@pytest.mark.parametrize(
    ("function", "failed"),
    [
        ("early", Failed("RuntimeError: the moon is too far away")),
        ("missing", Failed("AttributeError: module 'programs' has no attribute 'missing'")),
        ("late", Failed("KeyError: 'moon'")),
        ("greedy", Failed("no room for the moon", memory=True)),
    ],
)
def test_an_exception_is_one_sentence_and_exit_status_1(programs: Programs, function: str, failed: Failed) -> None:
    """A program that raises, on or off the clock, is answered with one sentence and the lines of its own code.

    The worker exits with 1.
    """
    with worker() as process:
        answer = process.ask(programs.job(FAILING, function))
        if answer == Ready():
            answer = process.send(GO)
        assert isinstance(answer, Failed)
        assert msgspec.structs.replace(answer, traceback="") == failed
        assert ("programs.py" in answer.traceback) == (function in {"early", "late"})
        assert process.end() == 1


def test_refused_memory_is_distinguished(programs: Programs) -> None:
    """Failed distinguishes memory that PyTorch was refused from other failures."""
    with worker() as process:
        assert process.ask(programs.job(FAILING, "huge")) == Ready()
        failed = process.send(GO)
        assert isinstance(failed, Failed)
        assert failed.memory


def test_token_that_rounding_decides_is_right_and_in_a_notice(tmp_path: Path) -> None:
    """If rounding explains another token, the answer is right, and a notice says that later steps were not compared."""
    sample = Inputs((torch.tensor([[0]]),), steps=4, feeds=(Feed(0, rule="argmax"),))
    programs = Programs(tmp_path, stored(tmp_path / "close", Close(1e-5), sample))
    swap = "def swap(job): return network_by_network(job, lambda _: lambda: lambda _: torch.tensor([[0.0, 8.0, 8.1]]))"
    job = msgspec.structs.replace(programs.job(swap, "swap"), requests=(JobRequest(0, steps=4),))
    with worker() as process:
        assert process.ask(job) == Ready()
        assert isinstance(process.send(GO), Done)
        checked = process.send(CHECK)
    assert isinstance(checked, Checked)
    assert checked.output_error == {0: pytest.approx(5e-6, rel=0.1)}
    assert checked.details == {}
    words = "after step 1 of 4, its next input is [2] instead of [1], which rounding explains"
    assert checked.notices == (f"request 0: {words}; later steps were not compared",)
