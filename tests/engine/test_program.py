"""A real worker that runs a program instead of a plan."""

from __future__ import annotations

import os
import textwrap
from pathlib import Path

import pytest

from pytest_edgeload.base.functions import search_path
from pytest_edgeload.job import CHECK, GO, Checked, Done, Failed, Job, JobRequest, Program, Ready
from pytest_edgeload.networks.layer import OUTPUT_TOLERANCE
from pytest_edgeload.planning.plan import Plan
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
        return small(load_file(network.weights))
    return load

def right(job):
    return network_by_network(job, prepare)

note("import")
"""
"""The network of the fixture `small`, answered by PyTorch's functions; and what happens when, in a file beside it."""


class Desk:
    """A folder with a module of programs, and the network that they answer."""

    def __init__(self, folder: Path, network: Path) -> None:
        self._folder = folder
        self._network = network

    def job(self, body: str = "", function: str = "right", *, samples: tuple[int, ...] = (0,), copies: int = 1) -> Job:
        """Return a job for the program `function` of the module, asking each of some copies of the network in turn."""
        (self._folder / "programs.py").write_text(HEAD + textwrap.dedent(body))
        networks = (str(self._network),) * copies
        files = tuple(str(self._folder / f"files{copy}") for copy in range(copies))
        asked = tuple(JobRequest(copy, sample) for sample in samples for copy in range(copies))
        program = Program(f"programs:{function}", (os.fsencode(self._folder), *search_path()), files)
        return Job(Plan(()), networks, asked, "read", 2, program)

    @property
    def notes(self) -> list[str]:
        """What has happened so far."""
        return (self._folder / "programs.notes").read_text().splitlines()


@pytest.fixture
def desk(tmp_path: Path, small: Path) -> Desk:
    """Give programs for the small network."""
    return Desk(tmp_path, small)


def _checked(process: Worker, job: Job) -> dict[int, float | None]:
    assert process.ask(job) == Ready()
    assert isinstance(process.tell(GO), Done)
    checked = process.tell(CHECK)
    assert isinstance(checked, Checked)
    return checked.output_error


def test_a_conversation(desk: Desk) -> None:
    """All is imported and prepared before ready, weights are loaded after go, and of the run only its time is told."""
    with worker() as process:
        assert process.ask(desk.job(samples=(0, 1))) == Ready()
        assert desk.notes == ["import", "prepare files0 for 2 threads"]
        done = process.tell(GO)
        assert desk.notes[2:] == ["load files0"]
        assert isinstance(done, Done)
        assert done == Done(done.makespan_s)
        assert done.makespan_s > 0
        checked = process.tell(CHECK)
        assert isinstance(checked, Checked)
        assert checked.output_error == pytest.approx({0: 0.0, 1: 0.0}, abs=OUTPUT_TOLERANCE)
        assert process.end() == 0


def test_imports(desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Modules come from where the asking process has them from, which may be a folder whose name is no Unicode."""
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff"))
    folder.mkdir()
    (folder / "found_there.py").touch()
    monkeypatch.syspath_prepend(folder)
    with worker() as process:
        assert process.ask(desk.job("import found_there")) == Ready()


def test_network_by_network(desk: Desk) -> None:
    """Each network is loaded once, asked all that is asked of it in any order, and gone before the next is loaded."""
    body = """
        living = []
        def prepare_counting(network):
            whole = prepare(network)
            def load():
                assert not any(ref() for ref in living), "the one before is still there"
                forward = whole()
                weights = forward.__closure__[0].cell_contents
                living.extend(weakref.ref(tensor) for tensor in weights.values())
                forward.itself = forward  # as a module with hooks refers to itself
                return forward
            return load

        def counting(job):
            return network_by_network(job, prepare_counting)
    """
    with worker() as process:
        errors = _checked(process, desk.job(body, "counting", samples=(0, 1), copies=2))
        assert errors == pytest.approx(dict.fromkeys(range(4), 0.0), abs=OUTPUT_TOLERANCE)
        assert desk.notes[3:] == ["load files0", "load files1"]


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
def test_an_altered_answer(desk: Desk, function: str) -> None:
    """Outputs that are not what is due, or are not there, are an error of their own request only."""
    with worker() as process:
        errors = _checked(process, desk.job(ALTERED, function, samples=(0, 1)))
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
def test_a_program_that_fails(desk: Desk, function: str, failed: Failed) -> None:
    """A program that raises, before the clock starts or after, is answered by one sentence, and the worker exits 1."""
    with worker() as process:
        answer = process.ask(desk.job(FAILING, function))
        if answer == Ready():
            answer = process.tell(GO)
        assert answer == failed
        assert process.end() == 1


def test_refused_memory(desk: Desk) -> None:
    """Memory that PyTorch is refused in a program is told from other failures."""
    with worker() as process:
        assert process.ask(desk.job(FAILING, "huge")) == Ready()
        failed = process.tell(GO)
        assert isinstance(failed, Failed)
        assert failed.memory
