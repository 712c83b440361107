"""Sizes, limits and durations, as a user writes them."""

from __future__ import annotations

import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pytest_edgeload.base.units import (
    Limit,
    exact_size,
    format_size,
    parse_duration,
    parse_rate,
    parse_size,
    parse_swap,
)

POWERS = {"": 0, "K": 1, "M": 2, "G": 3, "T": 4}
LOOKALIKES = "0123456789.KMGTkmgtiIbBs+-e \n\N{KELVIN SIGN}\N{LATIN CAPITAL LETTER I WITH DOT ABOVE}\uff11\u0661\xa0"


@given(st.integers(1, 1023), st.sampled_from(["K", "M", "G", "T"]))
def test_whole_units_survive_printing(number: int, unit: str) -> None:
    """A whole number of a unit is printed as it is written, and means that many powers of 1024."""
    size = parse_size(f"{number}{unit}")
    assert size == number * 1024 ** POWERS[unit]
    assert format_size(size) == f"{number}{unit}"


@given(st.integers(1, 1 << 50))
@example(int(15.52 * (1 << 20)))
@example((1 << 20) - 1)
def test_printing_rounds_to_a_tenth(size: int) -> None:
    """A printed size can be read again; it is rounded to a tenth of its unit, or to the whole unit from 1000 on."""
    text = format_size(size)
    unit = 1024 ** POWERS[text.lstrip("0123456789.")]
    assert abs(parse_size(text) - size) <= unit * (0.05 if size < 1000 * unit else 0.5)
    assert len(text) <= len("999.9M")


@given(st.integers(1, 1 << 50))
def test_bytes_are_exact(size: int) -> None:
    """A size without a unit is that many bytes, to the last one."""
    assert parse_size(str(size)) == size


@pytest.mark.parametrize(
    "text", ["512M", "512m", "512MiB", "512mib", "512 M", " 512M\n", "0.5G", "524288K", "536870912B"]
)
def test_spellings_of_a_size_are_equal(text: str) -> None:
    """Case, the suffix iB, blanks and fractions are spellings of the same size."""
    assert parse_size(text) == 512 << 20


@pytest.mark.parametrize(
    "text",
    ["", " ", "M", "12X", "-1M", "+1M", "0", "0G", "0.0001K", "1e3", "nan", "inf", "1,5G", "1.G", ".5G", "1_000",
     "0x10", "1M 1M", "1M\n1M", "1iB", "base+1M", "\uff11M", "\u0661M", "1\N{KELVIN SIGN}", "9" * 400],
)  # fmt: skip
def test_other_texts_are_not_sizes(text: str) -> None:
    """A text that is not wholly a positive size in ASCII is refused with a hint."""
    with pytest.raises(ValueError, match="try 512M, 1G or base\\+256M"):
        parse_size(text)


@pytest.mark.parametrize("text", ["512MB", "1.5gb", "3 kB"])
def test_decimal_units_are_refused(text: str) -> None:
    """KB, MB and GB are refused with the reason and with what to write instead."""
    with pytest.raises(ValueError, match=r"1000 to some and 1024 to others; write [\d.]+[KMG], which is 1024"):
        parse_size(text)


@pytest.mark.parametrize("text", ["1.5", "0.5B", "4096.0"])
def test_part_of_a_byte_is_refused(text: str) -> None:
    """A fraction without a unit is refused, because it is hardly a number of bytes."""
    with pytest.raises(ValueError, match=rf"a part of a byte is not a size; did you mean {text.rstrip('B')}M\?"):
        parse_size(text)


@given(st.text(LOOKALIKES) | st.text())
@example("1\N{KELVIN SIGN}")
def test_a_text_is_a_size_or_a_value_error(text: str) -> None:
    """Any text is either read as one byte or more, and then it is ASCII, or refused by ValueError."""
    try:
        size = parse_size(text)
    except ValueError:
        return
    assert size >= 1
    assert text.strip().isascii()


@given(st.text(LOOKALIKES + "mh") | st.text())
@example("9" * 400)
@example("\u0661s")
def test_a_text_is_a_duration_or_a_value_error(text: str) -> None:
    """Any text is either read as a finite, positive time, and then it is ASCII, or refused by ValueError."""
    try:
        seconds = parse_duration(text)
    except ValueError:
        return
    assert 0 < seconds < math.inf
    assert text.strip().isascii()


@pytest.mark.parametrize(
    ("text", "seconds"), [("90", 90), ("90s", 90), ("1.5m", 90), ("90000 ms", 90), (" 2h ", 7200), ("250ms", 0.25)]
)
def test_duration_has_seconds_as_its_default(text: str, seconds: float) -> None:
    """Durations are seconds unless they have another unit."""
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "0", "0s", "-1s", "5M", "1w", "5 minutes", "nan", "inf", "1e3"])
def test_other_texts_are_not_durations(text: str) -> None:
    """A text that is not wholly a positive duration is refused with a hint."""
    with pytest.raises(ValueError, match="not a duration; try 300s or 5m"):
        parse_duration(text)


@pytest.mark.parametrize("text", ["90M", "90M/s", " 90MiB/s ", "0.087890625G", "94371840"])
def test_rate_is_a_size_per_second(text: str) -> None:
    """A rate is a size per second, with or without `/s`."""
    assert parse_rate(text) == 90 << 20


@pytest.mark.parametrize("text", ["", "/s", "fast", "90M/m", "90M/s/s", "90", "90/s", "1023K", "0", "none"])
def test_other_texts_are_not_rates(text: str) -> None:
    """A text that is not a size, or is slower than any storage, is refused with a hint."""
    with pytest.raises(ValueError, match="try 90M, which is 90 MiB a second"):
        parse_rate(text)


def test_decimal_rates_are_refused() -> None:
    """A rate in MB, as it is printed on cards, is refused with what to write instead."""
    with pytest.raises(ValueError, match="write 90M, which is 1024"):
        parse_rate("90MB/s")


@pytest.mark.parametrize("text", ["auto", "existing", "off", "4G", "512MiB", "zram:2G", "file:4G"])
def test_kind_of_swap_stays_as_written(text: str) -> None:
    """Swap is one of three words, or a size with or without a kind, and stays as it is written."""
    assert parse_swap(text) == text


@pytest.mark.parametrize("text", ["", "on", "AUTO", "none", "4GB", "0", "base+4G", "zram", "zram:", "zram:off"])
def test_other_texts_are_not_kinds_of_swap(text: str) -> None:
    """Any other text is refused with a hint."""
    with pytest.raises(ValueError, match="not a kind of swap; try auto, existing, off, zram:2G or a size such as 4G"):
        parse_swap(text)


def test_unknown_kinds_of_swap_are_refused() -> None:
    """A size of another kind than a file or zram is refused with examples."""
    with pytest.raises(ValueError, match=r"^not a kind of swap; try zram:2G, or file:4G$"):
        parse_swap("disk:4G")


@pytest.mark.parametrize(
    ("text", "limit"),
    [
        ("512M", Limit(512 << 20)),
        ("base+256M", Limit(256 << 20, above_base=True)),
        (" base+ 1g", Limit(1 << 30, above_base=True)),
    ],
)
def test_limit_is_printed_as_it_is_read(text: str, limit: Limit) -> None:
    """A limit is a size, or a size above the idle worker's; it is printed as it is read."""
    assert Limit.parse(text) == limit
    assert Limit.parse(str(limit)) == limit


@given(st.integers(1, 1 << 60))
@example(1792 << 20)
@example((1 << 60) - 1)
@example(1000)
def test_size_in_a_name_is_exact(size: int) -> None:
    """A size that is printed to be read again, or to name a limit, is exact."""
    assert parse_size(exact_size(size)) == size
    assert Limit.parse(str(Limit(size, above_base=True))) == Limit(size, above_base=True)


@pytest.mark.parametrize(
    ("size", "text"),
    [(512 << 20, "512M"), (1792 << 20, "1792M"), (1536 << 20, "1.5G"), (1 << 30, "1G"), (1000001, "1000001"), (0, "0")],
)
def test_exact_size_is_as_short_as_possible(size: int, text: str) -> None:
    """An exact size is short if a short text is exact."""
    assert exact_size(size) == text


@pytest.mark.parametrize(
    "text", ["base", "base+", "base+0", "base-1M", "base+base+1M", "BASE+1M", "1M+base", "base+1MB"]
)
def test_other_texts_are_not_limits(text: str) -> None:
    """Only one `base+` before a whole size makes a limit above the base."""
    with pytest.raises(ValueError, match=r"try|write"):
        Limit.parse(text)


@given(st.integers(1, 1 << 40), st.integers(0, 1 << 40))
def test_only_a_limit_above_the_base_depends_on_the_idle_worker(size: int, idle: int) -> None:
    """A plain limit is enforced as it is; one above the base has the idle worker's bytes added."""
    assert Limit(size).resolve(idle) == size
    assert Limit(size, above_base=True).resolve(idle) == size + idle
