"""A session while the clock is set, mostly back, and what is named after it. Prints JSON of what came of all that.

To be run where nobody else needs the clock.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from pytest_edgeload.measuring.directories import SessionDirectories, number_of
from pytest_edgeload.results import baseline

STEPS = (-86400, -3600, -7 * 86400)

TEST = f"""\
import threading, time

def count(path):
    time.sleep(0.4)
    number = int(path.read_text()) + 1
    path.write_text(str(number))
    return number

def set_clock(step):
    time.clock_settime(time.CLOCK_REALTIME, time.time() + step)

def test_it(edge, tmp_path):
    path = tmp_path / "count"
    path.write_text("0")
    path.chmod(0o666)
    for step in {STEPS}:
        threading.Timer(0.3, set_clock, [step]).start()  # in the middle of a run, or of its start
        assert edge.call(count, path, memory="128M").outcome == "ok"
"""


def main() -> None:
    """Run the session in a new folder, save what it measured twice, and look for the newest."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        (folder / "test_it.py").write_text(TEST)
        options = (
            "-p",
            "no:cacheprovider",
            "-p",
            "edgeload",
            "--edge-swap=off",
            "--edge-json=out.json",
            "--edge-cache-dir=cache",
        )
        command = [sys.executable, "-m", "pytest", *options]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        on_disk = sorted(folder.glob("cache/sessions/000001.*/runs/*.json"))
        document = baseline.load(folder / "out.json")
        found = {
            "status": done.returncode,
            "said": done.stdout,
            "runs": json.loads((folder / "out.json").read_text())["records"][0]["rounds"],
            "on disk": [json.loads(path.read_text())["measurement"]["returned"] for path in on_disk],
            "baselines": [],
        }
        for _ in range(2):
            time.clock_settime(time.CLOCK_REALTIME, time.time() - 86400)
            baseline.save(folder / "kept", document, baseline.default_name(document))
            newest = baseline.find(folder / "kept", "", document.machine)
            found["baselines"].append(str(newest and newest.name))
        found["next session"] = number_of(SessionDirectories.new(folder / "cache").folder)
        sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main()
