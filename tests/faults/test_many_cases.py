"""A session of many cases takes no more for the last than for the first, except for the records themselves."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from tests.faults.test_session_faults import session
from tests.plugin.sessions import Begin

CASES: Final = 120
WARM: Final = 40
KEPT_BYTES: Final = 32 << 10
"""What pytest may keep of a case: its report with some fifty properties, its item, its record; 12 KiB were measured."""

MANY: Final = f"""\
import gc, json, os
import psutil
import pytest

def held():
    gc.collect()
    us = psutil.Process()
    ours = f"edgeload-{{os.getpid()}}-"
    groups = sum(name.startswith(ours) for _, names, _ in os.walk("/sys/fs/cgroup") for name in names)
    return us.memory_info().rss, us.num_fds(), us.num_threads(), len(us.children(recursive=True)), groups

SEEN = []

@pytest.mark.parametrize("number", range({CASES}))
def test_it(edge, number):
    assert edge.command(["true"], memory="64M", name="true").outcome == "ok"
    if number in ({WARM - 1}, {CASES - 1}):
        SEEN.append(held())
        with open("seen.json", "w") as file:
            json.dump(SEEN, file)
"""


def test_many_cases_leave_nothing(start: Begin, tmp_path: Path) -> None:
    """Many cases leave no descriptor, thread, process or group, and no more memory than their records."""
    ended = session(start, tmp_path, MANY, "--edge-json=out.json", "-q").end()
    assert ended.status == 0, ended.said
    assert len(ended.measurements) == CASES
    (rss, *before), (later, *after) = json.loads((tmp_path / "seen.json").read_text())
    assert after == before
    assert later - rss < (CASES - WARM) * KEPT_BYTES + (2 << 20)  # and what the allocator takes ahead
    assert ended.running.leavings == []
