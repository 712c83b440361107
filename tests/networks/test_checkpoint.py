"""Weights of checkpoints: read from the checkpoint itself, and refused unless they fit the module."""

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
from pytest_edgeload.exporting.fill import fill
from pytest_edgeload.networks.checkpoint import INDEX, SINGLE, BadCheckpoint, checkpoint_files, read_checkpoint
from pytest_edgeload.networks.folder import GRAPH, SAMPLES, WEIGHTS, read_graph, verify_network, weight_files
from pytest_edgeload.networks.tile import PAGE, REQUESTED, WHOLE, cut, stretches
from tests.builders import stored
from tests.engine.performers import anonymous_bytes
from tests.engine.test_tiles import check

SAMPLE = (torch.tensor([[1, 2, 3]]),)


class Net(nn.Module):
    """A module with a tied weight, a buffer that is saved, one that is not, and layers that can be cut."""

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
    """Return the tensors of a checkpoint of `Net`, with one of the two names of the tied weight."""
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


def misaligned(folder: Path, tensors: dict[str, torch.Tensor]) -> Path:
    """Write a file whose tensors have odd addresses, as the format allows."""
    data = (single(folder, tensors) / SINGLE).read_bytes()
    size = int.from_bytes(data[:8], "little")
    header = data[8 : 8 + size].rstrip()
    header += b" " * (1 - len(header) % 2)
    (folder / SINGLE).write_bytes(len(header).to_bytes(8, "little") + header + data[8 + size :])
    return folder


@pytest.mark.parametrize("write", [single, sharded, misaligned])
@pytest.mark.parametrize("reader", READERS)
def test_weights_are_read_from_the_checkpoint(
    tmp_path: Path, write: Callable[[Path, dict[str, torch.Tensor]], Path], reader: str
) -> None:
    """Every reader reads the checkpoint's weights in layers and tiles; only tensors that it lacks are stored.

    Tensors that are not aligned are stored as well, because each load would copy them.
    """
    tensors = values()
    folder = stored(tmp_path / "store", empty(), SAMPLE, checkpoint=write(tmp_path, tensors))
    opened = OpenNetwork(folder, reader)
    network = opened.network
    found = {n: t.clone() for layer in network.layers for n, t in opened.load(layer).items()}
    assert torch.equal(found.pop("places"), torch.arange(24.0).reshape(3, 8))
    if "answer.weight" in found:  # the tied weight may have either name
        found["words.weight"] = found.pop("answer.weight")
    assert found.keys() == tensors.keys()
    assert all(torch.equal(found[name], tensors[name]) for name in tensors)
    copied_bytes = sum(tensor.nbytes for tensor in tensors.values()) if write is misaligned else 0
    assert (folder / WEIGHTS).stat().st_size == PAGE + 4 * 24 + copied_bytes
    assert {path.name for path in folder.iterdir()} == {GRAPH, WEIGHTS, SAMPLES}
    assert {path.parent for path in weight_files(folder)[1:]} == {tmp_path}
    tiles = {i: cut(network, i, 1000) for i in range(len(network.layers))}
    check(folder, reader, {i: [WHOLE] for i in tiles})
    check(folder, reader, {i: [WHOLE] if rows == (REQUESTED,) else rows for i, rows in tiles.items()})
    asked = opened.load_requested(network.layers[0], opened.inputs(0))
    assert any(torch.equal(part, tensors["words.weight"][1:4]) for part in asked.values())
    assert verify_network(folder) == network


def test_files_have_separate_address_ranges(tmp_path: Path) -> None:
    """Each file begins on a page, with an unused page before it, so no stretch reaches from one into another."""
    network = read_graph(stored(tmp_path / "store", empty(), SAMPLE, checkpoint=sharded(tmp_path, values())))
    ends = [PAGE + 4 * 24, *(part.begin + part.size_bytes for part in network.checkpoint_files)]
    for end, part in zip(ends, network.checkpoint_files, strict=False):
        assert part.begin % PAGE == 0
        assert part.begin - end >= PAGE
    for offset, size in (stretch for layer in network.layers for stretch in stretches(layer, WHOLE)):
        assert sum(
            part.begin <= offset < offset + size <= part.begin + part.size_bytes for part in network.checkpoint_files
        ) == (offset >= network.checkpoint_files[0].begin)


def test_types_are_those_of_the_checkpoint(tmp_path: Path) -> None:
    """A float32 module computes in the type of its checkpoint."""
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
        (
            values(more=torch.ones(1), other=torch.ones(1)),
            "a tensor more and 1 more, unknown to the module; build",
        ),
        (
            {n: t for n, t in values().items() if n != "scale"},
            ": it has no tensor scale, which the module needs; build",
        ),
        (
            values(scale=torch.ones(9)),
            r"^tensor scale: of shape \[9\] in .*, but of shape \[8\] in the module; build",
        ),
    ],
)
def test_weights_of_another_module_are_refused(tmp_path: Path, tensors: dict[str, torch.Tensor], words: str) -> None:
    """An additional or missing tensor, or one of another shape, is named with a hint."""
    with pytest.raises(BadCheckpoint, match=words):
        stored(tmp_path / "store", empty(), SAMPLE, checkpoint=single(tmp_path, tensors))


def test_tied_weights_need_equal_values(tmp_path: Path) -> None:
    """A checkpoint may have a tied weight under all its names if the values are equal, and is refused otherwise."""
    words = values()["words.weight"]
    stored(tmp_path / "store", empty(), SAMPLE, checkpoint=single(tmp_path, values(**{"answer.weight": words.clone()})))
    bent = words.clone()
    bent[7, 7] += 1
    with pytest.raises(BadCheckpoint, match=r"it has different values for words.weight and answer.weight, which"):
        stored(tmp_path, empty(), SAMPLE, checkpoint=single(tmp_path, values(**{"answer.weight": bent})))


@pytest.mark.parametrize("write", [single, misaligned])
def test_filling_a_module_takes_no_memory(
    tmp_path: Path, write: Callable[[Path, dict[str, torch.Tensor]], Path]
) -> None:
    """The weights of a module that is filled are pages of files, which the kernel may drop, even if they are copied."""
    with torch.device("meta"):
        module = nn.Linear(4096, 4096)
    weights = {"weight": torch.zeros(4096, 4096), "bias": torch.ones(4096)}
    checkpoint = read_checkpoint(write(tmp_path, weights), 0)
    del weights
    before = anonymous_bytes()
    places = fill(module, checkpoint, "", tmp_path)
    assert module.weight.sum() == 0
    assert module.bias.sum() == 4096
    assert anonymous_bytes() - before < 8 << 20
    assert len(places) == (2 if write is single else 0)
    assert [*tmp_path.iterdir()] == [tmp_path / SINGLE]


def test_buffer_without_values_is_refused(tmp_path: Path) -> None:
    """A buffer that has no values and is not in the checkpoint is refused by name."""
    with torch.device("meta"):
        module = Net(real=False)
    with pytest.raises(BadCheckpoint, match=r"^buffer places: it has no values, and .* does not contain it; build"):
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


def _dangle(folder: Path) -> None:
    (folder / SHARD).unlink()
    (folder / SHARD).symlink_to("../blobs/1f")


SHARD = "model-0.safetensors"
LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 4996\n"
HARMS: dict[str, tuple[Callable[[Path], object], str]] = {
    "a missing shard": (lambda at: (at / SHARD).unlink(), f"{SHARD}: No such file or directory; fetch it, or name"),
    "a file cut short": (
        lambda at: os.truncate(at / SHARD, (at / SHARD).stat().st_size - 1), f"{SHARD}: it ends at byte .*, but its"
    ),
    "an empty file": (lambda at: os.truncate(at / SHARD, 0), f"{SHARD}: not a safetensors file"),
    "another format": (lambda at: (at / SHARD).write_bytes(bytes(range(256)) * 9), f"{SHARD}: not a safetensors file"),
    "a header of other JSON": (
        lambda at: (at / SHARD).write_bytes((4).to_bytes(8, "little") + b"[1] "), f"{SHARD}: not a safetensors file"
    ),
    "a size that does not fit": (
        lambda at: _edit(at / SHARD, lambda h: h["inner.weight"].update(shape=[50, 9])), f"{SHARD}: not a safetensors"
    ),
    "an unknown type": (
        lambda at: _edit(at / SHARD, lambda h: h["inner.weight"].update(dtype="F8_E8M0")),
        f"{SHARD}: tensor inner.weight: of type F8_"
    ),
    "a tensor elsewhere": (
        lambda at: _edit(at / SHARD, lambda h: h.pop("inner.weight")), f"{SHARD}: it lacks inner.weight, .*{INDEX}"
    ),
    "a folder above": (lambda at: _place(at / INDEX, "../model.safetensors"), "scale in '../model.safetensors', which"),
    "an absolute path": (lambda at: _place(at / INDEX, "/etc/passwd"), "scale in '/etc/passwd', which is not a file"),
    "no name": (lambda at: _place(at / INDEX, 3), "not an index of a safetensors checkpoint"),
    "an index of nothing": (lambda at: (at / INDEX).write_text("{}"), f"{INDEX}: not an index of a safetensors"),
    "an index cut short": (lambda at: os.truncate(at / INDEX, 20), f"{INDEX}: not an index of a safetensors"),
    "an empty folder": (_empty, f"contains neither {SINGLE} nor {INDEX}; name"),
    "a pointer of Git LFS": (lambda at: (at / SHARD).write_bytes(LFS), f"{SHARD}: it is a Git LFS .*; run git"),
    "a pointer for the index": (lambda at: (at / INDEX).write_bytes(LFS), f"{INDEX}: it is a Git LFS pointer, not the"),
    "a dangling link": (_dangle, f"{SHARD}: it is a link to ../blobs/1f, which does not exist; fetch it"),
    "no folder": (shutil.rmtree, "No such file or directory; fetch it, or name"),
}  # fmt: skip


@pytest.mark.parametrize("harm", HARMS)
def test_damaged_checkpoint_is_refused(tmp_path: Path, harm: str) -> None:
    """Each damage to the files is refused in one sentence, with the name of the file."""
    folder = tmp_path / "weights"
    folder.mkdir()
    change, words = HARMS[harm]
    change(sharded(folder, values()))
    with pytest.raises(BadCheckpoint, match=words) as refused:
        read_checkpoint(folder, 0)
    assert "\n" not in str(refused.value)


def test_changed_file_is_noticed(tmp_path: Path) -> None:
    """Verifying a network notices if a file of its checkpoint has changed since the network was made."""
    folder = stored(tmp_path / "store", empty(), SAMPLE, checkpoint=sharded(tmp_path, values()))
    os.utime(tmp_path / SHARD, (0, 0))
    with pytest.raises(BadCheckpoint, match=f"{SHARD}: it has changed since the network was made from it; start"):
        verify_network(folder)


def test_files_of_a_folder_and_of_its_index_are_the_same(tmp_path: Path) -> None:
    """A folder and its index have the index and all shards as files; a single shard has itself."""
    sharded(tmp_path, values())
    both = [tmp_path / INDEX, tmp_path / SHARD, tmp_path / "model-1.safetensors"]
    assert checkpoint_files(tmp_path) == checkpoint_files(tmp_path / INDEX) == both
    assert checkpoint_files(tmp_path / SHARD) == [tmp_path / SHARD]
