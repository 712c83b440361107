"""The commands and the line of Python that put advice to use: store, run in an application, confirm in a suite."""

from __future__ import annotations

import json

from pytest_edgeload.base.text import printable
from pytest_edgeload.base.units import exact_size
from pytest_edgeload.results.advice import Advice, Prediction
from pytest_edgeload.results.case import REFERENCE


def text(advice: Advice) -> str:
    """Return the next steps; empty if nothing is recommended."""
    if advice.recommended is None:
        return ""
    lines = [f"edgeload store {' '.join(advice.networks)}", _runtime(advice, advice.recommended)]
    return printable_lines(["next:", *lines, _pytest(advice, advice.recommended)])


def printable_lines(lines: list[str]) -> str:
    """Return a title, and the other lines indented below it."""
    title, *rest = map(printable, lines)
    return "\n".join([title, *(f"    {line}" for line in rest)])


def _runtime(advice: Advice, best: Prediction) -> str:
    """Return the call of the runtime. Its memory is for weights and activations, so the idle worker's is left out."""
    choice, memory_bytes = best.choice, best.limit_bytes - advice.idle_bytes
    networks = ", ".join(f"{json.dumps(name)}: {json.dumps(f'{name}.edgenet')}" for name in advice.networks)
    memory = exact_size(max(1 << 20, memory_bytes >> 20 << 20))
    settings = f'policy="{choice.policy}", reader="{choice.reader}", threads={choice.threads}'
    return f'Runtime({{{networks}}}, memory="{memory}", {settings})'


def _pytest(advice: Advice, best: Prediction) -> str:
    choice = best.choice
    policies = ",".join(dict.fromkeys([REFERENCE, *advice.tied[:1], choice.policy]))
    device = "" if advice.device is None else f" --edge-device={advice.device}"
    return (
        f"pytest{device} --edge-mem={exact_size(best.limit_bytes)} --edge-policy={policies} "
        f"--edge-reader={choice.reader} --edge-threads={choice.threads} --edge-rounds=3"
    )
