"""Weights of checkpoints: read where they stand, whole files or shards, and refused unless they are the module's."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from pytest_edgeload.engine.network import OpenNetwork
from pytest_edgeload.engine.readers import READERS
from pytest_edgeload.networks.checkpoint import INDEX, SINGLE, BadCheckpoint, files, read
from pytest_edgeload.networks.store import WEIGHTS, read_graph, verify_network, weight_files
from pytest_edgeload.networks.tile import PAGE, cut, stretches
from tests.builders import stored
from tests.engine.test_tiles import check

SAMPLE = (torch.tensor([[1, 2, 3]]),)


class Net(nn.Module):
    """Has a tied weight, a buffer that is stored, one that is not, and layers that can be cut."""

    def __init__(self, *, real: bool = True) -> None:
        super().__init__()
        self.words, self.inner = nn.Embedding(50, 8), nn.Linear(8, 300)
        self.outer, self.answer = nn.Linear(300, 8), nn.Linear(8, 50, bias=False)
        self.answer.weight = self.words.weight
        self.register_buffer("scale", torch.ones(8))
        places = torch.arange(24.0, device="cpu" if real else None).reshape(3, 8)
        self.register_buffer("places", places, persistent=False)

    def forward(self, ids: torch.Tensor) -> Any:
        """Score the words."""
        x = self.words(ids) * self.get_buffer("scale") + self.get_buffer("places")
        return self.answer(self.outer(self.inner(x).relu()))


def empty() -> Net:
    with torch.device("meta"):
        return Net()


def values(**replaced: torch.Tensor) -> dict[str, torch.Tensor]:
    """Return what a checkpoint of `Net` holds: one of the two names of the tied weight."""
    torch.manual_seed(0)
    found = {name: torch.rand_like(tensor) for name, tensor in Net().state_dict().items() if name != "answer.weight"}
    return found | replaced


def single(folder: Path, tensors: dict[str, torch.Tensor]) -> Path:
    save_file(tensors, folder / SINGLE, {"format": "pt"})
    return folder


def sharded(folder: Path, tensors: dict[str, torch.Tensor]) -> Path:
    placed = {name: f"model-{i % 2}.safetensors" for i, name in enumerate(tensors)}
    for file in set(placed.values()):
        save_file({name: tensors[name] for name in tensors if placed[name] == file}, folder / file)
    (folder / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": placed}))
    return folder


def astray(folder: Path, tensors: dict[str, torch.Tensor]) -> Path:
    """Write a file whose tensors stand at odd addresses, as the format allows."""
    data = (single(folder, tensors) / SINGLE).read_bytes()
    size = int.from_bytes(data[:8], "little")
    header = data[8 : 8 + size].rstrip()
    header += b" " * (1 - len(header) % 2)
    (folder / SINGLE).write_bytes(len(header).to_bytes(8, "little") + header + data[8 + size :])
    return folder


@pytest.mark.parametrize("write", [single, sharded, astray])
@pytest.mark.parametrize("reader", READERS)
def test_weights_are_read_where_they_stand(
    tmp_path: Path, write: Callable[[Path, dict[str, torch.Tensor]], Path], reader: str
) -> None:
    """Every reader gives the checkpoint's weights, in layers and in tiles; stored is what the checkpoint lacks."""
    tensors = values()
    folder = stored(tmp_path / "store", empty(), SAMPLE, checkpoint=write(tmp_path, tensors))
    opened = OpenNetwork(folder, reader)
    network = opened.network
    found = {n: t.clone() for layer in network.layers for n, t in opened.load(layer).items()}
    assert torch.equal(found.pop("places"), torch.arange(24.0).reshape(3, 8))
    if "answer.weight" in found:  # either name of the tied weight will do
        found["words.weight"] = found.pop("answer.weight")
    assert found.keys() == tensors.keys()
    assert all(torch.equal(found[name], tensors[name]) for name in tensors)
    assert (folder / WEIGHTS).stat().st_size == PAGE + 4 * 24
    assert {path.parent for path in weight_files(folder)[1:]} == {tmp_path}
    tiles = {i: cut(network, i, 1000) for i in range(len(network.layers))}
    check(folder, reader, {i: [None] for i in tiles})
    check(folder, reader, {i: [None] if rows == ("asked",) else rows for i, rows in tiles.items()})
    asked = opened.load_asked(network.layers[0], opened.inputs(0))
    assert any(torch.equal(part, tensors["words.weight"][1:4]) for part in asked.values())
    assert verify_network(folder) == network


def test_files_lie_apart(tmp_path: Path) -> None:
    """Each file begins on a page with a page free before it, so that no stretch reaches from one into another."""
    network = read_graph(stored(tmp_path / "store", empty(), SAMPLE, checkpoint=sharded(tmp_path, values())))
    ends = [PAGE + 4 * 24, *(part.begin + part.size_bytes for part in network.checkpoint_files)]
    for end, part in zip(ends, network.checkpoint_files, strict=False):
        assert part.begin % PAGE == 0
        assert part.begin - end >= PAGE
    for offset, size in (stretch for layer in network.layers for stretch in stretches(layer, None)):
        assert sum(
            part.begin <= offset < offset + size <= part.begin + part.size_bytes for part in network.checkpoint_files
        ) == (offset >= network.checkpoint_files[0].begin)


def test_the_checkpoints_type_wins(tmp_path: Path) -> None:
    """A module of float32 computes in the type that its checkpoint has."""
    weight = torch.rand(4, 4).bfloat16()
    save_file({"weight": weight}, tmp_path / "half.safetensors")
    with torch.device("meta"):
        module = nn.Linear(4, 4, bias=False)
    folder = stored(
        tmp_path / "store", module, (torch.ones(1, 4).bfloat16(),), checkpoint=tmp_path / "half.safetensors"
    )
    [layer] = read_graph(folder).layers
    assert [spec.dtype for spec in layer.weights] == ["bfloat16"]
    assert torch.equal(OpenNetwork(folder, "read").load(layer)["weight"], weight)


@pytest.mark.parametrize(
    ("tensors", "words"),
    [
        (values(more=torch.ones(1), other=torch.ones(1)), "has a tensor more and 1 more, unknown to the module; build"),
        ({n: t for n, t in values().items() if n != "scale"}, "has no tensor scale, which the module needs; build the"),
        (
            values(scale=torch.ones(9)),
            r"^tensor scale is of shape \[9\] in .*, and of shape \[8\] in the module; build",
        ),
    ],
)
def test_another_modules_weights(tmp_path: Path, tensors: dict[str, torch.Tensor], words: str) -> None:
    """A tensor too many, too few or of another shape is named, and so is the way out."""
    with pytest.raises(BadCheckpoint, match=words):
        stored(tmp_path / "store", empty(), SAMPLE, checkpoint=single(tmp_path, tensors))


def test_a_buffer_without_values(tmp_path: Path) -> None:
    """A buffer that has no values and is in no checkpoint is refused by name."""
    with torch.device("meta"):
        module = Net(real=False)
    with pytest.raises(BadCheckpoint, match=r"^buffer places has no values, and .* does not have it; build it outside"):
        stored(tmp_path / "store", module, SAMPLE, checkpoint=single(tmp_path, values()))


def _edit(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    data = path.read_bytes()
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + size])
    change(header)
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data[8 + size :])


def _place(index: Path, file: Any) -> None:
    content = json.loads(index.read_text())
    content["weight_map"]["scale"] = file
    index.write_text(json.dumps(content))


def _empty(folder: Path) -> None:
    for path in folder.iterdir():
        path.unlink()


SHARD = "model-0.safetensors"
HARMS: dict[str, tuple[Callable[[Path], object], str]] = {
    "a missing shard": (lambda at: (at / SHARD).unlink(), f"{SHARD}: No such file or directory; fetch it, or name"),
    "a file cut short": (
        lambda at: os.truncate(at / SHARD, (at / SHARD).stat().st_size - 1), f"{SHARD} ends at byte .*, and its tensors"
    ),
    "an empty file": (lambda at: os.truncate(at / SHARD, 0), f"{SHARD} is no safetensors file"),
    "another format": (lambda at: (at / SHARD).write_bytes(bytes(range(256)) * 9), f"{SHARD} is no safetensors file"),
    "a header of other JSON": (
        lambda at: (at / SHARD).write_bytes((4).to_bytes(8, "little") + b"[1] "), f"{SHARD} is no safetensors file"
    ),
    "a size that does not fit": (
        lambda at: _edit(at / SHARD, lambda h: h["inner.weight"].update(shape=[50, 9])), f"{SHARD} is no safetensors"
    ),
    "an unknown type": (
        lambda at: _edit(at / SHARD, lambda h: h["inner.weight"].update(dtype="F8_E4M3")), "inner.weight is of type F8_"
    ),
    "a tensor elsewhere": (
        lambda at: _edit(at / SHARD, lambda h: h.pop("inner.weight")), f"{SHARD} lacks inner.weight, which .*{INDEX}"
    ),
    "a folder above": (lambda at: _place(at / INDEX, "../model.safetensors"), "scale in '../model.safetensors', which"),
    "an absolute path": (lambda at: _place(at / INDEX, "/etc/passwd"), "scale in '/etc/passwd', which is no file"),
    "no name": (lambda at: _place(at / INDEX, 3), "is no index of a safetensors checkpoint"),
    "an index of nothing": (lambda at: (at / INDEX).write_text("{}"), f"{INDEX} is no index of a safetensors"),
    "an index cut short": (lambda at: os.truncate(at / INDEX, 20), f"{INDEX} is no index of a safetensors"),
    "an empty folder": (_empty, f"holds neither {SINGLE} nor {INDEX}; name"),
    "no folder": (shutil.rmtree, "No such file or directory; fetch it, or name"),
}  # fmt: skip


@pytest.mark.parametrize("harm", HARMS)
def test_a_checkpoint_that_is_not_whole(tmp_path: Path, harm: str) -> None:
    """Whatever is wrong with the files is told in one sentence, with the file's name."""
    folder = tmp_path / "weights"
    folder.mkdir()
    change, words = HARMS[harm]
    change(sharded(folder, values()))
    with pytest.raises(BadCheckpoint, match=words) as refused:
        read(folder, 0)
    assert "\n" not in str(refused.value)


def test_a_file_that_has_changed(tmp_path: Path) -> None:
    """A stored network notices when a file of its checkpoint is not the one that it was made of."""
    folder = stored(tmp_path / "store", empty(), SAMPLE, checkpoint=sharded(tmp_path, values()))
    os.utime(tmp_path / SHARD, (0, 0))
    with pytest.raises(BadCheckpoint, match=f"{SHARD} has changed since the network was made of it; start"):
        verify_network(folder)


def test_files(tmp_path: Path) -> None:
    """A folder, an index and a file name the same: the files that a change of the checkpoint changes."""
    sharded(tmp_path, values())
    both = [tmp_path / INDEX, tmp_path / SHARD, tmp_path / "model-1.safetensors"]
    assert files(tmp_path) == files(tmp_path / INDEX) == both
    assert files(tmp_path / SHARD) == [tmp_path / SHARD]
