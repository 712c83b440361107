"""Inside the guest: let processes touch 200 MB in groups of 64 MB, with swap and without, and tell what happened."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")

# Joins the group, writes every page, reads the oldest again, and tells how much the group then has in swap.
TOUCH = """
import sys
from pathlib import Path
group = Path(sys.argv[1])
(group / "cgroup.procs").write_text("0")
pages = b"1" * (200 << 20)
assert pages.count(b"1", 0, 16 << 20) == 16 << 20
print((group / "memory.swap.current").read_text())
"""


def squeeze(swap_max: str) -> dict[str, object]:
    """Touch the pages in a group that may swap that much."""
    group = ROOT / f"squeeze-{swap_max}"
    group.mkdir()
    (group / "memory.max").write_text("64M")
    (group / "memory.swap.max").write_text(swap_max)
    before = _counts(Path("/proc/vmstat"))
    touch = subprocess.run([sys.executable, "-c", TOUCH, group], check=False, capture_output=True, text=True)
    after = _counts(Path("/proc/vmstat"))
    return {
        "returncode": touch.returncode,
        "stderr": touch.stderr,
        "swapped_bytes": int(touch.stdout or 0),
        "pages_out": after["pswpout"] - before["pswpout"],
        "pages_in": after["pswpin"] - before["pswpin"],
        "refaults": _counts(group / "memory.stat")["workingset_refault_anon"],
        "oom_kills": _counts(group / "memory.events")["oom_kill"],
    }


def _counts(file: Path) -> dict[str, int]:
    return {name: int(count) for name, count in map(str.split, file.read_text().splitlines())}


if __name__ == "__main__":
    facts: dict[str, object] = {
        "mounts": Path("/proc/self/mountinfo").read_text(),
        "own": Path("/proc/self/cgroup").read_text(),
        "controllers": (ROOT / "cgroup.controllers").read_text().split(),
    }
    (ROOT / "cgroup.subtree_control").write_text("+memory")
    json.dump(facts | {swap_max: squeeze(swap_max) for swap_max in ("max", "0")}, sys.stdout)
