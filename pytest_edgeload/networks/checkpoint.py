"""Weights in safetensors files that are there already, one file or shards with an index. Never imports torch.

They are read where they stand. The files lie one after the other in the address space of the network's weights, each on
a page and with a page between, so that one integer says where a tensor is and no stretch reaches from file to file.
"""

from __future__ import annotations

import hashlib
import math
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, NamedTuple

import msgspec

from pytest_edgeload.base import decoding
from pytest_edgeload.base.errors import Refusal
from pytest_edgeload.base.files import opened
from pytest_edgeload.base.files import read as content
from pytest_edgeload.networks.layer import DTYPES, TensorSpec, WeightFile

INDEX, SINGLE = "model.safetensors.index.json", "model.safetensors"
_PAGE = 4096
_MOST = 100_000_000  # bytes of a header, as safetensors itself has it, and of an index
_Count = Annotated[int, msgspec.Meta(ge=0, le=1 << 62)]
_NAMES = {short: name for name, (short, _) in DTYPES.items()}


class BadCheckpoint(Refusal):
    """A checkpoint is not there, or not whole, or not what it was; the message says which file and what to do."""


class Checkpoint(NamedTuple):
    """The files of a checkpoint, and its tensors by name, their offsets in the network's address space."""

    parts: tuple[WeightFile, ...]
    tensors: Mapping[str, TensorSpec]


class _Entry(msgspec.Struct):
    """What a header says of one tensor."""

    dtype: str
    shape: tuple[_Count, ...]
    data_offsets: tuple[_Count, _Count]


class _Index(msgspec.Struct):
    """Which file holds each tensor."""

    weight_map: dict[str, str]


def stamp(path: Path) -> str:
    """Return what tells a large file from another one without reading it: path, bytes, times of its last change.

    Two of these: what unpacks a file may set the one, and nothing sets the other.

    A digest would take as long as reading it, in each session. Raises BadCheckpoint.
    """
    found = _stat(path)
    return f"{path} {found.st_size} {found.st_mtime_ns} {found.st_ctime_ns}"


def files(path: Path) -> list[Path]:
    """Return all files of the checkpoint `path`: a safetensors file, an index, or a folder that holds one of them.

    Raises BadCheckpoint.
    """
    found = _main(path)
    return [found] if found.suffix != ".json" else [found, *(found.parent / name for name in _shards(found))]


def read(path: Path, after: int) -> Checkpoint:
    """Return what the checkpoint `path` holds, by its headers, laid into the addresses behind `after`.

    Raises BadCheckpoint.
    """
    found = _main(path)
    shards: Mapping[str, set[str] | None] = {**_shards(found)} if found.suffix == ".json" else {found.name: None}
    parts: list[WeightFile] = []
    tensors: dict[str, TensorSpec] = {}
    for file, wanted in shards.items():
        begin = (-(-after // _PAGE) + 1) * _PAGE
        part, specs = _read_file(found.parent / file, begin)
        lacking = sorted((wanted or set()) - specs.keys())
        if lacking:
            raise BadCheckpoint(f"{part.path} lacks {lacking[0]}, which {found} says is there; fetch both anew")
        parts.append(part)
        tensors |= {name: spec for name, spec in specs.items() if wanted is None or name in wanted}
        after = begin + part.size_bytes
    return Checkpoint(tuple(parts), tensors)


def check(part: WeightFile) -> None:
    """Raise BadCheckpoint unless the file is, by size, time and header, the one that the network was made of."""
    if _read_part(Path(part.path), part.begin)[0] != part:
        raise BadCheckpoint(outdated(part.path))


def outdated(path: Path | str) -> str:
    """Return what is to be said of a file that is not the one which a network was made of."""
    return f"{path} has changed since the network was made of it; start the session anew"


def _main(path: Path) -> Path:
    """Return the file that the checkpoint is read from: the index or the only file."""
    if not stat.S_ISDIR(_stat(path).st_mode):
        return path
    for name in (INDEX, SINGLE):
        if os.path.lexists(path / name):
            return path / name
    raise BadCheckpoint(f"{path} holds neither {SINGLE} nor {INDEX}; name the checkpoint's file")


def _shards(index: Path) -> dict[str, set[str]]:
    """Return the files that an index names, each with the tensors that are to be read from it."""
    try:
        placed = decoding.decode(content(index, _MOST), _Index).weight_map.items()
    except OSError as error:
        raise BadCheckpoint(f"{index}: {error.strerror}; fetch it anew") from error
    except ValueError as error:
        raise BadCheckpoint(f"{index} is no index of a safetensors checkpoint: it has no weight_map") from error
    shards: dict[str, set[str]] = {}
    for name, file in placed:
        if file in {"", ".", ".."} or "\0" in file or Path(file).name != file:
            raise BadCheckpoint(f"{index} places {name} in {file!r}, which is no file beside it; fetch it anew")
        shards.setdefault(file, set()).add(name)
    return dict(sorted(shards.items()))


def _stat(path: Path) -> os.stat_result:
    try:
        return path.stat()
    except (OSError, ValueError) as error:  # of a path that no file can have
        reason = error.strerror if isinstance(error, OSError) else error
        raise BadCheckpoint(f"{path}: {reason}; fetch it, or name the file that is there") from error


def _read_part(path: Path, begin: int) -> tuple[WeightFile, bytes]:
    """Return the file as a part of the address space, and its header."""
    found = _stat(path)
    try:
        with opened(path) as file:
            size = int.from_bytes(file.read(8), "little")
            header = file.read(size) if size <= min(found.st_size - 8, _MOST) else b""
    except OSError as error:
        raise BadCheckpoint(f"{path}: {error.strerror}; fetch it anew") from error
    digest = hashlib.sha256(header).hexdigest()
    return WeightFile(str(path), begin, found.st_size, found.st_mtime_ns, digest), header


def _read_file(path: Path, begin: int) -> tuple[WeightFile, dict[str, TensorSpec]]:
    """Return the file and the tensors that its header names."""
    part, header = _read_part(path, begin)
    try:
        specs = tensors(header)
    except ValueError as error:
        raise BadCheckpoint(f"{path} is no safetensors file, or its header is damaged; fetch it anew") from error
    end = max((spec.offset + spec.size_bytes for spec in specs.values()), default=8 + len(header))
    if end > part.size_bytes:
        raise BadCheckpoint(f"{path} ends at byte {part.size_bytes}, and its tensors at {end}; fetch it anew")
    # The addresses come last: what was checked stands in the file.
    moved = {n: TensorSpec(n, s.dtype, s.shape, begin + s.offset, s.size_bytes) for n, s in specs.items()}
    return part, moved


def tensors(header: bytes) -> dict[str, TensorSpec]:
    """Return where the tensors that a header names stand in its file. Raises ValueError or BadCheckpoint."""
    entries = decoding.decode(header, dict[str, msgspec.Raw])
    entries.pop("__metadata__", None)
    return {name: _spec(name, decoding.decode(bytes(raw), _Entry), 8 + len(header)) for name, raw in entries.items()}


def _spec(name: str, entry: _Entry, data: int) -> TensorSpec:
    """Return where a tensor stands in its file. Raises ValueError."""
    short, shape, (first, last) = entry.dtype, entry.shape, entry.data_offsets
    if short not in _NAMES:
        raise BadCheckpoint(f"tensor {name} is of type {short}; those that can be read are {', '.join(_NAMES)}")
    _, item_bytes = DTYPES[_NAMES[short]]
    if last - first != math.prod(shape) * item_bytes:
        raise ValueError(name)
    return TensorSpec(name, _NAMES[short], shape, data + first, last - first)
