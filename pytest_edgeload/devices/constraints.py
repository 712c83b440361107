"""Constraints: everything a process is held to, and one table with the words for each of them.

A new constraint is a field of `Constraints` and a row of `CONSTRAINTS`. Each cap then writes the kernel's file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Annotated, Any, NamedTuple

import msgspec
from msgspec import Meta

from pytest_edgeload.base.decoding import Count
from pytest_edgeload.base.errors import Setting
from pytest_edgeload.base.units import exact_size, parse_rate, parse_size, parse_swap_area, swap_text

Cpus = Annotated[float, Meta(ge=0.01, le=1024)]
Positive = Annotated[int, Meta(ge=1, lt=1_000_000)]


class Constraints(msgspec.Struct, frozen=True, omit_defaults=True):
    """Everything a process is held to. A field that is None leaves the process as free as the machine is.

    `cpus` is processor time in whole processors of this machine, `cores` the number of processors that a process may
    run on, and `threads` the number of threads that an operator may use. With a `swap_bytes` of 0 it may not swap.
    """

    memory_bytes: Count | None = None
    swap_bytes: Count | None = None
    threads: Positive | None = None
    read_bps: Count | None = None
    write_bps: Count | None = None
    cpus: Cpus | None = None
    cores: Positive | None = None

    def __or__(self, other: Constraints) -> Constraints:
        """Return these constraints, overridden by those that `other` sets."""
        return msgspec.structs.replace(self, **other.values)

    @property
    def values(self) -> dict[str, Any]:
        """The values that are set, by field."""
        pairs = ((name, getattr(self, name)) for name in self.__struct_fields__)
        return {name: value for name, value in pairs if value is not None}

    def only(self, *fields: str) -> Constraints:
        """Return the constraints of these fields."""
        return Constraints(**{name: value for name, value in self.values.items() if name in fields})

    def without(self, fields: Iterable[str]) -> Constraints:
        """Return the constraints less those of these fields."""
        return msgspec.structs.replace(self, **dict.fromkeys(fields))

    @property
    def words(self) -> dict[str, str]:
        """Each constraint that is set, in words, by field: `memory 512M`, `reads at 20M/s`, `cores 4`."""
        return {name: CONSTRAINTS[name].words(value) for name, value in self.values.items()}


class Shortfall(msgspec.Struct, frozen=True, omit_defaults=True):
    """A constraint, by its field, that this machine does not enforce.

    If it is enforced in part, `available` says how much of it: `2 of 4`.
    """

    constraint: str
    available: str = ""

    def __str__(self) -> str:
        return f"{self.constraint}: {self.available}" if self.available else self.constraint

    @property
    def remark(self) -> str:
        """The words behind the constraint in a report."""
        return f"({self.available} here)" if self.available else "(NOT enforced)"


class Kind(NamedTuple):
    """A kind of value: its type in a device's file, an example of it there, and how it is parsed and shown."""

    type: Any
    example: str
    parse: Callable[[Any], Any]
    show: Callable[[Any], str]
    unit: str = ""


def _parse_memory(text: str) -> int:
    return parse_size(text, 'try "512M" or "1G"')


def _parse_swap(text: str) -> int:
    return 0 if text == "off" else parse_swap_area(text, 'not a size; try "100M", "zram:1G" or "off"')[1]


_MEMORY = Kind(str, '"512M"', _parse_memory, exact_size)
_SWAP = Kind(str, '"100M", "zram:1G" or "off"', _parse_swap, partial(swap_text, ""))
_RATE = Kind(str, '"20M"', parse_rate, exact_size, "/s")
_CPUS = Kind(Cpus, "0.5", float, "{:g}".format)
_NUMBER = Kind(Positive, "2", int, str)


class Constraint(NamedTuple):
    """The words for one constraint.

    `field` is its field in `Constraints`, `key` its name in a device's file, and `label` what reports say, with the
    value in place of `{}`. `option` names the option that sets it; without one only a device does. `column` names its
    column in reports; without one another column of the case shows it. `is_optional`: tests run without it if a trial
    shows that this machine cannot enforce it.
    """

    field: str
    key: str
    kind: Kind
    label: str
    option: str = ""
    column: str = ""
    is_optional: bool = True

    def text(self, value: Any) -> str:
        """Return a value as text, with its unit: `512M`, `20M/s`, `0.5`."""
        return self.kind.show(value) + self.kind.unit

    def words(self, value: Any) -> str:
        """Return a value in words, as in `reads at 20M/s`."""
        return self.label.format(self.text(value))

    def setting(self, value: Any) -> Setting:
        """Return the option that sets this value; without one of its own, the option that chooses a device."""
        return Setting(self.option, self.kind.show(value)) if self.option else Setting("device")


CONSTRAINTS: Mapping[str, Constraint] = {
    row.field: row
    for row in (
        Constraint("memory_bytes", "memory", _MEMORY, "memory {}", option="mem", is_optional=False),
        Constraint("swap_bytes", "swap", _SWAP, "swap {}", option="swap"),
        Constraint("threads", "threads", _NUMBER, "{} threads", option="threads", column="threads", is_optional=False),
        Constraint("read_bps", "read", _RATE, "reads at {}", option="read-bw", column="read_bw"),
        Constraint("write_bps", "write", _RATE, "writes at {}", column="write_bw"),
        Constraint("cpus", "cpus", _CPUS, "cpus {}", column="cpus"),
        Constraint("cores", "cores", _NUMBER, "cores {}", column="cores"),
    )
}
"""All constraints by their field in `Constraints`, in the order in which reports show them."""
