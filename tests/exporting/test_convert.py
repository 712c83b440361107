"""What a program needs of a network beforehand: made once, in a process of its own, by a function that users write."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from pytest_edgeload.base.errors import UsageError
from pytest_edgeload.base.functions import check_function
from pytest_edgeload.engine.network import OpenNetwork
from pytest_edgeload.networks.preparation import PreparationFailed
from pytest_edgeload.networks.registry import Registry
from pytest_edgeload.networks.store import Store, verify_network

FACTORY = """
import torch

def make():
    return torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2)).eval(), [(torch.ones(1, 3),)]
"""

CONVERTERS = """
import os
import torch

def convert(module, samples, folder):
    with open({calls!r}, "a") as file:
        file.write("called\\n")
    print("words on standard output")
    (folder / "inner").mkdir()
    torch.save((module.state_dict(), module(*samples[0])), folder / "inner" / "{name}.pt")

def fail(module, samples, folder):
    (folder / "half").write_text("half")
    raise RuntimeError("the moon is too far away")

def die(module, samples, folder):
    os._exit(3)
"""


class Desk:
    """A folder of functions that can be imported, the store they fill, and how often they were called."""

    def __init__(self, folder: Path, store: Path | None = None) -> None:
        self._folder = folder
        if store is not None:
            shutil.copytree(store, folder / "store")
        (folder / "my_factory.py").write_text(FACTORY)
        self.write("whole")

    def write(self, name: str) -> None:
        """Write the converters anew, to make a file of this name."""
        text = CONVERTERS.format(calls=str(self._folder / "calls"), name=name)
        (self._folder / "my_converters.py").write_text(text)

    @property
    def calls(self) -> int:
        """How often a network was converted."""
        return len((self._folder / "calls").read_text().splitlines())

    @property
    def leavings(self) -> list[Path]:
        """What is left of folders that were never finished."""
        return list(self._folder.glob("store/networks/.making-*"))

    @property
    def open_to_others(self) -> list[Path]:
        """What others may write to."""
        made = (self._folder / "store", *(self._folder / "store").rglob("*"))
        return [path for path in made if path.stat().st_mode & 0o022]

    def registry(self) -> Registry:
        """Return a new registry over the same store, as a later session has it."""
        registry = Registry(Store(self._folder / "store"))
        registry.register("net", "my_factory:make")
        return registry


def silent(_name: str, _done: int, _total: int) -> None:
    """Say nothing."""


@pytest.fixture(scope="module", autouse=True)
def open_to_all() -> Iterator[None]:
    """Let everybody write to what is made here, unless it is told otherwise."""
    was = os.umask(0)
    yield
    os.umask(was)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a store that holds the network."""
    folder = tmp_path_factory.mktemp("made")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        Desk(folder).registry().get("net", silent)
    return folder / "store"


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, made: Path) -> Desk:
    """Give functions that can be imported here, and so in the processes started from here, beside the network."""
    monkeypatch.syspath_prepend(tmp_path)
    return Desk(tmp_path, made)


def test_it_is_made_once(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """The files stand beside the network from the first call on; while the source stays no other process starts.

    Nobody else may write to any of it, whatever the umask allows.
    """
    told: list[tuple[str, int, int]] = []
    registry = desk.registry()
    network, graph = registry.get("net", silent)
    made = registry.convert("net", "my_converters:convert", lambda *progress: told.append(progress))
    assert told == [("net for my_converters:convert", 0, 0), ("net for my_converters:convert", 1, 1)]
    assert made.is_relative_to(network)
    assert [path.name for path in made.rglob("*")] == ["inner", "whole.pt"]
    assert verify_network(network) == graph
    assert desk.open_to_others == []
    monkeypatch.setattr(sys, "executable", "/no/such/interpreter")
    assert registry.convert("net", "my_converters:convert", silent) == made
    assert desk.calls == 1


def test_it_sees_the_stored_weights(desk: Desk) -> None:
    """A factory that draws other weights each time gives the module; what it computes is what is stored as due."""
    registry = desk.registry()
    folder, graph = registry.get("net", silent)
    made = registry.convert("net", "my_converters:convert", silent)
    state, found = torch.load(made / "inner" / "whole.pt")
    [due] = OpenNetwork(folder, "read").tensors(graph.samples[0].outputs)
    assert torch.equal(found, due)
    assert set(state) == {f"0.{n}" for n in ("weight", "bias")} | {
        f"1.{n}" for n in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
    }


def test_another_source(desk: Desk) -> None:
    """After its text changed a function is called anew; after it changed back the first files are found."""
    first = desk.registry().convert("net", "my_converters:convert", silent)
    desk.write("other")
    second = desk.registry().convert("net", "my_converters:convert", silent)
    assert [path.name for path in second.rglob("*.pt")] == ["other.pt"]
    desk.write("whole")
    assert desk.registry().convert("net", "my_converters:convert", silent) == first
    assert desk.calls == 2


@pytest.mark.parametrize(
    ("function", "words"),
    [
        ("my_converters:fail", "RuntimeError: the moon is too far away"),
        ("my_converters:missing", "AttributeError: .*'my_converters' has no attribute 'missing'"),
        ("my_converters:die", "the process ended with status 3"),
        ("no_such_module:convert", "no module named 'no_such_module' can be imported; check sys.path"),
    ],
)
def test_a_function_that_fails(desk: Desk, function: str, words: str) -> None:
    """A function that makes no files fails by the network's name and its own words, each time, and leaves nothing."""
    registry = desk.registry()
    for _ in range(2):
        with pytest.raises(PreparationFailed, match=f"^network net.*: .*{words}"):
            registry.convert("net", function, silent)
    registry.convert("net", "my_converters:convert", silent)  # which removes what a killed one left
    assert desk.leavings == []


@pytest.mark.parametrize("function", ["", "module", "module:", ":function", "module:two words"])
def test_what_is_no_function(function: str) -> None:
    """What is not written as module:function is refused, by what it is for and its value."""
    with pytest.raises(UsageError, match=f"^peer net: program '{function}' is not of the form 'module:function'$"):
        check_function("peer net: program", function)
