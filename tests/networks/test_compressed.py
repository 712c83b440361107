"""The compressed copy of a network: made once, verified, and smaller."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from torch import nn

from pytest_edgeload.networks.compressed import (
    CannotCompress,
    blocks_file,
    compress_network,
    compressed_folder,
    read_index,
    read_weight_files,
    stored_share,
    verify_copy,
    weights_share,
)
from pytest_edgeload.networks.folder import read_graph, verify_network
from pytest_edgeload.networks.tensor_file import DamagedNetwork
from tests.builders import stored


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a stored network with a compressed copy."""
    folder = stored(tmp_path, nn.Linear(300, 500, dtype=torch.bfloat16), (torch.rand(1, 300).bfloat16(),))
    compress_network(folder, read_graph(folder), lambda *_: None)
    return folder


def test_copy_is_made_once(folder: Path) -> None:
    """A second session finds the copy, which is smaller than the weights and changes nothing about the network."""
    before = blocks_file(folder, 0).stat()
    compress_network(folder, read_graph(folder), lambda *_: pytest.fail("made again"))
    verify_copy(folder, 1)
    assert blocks_file(folder, 0).stat().st_mtime_ns == before.st_mtime_ns
    plain, compressed = (sum(p.stat().st_size for p in read_weight_files(folder, s)) for s in ("plain", "compressed"))
    assert compressed < 0.8 * plain
    assert weights_share(folder) == pytest.approx(compressed / plain)
    assert 0.5 < stored_share([(folder, verify_network(folder))]) < 0.8
    assert {path.name for path in folder.iterdir() if path.name.startswith(".")} <= {".compressing.lock"}


def _refused(folder: Path) -> str:
    with pytest.raises(DamagedNetwork) as caught:
        verify_copy(folder, 1)
    return str(caught.value)


def test_damage_is_one_sentence(folder: Path) -> None:
    """A changed byte, a lost end and a damaged or missing index are each named, with the way out."""
    blocks, index = blocks_file(folder, 0), compressed_folder(folder) / "0.json"
    remedy = f"delete the folder {compressed_folder(folder)}, and it is made again"
    content = blocks.read_bytes()
    blocks.write_bytes(bytes([content[0] ^ 1]) + content[1:])
    assert _refused(folder) == f"{blocks} is damaged: its bytes are not the ones that were written; {remedy}"
    blocks.write_bytes(content[:-1])
    assert _refused(folder) == f"{index} is damaged: it does not describe the blocks next to it; {remedy}"
    index.write_text("{}")
    assert _refused(folder).startswith(f"{index} is damaged: Object missing required field")
    index.unlink()
    assert _refused(folder) == f"{index} is damaged: No such file or directory; {remedy}"
    blocks.unlink()
    compressed_folder(folder).rmdir()
    compress_network(folder, read_graph(folder), lambda *_: None)
    verify_copy(folder, 1)


def test_copy_that_cannot_be_written_is_one_sentence(folder: Path) -> None:
    """The message names the folder and the reason."""
    shutil.rmtree(compressed_folder(folder))
    (folder / ".compressing").touch()
    with pytest.raises(CannotCompress, match=f"{folder}: no compressed copy can be written: File exists"):
        compress_network(folder, read_graph(folder), lambda *_: None)


def test_index_counts_the_bytes_of_touched_blocks(folder: Path) -> None:
    """A stretch costs all blocks that it touches, and each block once."""
    index = read_index(folder, 0)
    assert index.stored_bytes([]) == 0
    assert index.stored_bytes([(0, 1)]) == index.stored_bytes([(0, 1), (5, 1)]) == index.ends[1]
    assert index.stored_bytes([(0, index.plain_bytes)]) == blocks_file(folder, 0).stat().st_size
