"""Devices: what stands for a board, read from TOML. Knows nothing of how it is enforced."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pytest_edgeload.base import files
from pytest_edgeload.base.errors import Setting, UsageError, suggestion
from pytest_edgeload.base.text import is_name
from pytest_edgeload.base.units import Limit, parse_count, parse_rate, parse_size

SHIPPED = Path(__file__).with_name("devices.toml")
"""The devices that come with the package."""

_MOST = 1 << 20  # bytes of a file

OWN_FILE = "edge-devices.toml"
"""Where a project keeps its own devices unless it says otherwise."""


@dataclass(frozen=True, slots=True)
class Device:
    """What stands for a board: a key that is None says nothing, and leaves this machine and its options as they are.

    `memory` is what a worker may use. `cpus` is how much processor time it gets, in whole processors of this machine;
    `cores` on how many processors it may run; `threads` how many an operator may use. `read_bps` and `write_bps` are
    bytes a second, `swap` the most bytes it may swap, 0 for none. `sources` say where the figures are from.
    """

    name: str
    memory: Limit
    cpus: float | None = None
    cores: int | None = None
    threads: int | None = None
    read_bps: int | None = None
    write_bps: int | None = None
    swap: int | None = None
    sources: tuple[str, ...] = ()
    note: str = ""


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError('not a text; put it in quotes, as in "512M"')  # noqa: TRY004  # one kind for all that is wrong
    return value


def _memory(value: object) -> Limit:
    return Limit(parse_size(_text(value)))


def _rate(value: object) -> int:
    return parse_rate(_text(value))


def _swap(value: object) -> int:
    return 0 if value == "off" else parse_size(_text(value), 'try "100M" or "off"')


def _cpus(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0.01 <= value <= 1024:  # noqa: PLR2004
        raise ValueError("not a number of processors; try 0.5 or 2, without quotes")
    return float(value)


def _count(value: object) -> int:
    if type(value) is not int:
        raise ValueError("not a count; give a whole number of at least 1, without quotes")
    return parse_count(str(value))


def _texts(value: object) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise ValueError('not a list; write it as in ["https://..."]')  # noqa: TRY004  # as above
    return tuple(map(_text, value))


KEYS: Mapping[str, tuple[str, Callable[[object], Any]]] = MappingProxyType(
    {
        "memory": ("memory", _memory),
        "cpus": ("cpus", _cpus),
        "cores": ("cores", _count),
        "threads": ("threads", _count),
        "read": ("read_bps", _rate),
        "write": ("write_bps", _rate),
        "swap": ("swap", _swap),
        "sources": ("sources", _texts),
        "note": ("note", _text),
    }
)
"""The keys of a device in TOML beside `extends`: the field each is, and what it means."""


def known_devices(file: Path | None) -> dict[str, Device]:
    """Return the shipped devices and those of `file`, which may replace and extend them. Raises UsageError."""
    shipped = read(SHIPPED, {})
    return shipped if file is None else shipped | read(file, shipped)


def read(file: Path, known: Mapping[str, Device]) -> dict[str, Device]:
    """Return the devices of a file; each may extend one of `known` or one before it. Raises UsageError."""
    try:
        text = files.read(file, _MOST).decode("utf-8-sig")
    except OSError as error:
        hint = ("name another file of devices with ", Setting("devices"))
        raise UsageError(str(file), error.strerror or "cannot be read", hint) from error
    except ValueError as error:  # of a byte that is not UTF-8
        raise UsageError(f"{file}: not TOML: {error}; see docs/devices.md") from error
    return parse(text, file, known)


def parse(text: str, file: Path, known: Mapping[str, Device]) -> dict[str, Device]:
    """Return the devices of a text; `file` names it in errors. Raises UsageError."""
    try:
        tables = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # also of a number without end
        raise UsageError(f"{file}: not TOML: {error}; see docs/devices.md") from error
    found: dict[str, Device] = {}
    for name, table in tables.items():
        try:
            found[name] = _device(name, table, {**known, **found})
        except ValueError as error:
            raise UsageError(f"{file}: [{name}]{error}") from error
    return found


def _device(name: str, table: object, known: Mapping[str, Device]) -> Device:
    if name == "none" or "," in name or name != name.strip() or not is_name(name):
        raise ValueError(": no name for a device; try one such as my-board")
    if not isinstance(table, dict):
        raise ValueError(f" = {table!r}: not a device; begin it by [{name}]")  # noqa: TRY004  # as above
    fields = dict(_field(key, value) for key, value in table.items() if key != "extends")
    base = table.get("extends")
    if base is not None:
        if not isinstance(base, str) or base not in known:
            raise ValueError(f" extends = {base!r}: unknown or further down; {suggestion(str(base), known)}")
        return replace(known[base], name=name, **{"note": "", **fields})
    if "memory" not in fields:
        raise ValueError(': has no memory; add memory = "512M", or extend a device that has')
    return Device(name, **fields)


def _field(key: str, value: object) -> tuple[str, Any]:
    if key not in KEYS:
        raise ValueError(f" {key}: unknown key; {suggestion(key, ['extends', *KEYS])}")
    field, parse = KEYS[key]
    try:
        return field, parse(value)
    except ValueError as error:
        raise ValueError(f" {key} = {value!r}: {error}") from error
