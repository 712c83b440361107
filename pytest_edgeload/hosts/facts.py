"""The facts of a host, as one line of JSON. Runs on the host by any Python 3 there, from standard input.

Imports only the standard library, so that it also answers on a host where nothing is installed. Its arguments are the
folder of ours on that host, the word `doctor` or `brief`, and the packages whose versions are wanted.
"""

from __future__ import annotations

import glob
import json
import os
import platform
import shutil
import subprocess
import sys
import time

try:
    from importlib import metadata
except ImportError:  # before Python 3.8
    metadata = None  # type: ignore[assignment]

ORIGIN = "origin"
"""The name of the file in a session's folder that exists until its controller has all measurements."""

_DOCTOR = """\
import pathlib, sys
from pytest_edgeload.report import doctor
from pytest_edgeload.sandbox.doctor import examine
print(doctor.json(examine(pathlib.Path(sys.argv[1]))))
"""


def facts(folder: str, *packages: str, with_doctor: bool) -> dict[str, object]:
    """Return the versions of Python and of the installed packages, the machine, the disk of the folder and the clock.

    Creates the folder. Without it, `folder_error` is the reason.
    """
    path = os.path.join(os.path.expanduser("~"), folder)
    versions = {name: version for name, version in ((package, _version(package)) for package in packages) if version}
    known: dict[str, object] = {
        "folder": path,
        "python": platform.python_version(),
        "versions": versions,
        "processor": _first("/proc/cpuinfo", ("model name", "Model", "Hardware")),
        "processors": os.cpu_count() or 1,
        "memory_bytes": os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"),
        "kernel": platform.release(),
        "architecture": platform.machine(),
    }
    try:
        os.makedirs(path, exist_ok=True)
        known["free_bytes"] = shutil.disk_usage(path).free
        known["can_write"] = os.access(path, os.W_OK)
    except OSError as error:
        known["folder_error"] = error.strerror or str(error)
    known["lost"] = _lost(os.path.join(path, "cache", "sessions"))
    if with_doctor and "pytest-edgeload" in versions:
        known["doctor"] = _doctor(os.path.join(path, "cache"))
    known["time_s"] = time.time()  # last, because the answer is read right after it
    return known


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except Exception:  # noqa: BLE001  # of any kind of broken installation
        return None


def _first(file: str, keys: tuple[str, ...]) -> str:
    """Return the value of the first of `keys` that is in a file of `key: value` lines."""
    try:
        with open(file, encoding="utf-8", errors="replace") as lines:
            values = dict(reversed([[part.strip() for part in line.partition(":")[::2]] for line in lines]))
    except OSError:
        return ""
    return next((values[key] for key in keys if values.get(key)), "")


def _lost(sessions: str) -> list[dict[str, object]]:
    """Return the sessions whose measurements their controllers may lack, with the notes of their origins."""
    found = []
    for note in sorted(glob.glob(os.path.join(glob.escape(sessions), "*", ORIGIN))):
        session = os.path.basename(os.path.dirname(note))
        pid = session.partition("edgeload-")[2].partition("-")[0]
        is_running = os.path.exists(os.path.join("/proc", pid))
        try:
            with open(note, encoding="utf-8", errors="replace") as file:
                found.append({"session": session, "origin": file.read(), "is_running": is_running})
        except OSError:  # its controller has just come for it
            continue
    return found


def _doctor(cache: str) -> str:
    """Return the checks of the doctor as JSON; empty if it fails."""
    command = [sys.executable, "-c", _DOCTOR, cache]
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False
    )
    return done.stdout.decode("utf-8", "replace")


if __name__ == "__main__":
    sys.stdout.write(json.dumps(facts(sys.argv[1], *sys.argv[3:], with_doctor=sys.argv[2] == "doctor")))
