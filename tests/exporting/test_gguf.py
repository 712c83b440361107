"""GGUF files as checkpoints: read where they are, widened like the package `gguf` does, in tiles."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from pytest_edgeload.engine.network import OpenNetwork
from pytest_edgeload.engine.readers import READERS
from pytest_edgeload.exporting import cut as exporting_cut
from pytest_edgeload.exporting.blocks import widen
from pytest_edgeload.networks.checkpoint import BadCheckpoint, read_checkpoint
from pytest_edgeload.networks.folder import WEIGHTS, read_graph
from pytest_edgeload.networks.gguf import BLOCK_TYPES, PLAIN_TYPES
from pytest_edgeload.networks.tile import WHOLE, cut
from pytest_edgeload.planning.plan import Budget
from pytest_edgeload.policies import POLICIES, make_plan
from tests.builders import asked_steps, stored
from tests.engine.performers import execute as perform
from tests.engine.test_tiles import execute

gguf = pytest.importorskip("gguf", reason="it reads GGUF files")

from pytest_edgeload.peers.gguf_model import GgufSizes  # noqa: E402  # imports gguf
from pytest_edgeload.peers.gguf_model import write as write_gguf  # noqa: E402

BLOCK_BYTES = {"Q8_0": 34, "Q4_0": 18, "Q4_K": 144, "Q6_K": 210}


def blocks(kind: str, rows: int, blocks_per_row: int) -> np.ndarray:
    """Return random blocks of a type whose scales are small numbers."""
    source = np.random.default_rng(0)
    made = source.integers(0, 256, (rows, blocks_per_row, BLOCK_BYTES[kind]), dtype=np.uint8)
    scale = np.frombuffer(np.float16(0.001).tobytes(), np.uint8)
    for at in {"Q4_K": (0, 2), "Q6_K": (208,)}.get(kind, (0,)):
        made[..., at : at + 2] = scale
    return made.reshape(rows, -1)


@pytest.mark.parametrize("kind", BLOCK_TYPES)
def test_blocks_are_widened_as_by_the_package(kind: str) -> None:
    """All numbers of a type are those that the package `gguf` computes."""
    data = blocks(kind, 6, 3)
    expected = gguf.quants.dequantize(data, gguf.GGMLQuantizationType[kind])
    assert np.array_equal(widen(torch.from_numpy(data), kind).numpy(), expected)


class Net(nn.Module):
    """A table of words and two linear layers, named as in a model of transformers."""

    def __init__(self) -> None:
        super().__init__()
        self.model = nn.Module()
        self.model.embed_tokens, self.model.norm = nn.Embedding(40, 256), nn.LayerNorm(256, bias=False)
        self.lm_head = nn.Linear(256, 40, bias=False)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """Score the words."""
        return self.lm_head(self.model.norm(self.model.embed_tokens(ids)))  # type: ignore[no-any-return,operator]


def written(path: Path, kind: str, **replaced: str) -> Path:
    """Write a GGUF file for `Net` whose matrices have this type, under other names than its own in `replaced`."""
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_block_count(1)
    per_row = 1 if kind.endswith("K") else 8
    for name in ("token_embd.weight", "output.weight"):
        stored_as = replaced.get(name.partition(".")[0], name)
        if kind in PLAIN_TYPES:
            numbers = torch.rand(40, 256).to(getattr(torch, PLAIN_TYPES[kind]))
            raw = numbers.view(torch.uint8).numpy() if kind == "BF16" else numbers.numpy()
        else:
            raw = blocks(kind, 40, per_row)
        writer.add_tensor(stored_as, raw, raw_dtype=gguf.GGMLQuantizationType[kind])
    writer.add_tensor("output_norm.weight", np.ones(256, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def empty() -> Net:
    with torch.device("meta"):
        return Net().eval()


@pytest.mark.parametrize("kind", [*PLAIN_TYPES, *BLOCK_TYPES])
def test_gguf_file_is_read_where_it_is(tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Through every reader, whole and in tiles, outputs are plain PyTorch's; no weight of the file is stored again."""
    monkeypatch.setattr(exporting_cut, "_BLOCK_BYTES", 20000)
    checkpoint = written(tmp_path / "model.gguf", kind)
    folder = stored(tmp_path, empty(), (torch.tensor([[3, 1, 39]]),), checkpoint=checkpoint)
    assert (folder / WEIGHTS).stat().st_size <= 4096
    network = read_graph(folder)
    for reader in READERS:
        opened = OpenNetwork(folder, reader)
        for max_bytes in (1000, 1 << 20):
            tiles = {i: cut(network, i, max_bytes) for i in range(len(network.layers))}
            assert opened.compare(execute(opened, tiles), 0).error == pytest.approx(0, abs=1e-4)
        whole = dict.fromkeys(range(9), (WHOLE,))
        assert opened.compare(execute(opened, whole), 0).error == pytest.approx(0, abs=1e-4)
    assert len(cut(network, 1, 1000)) > 1
    assert all(layer.activation_bytes < 40 * 256 * 4 for layer in network.layers)


class Around(nn.Module):
    """Has another module inside, as a class that prepares a model for export has."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.model = inner

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """Call the inner module."""
        return self.model(ids)  # type: ignore[no-any-return]


@pytest.mark.parametrize("suffix", [".gguf", ".safetensors"])
def test_saved_module_may_be_inside_of_others(tmp_path: Path, suffix: str) -> None:
    """The names of the modules around the one that was saved are not in the file."""
    checkpoint = tmp_path / f"model{suffix}"
    if suffix == ".gguf":
        written(checkpoint, "F16")
    else:
        save_file(Net().state_dict(), checkpoint)
    folder = stored(tmp_path, Around(Around(empty())), (torch.tensor([[3, 1, 39]]),), checkpoint=checkpoint)
    assert (folder / WEIGHTS).stat().st_size <= 4096
    opened = OpenNetwork(folder, "read")
    assert opened.compare(execute(opened, dict.fromkeys(range(9), (WHOLE,))), 0).error == pytest.approx(0, abs=1e-4)


def test_decoder_runs_from_a_file_of_llama_cpp(tmp_path: Path) -> None:
    """A decoder of transformers with a prompt and a cache has its weights in a GGUF file with llama.cpp's names."""
    pytest.importorskip("transformers")
    from models.decoders import Sizes, step_of, without_weights  # noqa: PLC0415  # imports transformers

    sizes = GgufSizes(width=64, layers=2)
    write_gguf(tmp_path / "model.gguf", sizes)
    decoder = Sizes(64, sizes.hidden, sizes.layers, 1, 1, seed=1, vocabulary=sizes.vocabulary)
    module, [sample] = step_of(without_weights(decoder).to(torch.float16), decoder)
    folder = stored(tmp_path, module, replace(sample, steps=4), checkpoint=tmp_path / "model.gguf")
    assert (folder / WEIGHTS).stat().st_size < 8192  # the positions' frequencies
    asked = asked_steps(folder, 4)
    performer, _ = perform(make_plan("stream", POLICIES["stream"], asked, Budget(1 << 20)), asked, folder)
    error, detail = performer.compare(0)
    assert error is not None, detail
    assert error <= performer.tolerance(0), detail


def test_unsupported_type_is_refused_by_name(tmp_path: Path) -> None:
    """A type of blocks that cannot be widened is refused with its tensor and the supported types."""
    writer = gguf.GGUFWriter(tmp_path / "model.gguf", "llama")
    writer.add_tensor("output.weight", np.zeros((4, 24), np.uint8), raw_dtype=gguf.GGMLQuantizationType.Q5_1)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    with pytest.raises(BadCheckpoint, match=r"^tensor output.weight: of type Q5_1 in .*; convert to F32, .*Q6_K$"):
        read_checkpoint(tmp_path / "model.gguf", 0)


def test_damaged_gguf_file_is_refused(tmp_path: Path) -> None:
    """A file that is not GGUF is refused by its path."""
    (tmp_path / "model.gguf").write_bytes(b"GGUF" + bytes(100))
    with pytest.raises(BadCheckpoint, match="not a GGUF file, or its header is damaged; fetch it again"):
        read_checkpoint(tmp_path / "model.gguf", 0)


class OwnNames(nn.Module):
    """The layers of `Net`, under names that no architecture has."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.scale = nn.Embedding(40, 256), nn.LayerNorm(256, bias=False)
        self.last = nn.Linear(256, 40, bias=False)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """Score the words."""
        return self.last(self.scale(self.words(ids)))  # type: ignore[no-any-return]


NAMES = {"words.weight": "token_embd.weight", "scale.weight": "output_norm.weight", "last.weight": "output.weight"}


def test_given_names_find_tensors_that_no_architecture_names(tmp_path: Path) -> None:
    """With names by those of the module, each tensor is read where it is, and outputs are plain PyTorch's."""
    checkpoint = written(tmp_path / "model.gguf", "Q8_0")
    with torch.device("meta"):
        module = OwnNames().eval()
    folder = stored(tmp_path, module, (torch.tensor([[3, 1, 39]]),), checkpoint=checkpoint, names=NAMES)
    assert (folder / WEIGHTS).stat().st_size <= 4096
    opened = OpenNetwork(folder, "read")
    assert opened.compare(execute(opened, dict.fromkeys(range(9), (WHOLE,))), 0).error == pytest.approx(0, abs=1e-4)


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        (NAMES | {"last.weight": "outptu.weight"}, "no tensor outptu.weight, which the names give to last.weight; did"),
        (NAMES | {"lsat.weight": "output.weight"}, "^the names of tensors: the module has no tensor lsat.weight; did"),
        ({"words.weight": "token_embd.weight"}, "it has a tensor output.weight and 1 more, unknown to the module"),
    ],
)
def test_wrong_names_are_refused_by_name(tmp_path: Path, names: dict[str, str], reason: str) -> None:
    """A tensor that the file or the module lacks, or that the names leave over, is named."""
    checkpoint = written(tmp_path / "model.gguf", "F16")
    with torch.device("meta"):
        module = OwnNames().eval()
    with pytest.raises(BadCheckpoint, match=reason):
        stored(tmp_path, module, (torch.tensor([[3]]),), checkpoint=checkpoint, names=names)


def test_tensor_unknown_to_the_module_is_refused(tmp_path: Path) -> None:
    """A tensor that neither the module nor the names of the architecture have is refused."""
    checkpoint = written(tmp_path / "model.gguf", "Q8_0", output="other.weight")
    with pytest.raises(BadCheckpoint, match=r"it has a tensor other\.weight, unknown to the module"):
        stored(tmp_path, empty(), (torch.tensor([[3]]),), checkpoint=checkpoint)
