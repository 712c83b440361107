"""Networks by name: made once, in a process of their own, by factories that users write."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from pytest_edgeload.base.errors import UsageError
from pytest_edgeload.networks.preparation import PreparationFailed
from pytest_edgeload.networks.registry import Registry, UnknownNetwork
from pytest_edgeload.networks.store import WEIGHTS, DamagedNetwork, Store, verify_network

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


class Desk:
    """A folder of factories that can be imported, the store they fill, and how often they were called."""

    def __init__(self, folder: Path) -> None:
        self._calls = folder / "calls"
        self._source = folder / "my_factories.py"
        self._folder = folder
        self.write(width=3)

    def write(self, *, width: int) -> None:
        """Write the factories anew, for networks of this width."""
        self._source.write_text(FACTORY.format(calls=str(self._calls), width=width))

    @property
    def calls(self) -> int:
        """How many processes imported the factories."""
        return len(self._calls.read_text().splitlines()) if self._calls.exists() else 0

    def registry(self, **factories: str) -> Registry:
        """Return a new registry over the same store, as a later session has it."""
        registry = Registry(Store(self._folder / "store"))
        for name, factory in (factories or {"net": "my_factories:make"}).items():
            registry.register(name, factory)
        return registry

    def get(self, registry: Registry, name: str = "net") -> tuple[Path, int]:
        """Return the folder of a network and the width of its input."""
        folder, network = registry.get(name, lambda _name, _done, _total: None)
        return folder, network.samples[0].inputs[0].shape[1]


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    """Give factories that can be imported here, and so in the processes started from here."""
    monkeypatch.syspath_prepend(tmp_path)
    return Desk(tmp_path)


def test_a_network_is_made_once(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """A network is made by a process when it is first asked for; while its source stays no other process starts."""
    registry = desk.registry()
    assert desk.calls == 0
    told: list[tuple[str, int, int]] = []
    folder, network = registry.get("net", lambda *progress: told.append(progress))
    assert verify_network(folder) == network
    assert (told[0], told[-1]) == (("net", 0, 0), ("net", 32, 32))
    monkeypatch.setattr(sys, "executable", "/no/such/interpreter")
    assert registry.get("net", lambda *progress: told.append(progress)) == (folder, network)
    assert desk.get(desk.registry()) == (folder, 3)
    assert desk.calls == 1


def test_a_model_may_talk(desk: Desk) -> None:
    """A model that prints 100 MB to standard output whenever it is asked, by two ways, is a network like any other."""
    assert desk.get(desk.registry(net="my_factories:talk"))[1] == 3


def test_another_source_makes_another_network(desk: Desk) -> None:
    """After its factory's text changed a network is made anew; after it changed back the first one is found."""
    first = desk.get(desk.registry())
    desk.write(width=1234)
    second = desk.get(desk.registry())
    assert (first[1], second[1]) == (3, 1234)
    desk.write(width=3)
    assert desk.get(desk.registry()) == first
    assert desk.calls == 2


def test_a_damaged_network_is_made_anew_when_it_was_deleted(desk: Desk) -> None:
    """Damage is noticed when a session first asks; its message's way out works."""
    folder, _ = made = desk.get(desk.registry())
    (folder / WEIGHTS).write_bytes(b"")
    with pytest.raises(DamagedNetwork, match=f"delete the folder {folder}"):
        desk.get(desk.registry())
    shutil.rmtree(folder)
    assert desk.get(desk.registry()) == made
    assert desk.calls == 2


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
def test_a_factory_that_fails(desk: Desk, factory: str, words: str) -> None:
    """A factory that cannot give a network fails by the network's name and the factory's own words."""
    registry = desk.registry(net=factory)
    with pytest.raises(PreparationFailed, match=f"^network net.*: .*{words}"):
        desk.get(registry)


@pytest.mark.parametrize(
    "factory", ["", "module", "module:", ":function", "module.function", "module:two words", "m:a:b"]
)
def test_what_is_no_factory(desk: Desk, factory: str) -> None:
    """A factory that is not written as module:function is refused when it is registered, by name and value."""
    with pytest.raises(UsageError, match=f"^network net: factory '{factory}' is not of the form 'module:function'$"):
        desk.registry(net=factory)


def test_double_registration(desk: Desk) -> None:
    """A name keeps its factory: the same one again is nothing new, another one is refused with both."""
    registry = desk.registry(net="m:f")
    registry.register("net", "m:f")
    with pytest.raises(UsageError, match=r"^network net: registered twice, as m:f and as m:g; rename one$"):
        registry.register("net", "m:g")
    assert registry.names == ("net",)


def test_names(desk: Desk) -> None:
    """Names come in the order of registration."""
    assert desk.registry(b="m:f", a="m:f", c="m:f").names == ("b", "a", "c")


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ("age_ent", "network 'age_ent': not registered; did you mean age_net?"),
        ("nothing alike", "network 'nothing alike': not registered; choose from age_net, face_net"),
    ],
)
def test_an_unknown_name(desk: Desk, asked: str, words: str) -> None:
    """A name that is not registered is refused with the nearest one, or with all there are."""
    registry = desk.registry(age_net="m:f", face_net="m:g")
    registry.check("face_net")
    for ask in (registry.check, lambda name: desk.get(registry, name)):
        with pytest.raises(UnknownNetwork) as refused:
            ask(asked)
        assert str(refused.value) == words
    with pytest.raises(UnknownNetwork, match=r"none is registered$"):
        Registry(Store(Path())).check(asked)


def _save(path: Path, width: int) -> None:
    torch.manual_seed(0)
    torch.export.save(torch.export.export(torch.nn.Linear(width, 2), (torch.zeros(1, width),)), path)


def test_a_saved_program(desk: Desk, tmp_path: Path) -> None:
    """A file below the base is made into a network once, and anew when the file has changed."""
    _save(tmp_path / "saved.pt2", 3)

    def get() -> tuple[Path, int]:
        registry = Registry(Store(tmp_path / "store"), tmp_path)
        registry.register("net", "saved.pt2")
        return desk.get(registry)

    first = get()
    assert first[1] == 3
    assert get() == first
    registry = Registry(Store(tmp_path / "store"))
    registry.register("net", tmp_path / "saved.pt2")
    assert desk.get(registry) == first
    _save(tmp_path / "saved.pt2", 1234)
    assert get()[1] == 1234


@pytest.mark.parametrize(
    ("file", "words"),
    [
        ("missing.pt2", "missing.pt2: No such file"),
        ("damaged.pt2", "damaged.pt2 cannot be read as an exported program"),
    ],
)
def test_a_program_that_cannot_be_had(desk: Desk, tmp_path: Path, file: str, words: str) -> None:
    """A file that is not there or damaged fails by the network's name, in one line, when it is asked for."""
    (tmp_path / "damaged.pt2").write_bytes(b"PK" * 99)
    registry = Registry(Store(tmp_path / "store"), tmp_path)
    registry.register("net", file)
    with pytest.raises(PreparationFailed, match=f"^network net .*{words}") as refused:
        desk.get(registry)
    assert "\n" not in str(refused.value)


def test_a_checkpoint(desk: Desk, tmp_path: Path) -> None:
    """A module gets its weights from a checkpoint, and again when that has changed; what it lacks is refused."""
    weights = {"weight": torch.rand(2, 3), "bias": torch.rand(2)}
    save_file(weights, tmp_path / "model.safetensors")

    def registry() -> Registry:
        made = Registry(Store(tmp_path / "store"), tmp_path)
        made.register("net", "my_factories:make", checkpoint="model.safetensors")
        return made

    first, _ = desk.get(registry())
    assert desk.get(registry())[0] == first
    assert desk.calls == 1
    os.utime(tmp_path / "model.safetensors", (0, 0))
    second, _ = desk.get(registry())
    assert second != first
    save_file({"weight": torch.rand(2, 3)}, tmp_path / "model.safetensors")
    with pytest.raises(
        PreparationFailed, match=r"^network net .*model.safetensors: it has no tensor bias, which the module"
    ):
        desk.get(registry())
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(
        PreparationFailed, match=r"^network net .*model.safetensors: No such file or directory; fetch it"
    ):
        desk.get(registry())


def test_what_a_checkpoint_does_not_go_with(desk: Desk) -> None:
    """A saved program has its weights; peers' functions take modules with theirs."""
    with pytest.raises(UsageError, match=r"^network net: saved.pt2 has its own weights; leave the checkpoint out$"):
        desk.registry(a="m:f").register("net", "saved.pt2", checkpoint="folder")
    registry = desk.registry()
    registry.register("saved", "saved.pt2")
    registry.adopt("saved", desk.get(registry)[0])
    with pytest.raises(
        UsageError, match=r"^network saved: m:f cannot convert it, because it converts only modules with their w"
    ):
        registry.convert("saved", "m:f", lambda _name, _done, _total: None)
