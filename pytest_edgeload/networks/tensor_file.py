"""Files of tensors in the safetensors format: written whole, in order, and aligned. Never imports torch.

Format: https://github.com/huggingface/safetensors#format
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from pytest_edgeload.base import files
from pytest_edgeload.base.errors import Refusal
from pytest_edgeload.networks.layer import DTYPES, TensorSpec

CHUNK_BYTES = 8 << 20
_DATA_ALIGNMENT = 4096  # the first tensor begins on a page, so that direct reads can be aligned
_PADDING = "padding before "  # the name of a tensor that fills a gap begins like this


class DamagedNetwork(Refusal):
    """A file of a stored network is missing, or has other bytes than were written; the message names it."""


class TensorLayout(NamedTuple):
    """The places of tensors in the data of a file: the entries of its header, an offset for each tensor, and the end.

    Offsets count from the first byte of the data.
    """

    entries: Mapping[str, object]
    offsets: Sequence[int]
    size_bytes: int

    @classmethod
    def of(cls, tensors: Sequence[TensorSpec], gap_bytes: Callable[[int, TensorSpec], int]) -> TensorLayout:
        """Place `tensors` one after the other; `gap_bytes` returns the bytes to leave between an end and a tensor.

        Raises ValueError for a type that the format lacks.
        """
        end, entries, offsets = 0, dict[str, object](), list[int]()
        for spec in tensors:
            if spec.dtype not in DTYPES:
                raise ValueError(f"{spec.name} has dtype {spec.dtype}; safetensors files support {', '.join(DTYPES)}")
            if gap := gap_bytes(end, spec):  # the format has no gaps, so a tensor fills it
                name, begin, end = f"{_PADDING}{spec.name}", end, end + gap
                entries[name] = {"dtype": "U8", "shape": [gap], "data_offsets": [begin, end]}
            begin, end = end, end + spec.size_bytes
            entries[spec.name] = {"dtype": DTYPES[spec.dtype][0], "shape": spec.shape, "data_offsets": [begin, end]}
            offsets.append(begin)
        return cls(entries, offsets, end)

    def head(self, metadata: Mapping[str, str] | None = None, min_bytes: int = 0) -> bytes:
        """Return the bytes of the file before the data, at least `min_bytes`."""
        header = self.entries if metadata is None else {"__metadata__": metadata, **self.entries}
        text = json.dumps(header, separators=(",", ":")).encode()
        size_bytes = max(8 + len(text), min_bytes)
        text = text.ljust(-(-size_bytes // _DATA_ALIGNMENT) * _DATA_ALIGNMENT - 8)
        return len(text).to_bytes(8, "little") + text


def write_tensors(
    path: Path, tensors: Iterable[tuple[TensorSpec, memoryview]], progress: Callable[[int], None] = lambda _: None
) -> tuple[dict[str, TensorSpec], str]:
    """Write `tensors` in their order as a safetensors file; return their specs with offsets, and the SHA-256.

    Each tensor is aligned to its type, so that a worker need not copy it. `tensors` are gone through twice, and each is
    released after its use. `progress` is called with the bytes of each piece written. Raises ValueError for a type that
    the format lacks.
    """
    specs = [spec for spec, _ in tensors]
    layout = TensorLayout.of(specs, lambda end, spec: -end % DTYPES[spec.dtype][1])
    head = layout.head()
    placed = {
        spec.name: msgspec.structs.replace(spec, offset=len(head) + offset)
        for spec, offset in zip(specs, layout.offsets, strict=True)
    }
    digest = hashlib.sha256(head)
    with files.naming(path), files.create(path, files.OURS) as file:
        file.write(head)
        for spec, data in tensors:
            if gap_bytes := placed[spec.name].offset - file.tell():
                file.write(bytes(gap_bytes))
                digest.update(bytes(gap_bytes))
            for begin in range(0, len(data), CHUNK_BYTES):
                piece = data[begin : begin + CHUNK_BYTES]
                file.write(piece)
                digest.update(piece)
                progress(len(piece))
        file.flush()
        os.fsync(file.fileno())  # dirty pages could not be dropped from the page cache before a run
    return placed, digest.hexdigest()
