"""Networks as single files: the same bytes as in the store, anywhere, and any damage noticed."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn

from pytest_edgeload.base.errors import UsageError
from pytest_edgeload.engine.readers import READERS
from pytest_edgeload.engine.weight_files import open_weights
from pytest_edgeload.networks.compressed import PLAIN, STORES, StoreForm, edgenet_form, read_index, weights_share
from pytest_edgeload.networks.edgenet import read_edgenet
from pytest_edgeload.networks.edgenet_writer import check_output, write_edgenet
from pytest_edgeload.networks.folder import read_graph, samples_path, verify_network, weights_path
from pytest_edgeload.networks.layer import Network
from pytest_edgeload.networks.registry import Registry
from pytest_edgeload.networks.store import Store
from pytest_edgeload.networks.tensor_file import DamagedNetwork
from pytest_edgeload.networks.tile import WHOLE, stretches
from pytest_edgeload.planning.plan import Budget
from pytest_edgeload.policies import POLICIES, make_plan
from tests.builders import asked_steps, stored
from tests.engine.performers import execute, on_one_lane
from tests.engine.test_perform import Tied
from tests.exporting import prompted


class Widened(nn.Module):
    """A layer of 8-bit numbers with scales in a wider type, and a table whose size is not a multiple of four bytes."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("numbers", torch.randint(-9, 9, (5, 7), dtype=torch.int8))
        self.register_buffer("scale", torch.rand(5, 1).half())
        self.last = nn.Linear(5, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Apply both."""
        weight = self.get_buffer("numbers") * self.get_buffer("scale").float()
        return self.last(nn.functional.linear(x, weight))  # type: ignore[no-any-return]


def _tied(folder: Path) -> Path:
    return stored(folder, Tied(3), (torch.rand(1, 3),), (torch.rand(1, 3),))


def _prompted(folder: Path) -> Path:
    module, samples = prompted.decoder()
    return stored(folder, module, *samples)


def _quantized(folder: Path) -> Path:
    return stored(folder, Widened(), (torch.rand(2, 7),))


def _checkpoint(folder: Path) -> Path:
    def module() -> nn.Module:
        return nn.Sequential(nn.Linear(3, 5), nn.Linear(5, 2))

    save_file(module().state_dict(), folder / "weights.safetensors")
    with torch.device("meta"):
        empty = module()
    return stored(folder, empty, (torch.rand(1, 3),), checkpoint=folder / "weights.safetensors")


def _gguf(folder: Path) -> Path:
    pytest.importorskip("gguf", reason="it reads GGUF files")
    from tests.exporting import test_gguf  # noqa: PLC0415  # imports gguf

    checkpoint = test_gguf.written(folder / "model.gguf", "Q4_K")
    return stored(folder, test_gguf.empty(), (torch.tensor([[3, 1, 39]]),), checkpoint=checkpoint)


def _weights(path: Path, network: Network, form: StoreForm = PLAIN) -> list[bytes]:
    reader = open_weights("read", path, network, form)
    specs = (spec for layer in network.layers for spec in layer.weights)
    return [bytes(reader.read(spec.offset, spec.size_bytes)) for spec in specs]


def _samples(path: Path, network: Network) -> list[bytes]:
    data, specs = samples_path(path).read_bytes(), (spec for sample in network.samples for spec in sample.tensors)
    return [data[spec.offset : spec.offset + spec.size_bytes] for spec in specs]


@pytest.mark.parametrize("form", STORES)
@pytest.mark.parametrize("make", [_tied, _prompted, _quantized, _checkpoint, _gguf])
def test_file_is_all_of_the_network(tmp_path: Path, make: object, form: StoreForm) -> None:
    """A file has the network's bytes, in as few stretches, and runs through every reader when nothing else is left."""
    assert callable(make)
    (tmp_path / "made").mkdir()
    folder = make(tmp_path / "made")
    before, path = read_graph(folder), tmp_path / "copy.edgenet"
    write_edgenet(path, folder, form=form)
    assert edgenet_form(path) == form
    after = verify_network(path)
    assert (_weights(path, after, form), _samples(path, after)) == (_weights(folder, before), _samples(folder, before))
    for old, new in zip(before.layers, after.layers, strict=True):
        assert len(stretches(new, WHOLE)) <= len(stretches(old, WHOLE))
        assert [spec.offset % 64 for spec in new.weights] == [spec.offset % 64 for spec in old.weights]
    again = tmp_path / "again.edgenet"
    write_edgenet(again, path if form == PLAIN else folder, form=form)
    assert again.read_bytes() == path.read_bytes()

    shutil.rmtree(tmp_path / "made")
    asked = asked_steps(path, *(sample.steps for sample in after.samples))
    for reader in READERS if form == PLAIN else ("read", "direct"):
        plan = on_one_lane(make_plan("stream", POLICIES["stream"], asked, Budget(1 << 22)))
        performer, _ = execute(plan, asked, path, reader=reader, store=form)
        for r in range(len(asked.requests)):
            error, detail = performer.compare(r)
            assert error is not None, detail
            assert error <= performer.tolerance(r), detail


def test_tied_weights_are_in_the_file_once(tmp_path: Path) -> None:
    """The safetensors library lists each weight once, with its value, and the samples; the graph is in the metadata."""
    module = Tied(16)
    write_edgenet(tmp_path / "net.edgenet", stored(tmp_path, module, (torch.rand(1, 16),)))
    with safe_open(tmp_path / "net.edgenet", "pt") as file:
        names = {name for name in file.keys() if not name.startswith("padding before ")}  # noqa: SIM118  # not a dict
        assert torch.equal(file.get_tensor("second.weight"), module.second.weight)
        assert json.loads(file.metadata()["graph"])["name"] == "stored"
    samples = {"samples/0.input.0", "samples/0.output.0", "samples/0.noise.0"}
    assert names - samples in (
        {f"{layer}.{kind}" for layer in ("first", "second") for kind in ("weight", "bias")},
        {"same", "first.bias", "second.weight", "second.bias"},
    )


def _small(folder: Path, form: StoreForm) -> Path:
    write_edgenet(folder / "small.edgenet", stored(folder, nn.Linear(3, 5), (torch.rand(1, 3),)), form=form)
    return folder / "small.edgenet"


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the file of a small network."""
    return _small(tmp_path_factory.mktemp("small"), PLAIN)


@pytest.fixture(scope="module", params=STORES)
def either(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Path:
    """Return the file of a small network in each form."""
    return _small(tmp_path_factory.mktemp("either"), request.param)


def test_compressed_weights_are_fewer_bytes(tmp_path: Path) -> None:
    """Weights of bfloat16 shrink, the safetensors library reads the file, and the other form is refused."""
    made = stored(tmp_path, nn.Linear(300, 500, dtype=torch.bfloat16), (torch.rand(1, 300).bfloat16(),))
    path = tmp_path / "net.edgenet"
    write_edgenet(path, made, form="compressed")
    share = weights_share(path)
    assert share is not None
    assert 0.5 < share < 0.8
    with safe_open(path, "pt") as file:
        assert len(file.get_tensor("blocks")) == round(share * read_index(path, 0).plain_bytes)
    with pytest.raises(UsageError, match="its weights are compressed already; copy the file, or store the network ag"):
        write_edgenet(tmp_path / "again.edgenet", path)
    registry = Registry(Store(tmp_path / "store"), tmp_path)
    registry.register("mine", "net.edgenet")
    registry.check_form("mine", "compressed", lambda *_: None)
    with pytest.raises(
        UsageError, match=r"^network mine: the weights in its file are compressed; choose store=compres"
    ):
        registry.check_form("mine", "plain", lambda *_: None)


def test_index_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    """The sizes of the blocks are checked each time the file is opened, although its digest is compared only once."""
    path = tmp_path / "net.edgenet"
    write_edgenet(path, stored(tmp_path, nn.Linear(300, 500), (torch.rand(1, 300),)), form="compressed")
    data = bytearray(path.read_bytes())
    data[-11] ^= 0x80  # of the ten blocks, each has a byte at the end, and four before them
    path.write_bytes(data)
    with pytest.raises(DamagedNetwork, match="is damaged: its index does not describe its blocks; copy it again, or s"):
        read_index(path, 0)


@pytest.mark.parametrize(
    ("size_bytes", "reason"),
    [("1" + "0" * 14, "its index does not describe its blocks"), ("-5", "its weights have -5 bytes")],
)
def test_impossible_size_of_weights_is_refused(tmp_path: Path, size_bytes: str, reason: str) -> None:
    """A size that no file can have, with its digest, is refused in one sentence before memory is taken for it."""
    path = tmp_path / "net.edgenet"
    write_edgenet(path, stored(tmp_path, nn.Linear(300, 500), (torch.rand(1, 300),)), form="compressed")
    data = path.read_bytes()
    end = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:end])
    metadata = header["__metadata__"]
    metadata["plain_bytes"] = size_bytes
    metadata["graph_sha256"] = hashlib.sha256((metadata["graph"] + size_bytes).encode()).hexdigest()
    head = json.dumps(header).encode()
    path.write_bytes(len(head).to_bytes(8, "little") + head + data[end:])
    with pytest.raises(DamagedNetwork, match=f"is damaged: {reason}; copy it again, or store the network again"):
        read_index(path, 0)


@given(position=st.integers(0, 1 << 20), bit=st.integers(0, 7))
@example(position=0, bit=0)
@example(position=7, bit=7)
def test_changed_bit_is_noticed(either: Path, position: int, bit: int) -> None:
    """A file with another bit is refused; or it is the same network, because the bit is not of the network."""
    data = bytearray(either.read_bytes())
    data[position % len(data)] ^= 1 << bit
    changed = either.with_name("changed.edgenet")
    changed.write_bytes(data)
    try:
        found = verify_network(changed)
    except DamagedNetwork as error:
        assert str(error).startswith(str(changed))  # noqa: PT017  # either is right
    else:
        assert found == verify_network(either)


@given(size=st.integers(0, 1 << 20))
@example(size=7)
def test_shorter_file_is_refused_without_reading_it(either: Path, size: int) -> None:
    """A copy that ends early is refused when its graph is read."""
    data = either.read_bytes()
    short = either.with_name("short.edgenet")
    short.write_bytes(data[: size % len(data)])
    with pytest.raises(DamagedNetwork, match=r"; copy it again, or store the network again$"):
        read_graph(short)


def _refusal(path: Path, data: bytes | None = None) -> str:
    if data is not None:
        path.write_bytes(data)
    with pytest.raises(DamagedNetwork) as caught:
        verify_network(path)
    return str(caught.value).removeprefix(str(path))


def test_each_damage_has_its_own_sentence(tmp_path: Path, small: Path) -> None:
    """The sentences name the file, what is wrong with it, and the way out."""
    path, data = tmp_path / "a.edgenet", small.read_bytes()
    again = "; copy it again, or store the network again"
    assert _refusal(path) == ": No such file or directory; name an existing .edgenet file"
    assert _refusal(path, b"word") == ": not an .edgenet file, or its header is damaged" + again
    save_file({"x": torch.zeros(2)}, path)
    assert _refusal(path) == ": not an .edgenet file, or its header is damaged" + again
    flipped = data[:-1] + bytes([data[-1] ^ 1])
    assert _refusal(path, flipped) == " is damaged: its bytes are not the ones that were written" + again
    shorter = r" is damaged: it has \d+ bytes of data, and \d+ were written" + again
    assert re.fullmatch(shorter, _refusal(path, data[:-1]))
    renamed = data.replace(b'\\"stored\\"', b'\\"storex\\"', 1)
    assert _refusal(path, renamed) == " is damaged: its graph is not the one that was written" + again


def test_file_of_another_format_is_refused(tmp_path: Path, small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of another format is refused with both numbers."""
    path = tmp_path / "b.edgenet"
    path.write_bytes(small.read_bytes())
    monkeypatch.setattr("pytest_edgeload.networks.layer.FORMAT", 99)
    reason = r"it has format \d+, and this version reads format 99; store the network again, with this version"
    assert re.fullmatch(f": {reason}", _refusal(path))


def test_output_is_checked_before_the_network_is_made(tmp_path: Path) -> None:
    """The name, the folder and an existing file are checked; an existing file is replaced only if that is wanted."""
    old = tmp_path / "old.edgenet"
    old.touch()
    for path, reason in {
        old: "exists already; replace it with force, or name another file",
        tmp_path / f"{'n' * 300}.edgenet": "File name too long; name another file",
        tmp_path / "net": "the name of a stored network ends in .edgenet; try net.edgenet",
        tmp_path / "no" / "net.edgenet": f"there is no folder {tmp_path / 'no'}; create it, or name another one",
    }.items():
        with pytest.raises(UsageError, match=f"^{re.escape(f'{path}: {reason}')}$"):
            check_output(path, is_replaced=False)
    check_output(old, is_replaced=True)
    with pytest.raises(UsageError, match=r"exists already, and is not a file; name another file$"):
        check_output(_folder(tmp_path / "net.edgenet"), is_replaced=True)


def _folder(path: Path) -> Path:
    path.mkdir()
    return path


def test_killed_writer_leaves_no_file(tmp_path: Path, small: Path) -> None:
    """A process that is killed while it replaces a file leaves the old file, and no other."""
    target = tmp_path / "net work é.edgenet"
    write_edgenet(target, small)
    code = f"""if True:
        import os
        from pathlib import Path
        from pytest_edgeload.networks.edgenet_writer import write_edgenet
        write_edgenet(Path({str(target)!r}), Path({str(small)!r}), lambda *_: os.kill(os.getpid(), 9))
    """
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -9
    assert [*tmp_path.iterdir()] == [target]
    verify_network(target)


def test_file_is_written_where_each_file_has_a_name(
    tmp_path: Path, small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the kernel refuses a file without a name, as an old kernel does, the unfinished file has one."""
    monkeypatch.setattr(os, "O_TMPFILE", os.O_DIRECTORY)
    write_edgenet(tmp_path / "named.edgenet", small)
    assert [*tmp_path.iterdir()] == [tmp_path / "named.edgenet"]
    verify_network(tmp_path / "named.edgenet")


def test_registered_file_is_a_network_of_any_name(tmp_path: Path, small: Path) -> None:
    """A file is registered like a saved model, under a name of its own, and needs no store."""
    path = tmp_path / "small.edgenet"
    path.write_bytes(small.read_bytes())
    registry = Registry(Store(tmp_path / "store"), tmp_path)
    registry.register("mine", "small.edgenet")
    where, network = registry.get("mine", lambda *_: None)
    assert (where, network.name) == (path, "mine")
    assert network.layers == read_edgenet(path).layers
    assert weights_path(where) == path
    assert not (tmp_path / "store").exists()
    with pytest.raises(UsageError, match=r"^network mine cannot be sent to a peer: it has no module; run it under a"):
        registry.skeleton("mine", tmp_path, lambda *_: None)
    path.write_bytes(small.read_bytes()[:-1])
    with pytest.raises(DamagedNetwork, match="is damaged: it has "):
        registry.get("mine", lambda *_: None)


def test_file_has_its_own_weights_and_tolerance(tmp_path: Path) -> None:
    """A checkpoint or a tolerance beside an .edgenet file is refused."""
    registry = Registry(Store(tmp_path), tmp_path)
    with pytest.raises(UsageError, match=r"^network mine: a.edgenet has its own weights; leave the checkpoint out$"):
        registry.register("mine", "a.edgenet", "weights")
    with pytest.raises(UsageError, match=r"^network mine: a.edgenet has its own tolerance; leave the tolerance out$"):
        registry.register("mine", "a.edgenet", tolerance=0.1)
