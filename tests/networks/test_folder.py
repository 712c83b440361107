"""The files of a network: in a standard format, and with any damage noticed."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file
from torch import nn

from pytest_edgeload.networks.folder import (
    GRAPH,
    SAMPLES,
    WEIGHTS,
    read_graph,
    verify_network,
)
from pytest_edgeload.networks.layer import FORMAT, TensorSpec
from pytest_edgeload.networks.tensor_file import DamagedNetwork, write_tensors
from pytest_edgeload.networks.tile import WHOLE, stretches
from tests.builders import stored


class _Swapped(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.second, self.first = nn.Linear(5, 3).double(), nn.Linear(3, 5)

    def forward(self, x: torch.Tensor) -> Any:
        return self.second(self.first(x).double())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a stored network with layers of two types, registered in another order than they are executed."""
    return stored(tmp_path, _Swapped(), (torch.rand(2, 3),), (torch.rand(2, 3),))


def _data_start(path: Path) -> int:
    return 8 + int.from_bytes(path.read_bytes()[:8], "little")


def test_weights_are_a_safetensors_file(folder: Path) -> None:
    """The safetensors library reads every weight, at the offset in the graph."""
    read, raw = load_file(folder / WEIGHTS), (folder / WEIGHTS).read_bytes()
    specs = [spec for layer in read_graph(folder).layers for spec in layer.weights]
    assert {spec.name for spec in specs} == {"first.weight", "first.bias", "second.weight", "second.bias"} == set(read)
    for spec in specs:
        stored_weight = torch.frombuffer(
            bytearray(raw[spec.offset : spec.offset + spec.size_bytes]), dtype=read[spec.name].dtype
        )
        assert torch.equal(stored_weight.view(spec.shape), read[spec.name])


def test_samples_are_a_safetensors_file(folder: Path) -> None:
    """The safetensors library reads inputs and outputs; the outputs are those of plain PyTorch."""
    weights, samples = load_file(folder / WEIGHTS), load_file(folder / SAMPLES)
    for index in range(2):
        hidden = nn.functional.linear(samples[f"{index}.input.0"], weights["first.weight"], weights["first.bias"])
        expected = nn.functional.linear(hidden.double(), weights["second.weight"], weights["second.bias"])
        torch.testing.assert_close(samples[f"{index}.output.0"], expected)


def test_weights_follow_the_order_of_execution(folder: Path) -> None:
    """Weights are in the order of execution, without gaps, from the start of a page to the end of the file."""
    layers = read_graph(folder).layers
    assert [layer.name for layer in layers] == ["first", "second"]
    begin = _data_start(folder / WEIGHTS)
    assert begin % 4096 == 0
    for layer in layers:
        assert stretches(layer, WHOLE) == ((begin, layer.weight_bytes),)
        begin += layer.weight_bytes
    assert begin == (folder / WEIGHTS).stat().st_size


class _Mixed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.rand(3, 3).half())
        self.register_buffer("keep", torch.tensor([True, False, True]))
        self.register_buffer("scale", torch.rand(3).double())

    def forward(self, x: torch.Tensor) -> Any:
        return nn.functional.linear(x.half(), self.weight) * self.get_buffer("keep") * self.get_buffer("scale")


def test_weights_are_aligned_in_memory(tmp_path: Path) -> None:
    """In the memory of a layer, each weight has an address that is a multiple of its type's size."""
    (layer,) = read_graph(stored(tmp_path, _Mixed(), (torch.rand(2, 3),))).layers
    ((begin, _),) = stretches(layer, WHOLE)
    astray = {spec.name: (spec.offset - begin) % DTYPES[spec.dtype] for spec in layer.weights}
    assert astray == {"weight": 0, "keep": 0, "scale": 0}


DTYPES = {"float64": 8, "float32": 4, "float16": 2, "bfloat16": 2, "int64": 8, "int32": 4, "int16": 2, "int8": 1,
          "uint8": 1, "bool": 1}  # fmt: skip


@st.composite
def _tensors(draw: st.DrawFn) -> list[tuple[TensorSpec, memoryview]]:
    tensors = []
    for name in draw(st.lists(st.text(max_size=9), max_size=4, unique=True).filter(lambda n: "__metadata__" not in n)):
        dtype = draw(st.sampled_from(sorted(DTYPES)))
        shape = tuple(draw(st.lists(st.integers(0, 4), max_size=3)))
        size = DTYPES[dtype] * torch.Size(shape).numel()
        data = bytes(draw(st.integers(0, 1)) for _ in range(size))
        tensors.append((TensorSpec(name, dtype, shape, 0, size), memoryview(data)))
    return tensors


@given(tensors=_tensors())
def test_tensors_are_read_back(
    tmp_path_factory: pytest.TempPathFactory, tensors: list[tuple[TensorSpec, memoryview]]
) -> None:
    """Tensors of every type, shape and name are read back unchanged; digest and progress agree with the file.

    Each is aligned to its type; tensors of zeros fill the gaps, because the format has none.
    """
    path = tmp_path_factory.getbasetemp() / "any.safetensors"
    path.unlink(missing_ok=True)
    pieces: list[int] = []
    specs, digest = write_tensors(path, tensors, pieces.append)
    raw = path.read_bytes()
    read = load_file(path)
    assert list(specs) == [spec.name for spec, _ in tensors]
    padding = {name: read.pop(name) for name in set(read) - set(specs)}
    assert set(read) == set(specs)
    assert all(name.startswith("padding before ") and not zeros.any() for name, zeros in padding.items())
    assert all(specs[spec.name].offset % DTYPES[spec.dtype] == 0 for spec, _ in tensors)
    for spec, data in tensors:
        assert read[spec.name].dtype == getattr(torch, spec.dtype)
        assert tuple(read[spec.name].shape) == spec.shape
        offset = specs[spec.name].offset
        assert raw[offset : offset + spec.size_bytes] == data
    assert digest == hashlib.sha256(raw).hexdigest()
    assert sum(pieces) == sum(spec.size_bytes for spec, _ in tensors)
    assert len(raw) - _data_start(path) == sum(pieces) + sum(zeros.nbytes for zeros in padding.values())


def test_large_tensors_are_written_in_pieces(tmp_path: Path) -> None:
    """A tensor larger than a piece is written whole, with progress in between."""
    data, pieces = os.urandom((20 << 20) + 1), list[int]()
    spec = TensorSpec("large", "uint8", (len(data),), 0, len(data))
    write_tensors(tmp_path / "file", [(spec, memoryview(data))], pieces.append)
    assert (tmp_path / "file").read_bytes()[4096:] == data
    assert len(pieces) > 1
    assert sum(pieces) == len(data)


def test_unsupported_type_is_refused(tmp_path: Path) -> None:
    """A tensor of a type that the format lacks is refused by name."""
    with pytest.raises(ValueError, match="w has dtype complex64; safetensors files support float64, float32"):
        write_tensors(tmp_path / "file", [(TensorSpec("w", "complex64", (1,), 0, 8), memoryview(bytes(8)))])


def test_intact_network_is_verified(folder: Path) -> None:
    """Verifying returns the network that was stored."""
    assert verify_network(folder) == read_graph(folder)


def _cut_short(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 1)


def _flip_last_bit(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


def _flip_a_space(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data.replace(b":", b": ", 1) if path.name == GRAPH else data.replace(b" ", b"\t", 1))


@pytest.mark.parametrize("name", [GRAPH, WEIGHTS, SAMPLES])
@pytest.mark.parametrize(
    "harm", [_cut_short, _flip_last_bit, _flip_a_space, Path.unlink, lambda path: path.write_bytes(b"")]
)
def test_damage_is_noticed(folder: Path, name: str, harm: object) -> None:
    """A file that lost or changed a single bit is named, with a hint."""
    assert callable(harm)
    harm(folder / name)
    with pytest.raises(
        DamagedNetwork, match=f"^{folder / name} is damaged: .+; delete the folder {folder}, and it is made"
    ):
        verify_network(folder)


def test_edited_graph_is_noticed(folder: Path) -> None:
    """A valid graph of another network is damage as well, which only verifying notices."""
    graph = json.loads((folder / GRAPH).read_text())
    graph["layers"][0]["ops"] = []
    (folder / GRAPH).write_text(json.dumps(graph))
    assert read_graph(folder).layers[0].ops == ()
    with pytest.raises(DamagedNetwork, match=GRAPH):
        verify_network(folder)


def test_graph_of_an_older_format_is_refused(folder: Path) -> None:
    """A graph of another format is refused with both numbers, even if it lacks fields of this format."""
    graph = json.loads((folder / GRAPH).read_text())
    graph["format"] = FORMAT - 1
    for layer in graph["layers"]:
        layer["carry_bytes"] = layer.pop("live_out_bytes")
    (folder / GRAPH).write_text(json.dumps(graph))
    expected = f"it has format {FORMAT - 1}, and this version reads format {FORMAT}; delete the folder {folder}"
    with pytest.raises(DamagedNetwork, match=expected):
        read_graph(folder)
