"""Conversion of a network for a program: once, in a process of its own, by a function of the user."""

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
from pytest_edgeload.networks.folder import verify_network
from pytest_edgeload.networks.preparation import PreparationFailed
from pytest_edgeload.networks.registry import Registry
from pytest_edgeload.networks.store import Store

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
    torch.save((module.state_dict(), module(*samples[0].args)), folder / "inner" / "{name}.pt")

def fail(module, samples, folder):
    (folder / "half").write_text("half")
    raise RuntimeError("the moon is too far away")

def die(module, samples, folder):
    os._exit(3)
"""


class Project:
    """A project of importable functions, the store that they fill, and the number of their calls."""

    def __init__(self, folder: Path, store: Path | None = None) -> None:
        self._folder = folder
        if store is not None:
            shutil.copytree(store, folder / "store")
        (folder / "my_factory.py").write_text(FACTORY)
        self.write("whole")

    def write(self, name: str) -> None:
        """Write the converters again, so that they make a file of this name."""
        text = CONVERTERS.format(calls=str(self._folder / "calls"), name=name)
        (self._folder / "my_converters.py").write_text(text)

    @property
    def calls(self) -> int:
        """The number of conversions."""
        return len((self._folder / "calls").read_text().splitlines())

    @property
    def unfinished(self) -> list[Path]:
        """Folders that were never finished."""
        return list(self._folder.glob("store/networks/.making-*"))

    @property
    def writable_by_others(self) -> list[Path]:
        """Files and folders that other users may write to."""
        made = (self._folder / "store", *(self._folder / "store").rglob("*"))
        return [path for path in made if path.stat().st_mode & 0o022]

    def registry(self) -> Registry:
        """Return a new registry of the same store, like a later session."""
        registry = Registry(Store(self._folder / "store"))
        registry.register("net", "my_factory:make")
        return registry


def silent(_name: str, _done: int, _total: int) -> None:
    """Show no progress."""


@pytest.fixture(scope="module", autouse=True)
def permissive_umask() -> Iterator[None]:
    """Let all users write to new files by default."""
    was = os.umask(0)
    yield
    os.umask(was)


@pytest.fixture(scope="module")
def stored_network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a store that contains the network."""
    folder = tmp_path_factory.mktemp("stored")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        Project(folder).registry().get("net", silent)
    return folder / "store"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stored_network: Path) -> Project:
    """Return importable functions and the stored network; processes started from here can import them as well."""
    monkeypatch.syspath_prepend(tmp_path)
    return Project(tmp_path, stored_network)


def test_network_is_converted_once(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """The files are in the network's folder after the first call, and an unchanged source starts no other process.

    Other users may not write to any of them, even if the umask allows it.
    """
    shown: list[tuple[str, int, int]] = []
    registry = project.registry()
    network, graph = registry.get("net", silent)
    made = registry.convert("net", "my_converters:convert", lambda *progress: shown.append(progress))
    assert shown == [("net for my_converters:convert", 0, 0), ("net for my_converters:convert", 1, 1)]
    assert made.is_relative_to(network)
    assert [path.name for path in made.rglob("*")] == ["inner", "whole.pt"]
    assert verify_network(network) == graph
    assert project.writable_by_others == []
    monkeypatch.setattr(sys, "executable", "/no/such/interpreter")
    assert registry.convert("net", "my_converters:convert", silent) == made
    assert project.calls == 1


def test_converter_receives_the_stored_weights(project: Project) -> None:
    """The module computes the stored outputs, although the factory draws other weights each time."""
    registry = project.registry()
    folder, graph = registry.get("net", silent)
    made = registry.convert("net", "my_converters:convert", silent)
    state, outputs = torch.load(made / "inner" / "whole.pt")
    [expected] = OpenNetwork(folder, "read").tensors(graph.samples[0].outputs)
    assert torch.equal(outputs, expected)
    assert set(state) == {f"0.{n}" for n in ("weight", "bias")} | {
        f"1.{n}" for n in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
    }


def test_changed_source_is_converted_again(project: Project) -> None:
    """A function with another text is called again; with its first text, the first files are found again."""
    first = project.registry().convert("net", "my_converters:convert", silent)
    project.write("other")
    second = project.registry().convert("net", "my_converters:convert", silent)
    assert [path.name for path in second.rglob("*.pt")] == ["other.pt"]
    project.write("whole")
    assert project.registry().convert("net", "my_converters:convert", silent) == first
    assert project.calls == 2


@pytest.mark.parametrize(
    ("function", "words"),
    [
        ("my_converters:fail", "RuntimeError: the moon is too far away"),
        ("my_converters:missing", "AttributeError: .*'my_converters' has no attribute 'missing'"),
        ("my_converters:die", "the process ended with status 3"),
        ("no_such_module:convert", "no module named 'no_such_module' can be imported; check sys.path"),
    ],
)
def test_failing_function_is_reported_with_its_reason(project: Project, function: str, words: str) -> None:
    """A failing function is reported with the network's name and the reason, each time, and leaves no files."""
    registry = project.registry()
    for _ in range(2):
        with pytest.raises(PreparationFailed, match=f"^network net.*: .*{words}"):
            registry.convert("net", function, silent)
    if "die" in function:
        registry.convert("net", "my_converters:convert", silent)  # removes the files of a killed maker
    assert project.unfinished == []


@pytest.mark.parametrize("function", ["", "module", "module:", ":function", "module:two words"])
def test_malformed_function_is_refused(function: str) -> None:
    """A function not written as module:function is refused with its purpose and its value."""
    with pytest.raises(UsageError, match=f"^peer net: program '{function}': not of the form 'module:function'$"):
        check_function("peer net: program", function)
