"""The command `edgeload`, as a shell starts it, in a project of two small networks."""

from __future__ import annotations

import importlib.metadata
import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest

from pytest_edgeload import cli
from pytest_edgeload.networks.registry import Registry
from pytest_edgeload.networks.store import Store
from pytest_edgeload.plan import Budget
from pytest_edgeload.policies import POLICIES
from pytest_edgeload.report import graph
from pytest_edgeload.simulate import simulate
from pytest_edgeload.workload import Mix, Workload
from tests.plugin.sessions import CONFTEST, PATIENCE_S, write

COMMAND: Final = [sys.executable, "-P", "-c", "import sys; from pytest_edgeload.cli import main; sys.exit(main())"]

OWN: Final = f"""\
import dataclasses, pytest
from pytest_edgeload import Builder, Plan
from pytest_edgeload.policies import POLICIES

{CONFTEST}

def mine(workload, budget):
    return Plan(POLICIES["linear"](workload, budget).tasks, lanes=(budget.memory_bytes or 0) // 1024 + budget.lanes)

def lacking(workload, budget):
    return Plan(POLICIES["linear"](workload, budget).tasks[:-1])

def stuck(workload, budget):
    # Both requests have to begin before the first goes on, and there is memory for one.
    plan = Builder(workload, memory_bytes=1)
    steps = [plan.add("init", r, reserve=1) for r in range(2)]
    for r, request in enumerate(workload.requests):
        for i in range(len(request.network.layers)):
            for kind in ("load", "exec", "free"):
                steps = [plan.add(kind, r, i, after=steps)]
    return plan.done()

def pytest_edge_policies(register):
    for policy in (mine, lacking, stuck):
        register(policy.__name__, policy)

def pytest_edge_peers(register):
    register("lean", "no_such_module:lean")
"""
"""A conftest with policies of its own: one shows its budget as lanes, a KiB each; two are wrong."""

Run = Callable[..., subprocess.CompletedProcess[str]]


def environment(cache: Path) -> dict[str, str]:
    """Return an environment that says nothing to the command but where networks are kept."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    kept.pop("PYTHONUNBUFFERED", None)  # with it Python does not notice that a pipe broke in the middle of a write
    return kept | {"PYTEST_EDGE_CACHE_DIR": str(cache), "COLUMNS": "120"}


def until(condition: Callable[[], bool]) -> None:
    """Wait until `condition` holds."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a project of two small networks."""
    return write(tmp_path_factory.mktemp("source"), conftest=OWN)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder in which the networks will be kept."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def making(source: Path, cache: Path) -> str:
    """Make both networks by the command, and return what it shows on a terminal meanwhile."""
    ours, its = pty.openpty()
    with os.fdopen(ours, "rb", buffering=0) as terminal:
        arguments = [*COMMAND, "plan", "small,wide", f"--cache-dir={cache}"]
        made = subprocess.run(arguments, cwd=source, stdout=subprocess.DEVNULL, stderr=its, check=False)
        shown = os.read(terminal.fileno(), 1 << 16).decode()
        os.close(its)
    assert made.returncode == 0, shown
    return shown


@pytest.fixture
def run(making: str, cache: Path, source: Path) -> Run:
    """Return what runs the command in the project, or another folder, with the networks made."""

    def start(*arguments: str, folder: Path = source) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*COMMAND, *arguments], cwd=folder, env=environment(cache), capture_output=True, text=True, check=False
        )

    return start


@pytest.fixture
def asked(making: str, cache: Path, source: Path, monkeypatch: pytest.MonkeyPatch) -> Workload:
    """Return the workload of both networks."""
    monkeypatch.syspath_prepend(source)
    registry = Registry(Store(cache))
    for name in ("small", "wide"):
        registry.register(name, f"tiny:{name}")
    return Mix.of("small+wide", ["small", "wide"]).workload(
        {name: registry.get(name, lambda *_: pytest.fail("made anew"))[1] for name in ("small", "wide")}
    )


def test_installed() -> None:
    """Installing the package installs the command."""
    (entry,) = importlib.metadata.entry_points(group="console_scripts", name="edgeload")
    assert entry.load() is cli.main


def test_making_is_shown(making: str) -> None:
    """While networks are made a terminal is told so, and the line is gone at the end."""
    assert re.search(r"\r\033\[Kedgeload: making network small", making)
    assert re.search(r"\r\033\[Kedgeload: making network wide: \d+%", making)
    assert making.endswith("\r\033[K")


@pytest.mark.parametrize("policy", POLICIES)
def test_text(run: Run, asked: Workload, policy: str) -> None:
    """`edgeload plan` prints the plan that the policy makes without a limit, and nothing else."""
    plan = POLICIES[policy](asked, Budget())
    done = run("plan", "small,wide", "--policy", policy)
    title = f"policy {policy}, no memory limit"
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == graph.text(plan, asked, simulate(plan, asked), title) + "\n"


@pytest.mark.parametrize("name", graph.FORMATS)
def test_formats(run: Run, asked: Workload, name: str) -> None:
    """In the other formats it prints the drawing."""
    done = run("plan", "small, wide", "--policy=partial", f"--format={name}", "--lanes=3")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == graph.FORMATS[name](POLICIES["partial"](asked, Budget(lanes=3)), asked) + "\n"


def test_defaults(run: Run) -> None:
    """Unless told otherwise the policy is the reference, each network is asked once, and there is no limit."""
    told = run("plan", "small,wide", "--policy=bulk", "--mem=none", "--images=1", "--lanes=2", "--format=text")
    assert run("plan", "small,wide").stdout == told.stdout
    assert told.stdout.startswith("workload small+wide, policy bulk, no memory limit, 1 lane, ")


def test_images(run: Run) -> None:
    """With `--images` all networks are asked about one image, then about the next."""
    lines = run("plan", "wide,small", "--images=2").stdout.splitlines()
    networks = [line.split()[5] for line in lines if " init " in line]
    assert networks == ["wide", "small", "wide", "small"]


def test_own_policy_and_lanes(run: Run) -> None:
    """A policy that the project registers is asked like any other, with the lanes it may use."""
    assert "policy mine, no memory limit, 3 lanes, " in run("plan", "small", "--policy=mine", "--lanes=3").stdout


def test_budget(run: Run) -> None:
    """With a limit a policy may plan with what the idle worker and a margin of 16 MiB leave of it."""
    done = run("plan", "small", "--policy=mine", "--mem=base+64M")
    assert f"policy mine, memory base+64M, budget 48M, {48 * 1024 + 2} lanes, " in done.stdout, done.stderr


def test_limit_too_low(run: Run) -> None:
    """A limit that even an idle worker exceeds is refused, with one that would do."""
    done = run("plan", "small", "--mem=16M")
    assert (done.returncode, done.stdout) == (2, "")
    assert re.fullmatch(
        r"edgeload: memory limit 16M: the worker needs \S+ before it holds any weights; "
        r"try at least \d+M, or base\+64M\n",
        done.stderr,
    )


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["smal"], "'smal' is not a registered network; did you mean small?"),
        ([""], "'' is not a registered network; there are small, wide"),
        (["small", "--policy=lineer"], "--policy=lineer: unknown; did you mean linear?"),
        (["small", "--policy=lean"], "--policy=lean: a peer, which has no plan; did you mean linear?"),
        (["small", "--policy=mime"], "--policy=mime: unknown; did you mean mine?"),
        (["small", "--policy=lacking"], "policy lacking: the plan lacks 1 free of request 0, layer 1"),
        (
            ["small,wide", "--policy=stuck"],
            "policy stuck: the plan stops: tasks are left, none runs, and none can be taken",
        ),
        (["mix.yaml", "--images=2"], "--images=2: the file mix.yaml says which images are asked about; leave it out"),
    ],
)
def test_refusals(run: Run, arguments: list[str], words: str) -> None:
    """What cannot be done is refused in one sentence and with status 2."""
    done = run("plan", *arguments)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", f"edgeload: {words}\n")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--mem=12X"], "argument --mem: 12X: not a size; try 512M, 1G or base+256M"),
        (["--lanes=0"], "argument --lanes: 0: not a count; give a whole number of at least 1"),
        (["--images=two"], "argument --images: two: not a count; give a whole number of at least 1"),
        (["--cache-dir=tiny.py"], "argument --cache-dir: tiny.py: not a folder; name one"),
        (["--format=svg"], "argument --format: invalid choice: 'svg'"),
    ],
)
def test_wrong_options(run: Run, arguments: list[str], words: str) -> None:
    """A value that an option cannot have is refused with status 2, by the option's name and with the way out."""
    done = run("plan", "small", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert f"edgeload plan: error: {words}" in done.stderr


@pytest.mark.parametrize(
    ("conftest", "words"),
    [
        ("import nowhere", "conftest.py cannot be imported: ModuleNotFoundError: No module named 'nowhere'"),
        ("def (", "conftest.py cannot be imported: SyntaxError: invalid syntax (conftest.py, line 1)"),
        ("import pytest; pytest.skip('no', allow_module_level=True)", "conftest.py cannot be imported: Skipped: no"),
        (
            "def pytest_edge_networks(register): register(1 / 0)",
            "conftest.py: pytest_edge_networks failed: ZeroDivisionError: division by zero",
        ),
        (
            "def pytest_edge_policies(register): register('bulk', print)",
            "policy bulk is registered twice; give the second another name",
        ),
    ],
)
def test_conftest(run: Run, tmp_path: Path, conftest: str, words: str) -> None:
    """What is wrong with the project's conftest is said in one sentence."""
    (tmp_path / "conftest.py").write_text(conftest)
    done = run("plan", "small", folder=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", f"edgeload: {words}\n")


def test_without_a_project(run: Run, tmp_path: Path) -> None:
    """In a folder where nothing registers a network, the user is sent to the project's."""
    done = run("plan", "small", folder=tmp_path)
    words = f"no conftest.py in {tmp_path} registers networks; start edgeload in the project's folder"
    assert (done.returncode, done.stdout, done.stderr) == (2, "", f"edgeload: {words}\n")


def test_a_cache_that_is_none(source: Path) -> None:
    """A cache folder that can be none is refused in one sentence."""
    done = subprocess.run(
        [*COMMAND, "plan", "small"], cwd=source, env=environment(source / "tiny.py"), capture_output=True, check=False
    )
    assert done.returncode == 2
    assert re.fullmatch(rb"edgeload: \S+: Not a directory; name another folder by --cache-dir\n", done.stderr)


def test_workload_file(run: Run, tmp_path: Path, source: Path) -> None:
    """A workload file says what is asked; what is wrong there is said in one sentence."""
    file = tmp_path / "mix.json"
    file.write_text(json.dumps({"name": "mixed", "requests": ["wide", "small", "wide"]}))
    done = run("plan", str(file), "--policy=linear")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("workload mixed, policy linear, ")
    assert [line.split()[5] for line in done.stdout.splitlines() if " init " in line] == ["wide", "small", "wide"]
    file.write_text("{}")
    wrong = run("plan", str(file))
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert re.fullmatch(rf"edgeload: {re.escape(str(file))}:.*\n", wrong.stderr)


def test_broken_pipe(making: str, cache: Path, source: Path) -> None:
    """A reader that has read enough ends the command without a word."""
    with subprocess.Popen(
        [*COMMAND, "plan", "small,wide", "--images=300"],
        cwd=source,
        env=environment(cache),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None  # both are pipes
        assert process.stderr is not None
        assert process.stdout.readline().startswith(b"workload small+wide")
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(PATIENCE_S) == 128 + signal.SIGPIPE


def test_full_disk(making: str, cache: Path, source: Path) -> None:
    """Output that cannot be written is said in one sentence."""
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [*COMMAND, "plan", "small"],
            cwd=source,
            env=environment(cache),
            stdout=full,
            stderr=subprocess.PIPE,
            check=False,
        )
    said = b"edgeload: standard output cannot be written: No space left on device\n"
    assert (done.returncode, done.stderr) == (2, said)


def test_interruption(tmp_path: Path) -> None:
    """Ctrl-C while a network is made ends the command with status 130, without a word, and leaves nothing half made."""
    slow = "import pathlib, time\ndef small():\n    pathlib.Path('begun').touch()\n    time.sleep(600)\nwide = small\n"
    write(tmp_path, tiny=slow)
    with subprocess.Popen(
        [*COMMAND, "plan", "small"],
        cwd=tmp_path,
        env=environment(tmp_path / "cache"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        until((tmp_path / "begun").exists)
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=PATIENCE_S) == (b"", b"")
    assert process.returncode == 128 + signal.SIGINT
    assert list((tmp_path / "cache" / "networks").iterdir()) == []


def test_no_torch() -> None:
    """The command, and all it reaches, can be imported without torch, and without pytest."""
    modules = {"torch", "numpy", "hypothesis", "pytest", "_pytest"}
    code = f"import sys, pytest_edgeload.cli; sys.exit(bool({modules} & set(sys.modules)))"
    subprocess.run([sys.executable, "-c", code], check=True, env={"PYTHONPATH": ":".join(sys.path)})


def test_not_pytests_business() -> None:
    """Nothing that knows pytest imports the command."""
    code = (
        "import sys, pytest_edgeload.plugin.hooks, pytest_edgeload.plugin.session, pytest_edgeload.plugin.fixtures; "
        "sys.exit('pytest_edgeload.cli' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env={"PYTHONPATH": ":".join(sys.path)})


def test_documented() -> None:
    """The page on `edgeload plan` has a row for each of its options, and for none that it has not."""
    page = (Path(__file__).parents[1] / "docs" / "plan.md").read_text()
    shown = subprocess.run([*COMMAND, "plan", "--help"], capture_output=True, text=True, check=True).stdout
    rows = re.findall(r"^\| `(--[a-z-]+)=", page, re.MULTILINE)
    assert sorted(rows) == sorted(set(re.findall(r"^  (--[a-z-]+) ", shown, re.MULTILINE)))
