"""`edgeload doctor`, as a shell starts it: as root, as nobody, with read-only cgroups, in a user namespace."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from pytest_edgeload.sandbox.caps import choose
from tests.cli.commands import COMMAND, environment

ENFORCES = choose("auto")[1].enforces
READ_ONLY = """
for point in $(awk '$3 ~ /^cgroup/ { print $2 }' /proc/mounts); do mount -o remount,bind,ro "$point" || exit 99; done
exec "$@"
"""
WAYS = {
    # The environment of the tests may be root's own: nobody may read it, and no more.
    "nobody": ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups",
               "--inh-caps=-all,+dac_read_search", "--ambient-caps=-all,+dac_read_search"],
    "read-only": ["unshare", "--mount", "sh", "-c", READ_ONLY, "sh"],
    "user namespace": ["unshare", "--user", "--map-root-user"],
}  # fmt: skip


def doctor(cache: Path, *words: str, way: str = "") -> subprocess.CompletedProcess[str]:
    """Run the command, behind what puts it into another situation; skip where that cannot be had."""
    prefix = WAYS[way] if way else []
    if prefix and (os.geteuid() != 0 or shutil.which(prefix[0]) is None):
        pytest.skip(f"{way}: takes root and {prefix[0]} (Debian package util-linux)")
    if subprocess.run([*prefix, "true"], check=False, capture_output=True).returncode != 0:
        pytest.skip(f"{way}: {prefix[0]} is not allowed here")
    words = ("doctor", f"--cache-dir={cache}", *words)
    return subprocess.run(
        [*prefix, *COMMAND, *words], env=environment(cache), check=False, capture_output=True, text=True
    )


def rows(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    """Return what was found, by what it is about; there was not a word beside it."""
    assert done.stderr == ""
    return {row["what"]: row for row in json.loads(done.stdout)}


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """Give a cache folder that nobody has made yet."""
    return tmp_path / "cache"


def test_text(cache: Path) -> None:
    """It prints a row for each thing, ways to what is missing and a sentence; status 1 says that there is no limit."""
    done = doctor(cache)
    assert done.stderr == ""
    assert done.stdout.splitlines()[0].split() == ["about", "what", "is", "so", "found", "needed"]
    assert done.stdout.splitlines()[-1].startswith("a memory limit" if ENFORCES else "NO memory limit")
    assert done.returncode == (0 if ENFORCES else 1)
    assert not cache.exists()


def test_strict(cache: Path) -> None:
    """--strict fails where anything that is wanted says no, and not for what is only told."""
    done = doctor(cache, "--strict", "--json")
    lacking = [row["what"] for row in rows(done).values() if not row["ok"] and row["weight"] != "informative"]
    assert done.returncode == (1 if lacking else 0)


def test_nobody(cache: Path) -> None:
    """A user without rights hears that there is no group to be had, and how one may be; status 1 says so, too."""
    done = doctor(cache, "--json", way="nobody")
    found = rows(done)
    assert not found["root"]["ok"]
    assert not found["delegation"]["ok"]
    assert found["cap auto"]["found"] == "none"
    assert "Delegate=yes" in found["delegation"]["hint"]
    assert done.returncode == 1


def test_read_only(cache: Path) -> None:
    """Where cgroups may be read only, as in many containers, the flags are told that mount them otherwise."""
    done = doctor(cache, "--json", way="read-only")
    found = rows(done)
    assert not found["cgroup file system"]["ok"]
    assert "-v /sys/fs/cgroup:/sys/fs/cgroup:rw" in found["cgroup file system"]["hint"]
    assert not found["cpu controller"]["ok"]
    assert done.returncode == 1


def test_user_namespace(cache: Path) -> None:
    """Root of a user namespace is told that it is none, and may not switch swap on."""
    found = rows(doctor(cache, "--json", way="user namespace"))
    assert found["root"]["ok"]
    assert not found["user namespace"]["ok"]
    assert not found["swap can be created"]["ok"]
