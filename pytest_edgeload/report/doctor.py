"""The doctor's checks of a machine: a table, hints for the checks that failed, and one sentence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import msgspec
from tabulate import tabulate

from pytest_edgeload.base.errors import Spelling, joined
from pytest_edgeload.sandbox.doctor import Check, Weight

_COLUMNS = ("about", "what", "is so", "found", "needed")
_WIDTHS = [None, None, None, 64, None]
_WEIGHTS: Mapping[Weight, str] = {"required": "yes", "desirable": "better", "informative": ""}  # most important first


def failures(checks: Sequence[Check], weight: Weight = "required") -> list[Check]:
    """Return the checks of this weight that failed."""
    return [check for check in checks if not check.ok and check.weight == weight]


def text(checks: Sequence[Check], spelling: Spelling = str) -> str:
    """Return the checks as text, with options spelled by `spelling`."""
    areas = ["", *(check.area for check in checks)]
    lines = [
        (
            "" if check.area == previous else check.area,
            check.what,
            _answer(check),
            joined(check.found, spelling),
            _WEIGHTS[check.weight],
        )
        for previous, check in zip(areas, checks, strict=False)
    ]
    failed = [check for weight in _WEIGHTS for check in failures(checks, weight) if check.hint]
    hints = [f"  {check.what}: {joined(check.hint, spelling)}" for check in failed]
    parts = [
        tabulate(lines, _COLUMNS, tablefmt="simple", disable_numparse=True, maxcolwidths=_WIDTHS),
        "\n".join(["if the answer is no, this helps:", *hints]) if hints else "",
        _verdict(checks),
    ]
    return "\n\n".join(part for part in parts if part)


def _answer(check: Check) -> str:
    return "yes" if check.ok else "no" if check.weight == "informative" else "NO"


def _verdict(checks: Sequence[Check]) -> str:
    missing, better = (", ".join(one.what for one in failures(checks, weight)) for weight in ("required", "desirable"))
    if missing:
        return f"NO memory limit can be enforced and measured here, because these are missing: {missing}"
    return f"a memory limit can be enforced and measured here{f'; better with: {better}' if better else ''}"


def json(checks: Sequence[Check], spelling: Spelling = str) -> str:
    """Return the checks as a JSON list of objects, with options spelled by `spelling`."""
    plain = [replace(check, found=joined(check.found, spelling), hint=joined(check.hint, spelling)) for check in checks]
    return msgspec.json.format(msgspec.json.encode(plain)).decode()
