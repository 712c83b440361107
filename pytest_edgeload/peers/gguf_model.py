"""`python -m pytest_edgeload.peers.gguf_model --megabytes=700 -o m.gguf`: makes a model for llama.cpp.

The model has the layers of Llama, random weights and no tokenizer: llama.cpp reads and computes as much per token as
with a trained model. Never imports torch.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pytest_edgeload.base.errors import Unsupported, UsageError

try:
    import gguf
except ModuleNotFoundError:
    raise Unsupported(
        "GGUF model", "the package gguf is not installed", "try pip install 'pytest-edgeload[llama-cpp]'"
    ) from None

_ARCHITECTURE = "llama"
_HEAD = 64  # values per attention head
_MB = 1_000_000
_F16_BYTES = 2


@dataclass(frozen=True, slots=True)
class GgufSizes:
    """The sizes of a model: `width` values per token, `layers` layers."""

    width: int
    layers: int

    @classmethod
    def of(cls, size_bytes: int, width: int) -> GgufSizes:
        """Return the sizes of a model whose file has about `size_bytes`. Raises UsageError if there are none."""
        if width <= 0 or width % _HEAD:
            raise UsageError(f"width {width}", f"not a multiple of {_HEAD}", f"try {_HEAD}, 512 or 1024")
        one, two = cls(width, 1).weight_bytes, cls(width, 2).weight_bytes
        layers = 1 + round((size_bytes - one) / (two - one))
        if layers < 1:
            hint = f"try at least {one / _MB:.3g} MB, or a smaller width"
            raise UsageError(f"size {size_bytes / _MB:g} MB", f"less than a model of one layer of width {width}", hint)
        return cls(width, layers)

    @property
    def vocabulary(self) -> int:
        """The number of tokens."""
        return 8 * self.width

    @property
    def hidden(self) -> int:
        """The number of values between the matrices of a feed-forward block: Llama's ratio to the width."""
        return self.width * 11 // 4

    @property
    def weight_bytes(self) -> int:
        """The bytes of all weights in the file."""
        matrices = sum(rows * columns for rows, columns in self.matrices.values())
        return _F16_BYTES * matrices + 4 * self.width * len(self.vectors)

    @property
    def matrices(self) -> dict[str, tuple[int, int]]:
        """The shapes of all matrices, by name: (outputs, inputs)."""
        width, hidden = self.width, self.hidden
        layer = {f"attn_{name}": (width, width) for name in ("q", "k", "v", "output")}
        layer |= {"ffn_gate": (hidden, width), "ffn_up": (hidden, width), "ffn_down": (width, hidden)}
        every = {f"blk.{n}.{name}.weight": shape for n in range(self.layers) for name, shape in layer.items()}
        return {"token_embd.weight": (self.vocabulary, width)} | every

    @property
    def vectors(self) -> list[str]:
        """The names of all vectors, which scale `width` values."""
        layers = [f"blk.{n}.{name}_norm.weight" for n in range(self.layers) for name in ("attn", "ffn")]
        return [*layers, "output_norm.weight"]


def write(path: Path, sizes: GgufSizes) -> None:
    """Write a model of `sizes` to `path`: matrices of f16, drawn with a fixed seed. Holds one matrix at a time."""
    writer = gguf.GGUFWriter(path, _ARCHITECTURE)
    _describe(writer, sizes)
    for name in sizes.vectors:
        writer.add_tensor_info(name, [sizes.width], np.dtype(np.float32), 4 * sizes.width)
    for name, shape in sizes.matrices.items():
        writer.add_tensor_info(name, shape, np.dtype(np.float16), _F16_BYTES * shape[0] * shape[1])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    for _ in sizes.vectors:
        writer.write_tensor_data(np.ones(sizes.width, np.float32))
    random = np.random.default_rng(0)
    for outputs, inputs in sizes.matrices.values():
        drawn = random.standard_normal((outputs, inputs), np.float32) / np.sqrt(inputs)
        writer.write_tensor_data(drawn.astype(np.float16))
    writer.close()


def _describe(writer: gguf.GGUFWriter, sizes: GgufSizes) -> None:
    writer.add_context_length(4096)
    writer.add_embedding_length(sizes.width)
    writer.add_block_count(sizes.layers)
    writer.add_feed_forward_length(sizes.hidden)
    writer.add_head_count(sizes.width // _HEAD)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(_HEAD)
    writer.add_vocab_size(sizes.vocabulary)
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_F16)
    writer.add_tokenizer_model("none")


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    command = argparse.ArgumentParser("python -m pytest_edgeload.peers.gguf_model", description="Make a GGUF model.")
    add = command.add_argument
    add("--megabytes", type=int, required=True, metavar="N", help="size of the file in 10^6 bytes")
    add("--width", type=int, default=1024, metavar="N", help="values per token (default: %(default)s)")
    add("-o", "--output", type=Path, required=True, metavar="FILE", help="file to write")
    return command


def main(args: Sequence[str] | None = None) -> int:
    """Write the model that the command line describes. Return the exit status."""
    options = parser().parse_args(args)
    try:
        sizes = GgufSizes.of(options.megabytes * _MB, options.width)
        write(options.output, sizes)
    except (UsageError, OSError) as error:
        sys.exit(f"GGUF model: {error}")
    print(f"{options.output}: {sizes.layers} layers of width {sizes.width}, {options.output.stat().st_size} bytes")  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
