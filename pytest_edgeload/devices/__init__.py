"""Devices: named constraints of boards, read from TOML. This room does not know how they are enforced."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from pytest_edgeload.base import files
from pytest_edgeload.base.errors import Setting, UsageError, suggestion
from pytest_edgeload.base.text import is_name
from pytest_edgeload.base.units import Limit, swap_text
from pytest_edgeload.devices.constraints import CONSTRAINTS, Constraints

SHIPPED = Path(__file__).with_name("devices.toml")
"""The devices that come with the package."""

OWN_FILE = "edge-devices.toml"
"""The file with a project's own devices, unless an option names another."""

_MAX_BYTES = 1 << 20  # of a file
_CONSTRAINTS = {row.key: row for row in CONSTRAINTS.values()}
_OTHERS: Mapping[str, tuple[Any, str]] = {
    "sources": (tuple[str, ...], '["https://..."]'),
    "note": (str, '"a board"'),
}

KEYS = (*_CONSTRAINTS, *_OTHERS)
"""The keys of a device in TOML, besides `extends`."""


@dataclass(frozen=True, slots=True)
class Device:
    """The constraints of a board, one on memory among them. `sources` are addresses that give the values.

    `swap_kind` is the kind of its swap: `zram`, `file`, or empty if any kind will do. It is not a constraint, because
    the kernel has no swap of a group's own: all devices of a session share the swap of the machine.
    """

    name: str
    constraints: Constraints
    sources: tuple[str, ...] = ()
    note: str = ""
    swap_kind: str = ""

    @property
    def memory(self) -> Limit:
        """The memory that a worker may use."""
        assert self.constraints.memory_bytes is not None  # as `parse` checks
        return Limit(self.constraints.memory_bytes)

    @property
    def swap(self) -> str | None:
        """The swap as a file of devices has it, `zram:1G`, `100M` or `off`; None without one."""
        size_bytes = self.constraints.swap_bytes
        return None if size_bytes is None else swap_text(self.swap_kind, size_bytes)


def known_devices(file: Path | None) -> dict[str, Device]:
    """Return the shipped devices and those of `file`, which may replace and extend them. Raises UsageError."""
    shipped = read(SHIPPED, {})
    return shipped if file is None else shipped | read(file, shipped)


def read(file: Path, known: Mapping[str, Device]) -> dict[str, Device]:
    """Return the devices of a file. Each may extend one of `known` or an earlier one. Raises UsageError."""
    try:
        text = files.read(file, _MAX_BYTES).decode("utf-8-sig")
    except OSError as error:
        hint = ("name another file of devices with ", Setting("devices"))
        raise UsageError(str(file), error.strerror or "cannot be read", hint) from error
    except ValueError as error:  # a byte that is not UTF-8
        raise _not_toml(file, error) from error
    return parse(text, file, known)


def parse(text: str, file: Path, known: Mapping[str, Device]) -> dict[str, Device]:
    """Return the devices in a text. `file` names it in errors. Raises UsageError."""
    try:
        tables = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # RecursionError: tables nested too deep
        raise _not_toml(file, error) from error
    devices: dict[str, Device] = {}
    for name, table in tables.items():
        devices[name] = _device(f"{file}: [{name}]", name, table, {**known, **devices})
    return devices


def _not_toml(file: Path, error: Exception) -> UsageError:
    return UsageError(str(file), f"not TOML: {error}", "see docs/devices.md")


def _device(place: str, name: str, table: object, known: Mapping[str, Device]) -> Device:
    if name == "none" or "," in name or name != name.strip() or not is_name(name):
        raise UsageError(place, "not a name for a device", "try one such as my-board")
    if not isinstance(table, dict):
        raise UsageError(f"{place} = {table!r}", "not a device", f"begin a device with [{name}]")
    values = {key: _value(place, key, value) for key, value in table.items() if key != "extends"}
    others = {key: values.pop(key) for key in _OTHERS if key in values}
    own = Constraints(**{_CONSTRAINTS[key].field: value for key, value in values.items()})
    base = table.get("extends")
    if "swap" in table:
        others["swap_kind"] = str(table["swap"]).rpartition(":")[0]
    if base is None:
        if own.memory_bytes is None:
            raise UsageError(place, "has no memory", 'add memory = "512M", or extend a device that has some')
        return Device(name, own, **others)
    if not isinstance(base, str) or base not in known:
        raise UsageError(f"{place} extends = {base!r}", "unknown or further down", suggestion(str(base), known))
    inherited = {"sources": known[base].sources, "swap_kind": known[base].swap_kind}
    return Device(name, known[base].constraints | own, **{**inherited, **others})


def _value(place: str, key: str, value: object) -> Any:
    """Return the value of a key. Raises UsageError."""
    if key in _OTHERS:
        kind, example = _OTHERS[key]
    elif key in _CONSTRAINTS:
        kind, example = _CONSTRAINTS[key].kind[:2]
    else:
        raise UsageError(f"{place} {key}", "unknown key", suggestion(key, ["extends", *KEYS]))
    subject = f"{place} {key} = {value!r}"
    try:
        typed = msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise UsageError(subject, str(error), f"write {key} = {example}") from error
    try:
        return _CONSTRAINTS[key].kind.parse(typed) if key in _CONSTRAINTS else typed
    except ValueError as error:
        raise UsageError(subject, str(error)) from error
