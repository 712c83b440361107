"""Sizes, limits, durations and counts: parsed and printed here and nowhere else."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from pytest_edgeload.base import arguments
from pytest_edgeload.base.arguments import whole
from pytest_edgeload.base.text import comma_list

SIZE_HINT = "try 512M, 1G or base+256M"
RATE_HINT = "try 90M, which is 90 MiB a second"
_POWERS = {"": 0, "K": 1, "M": 2, "G": 3, "T": 4}
_UNITS = tuple(reversed(_POWERS.items()))
_NUMBER = r"(?P<number>\d{1,30}(?:\.\d{1,30})?)"
_SIZE = _NUMBER + r"\s*(?P<unit>[KMGT]?)(?P<suffix>iB|B)?"
_DURATION = _NUMBER + r"\s*(?P<unit>ms|s|m|h|d)?"
_MAX_BYTES = 1 << 60
_MIN_RATE = 1 << 20  # below that of any storage; the worker itself would take minutes to start
_MAX_S = 36e6  # within the range of every clock and timer
_SECONDS = {"ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def parse_size(text: str, hint: str = SIZE_HINT) -> int:
    """Return the bytes in `text`: `512M`, `512MiB`, `1.5G`, `4096`. Units are powers of 1024.

    Raises ValueError for any other text, with this `hint`, and for a part of a byte. `MB` and `GB` are refused because
    some users read them as powers of 1000, others as powers of 1024.
    """
    match = re.fullmatch(_SIZE, text.strip(), re.IGNORECASE | re.ASCII)
    if match is None:
        raise ValueError(f"not a size; {hint}")
    number, unit, suffix = match["number"], match["unit"].upper(), match["suffix"] or ""
    if unit and suffix.upper() == "B":
        raise ValueError(f"{unit}B means 1000 to some and 1024 to others; write {number}{unit}, which is 1024")
    if not unit and suffix.upper() == "IB":
        raise ValueError(f"not a size; {hint}")
    if not unit and "." in number:
        raise ValueError(f"a part of a byte is not a size; did you mean {number}M?")
    size: float = (float(number) if "." in number else int(number)) * 1024 ** _POWERS[unit]
    if not 1 <= size <= _MAX_BYTES:
        raise ValueError(f"a size is at least one byte and at most {_MAX_BYTES >> 40}T; {hint}")
    return round(size)


def format_size(size: float) -> str:
    """Return `size` bytes as a short text, exact if possible: `512M`, `1G`, `183.2M`, `0`."""
    for unit, power in _UNITS[:-1]:
        scale = 1024**power
        if abs(size) >= scale:
            value = size / scale
            return f"{value:.0f}{unit}" if value == int(value) or abs(value) >= 1000 else f"{value:.1f}{unit}"  # noqa: PLR2004
    return f"{size:.0f}"


def exact_size(size: int) -> str:
    """Return `size` bytes as the shortest text that `parse_size` reads as the same size: `1792M`, `1.5G`, `1000001`."""
    short = format_size(size)
    if size < 1 or parse_size(short) == size:
        return short
    return next(f"{size // 1024**power}{unit}" for unit, power in _UNITS if size % 1024**power == 0)


def parse_rate(text: str) -> int:
    """Return the bytes per second in `text`, which is a size with or without `/s`. Raises ValueError."""
    rate = parse_size(text.strip().removesuffix("/s"), RATE_HINT)
    if rate < _MIN_RATE:
        raise ValueError(f"a rate is at least {format_size(_MIN_RATE)} a second; {RATE_HINT}")
    return rate


def parse_duration(text: str) -> float:
    """Return the seconds in `text`: `90`, `90s`, `1.5m`, `30d`, `250ms`. Raises ValueError for any other text."""
    match = re.fullmatch(_DURATION, text.strip(), re.ASCII)
    seconds = float(match["number"]) * _SECONDS[match["unit"] or "s"] if match else 0.0
    if not 0 < seconds <= _MAX_S:
        raise ValueError("not a duration; try 300s or 5m, and at most 10000h")
    return seconds


def parse_count(text: str) -> int:
    """Return the whole number in `text`, from 1 to 999999. Raises ValueError for any other text."""
    if not re.fullmatch(r"\d{1,6}", text, re.ASCII) or int(text) == 0:
        raise ValueError("not a count; give a whole number of at least 1 and less than a million")
    return int(text)


def parse_percent(text: str) -> float:
    """Return the share in `text`, 0.05 for `5%`. Raises ValueError for any other text."""
    match = re.fullmatch(_NUMBER + r"\s*%", text.strip(), re.ASCII)
    if match is None or float(match["number"]) == 0:
        raise ValueError("not a percentage; try 5%")
    return float(match["number"]) / 100


def format_duration(seconds: float) -> str:
    """Return `seconds` as a short text of three digits: `0.82s`, `13.4ms`, `95s`, `0s`."""
    if 0 < abs(seconds) < 0.1:  # noqa: PLR2004
        return f"{seconds * 1e3:.3g}ms"
    return f"{seconds:.0f}s" if abs(seconds) >= 100 else f"{seconds:.3g}s"  # noqa: PLR2004


def format_number(value: float) -> str:
    """Return a number without a unit as a short text of at least three digits: `31.2`, `0.0123`, `7`, `12345`."""
    places = decimal_places(value)
    return f"{value:.0f}" if places == 0 else f"{value:.3g}"


def decimal_places(value: float) -> int | None:
    """Return the decimal places that show three digits of a number; None if they would be too many, or digits are."""
    size = abs(value)
    return max(0, 2 - math.floor(math.log10(size))) if 1e-6 <= size < 1e15 else None  # noqa: PLR2004


def parse_swap(text: str) -> str:
    """Return `text` if it is a kind of swap. Raises ValueError.

    Kinds are `auto`, `existing`, `off`, a size or `file:SIZE`, and `zram:SIZE`.
    """
    if text not in {"auto", "existing", "off"}:
        parse_swap_area(text, "not a kind of swap; try auto, existing, off, zram:2G or a size such as 4G")
    return text


def parse_swap_area(text: str, refusal: str) -> tuple[str, int]:
    """Return the kind and the bytes of `zram:2G`, `file:2G` or `2G`, whose kind is empty.

    Raises ValueError with the text `refusal` if it is none of these.
    """
    kind, colon, size = text.rpartition(":")
    try:
        size_bytes = parse_size(size)
    except ValueError as error:
        raise ValueError(refusal) from error
    if colon and kind not in {"file", "zram"}:
        raise ValueError("not a kind of swap; try zram:2G, or file:4G")
    return kind, size_bytes


def swap_text(kind: str, size_bytes: int) -> str:
    """Return a swap of this size, and of this kind unless it is empty, as `parse_swap` reads it."""
    return f"{kind}:{exact_size(size_bytes)}".removeprefix(":") if size_bytes else "off"


@dataclass(frozen=True, slots=True)
class Limit:
    """A memory limit as a user writes it: bytes, or bytes above the memory of the idle worker (`base+256M`)."""

    size_bytes: int
    above_base: bool = False

    def __post_init__(self) -> None:
        """Convert the size. Raise ValueError if it is not a number of bytes."""
        hint = "give a number of bytes, or Limit.parse('512M')"
        object.__setattr__(self, "size_bytes", whole("size_bytes", self.size_bytes, 0, _MAX_BYTES, hint))

    @classmethod
    def parse(cls, text: str) -> Limit:
        """Return the limit in `text`. Raises ValueError."""
        text = arguments.text("limit", text, "give a text such as '512M', or Limit(512 << 20)")
        above_base = text.strip().startswith("base+")
        return cls(parse_size(text.strip().removeprefix("base+")), above_base)

    def __str__(self) -> str:
        return ("base+" if self.above_base else "") + exact_size(self.size_bytes)

    def resolve(self, idle_bytes: int) -> int:
        """Return the bytes to enforce if an idle worker needs `idle_bytes`."""
        return self.size_bytes + (idle_bytes if self.above_base else 0)


def parse_limit(text: str) -> Limit | None:
    """Return the limit in `text`; None for `none`. Raises ValueError."""
    return None if text == "none" else Limit.parse(text)


def parse_limits(text: str) -> tuple[Limit | None, ...]:
    """Return the limits of a comma list, without duplicates; None for `none`. Raises ValueError."""
    return tuple(dict.fromkeys(map(parse_limit, comma_list(text))))
