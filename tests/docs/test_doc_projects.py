"""The projects and console sessions of the documentation run, as a reader would type them in."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final, NamedTuple

import pytest

from pytest_edgeload.sandbox.caps import CAPS
from tests.cli.commands import COMMAND
from tests.docs.pages import BLOCKS, PAGES, ROOT, Block, name_of
from tests.plugin.sessions import NO_OTHERS, PLUGINS

README: Final = "README.md"
_NUMBER = re.compile(r"[+-]?\d+(?:\.\d+)?(?:[eE]-?\d+)?")
_UNIT = re.compile(r"#(?:ms|[KMGskx%])\b")


class Session(NamedTuple):
    """How a page's project is run: arguments, number of passing tests, the page it extends, expected lines."""

    words: str = ""
    passed: int | None = None
    base: str | None = None
    shows: tuple[str, ...] = ()


SESSIONS: Final = {
    README: Session(
        "--edge-mem=base+64M --edge-policy=bulk,linear,backwards --edge-json=results.json",
        8,
        None,
        (
            "open loop: poisson, 4 a second, seed 1",
            "*digits-twice at base+64M*",
            "backwards *ok*",
            "*test_joining program at base+64M*",
            "holds-32M *ok*",
        ),
    ),
    "docs/application.md": Session("", 2, None, ("camera *ok", "server* *ok")),
    "docs/models.md": Session("--edge-policy=stream --edge-mem=512M", 8),
    "docs/peers.md": Session(
        "test_mine.py --edge-mem=none --edge-policy=linear,read-all,my-runtime",
        1,
        README,
        ("linear *ok", "read-all *ok", "my-runtime *ok", "mine *ok", "*its outputs were not compared with*"),
    ),
    "docs/plan.md": Session(base=README),
    "docs/policies.md": Session(
        "test_digits.py test_ahead.py --edge-mem=base+64M --edge-policy=linear,ahead", 4, README, ("ahead *ok",)
    ),
    "docs/programs.md": Session(
        "--edge-mem=128M,64M",
        14,
        None,
        ("*test_the_job_fits program at 128M*", "parse *ok*", "infer *ok*", "list *ok*", "array *ok*", "server *ok*"),
    ),
    "docs/sequences.md": Session(
        "--edge-mem=base+64M --edge-policy=stream --edge-reader=direct", 2, None, ("*first s*step s*read/step*",)
    ),
    "docs/strategies.md": Session("", 3),
    "docs/streams.md": Session(
        "--edge-mem=base+64M --edge-policy=lru", 1, None, ("*in time*worst*score*", "camera *lru * 60 *")
    ),
    "docs/workloads.md": Session("--edge-policy=stream --edge-mem=512M", 1),
    "docs/template.md": Session("", 3, None, ("linear *ok", "bulk *ok")),
}
"""The projects that need more than a plain `pytest`, which must pass."""


def _files(page: str) -> list[Block]:
    return [block for block in BLOCKS if block.page == page and block.file]


def _has_project(page: str) -> bool:
    """Return whether a page has tests in files, and no console that runs them."""
    languages = {block.language for block in BLOCKS if block.page == page}
    return any(block.language == "python" for block in _files(page)) and "console" not in languages


def _write(folder: Path, blocks: Iterable[Block]) -> None:
    """Write blocks to the files that they name; blocks of the same file are appended."""
    for block in blocks:
        assert block.file is not None
        path = folder / block.file
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8") as file:
            file.write(block.text)


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a cache folder for all pages, because several use the same network."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, cache: Path) -> pytest.Pytester:
    """Return an empty project in an environment that sets only the plugin's cache folder."""
    for name in [name for name in os.environ if name.startswith(("PYTEST_EDGE_", "GITHUB_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PYTEST_EDGE_CACHE_DIR", str(cache))
    monkeypatch.setenv("COLUMNS", "120")  # the width of the pages
    return pytester


@pytest.fixture
def alone(project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """Disable other plugins, which take a second per session; only the README's project runs with them."""
    for name, value in NO_OTHERS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PYTEST_ADDOPTS", " ".join(PLUGINS))


@pytest.mark.parametrize("page", [name for page in PAGES if _has_project(name := name_of(page))])
def test_the_project_of_a_page_runs(
    project: pytest.Pytester, page: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The files of a page form a project whose tests pass."""
    monkeypatch.setenv("CI", "true")  # then hypothesis checks no timing, which depends on the machine's load
    if page != README:
        request.getfixturevalue("alone")
    session = SESSIONS.get(page, Session())
    _write(project.path, _files(session.base) if session.base else ())
    _write(project.path, _files(page))
    result = project.runpytest_subprocess(*session.words.split())
    assert result.ret == 0
    if session.passed is not None:
        result.assert_outcomes(passed=session.passed)
    result.stdout.fnmatch_lines_random(list(session.shows))


def test_the_readme_shows_the_command_of_its_test() -> None:
    """The README's project runs with the README's command, plus its own policy, with one limit and one round."""
    match = re.search(r"^    pytest (--edge-mem=.*)$", (ROOT / README).read_text(encoding="utf-8"), re.MULTILINE)
    assert match is not None
    words = (
        match[1].replace("bulk,linear", "bulk,linear,backwards").replace("--edge-rounds=3 ", "").replace("512M,", "")
    )
    assert words == SESSIONS[README].words


@pytest.mark.skipif(
    not any(cap.enforces and cap.unavailable() is None for cap in CAPS.values()), reason="no limit can be enforced here"
)
@pytest.mark.usefixtures("alone")
@pytest.mark.parametrize("page", sorted({block.page for block in BLOCKS if block.language == "console"}))
def test_console_sessions_print_their_output(project: pytest.Pytester, page: str) -> None:
    """A page's commands, run in order between its files, print the page's output; only measured values may differ."""
    base = SESSIONS.get(page, Session()).base
    _write(project.path, _files(base) if base else ())
    for block in BLOCKS:
        if block.page == page and block.file:
            (project.path / block.file).unlink(missing_ok=True)
            _write(project.path, [block])
        elif block.page == page and block.language == "console":
            printed = [line for command in block.commands for line in _run(project.path, command)]
            look = _shape if "pytest" in block.commands[0] else str.rstrip
            missing = [line for line in block.output.splitlines() if not _is_there(line, printed, look)]
            assert missing == [], "\n".join(printed)


def _is_there(line: str, printed: Iterable[str], look: Callable[[str], str]) -> bool:
    """Return whether a line was printed; `...` at its end matches anything."""
    expected = look(line.removesuffix("..."))
    return any(
        look(other).startswith(expected) if line.endswith("...") else look(other) == expected for other in printed
    )


def _run(folder: Path, command: str) -> list[str]:
    """Return the lines that a command prints."""
    first, *words = shlex.split(command)
    program = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider"] if first == "pytest" else list(COMMAND)
    done = subprocess.run([*program, *words], cwd=folder, capture_output=True, text=True, check=False)
    return done.stdout.splitlines()


def _shape(line: str) -> str:
    """Return a line without the parts that vary from run to run: figures, units, paths, widths."""
    words = re.sub(r"\S+/\.edgeload/\S+", "FILE", line.strip("= "))
    words = re.sub(r" in # ?s?(?: \(.*\))?$", "", _UNIT.sub("#", _NUMBER.sub("#", words)))
    words = re.sub(r"swap (none|off|existing)", "swap #", words)  # the machine's
    words = re.sub(r"(?<= on )\S+, .*", lambda match: ", ".join(sorted(match[0].split(", "))), words)  # fastest first
    return re.sub(r"\s+|-{2,}", " ", words).strip()
