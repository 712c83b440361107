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
    # The environment of the tests may belong to root, so the user nobody gets the right to read it.
    "nobody": ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups",
               "--inh-caps=-all,+dac_read_search", "--ambient-caps=-all,+dac_read_search"],
    "read-only": ["unshare", "--mount", "sh", "-c", READ_ONLY, "sh"],
    "user namespace": ["unshare", "--user", "--map-root-user"],
}  # fmt: skip


def doctor(cache: Path, *words: str, way: str = "") -> subprocess.CompletedProcess[str]:
    """Run the command in another situation; skip the test if that situation is not possible here."""
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
    """Return the checks by name; standard error must be empty."""
    assert done.stderr == ""
    return {row["what"]: row for row in json.loads(done.stdout)}


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """Return a cache folder that does not exist yet."""
    return tmp_path / "cache"


def test_text_has_a_row_for_each_check_and_a_conclusion(cache: Path) -> None:
    """The text has a row for each check, hints for missing things and a conclusion; status 1 means no limit."""
    done = doctor(cache)
    assert done.stderr == ""
    assert done.stdout.splitlines()[0].split() == ["about", "what", "is", "so", "found", "needed"]
    assert done.stdout.splitlines()[-1].startswith("a memory limit" if ENFORCES else "NO memory limit")
    assert done.returncode == (0 if ENFORCES else 1)
    assert not cache.exists()


def test_strict_fails_if_something_desirable_is_missing(cache: Path) -> None:
    """--strict fails if a desirable check says no, but not for mere information."""
    done = doctor(cache, "--strict", "--json")
    lacking = [row["what"] for row in rows(done).values() if not row["ok"] and row["weight"] != "informative"]
    assert done.returncode == (1 if lacking else 0)


def test_user_without_rights_gets_hints_for_a_group(cache: Path) -> None:
    """A user without rights learns that no group can be made, and how to get one; the status is 1."""
    done = doctor(cache, "--json", way="nobody")
    found = rows(done)
    assert not found["root"]["ok"]
    assert not found["delegation"]["ok"]
    assert found["cap auto"]["found"] == "none"
    assert "Delegate=yes" in found["delegation"]["hint"]
    assert done.returncode == 1


def test_read_only_cgroups_get_the_flags_that_mount_them(cache: Path) -> None:
    """If cgroups are mounted read-only, as in many containers, the hint has the flags that change it."""
    done = doctor(cache, "--json", way="read-only")
    found = rows(done)
    assert not found["cgroup file system"]["ok"]
    assert "-v /sys/fs/cgroup:/sys/fs/cgroup:rw" in found["cgroup file system"]["hint"]
    assert not found["cpu controller"]["ok"]
    assert done.returncode == 1


def test_root_of_a_user_namespace_is_not_root(cache: Path) -> None:
    """The root of a user namespace is not reported as root, and may not switch swap on."""
    found = rows(doctor(cache, "--json", way="user namespace"))
    assert found["root"]["ok"]
    assert not found["user namespace"]["ok"]
    assert not found["swap can be created"]["ok"]
