"""The smallest limits of a case, in words or as JSON."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec

from pytest_edgeload.base.text import printable
from pytest_edgeload.base.units import format_size
from pytest_edgeload.results.minmem import SWAPPED_BYTES, Smallest, Trial


def text(found: Smallest) -> str:
    """Return a line on each of the two limits, and what was seen around them."""
    title = f"{found.workload} under {found.policy}, reader {found.reader}, {found.threads} threads, cap {found.cap}"
    units = (
        f"an idle worker needs {format_size(found.idle_bytes)}; limits are multiples of {format_size(found.step_bytes)}"
    )
    swap = f"less than {format_size(SWAPPED_BYTES)} written to swap is none"
    works = _line("works without swap", found, found.works_bytes, may_swap=False)
    keeps = _line("does not swap", found, found.keeps_in_memory_bytes, may_swap=True)
    if found.swap in {"none", "off"}:
        keeps = f"{'does not swap':<18}  not looked for, as swap is {found.swap}; try --swap=1G, which takes root"
    return "\n".join([printable(title), works, keeps, f"{units}; {swap}"])


def line(run: Trial) -> str:
    """Return one run in words; what it ended by, where that is not want of memory."""
    swapped = "" if run.swap_out_bytes is None or not run.may_swap else f", {format_size(run.swap_out_bytes)} to swap"
    reason = "" if run.outcome in {"ok", "oom"} else f" ({printable(run.detail)})"
    return f"{format_size(run.limit_bytes)}, swap {'on' if run.may_swap else 'off'}: {run.outcome}{reason}{swapped}"


def _line(what: str, found: Smallest, limit_bytes: int | None, *, may_swap: bool) -> str:
    if limit_bytes is None:
        return f"{what:<18}  under no limit up to all memory"
    runs = len(found.at(limit_bytes, may_swap=may_swap))
    size = f"{limit_bytes} bytes, base+{format_size(limit_bytes - found.idle_bytes)}"
    failed = [
        run for run in found.trials if run.may_swap == may_swap and run.limit_bytes < limit_bytes and not run.does()
    ]
    nearest = max(failed, key=lambda run: run.limit_bytes, default=None)
    seen = "nothing less was seen to fail" if nearest is None else f"at {line(nearest)}"
    against = _against(found, limit_bytes, may_swap=may_swap)
    return f"{what:<18}  from {format_size(limit_bytes)} ({size}): {runs} of {runs} runs; {seen}{against}"


def _against(found: Smallest, limit_bytes: int, *, may_swap: bool) -> str:
    """Return the limits at which runs speak against the one found, and how many of those did what was looked for."""
    told = []
    for limit in sorted({run.limit_bytes for run in found.odd(limit_bytes, may_swap=may_swap)}):
        runs = found.at(limit, may_swap=may_swap)
        told.append(f"{format_size(limit)} in {sum(run.does() for run in runs)} of {len(runs)}")
    return f"; but so it did at {', '.join(told)}" if told else ""


def _json(found: Smallest) -> str:
    return msgspec.json.format(msgspec.json.encode(found)).decode()


FORMATS: Mapping[str, Callable[[Smallest], str]] = {"text": text, "json": _json}
"""How it is printed."""
