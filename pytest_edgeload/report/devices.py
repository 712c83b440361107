"""The constraints of devices: a line for each in the title of a table, a table of all, and those not enforced. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pytest_edgeload.base.text import printable
from pytest_edgeload.devices.constraints import CONSTRAINTS
from pytest_edgeload.report.columns import NONE
from pytest_edgeload.report.grid import Cell, Grid
from pytest_edgeload.results.case import Case

NOT_ENFORCED = "(NOT enforced)"


def line(case: Case) -> str:
    """Return a line with the constraints of the case's device and remarks on those that were not enforced."""
    words = {"memory_bytes": f"memory {case.limit}", "swap_bytes": ""}
    words |= case.constraints.without(["memory_bytes"]).words | {"swap_bytes": f"swap {_text(case, 'swap_bytes')}"}
    return f"{case.device}: {', '.join(_remarked(text, case, field) for field, text in words.items())}"


def grid(cases: Iterable[Case]) -> Grid | None:
    """Return a row for each device and a column for each constraint that one of them has; None without devices."""
    by_device: dict[str, list[Case]] = {}
    for case in cases:
        if case.device is not None and case.by_device:
            by_device.setdefault(case.device, []).append(case)
    known = {field for own in by_device.values() for case in own for field in case.constraints.values}
    fields = [field for field in CONSTRAINTS if field in known | {"swap_bytes"}]
    headers = ("device", *(CONSTRAINTS[field].key for field in fields))
    rows = tuple(
        (Cell(printable(device)), *(_cell(own, field) for field in fields)) for device, own in by_device.items()
    )
    return Grid(headers, rows, frozenset(range(len(headers))), frozenset({0})) if rows else None


def unenforced(cases: Iterable[Case]) -> list[str]:
    """Return a line on each device, and on each limit without a device, whose constraints were not all enforced."""
    lines = []
    for case in cases:
        lacking = [f"{_named(case, field)} {remark}" for field, remark in _remarks(case).items()]
        if lacking:
            lines.append(f"{'' if case.device is None else f'{case.device}: '}{', '.join(lacking)}")
    return list(dict.fromkeys(map(printable, lines)))


def _named(case: Case, field: str) -> str:
    known = CONSTRAINTS.get(field)  # None in a file of another version
    return field if known is None else f"{known.key} {_text(case, field)}"


def _remarks(case: Case) -> dict[str, str]:
    """Return a remark on each constraint that was not enforced, by field."""
    remarks = {"memory_bytes": NOT_ENFORCED} if case.cap == "none" and case.limit is not None else {}
    return remarks | {each.constraint: each.remark for each in case.unenforced}


def _remarked(text: str, case: Case, field: str) -> str:
    return f"{text} {_remarks(case).get(field, '')}".rstrip()


def _cell(cases: Sequence[Case], field: str) -> Cell:
    """Return the different values of a constraint among the cases of a device."""
    texts = dict.fromkeys(printable(_remarked(_text(case, field), case, field)) for case in cases)
    return Cell(" or ".join(texts), "bad" if any(field in _remarks(case) for case in cases) else "")


def _text(case: Case, field: str) -> str:
    value = getattr(case.constraints, field)
    if field == "memory_bytes":
        return case.limit or NONE
    if field == "swap_bytes" and field not in _remarks(case):
        return case.swap  # with its kind
    if value is None:
        return case.swap if field == "swap_bytes" else NONE
    return CONSTRAINTS[field].text(value)
