"""Weights in existing files: a safetensors file, shards of it with an index, or a GGUF file. Never imports torch.

The weights are read from the checkpoint itself. Its files follow each other in the address space of the network's
weights. Each begins on a page, with an unused page before it, so that one integer is the address of a tensor and no
stretch reaches from one file into another.
"""

from __future__ import annotations

import hashlib
import math
import os
import stat
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, NamedTuple

import msgspec

from pytest_edgeload.base import decoding, files
from pytest_edgeload.base.errors import Refusal, nearest
from pytest_edgeload.networks.gguf import BLOCK_TYPES, PLAIN_TYPES, read_gguf
from pytest_edgeload.networks.layer import DTYPES, TensorSpec, WeightFile

INDEX, SINGLE = "model.safetensors.index.json", "model.safetensors"
_PAGE = 4096
GGUF_SUFFIX = ".gguf"
_GGUF_HEADER_BYTES = 1 << 20  # the size of a header is not in the file; the first part is enough to notice a change
_MAX_HEADER_BYTES = 100_000_000  # the limit of safetensors itself, which holds for an index as well
_Count = Annotated[int, msgspec.Meta(ge=0, le=1 << 62)]
_DTYPE_NAMES = {short: name for name, (short, _) in DTYPES.items()}
_FETCH = "fetch it again"
_MAX_WRAPPERS = 3
"""The most modules that may be around the one that was saved, as a class that prepares it for export is."""
_LFS_POINTER = b"version https://git-lfs."


class BadCheckpoint(Refusal):
    """A checkpoint is missing, damaged or changed; the message names the file and the way out."""


class Checkpoint(NamedTuple):
    """The files of a checkpoint, and its tensors by name with their addresses.

    `widened` has the types and shapes of tensors that a module may use in another type than the file has.
    """

    files: tuple[WeightFile, ...]
    tensors: Mapping[str, TensorSpec]
    widened: Mapping[str, tuple[str, tuple[int, ...]]] = MappingProxyType({})
    name_of: Callable[[str], str] = str

    def named_as(self, names: Collection[str]) -> Checkpoint:
        """Return the checkpoint with those `names` of a module that are other ones in its files.

        The module that was saved may be inside of others, so that all names begin with the attributes of these.
        """
        found = {
            depth: [name for name in names if self._stored_name(name, depth) in self.tensors]
            for depth in range(_MAX_WRAPPERS + 1)
        }
        depth = max(found, key=lambda depth: len(found[depth]))
        others = {self._stored_name(name, depth): name for name in names if name not in self.tensors}
        tensors = {others.get(name, name): spec for name, spec in self.tensors.items()}
        renamed = {name: msgspec.structs.replace(spec, name=name) for name, spec in tensors.items()}
        return Checkpoint(self.files, renamed, {others.get(name, name): kind for name, kind in self.widened.items()})

    def with_names(self, names: Mapping[str, str], known: Collection[str], path: str) -> Checkpoint:
        """Return the checkpoint with its tensors named as in a module; `names` has their names in the files by these.

        Raises BadCheckpoint if the module, which has the tensors `known`, or the file at `path` has no such tensor.
        """
        for name, stored in names.items():
            if name not in known:
                raise BadCheckpoint("the names of tensors", f"the module has no tensor {name}", _nearest(name, known))
            if stored not in self.tensors:
                reason = f"it has no tensor {stored}, which the names give to {name}"
                raise BadCheckpoint(path, reason, _nearest(stored, self.tensors))
        others = {stored: name for name, stored in names.items()}
        tensors = {others.get(stored, stored): spec for stored, spec in self.tensors.items()}
        renamed = {name: msgspec.structs.replace(spec, name=name) for name, spec in tensors.items()}
        widened = {others.get(stored, stored): kind for stored, kind in self.widened.items()}
        return self._replace(tensors=renamed, widened=widened)

    def _stored_name(self, name: str, depth: int) -> str:
        """Return the name in the files of a tensor whose module is inside of so many others."""
        return self.name_of(name.split(".", depth)[-1])


def _nearest(name: str, known: Collection[str]) -> str:
    """Return the hint for a tensor that does not exist; there may be too many others to list."""
    near = nearest(name, known)
    return f"did you mean {near}?" if near else "correct the names"


class _TensorEntry(msgspec.Struct):
    """One tensor in the header of a safetensors file."""

    dtype: str
    shape: tuple[_Count, ...]
    data_offsets: tuple[_Count, _Count]


class _Index(msgspec.Struct):
    """The index of a sharded checkpoint: the file of each tensor."""

    weight_map: dict[str, str]


def file_stamp(path: Path) -> str:
    """Return a text that changes with the file, without reading it: path, size, and the times of the last changes.

    A digest would take as long as reading the file, in each session. A program that unpacks the file can set its
    modification time but not its change time. Raises BadCheckpoint.
    """
    status = _stat(path)
    return f"{path} {status.st_size} {status.st_mtime_ns} {status.st_ctime_ns}"


def checkpoint_files(path: Path) -> list[Path]:
    """Return all files of the checkpoint `path`: a safetensors or GGUF file, an index, or a folder with shards.

    Raises BadCheckpoint.
    """
    main = _main_file(path)
    return [main] if main.suffix != ".json" else [main, *(main.parent / name for name in _shards(main))]


def read_checkpoint(path: Path, end: int) -> Checkpoint:
    """Return the tensors of the checkpoint `path` from its headers, at addresses after `end`.

    Raises BadCheckpoint.
    """
    main = _main_file(path)
    if main.suffix == GGUF_SUFFIX:
        return _read_gguf(main, (-(-end // _PAGE) + 1) * _PAGE)
    shards: Mapping[str, set[str] | None] = {**_shards(main)} if main.suffix == ".json" else {main.name: None}
    weight_files: list[WeightFile] = []
    tensors: dict[str, TensorSpec] = {}
    for name, indexed in shards.items():
        begin = (-(-end // _PAGE) + 1) * _PAGE
        file, specs = _read_file(main.parent / name, begin)
        missing = sorted((indexed or set()) - specs.keys())
        if missing:
            raise BadCheckpoint(file.path, f"it lacks {missing[0]}, which {main} places there", "fetch both again")
        weight_files.append(file)
        tensors |= {name: spec for name, spec in specs.items() if indexed is None or name in indexed}
        end = begin + file.size_bytes
    return Checkpoint(tuple(weight_files), tensors)


def check_file(file: WeightFile) -> None:
    """Raise BadCheckpoint if the size, time or header of the file has changed since the network was made."""
    if _read_header(Path(file.path), file.begin)[0] != file:
        raise changed_file(file.path)


def changed_file(path: Path | str) -> BadCheckpoint:
    """Return the error for a file that has changed since the network was made."""
    return BadCheckpoint(str(path), "it has changed since the network was made from it", "start a new session")


def _main_file(path: Path) -> Path:
    """Return the file that the checkpoint is read from: the index or the only file."""
    if not stat.S_ISDIR(_stat(path).st_mode):
        return path
    for name in (INDEX, SINGLE):
        if os.path.lexists(path / name):
            return path / name
    raise BadCheckpoint(str(path), f"it contains neither {SINGLE} nor {INDEX}", "name the checkpoint's file")


def _shards(index: Path) -> dict[str, set[str]]:
    """Return the files of an index, each with the names of its tensors."""
    refuse_pointer(index)
    try:
        weight_map = decoding.decode(files.read(index, _MAX_HEADER_BYTES), _Index).weight_map
    except OSError as error:
        raise BadCheckpoint(str(index), str(error.strerror), _FETCH) from error
    except ValueError as error:
        raise BadCheckpoint(str(index), "not an index of a safetensors checkpoint: it has no weight_map") from error
    shards: dict[str, set[str]] = {}
    for name, file in weight_map.items():
        if file in {"", ".", ".."} or "\0" in file or Path(file).name != file:
            raise BadCheckpoint(str(index), f"it places {name} in {file!r}, which is not a file next to it", _FETCH)
        shards.setdefault(file, set()).add(name)
    return dict(sorted(shards.items()))


def _stat(path: Path) -> os.stat_result:
    try:
        return path.stat()
    except (OSError, ValueError) as error:  # ValueError: no file can have this path
        reason = str(error.strerror if isinstance(error, OSError) else error)
        if isinstance(error, FileNotFoundError) and path.is_symlink():
            reason = f"it is a link to {path.readlink()}, which does not exist"
        raise BadCheckpoint(str(path), reason, "fetch it, or name an existing file") from error


def refuse_pointer(path: Path) -> None:
    """Raise BadCheckpoint if the file is a Git LFS pointer, which a clone without Git LFS has in place of the file."""
    with suppress(OSError), files.open_file(path) as file:
        if file.read(len(_LFS_POINTER)) == _LFS_POINTER:
            raise BadCheckpoint(str(path), "it is a Git LFS pointer, not the file itself", "run git lfs pull")


def _read_header(path: Path, begin: int) -> tuple[WeightFile, bytes]:
    """Return the file at the address `begin`, and its header."""
    status = _stat(path)
    refuse_pointer(path)
    try:
        with files.open_file(path) as file:
            size = int.from_bytes(file.read(8), "little")
            if path.suffix == GGUF_SUFFIX:
                size = min(status.st_size - 8, _GGUF_HEADER_BYTES)
            header = file.read(size) if size <= min(status.st_size - 8, _MAX_HEADER_BYTES) else b""
    except OSError as error:
        raise BadCheckpoint(str(path), str(error.strerror), _FETCH) from error
    digest = hashlib.sha256(header).hexdigest()
    return WeightFile(str(path), begin, status.st_size, status.st_mtime_ns, digest), header


def _read_file(path: Path, begin: int) -> tuple[WeightFile, dict[str, TensorSpec]]:
    """Return the file at the address `begin`, and the tensors in its header."""
    file, header = _read_header(path, begin)
    try:
        specs = header_tensors(header)
    except BadCheckpoint as error:
        raise error.within(str(path)) from None
    except ValueError as error:
        raise BadCheckpoint(str(path), "not a safetensors file, or its header is damaged", _FETCH) from error
    end = max((spec.offset + spec.size_bytes for spec in specs.values()), default=8 + len(header))
    if end > file.size_bytes:
        raise BadCheckpoint(file.path, f"it ends at byte {file.size_bytes}, but its tensors at byte {end}", _FETCH)
    return file, {name: msgspec.structs.replace(spec, offset=begin + spec.offset) for name, spec in specs.items()}


def _read_gguf(path: Path, begin: int) -> Checkpoint:
    """Return the tensors of a GGUF file at the address `begin`. Raises BadCheckpoint."""
    file, _ = _read_header(path, begin)
    try:
        found = read_gguf(path)
    except ValueError as error:
        raise BadCheckpoint(str(path), "not a GGUF file, or its header is damaged", _FETCH) from error
    specs: dict[str, TensorSpec] = {}
    for name, tensor in found.tensors.items():
        if tensor.type not in {*PLAIN_TYPES, *BLOCK_TYPES}:
            reason, hint = f"of type {tensor.type} in {path}, which is not supported", "convert to "
            raise BadCheckpoint(f"tensor {name}", reason, hint + ", ".join([*PLAIN_TYPES, *BLOCK_TYPES]))
        specs[name] = msgspec.structs.replace(tensor.spec, offset=begin + tensor.spec.offset)
    return Checkpoint((file,), specs, {name: each[1:] for name, each in found.tensors.items()}, found.name_of)


def header_tensors(header: bytes) -> dict[str, TensorSpec]:
    """Return the tensors in a header, with their offsets in the file. Raises ValueError or BadCheckpoint."""
    entries = decoding.decode(header, dict[str, msgspec.Raw])
    entries.pop("__metadata__", None)
    return {
        name: _spec(name, decoding.decode(bytes(raw), _TensorEntry), 8 + len(header)) for name, raw in entries.items()
    }


def _spec(name: str, entry: _TensorEntry, data_offset: int) -> TensorSpec:
    """Return a tensor of a file whose data begin at `data_offset`. Raises ValueError or BadCheckpoint."""
    dtype = _DTYPE_NAMES.get(entry.dtype)
    if dtype is None:
        supported = ", ".join(_DTYPE_NAMES)
        raise BadCheckpoint(
            f"tensor {name}", f"of type {entry.dtype}, which is not supported", f"convert to {supported}"
        )
    first, end = entry.data_offsets
    if end - first != math.prod(entry.shape) * DTYPES[dtype][1]:
        raise ValueError(name)
    return TensorSpec(name, dtype, entry.shape, data_offset + first, end - first)
