"""The output of a session: nothing of the environment, and names of other people's things only as names."""

from __future__ import annotations

import csv
import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from pytest_edgeload.results.document import parse
from pytest_edgeload.sandbox.user import choose
from tests.plugin.sessions import Ended, Running

SECRET = "s3cr3t"  # noqa: S105  # nobody's
ENVIRONMENT = {
    "AWS_SECRET_ACCESS_KEY": f"{SECRET}-aws",
    "GITHUB_TOKEN": f"{SECRET}-github",
    "HF_TOKEN": f"{SECRET}-hf",
    "HTTPS_PROXY": f"http://user:{SECRET}-proxy@localhost:9",
    "DATABASE_URL": f"postgres://user:{SECRET}-database@localhost/x",
    "PYTEST_ADDOPTS": f"-k 'not {SECRET}'",
}
NAMES = (
    "\x1b]0;x\x07",
    "\ud800",
    "=1+1",
    "../../x",
    "a\nb",
    "::error::x",
    "x" * 5000,
    "\N{RIGHT-TO-LEFT OVERRIDE}",
    "<b>",
)

TEST = f"""
import os, sys
import pytest

def take(secret):
    return len(secret) + len(os.environ["HF_TOKEN"])

def test_programs(edge, edge_mem):
    assert edge.call(take, "{SECRET}-argument", memory=edge_mem).outcome == "ok"
    python = [sys.executable, "-c", "import sys, os; os.environ['MINE'], sys.stdin.read()", "{SECRET}-argv"]
    measured = edge.command(python, memory=edge_mem, env={{"MINE": "{SECRET}-env"}}, stdin="{SECRET}-stdin")
    assert measured.outcome == "ok", measured.detail

def test_properties(record_property):
    record_property("edgeload", "[" * 10_000)
    record_property("edgeload-thresholds", "{{")

@pytest.mark.parametrize("name", {NAMES!r})
def test_names(edge, name):
    assert edge.command(["true"], name="fine").outcome == "ok"
"""

FILES = ("json", "csv", "md", "html", "trace")


def git(folder: Path, *words: str) -> None:
    """Run git in the repository of a project."""
    own = ("-c", "user.name=test", "-c", "user.email=test@localhost")
    subprocess.run(["git", *own, *words], cwd=folder, check=True, capture_output=True)


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ended]:
    """Run the session in a repository with a secret in its remote, and write every kind of report."""
    folder = tmp_path_factory.mktemp("project")
    (folder / "test_it.py").write_text(TEST)
    git(folder, "init", "-q", "-b", "main")
    git(folder, "remote", "add", "origin", f"https://user:{SECRET}-remote@localhost/x.git")
    git(folder, "commit", "-q", "--allow-empty", "-m", "first")
    files = [f"--edge-{kind}=out.{kind}" for kind in FILES]
    others = ("--edge-export=bmf:out.bmf,gab:out.gab", "--edge-save=main", "--junitxml=junit.xml", "--edge-github=yes")
    given = ENVIRONMENT | {"PYTEST_EDGE_CACHE_DIR": str(folder / "cache"), "PYTEST_EDGE_SWAP": "off"}
    running = Running(folder, "--edge-mem=256M", "-o", "junit_logging=no", *files, *others, **given)
    try:
        yield running.end()
    finally:
        running.clear()


def test_no_output_has_a_secret(ended: Ended) -> None:
    """No file and no output of a session has a value of the environment, an argument or a remote."""
    assert ended.status == 0, ended.said
    assert SECRET not in ended.said
    written = [path for path in ended.running.folder.rglob("*") if path.is_file()]
    own = [path for path in written if not {".git", "__pycache__"} & {*path.parts} and path.name != "test_it.py"]
    assert {f"out.{kind}" for kind in (*FILES, "bmf", "gab")} < {path.name for path in own}
    assert {"shared.json", "junit.xml"} < {path.name for path in own}
    assert [path.parent.name for path in own].count("runs") == 2 + len(NAMES)
    assert [path for path in own if SECRET.encode() in path.read_bytes()] == []


def test_record_has_only_the_documented_facts(ended: Ended) -> None:
    """A file of records has the documented facts about machine and repository, and no others."""
    found = json.loads((ended.running.folder / "out.json").read_bytes())
    facts = {"schema", "created", "machine", "commit", "project", "command", "settings", "records", "versions"}
    assert found.keys() == facts | {"hosts"}
    assert found["hosts"] == {}
    assert found["machine"].keys() == {"processor", "processors", "memory_bytes", "kernel", "python", "torch"}
    assert found["commit"].keys() == {"id", "branch", "is_dirty"}
    login = found["settings"].pop("user")
    assert login == choose("auto").name
    if os.geteuid() == 0:  # of others it may be part of the paths that were given as options
        assert re.findall(rf"\b{login}\b", json.dumps(found)) == []


def test_any_parameter_is_measured_and_printed_safely(ended: Ended) -> None:
    """A test with any parameters is measured and is in every report, and a terminal obeys none of them."""
    tests = [record.case.test for record in ended.records if record.case.policy == "fine"]
    assert len(set(tests)) == len(NAMES)
    assert all(test.isprintable() for test in tests)
    assert [char for char in ended.said if not char.isprintable() and char not in "\n\u200b"] == []
    with (ended.running.folder / "out.csv").open(newline="") as file:
        assert [row["test"] for row in csv.DictReader(file) if row["policy"] == "fine"] == tests
    stopped = [line for line in ended.said.splitlines() if line.startswith("::")]
    assert [line.partition("stop-commands")[2][2:] or line.strip(":") for line in stopped] == [
        stopped[1].strip(":")
    ] * 2
    assert len(ended.tests) == 2 + len(NAMES), "JUnit's XML is XML"
    [saved] = (ended.running.folder / ".edgeload").rglob("*.json")
    assert len(parse(saved.read_bytes()).records) == 2 + len(NAMES)
