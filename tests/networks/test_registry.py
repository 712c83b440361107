"""Networks by name: each made once, in a process of its own, by a factory of the user."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from safetensors.torch import save_file

from pytest_edgeload.base.errors import UsageError, notes
from pytest_edgeload.networks.folder import WEIGHTS, verify_network
from pytest_edgeload.networks.preparation import PreparationFailed
from pytest_edgeload.networks.registry import Registry, UnknownNetwork
from pytest_edgeload.networks.store import Store
from pytest_edgeload.networks.tensor_file import DamagedNetwork

FACTORY = """
import torch
with open({calls!r}, "a") as file:
    file.write("imported\\n")

def make():
    print("words on standard output")
    torch.manual_seed(0)
    return torch.nn.Linear({width}, 2), [(torch.zeros(1, {width}),)]

def fail():
    raise RuntimeError("the moon is too far away")

def die():
    import os
    os._exit(3)

class Talker(torch.nn.Linear):
    def forward(self, x):
        import os
        print("x" * (50 << 20), flush=True)
        os.write(1, b"y" * (50 << 20))
        return super().forward(x)

def talk():
    return Talker({width}, 2), [(torch.zeros(1, {width}),)]
"""


class Project:
    """A project of importable factories, the store that they fill, and the number of their imports."""

    def __init__(self, folder: Path) -> None:
        self._calls = folder / "calls"
        self._source = folder / "my_factories.py"
        self._folder = folder
        self.write(width=3)

    def write(self, *, width: int) -> None:
        """Write the factories again, for networks of this width."""
        self._source.write_text(FACTORY.format(calls=str(self._calls), width=width))

    @property
    def calls(self) -> int:
        """The number of processes that imported the factories."""
        return len(self._calls.read_text().splitlines()) if self._calls.exists() else 0

    def registry(self, **factories: str) -> Registry:
        """Return a new registry of the same store, like a later session."""
        registry = Registry(Store(self._folder / "store"))
        for name, factory in (factories or {"net": "my_factories:make"}).items():
            registry.register(name, factory)
        return registry

    def get(self, registry: Registry, name: str = "net") -> tuple[Path, int]:
        """Return the folder of a network and the width of its input."""
        folder, network = registry.get(name, lambda _name, _done, _total: None)
        return folder, network.samples[0].inputs[0].shape[1]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """Return importable factories; processes started from here can import them as well."""
    monkeypatch.syspath_prepend(tmp_path)
    return Project(tmp_path)


def test_network_is_made_once(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first request makes the network; while the source is unchanged, no other process starts."""
    registry = project.registry()
    assert project.calls == 0
    shown: list[tuple[str, int, int]] = []
    folder, network = registry.get("net", lambda *progress: shown.append(progress))
    assert verify_network(folder) == network
    assert (shown[0], shown[-1]) == (("net", 0, 0), ("net", 32, 32))
    monkeypatch.setattr(sys, "executable", "/no/such/interpreter")
    assert registry.get("net", lambda *progress: shown.append(progress)) == (folder, network)
    assert project.get(project.registry()) == (folder, 3)
    assert project.calls == 1


def test_model_may_print(project: Project) -> None:
    """A model that prints 100 MB to standard output at each call, in two ways, becomes a network as usual."""
    assert project.get(project.registry(net="my_factories:talk"))[1] == 3


def test_changed_source_makes_another_network(project: Project) -> None:
    """A factory with another text makes another network; with its first text, the first network is found again."""
    first = project.get(project.registry())
    project.write(width=1234)
    second = project.get(project.registry())
    assert (first[1], second[1]) == (3, 1234)
    project.write(width=3)
    assert project.get(project.registry()) == first
    assert project.calls == 2


def test_damaged_network_is_made_again_after_its_deletion(project: Project) -> None:
    """A new session notices the damage, and the hint of the message works."""
    folder, _ = made = project.get(project.registry())
    (folder / WEIGHTS).write_bytes(b"")
    with pytest.raises(DamagedNetwork, match=f"delete the folder {folder}"):
        project.get(project.registry())
    shutil.rmtree(folder)
    assert project.get(project.registry()) == made
    assert project.calls == 2


@pytest.mark.parametrize(
    ("factory", "words"),
    [
        ("my_factories:fail", "RuntimeError: the moon is too far away"),
        ("my_factories:missing", "AttributeError: .*'my_factories' has no attribute 'missing'"),
        ("my_factories:die", "the process ended with status 3"),
        ("no_such_module:make", "no module named 'no_such_module' can be imported; check sys.path"),
        ("no_such_package.module:make", "no module named 'no_such_package.module' can be imported; check sys.path"),
        ("sys:exit", "no .*'sys'"),
    ],
)
def test_failing_factory_is_reported_with_its_reason(project: Project, factory: str, words: str) -> None:
    """A failing factory is reported with the network's name, the factory's own reason and its own lines."""
    registry = project.registry(net=factory)
    with pytest.raises(PreparationFailed, match=f"^network net.*: .*{words}") as failed:
        project.get(registry)
    shown = "".join(notes(failed.value))
    assert ('my_factories.py", line 12, in fail' in shown) == factory.endswith(":fail")
    assert "pytest_edgeload" not in shown


@pytest.mark.parametrize(
    "factory", ["", "module", "module:", ":function", "module.function", "module:two words", "m:a:b"]
)
def test_malformed_factory_is_refused(project: Project, factory: str) -> None:
    """A factory not written as module:function is refused at registration, with its name and value."""
    with pytest.raises(UsageError, match=f"^network net: factory '{factory}': not of the form 'module:function'$"):
        project.registry(net=factory)


def test_function_itself_is_not_a_factory(project: Project) -> None:
    """A function, which no other process could import, is refused with the form to write; other paths are paths."""
    registry = project.registry()
    with pytest.raises(
        UsageError, match=r"^network net: factory: <built-in .* is not text; write it as 'module:function'"
    ):
        registry.register("net", print)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=r"^checkpoint=5: not a path; give text in quotes"):
        registry.register("net", "m:f", 5)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=r"^network 5: not a name; give 1 to 1000 printable characters$"):
        registry.register(5, "m:f")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("file", "words"),
    [
        ("models/net.onnx", "an ONNX model, which cannot be cut into layers; measure the program that runs it with"),
        ("net.TFLITE", "a TFLite model, which cannot be cut into layers; measure the program"),
        ("llama-3.gguf", "weights for llama.cpp, which cannot be cut into layers; measure the program"),
        ("scripted.pt", "a TorchScript module or weights in pickle, which .*; give a function that returns its module"),
        ("model.safetensors", "a checkpoint, which cannot be cut into layers; give a function that returns its module"),
    ],
)
def test_file_of_another_runtime_is_refused(project: Project, file: str, words: str) -> None:
    """A file of another runtime is refused at registration, and the hint names the way to measure it."""
    with pytest.raises(UsageError, match=f"^network net: {file}: {words}.* edge.call or edge.command$"):
        project.registry(net=file)


def test_name_keeps_its_factory(project: Project) -> None:
    """The same factory may be registered again; another factory is refused with both factories."""
    registry = project.registry(net="m:f")
    registry.register("net", "m:f")
    with pytest.raises(UsageError, match=r"^network net: registered twice, as m:f and as m:g; rename one$"):
        registry.register("net", "m:g")
    assert registry.names == ("net",)


@pytest.mark.parametrize("tolerance", [0, -1e-3, "x", True, float("nan"), float("inf")])
def test_a_tolerance_is_a_positive_number(project: Project, tolerance: Any) -> None:
    """A tolerance that is not a positive number is refused by its value."""
    with pytest.raises(UsageError, match=r"^tolerance=.*: not a .*number; give the largest relative difference"):
        project.registry().register("other", "my_factories:make", tolerance=tolerance)


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        ([("a", "b")], r"^names: not a dict of texts; give a dict"),
        ({"a": 1}, r"^names: not a dict of texts; give a dict"),
        ({"a": "x", "b": "x"}, r"^names=.*x.*: given to two tensors; name each tensor once"),
    ],
)
def test_names_of_tensors_are_texts_given_once(project: Project, names: Any, reason: str) -> None:
    """Names that are not texts, or a tensor with two names, are refused before the network is made."""
    with pytest.raises(UsageError, match=reason):
        project.registry().register("other", "my_factories:make", checkpoint="x.gguf", names=names)


def test_names_of_tensors_need_a_checkpoint(project: Project) -> None:
    """Names without a checkpoint are refused."""
    with pytest.raises(
        UsageError, match=r"^network other: it has names of tensors, but no checkpoint; leave the names"
    ):
        project.registry().register("other", "my_factories:make", names={"a": "b"})


def test_a_tolerance_is_part_of_the_network(project: Project) -> None:
    """A network that is registered with a tolerance has it; the name is taken for the same model without one."""
    registry, half = project.registry(), cast("float", torch.tensor(0.5))  # converted, like all scalars
    registry.register("loose", "my_factories:make", tolerance=half)
    _, network = registry.get("loose", lambda _name, _done, _total: None)
    assert network.tolerance == 0.5
    with pytest.raises(
        UsageError, match=r"^network loose: registered twice, as .*:make, tolerance 0.5 and as .*:make;"
    ):
        registry.register("loose", "my_factories:make")


def test_names_have_the_order_of_registration(project: Project) -> None:
    """The names have the order of registration."""
    assert project.registry(b="m:f", a="m:f", c="m:f").names == ("b", "a", "c")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("age_ent", "network 'age_ent': not registered; did you mean age_net?"),
        ("nothing alike", "network 'nothing alike': not registered; choose from age_net, face_net"),
    ],
)
def test_unknown_name_is_refused_with_the_nearest(project: Project, name: str, message: str) -> None:
    """An unknown name is refused with the nearest name, or with all names if none is near."""
    registry = project.registry(age_net="m:f", face_net="m:g")
    registry.check("face_net")
    for ask in (registry.check, lambda wrong: project.get(registry, wrong)):
        with pytest.raises(UnknownNetwork) as refused:
            ask(name)
        assert str(refused.value) == message
    with pytest.raises(UnknownNetwork, match=r"none is registered$"):
        Registry(Store(Path())).check(name)


def _save(path: Path, width: int) -> None:
    torch.manual_seed(0)
    torch.export.save(torch.export.export(torch.nn.Linear(width, 2), (torch.zeros(1, width),)), path)


def test_saved_model_is_made_into_a_network_once(project: Project, tmp_path: Path) -> None:
    """A file below the base is made into a network once, and again after the file has changed."""
    _save(tmp_path / "saved.pt2", 3)

    def get() -> tuple[Path, int]:
        registry = Registry(Store(tmp_path / "store"), tmp_path)
        registry.register("net", "saved.pt2")
        return project.get(registry)

    first = get()
    assert first[1] == 3
    assert get() == first
    registry = Registry(Store(tmp_path / "store"))
    registry.register("net", tmp_path / "saved.pt2")
    assert project.get(registry) == first
    _save(tmp_path / "saved.pt2", 1234)
    assert get()[1] == 1234


@pytest.mark.parametrize(
    ("file", "words"),
    [
        ("missing.pt2", "missing.pt2: No such file"),
        ("damaged.pt2", "damaged.pt2: cannot be read as an exported program"),
    ],
)
def test_missing_or_damaged_file_is_reported(project: Project, tmp_path: Path, file: str, words: str) -> None:
    """A missing or damaged file is reported with the network's name, in one line, when the network is used."""
    (tmp_path / "damaged.pt2").write_bytes(b"PK" * 99)
    registry = Registry(Store(tmp_path / "store"), tmp_path)
    registry.register("net", file)
    with pytest.raises(PreparationFailed, match=f"^network net .*{words}") as refused:
        project.get(registry)
    assert "\n" not in str(refused.value)


def test_module_takes_its_weights_from_a_checkpoint(project: Project, tmp_path: Path) -> None:
    """A module takes the weights of a checkpoint, and again after a change; a missing weight is refused."""
    weights = {"weight": torch.rand(2, 3), "bias": torch.rand(2)}
    save_file(weights, tmp_path / "model.safetensors")

    def registry() -> Registry:
        registry = Registry(Store(tmp_path / "store"), tmp_path)
        registry.register("net", "my_factories:make", checkpoint="model.safetensors")
        return registry

    first, _ = project.get(registry())
    assert project.get(registry())[0] == first
    assert project.calls == 1
    os.utime(tmp_path / "model.safetensors", (0, 0))
    second, _ = project.get(registry())
    assert second != first
    save_file({"weight": torch.rand(2, 3)}, tmp_path / "model.safetensors")
    with pytest.raises(
        PreparationFailed, match=r"^network net .*model.safetensors: it has no tensor bias, which the module"
    ):
        project.get(registry())
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(
        PreparationFailed, match=r"^network net .*model.safetensors: No such file or directory; fetch it"
    ):
        project.get(registry())


def test_saved_model_takes_no_checkpoint(project: Project) -> None:
    """A saved model has its own weights."""
    with pytest.raises(UsageError, match=r"^network net: saved.pt2 has its own weights; leave the checkpoint out$"):
        project.registry(a="m:f").register("net", "saved.pt2", checkpoint="folder")


def test_network_without_a_module_has_no_skeleton(project: Project, tmp_path: Path) -> None:
    """A network that this process adopts without a module cannot be run by a peer that needs the module."""
    registry = project.registry()
    registry.adopt("made", project.get(registry)[0])
    with pytest.raises(UsageError, match=r"^network made cannot be sent to a peer: it has no module"):
        registry.skeleton("made", tmp_path, lambda _name, _done, _total: None)
