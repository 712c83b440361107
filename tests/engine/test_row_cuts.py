"""Weights that are widened row by row have the outputs of plain PyTorch, whole and in tiles, through every reader."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812  # its customary name

from pytest_edgeload.engine.network import OpenNetwork
from pytest_edgeload.engine.readers import READERS
from pytest_edgeload.engine.tiles import CompiledLayer, LayerProgress
from pytest_edgeload.exporting import cut as exporting_cut
from pytest_edgeload.networks.tile import WHOLE, cut, find_tiling, working_bytes
from tests.builders import stored
from tests.engine.test_tiles import execute

ROWS = 160
NUMBERS = torch.arange(ROWS * 64).remainder(251).sub(125).to(torch.int8).view(ROWS, 64)
SCALES, GROUP_SCALES = (
    torch.linspace(0.001, 0.02, ROWS).view(ROWS, 1),
    torch.linspace(0.001, 0.02, ROWS * 8).view(-1, 8),
)
NIBBLES = NUMBERS[:, :32].view(torch.uint8)
BIAS = torch.linspace(-1, 1, ROWS)
VECTOR, IMAGE, IDS = torch.rand(3, 64), torch.rand(1, 4, 6, 6), torch.tensor([[3, 1, 3], [7, 0, 159]])
aten = torch.ops.aten


class Stored(nn.Module):
    """A module computed by a function of its buffers, which are attributes of it, and a value."""

    def __init__(self, function: Callable[[Any, torch.Tensor], torch.Tensor], **buffers: torch.Tensor) -> None:
        super().__init__()
        self._function = function
        for name, tensor in buffers.items():
            self.register_buffer(name, tensor)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Call the function with this module and its input."""
        return self._function(self, x)


def grouped(m: Any) -> torch.Tensor:
    """Widen numbers with a scale for each eight of them."""
    return (m.q.view(ROWS, 8, 8).float() * m.s[..., None]).view(ROWS, 64)  # type: ignore[no-any-return]


ROW_CUTS: dict[str, tuple[nn.Module, torch.Tensor]] = {
    "a scale and a zero point for each row": (
        Stored(lambda m, x: F.linear(x, (m.q.float() - m.z) * m.s, m.b).relu(), q=NUMBERS, s=SCALES, b=BIAS,
               z=NUMBERS[:, :1].clone()), VECTOR
    ),
    "a scale for each group": (Stored(lambda m, x: F.linear(x, grouped(m)), q=NUMBERS, s=GROUP_SCALES), VECTOR),
    "groups stored as rows": (
        Stored(lambda m, x: F.linear(x, (m.q.float() * m.s).view(ROWS, 64)), q=NUMBERS.view(-1, 8),
               s=GROUP_SCALES.view(-1, 1)), VECTOR
    ),
    "two numbers in a byte": (
        Stored(lambda m, x: F.linear(x, (torch.stack([m.q & 15, m.q >> 4], -1).view(ROWS, 64).float() - 8) * m.s),
               q=NIBBLES, s=SCALES), VECTOR
    ),
    "a codebook": (
        Stored(lambda m, x: F.linear(x, m.t[(m.q & 15).int()] * m.s), q=NUMBERS, s=SCALES, t=torch.rand(16)), VECTOR
    ),
    "a transposed product": (
        Stored(lambda m, x: x @ (m.q.float() * m.s).t() + m.b, q=NUMBERS, s=SCALES, b=BIAS), VECTOR
    ),
    "fp8 with exponents of four bits": (
        Stored(lambda m, x: F.linear(x, m.q.float()), q=torch.rand(ROWS, 64).to(torch.float8_e4m3fn)), VECTOR
    ),
    "fp8 with exponents of five bits": (
        Stored(lambda m, x: F.linear(x, m.q.float()), q=torch.rand(ROWS, 64).to(torch.float8_e5m2)), VECTOR
    ),
    "a convolution": (
        Stored(lambda m, x: F.conv2d(x, m.q.float() * m.s[..., None, None], m.b), q=NUMBERS.view(ROWS, 4, 4, 4),
               s=SCALES, b=BIAS), IMAGE
    ),
    "an embedding": (Stored(lambda m, x: F.embedding(x, grouped(m)), q=NUMBERS, s=GROUP_SCALES), IDS),
    "an embedding with a scale for each row": (
        Stored(lambda m, x: F.embedding(x, m.q.float() * m.s) + 1, q=NUMBERS, s=SCALES), IDS
    ),
    "packed numbers of eight bits": (
        Stored(lambda m, x: aten._weight_int8pack_mm(x.bfloat16(), m.q, m.s), q=NUMBERS, s=SCALES[:, 0].bfloat16()),
        VECTOR,
    ),
    "packed numbers of four bits": (
        Stored(lambda m, x: aten._weight_int4pack_mm_for_cpu(x, m.q, 32, m.s), s=torch.rand(2, ROWS, 2),
               q=aten._convert_weight_to_int4pack_for_cpu((NUMBERS & 15).int(), 1)), VECTOR
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", ROW_CUTS)
def test_widened_rows_have_the_outputs_of_plain_pytorch(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Outputs are those of plain PyTorch, and a block of widened numbers is in memory, not all of them."""
    monkeypatch.setattr(exporting_cut, "_BLOCK_BYTES", 4000)
    module, x = ROW_CUTS[name]
    folder = stored(tmp_path, module, (x,))
    for reader in READERS:
        opened = OpenNetwork(folder, reader)
        (layer,) = opened.network.layers
        assert layer.row_cut is not None
        assert find_tiling(layer) is not None
        for tiles in ((WHOLE,), cut(opened.network, 0, 300), cut(opened.network, 0, 5000)):
            outputs = execute(opened, {0: tiles})
            assert opened.compare(outputs, 0).error == pytest.approx(0, abs=opened.network.tolerance)
        values = sum(tensor.nbytes for tensor in (*outputs, x.double()))  # twice the input, which may become bfloat16
        assert layer.activation_bytes <= 2 * values + 4000 + 64 * ROWS // 2
        assert all(working_bytes(layer, tile) >= layer.activation_bytes for tile in tiles)


UNCUT: dict[str, tuple[nn.Module, torch.Tensor]] = {
    "a matrix that is used twice": (
        Stored(lambda m, x: F.linear(F.linear(x, m.q.float()), m.q.float().t()), q=NUMBERS), VECTOR
    ),
    "rows that depend on each other": (Stored(lambda m, x: F.linear(x, m.q.float().softmax(0)), q=NUMBERS), VECTOR),
    "rows in the reverse order": (Stored(lambda m, x: F.linear(x, m.q.float().flip(0)), q=NUMBERS), VECTOR),
    "half of the rows": (Stored(lambda m, x: F.linear(x, m.q[80:].float()), q=NUMBERS), VECTOR),
    "rows that a reshape splits": (
        Stored(lambda m, x: F.linear(x, m.q.float().view(2 * ROWS, 32)), q=NUMBERS), torch.rand(3, 32)
    ),
    "the same weight by rows and columns": (
        Stored(lambda m, x: F.linear(x, m.q.float() * m.q.float().t()), q=NUMBERS[:64].clone()), VECTOR
    ),
    "a matrix that is the input": (Stored(lambda m, x: F.linear(m.q.float(), x), q=NUMBERS), VECTOR),
}  # fmt: skip


@pytest.mark.parametrize("name", UNCUT)
def test_rows_that_do_not_stay_apart_are_computed_whole(tmp_path: Path, name: str) -> None:
    """A matrix whose rows cannot be computed on their own is computed whole, with the outputs of plain PyTorch."""
    module, x = UNCUT[name]
    opened = OpenNetwork(stored(tmp_path, module, (x,)), "read")
    assert all(layer.row_cut is None for layer in opened.network.layers)
    assert opened.compare(execute(opened, dict.fromkeys(range(9), (WHOLE,))), 0).error == pytest.approx(0, abs=1e-4)


def test_columns_are_widened_in_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A weight whose rows are its columns is loaded whole and widened in blocks."""
    monkeypatch.setattr(exporting_cut, "_BLOCK_BYTES", 4000)
    module = Stored(lambda m, x: x @ (m.q.float() * m.s), q=NUMBERS.t().contiguous(), s=SCALES.view(1, ROWS))
    opened = OpenNetwork(stored(tmp_path, module, (VECTOR,)), "read")
    (layer,) = opened.network.layers
    assert cut(opened.network, 0, 300) == (WHOLE,)
    assert layer.activation_bytes < NUMBERS.numel()
    assert opened.compare(execute(opened, {0: (WHOLE,)}), 0).error == pytest.approx(0, abs=1e-4)


def test_scales_belong_to_the_layer_of_their_matrix(tmp_path: Path) -> None:
    """An elementwise op with one number for each row does not begin a layer, whatever the shape of its weight."""
    module = Stored(lambda m, x: (x @ m.q.float().t()) * m.s.view(-1), q=NUMBERS, s=SCALES)
    (layer,) = OpenNetwork(stored(tmp_path, module, (VECTOR,)), "read").network.layers
    assert [weight.name for weight in layer.weights] == ["s", "q"]


def peak_growth_bytes(call: Callable[[], object]) -> int:
    """Return by how much the resident memory of this process grows at most while `call` runs."""
    Path("/proc/self/clear_refs").write_text("5")  # sets the peak to the present value
    before = _peak_bytes()
    call()
    return _peak_bytes() - before


def _peak_bytes() -> int:
    (line,) = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) << 10


def test_kernel_sees_a_block_of_the_widened_copy(tmp_path: Path) -> None:
    """Executing a layer of 12 MB grows the process by less than that, although all widened numbers are 48 MB."""
    numbers = torch.ones(3072, 4096, dtype=torch.int8)
    module, x = (
        Stored(lambda m, x: F.linear(x, m.q.float() * m.s), q=numbers, s=torch.ones(3072, 1)),
        torch.rand(1, 4096),
    )
    opened = OpenNetwork(stored(tmp_path, module, (x,)), "read")
    (layer,) = opened.network.layers
    values: dict[str, Any] = {opened.network.inputs[0]: x}
    weights, ready = opened.load(layer), CompiledLayer(layer)
    with torch.inference_mode():
        assert peak_growth_bytes(lambda: module(x)) > 48 << 20
        assert peak_growth_bytes(lambda: ready.run(WHOLE, values, weights, LayerProgress())) < 12 << 20
    assert opened.compare([*values.values()], 0).error == pytest.approx(0, abs=1e-4)
