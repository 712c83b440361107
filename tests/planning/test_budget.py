"""The budget of a policy is the part of the limit that a worker can fill with weights and activations."""

from __future__ import annotations

import re
import subprocess
import sys

import msgspec

from pytest_edgeload.planning.budget import MARGIN_BYTES, budget_bytes
from pytest_edgeload.planning.plan import Plan
from pytest_edgeload.workload import Request, Workload
from tests.builders import network, plan_of

LIMIT_BYTES, IDLE_BYTES = 1 << 30, 200 << 20
NETWORK = network(*[(8, 1, 1)] * 40)
LONG = Workload("long", (Request(NETWORK),) * 200)

_HELD = """
import re, sys, msgspec
from pathlib import Path
from pytest_edgeload.planning.dispatch import Dispatcher
from pytest_edgeload.planning.plan import Plan, Span
def held():
    return int(re.search(r"RssAnon:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) << 10
text = sys.stdin.buffer.read()
before = held()
plan = msgspec.json.decode(text, type=Plan)
kept = Dispatcher(plan), [Span(i, 0, i + 0.5, i + 0.25, i + 0.75) for i in range(len(plan.tasks))]
print(held() - before)
"""


def test_short_mixes_cost_only_the_margin() -> None:
    """A mix of a few requests leaves all but the idle worker and the margin."""
    asked = Workload("short", LONG.requests[:5])
    assert budget_bytes(LIMIT_BYTES, IDLE_BYTES, asked) == LIMIT_BYTES - IDLE_BYTES - MARGIN_BYTES


def test_long_mixes_leave_room_for_their_tasks() -> None:
    """What the budget of a long mix leaves out is about what a process needs for its plan, dispatcher and spans."""
    left_bytes = LIMIT_BYTES - IDLE_BYTES - MARGIN_BYTES - budget_bytes(LIMIT_BYTES, IDLE_BYTES, LONG)
    plan = msgspec.json.encode(plan_of("linear", LONG))
    assert len(msgspec.json.decode(plan, type=Plan).tasks) == 200 * 121
    held = subprocess.run([sys.executable, "-c", _HELD], input=plan, capture_output=True, check=True).stdout
    held_bytes = int(re.findall(rb"\d+", held)[0])
    assert 0.5 < held_bytes / left_bytes < 1.5


def test_a_budget_is_never_negative() -> None:
    """A limit that the tasks alone would fill leaves nothing."""
    assert budget_bytes(IDLE_BYTES + MARGIN_BYTES + 1, IDLE_BYTES, LONG) == 0
