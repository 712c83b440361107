"""`edgeload plan`, as a shell starts it, in a project of two small networks."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
from pathlib import Path

import msgspec
import pytest

from pytest_edgeload.measuring.speeds.store import origin_now, store_speeds
from pytest_edgeload.networks.registry import Registry
from pytest_edgeload.networks.store import Store
from pytest_edgeload.planning.machine_speeds import MachineSpeeds
from pytest_edgeload.planning.plan import Budget
from pytest_edgeload.planning.simulate import simulate
from pytest_edgeload.policies import POLICIES
from pytest_edgeload.report import graph
from pytest_edgeload.workload import Mix, Workload
from tests.cli.commands import COMMAND, Run, environment, run_in
from tests.network_cache import copy_store


@pytest.fixture
def asked(cache: Path, source: Path, monkeypatch: pytest.MonkeyPatch) -> Workload:
    """Return the workload of both networks."""
    monkeypatch.syspath_prepend(source)
    registry = Registry(Store(cache))
    for name in ("small", "wide"):
        registry.register(name, f"tiny:{name}")
    return Mix.of("small+wide", ["small", "wide"]).workload(
        {name: registry.get(name, lambda *_: pytest.fail("made anew"))[1] for name in ("small", "wide")}
    )


def test_terminal_shows_the_making_of_networks_until_the_end(source: Path, tmp_path: Path) -> None:
    """While networks are made, a terminal shows it, and the line is gone at the end."""
    ours, its = pty.openpty()
    with os.fdopen(ours, "rb", buffering=0) as terminal:
        arguments = [*COMMAND, "plan", "small,wide", f"--cache-dir={tmp_path}"]
        env = {name: value for name, value in os.environ.items() if name != "CI"}  # a log shows no progress
        made = subprocess.run(arguments, cwd=source, env=env, stdout=subprocess.DEVNULL, stderr=its, check=False)
        os.close(its)  # so that reading fails, instead of waiting, if nothing was written
        shown = os.read(terminal.fileno(), 1 << 16).decode()
    assert made.returncode == 0, shown
    assert re.search(r"\r\033\[Kedgeload: making network small", shown)
    assert re.search(r"\r\033\[Kedgeload: making network wide: \d+%", shown)
    assert shown.endswith("\r\033[K")


def test_stale_speeds_are_named(source: Path, cache: Path, tmp_path: Path) -> None:
    """A line on standard error says why the speeds may be others now."""
    copy_store(cache, tmp_path)
    store_speeds(tmp_path, msgspec.structs.replace(origin_now(tmp_path), version="0.0.1"), MachineSpeeds())
    done = run_in(source, "plan", "small", cache=tmp_path)
    assert "calibrated speeds" in done.stdout
    assert done.stderr.startswith("edgeload: measured with pytest-edgeload 0.0.1; now it is pytest-edgeload ")


@pytest.mark.parametrize("policy", POLICIES)
def test_text_is_the_plan_of_the_policy_without_a_limit(run: Run, asked: Workload, policy: str) -> None:
    """`edgeload plan` prints the plan that the policy makes without a limit, and nothing else."""
    plan = POLICIES[policy](asked, Budget())
    done = run("plan", "small,wide", "--policy", policy)
    title = f"policy {policy}, no memory limit"
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == graph.text(plan, asked, simulate(plan, asked), title) + "\n"


@pytest.mark.parametrize("name", graph.FORMATS)
def test_other_format_is_the_drawing(run: Run, asked: Workload, name: str) -> None:
    """In the other formats, the command prints the drawing."""
    done = run("plan", "small, wide", "--policy=partial", f"--format={name}", "--lanes=3")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == graph.FORMATS[name](POLICIES["partial"](asked, Budget(lanes=3)), asked) + "\n"


def test_defaults_are_the_reference_one_image_and_no_limit(run: Run) -> None:
    """By default the policy is the reference, each network has one request, and there is no limit."""
    told = run("plan", "small,wide", "--policy=bulk", "--mem=none", "--images=1", "--lanes=2", "--format=text")
    assert run("plan", "small,wide").stdout == told.stdout
    assert told.stdout.startswith("workload small+wide, policy bulk, no memory limit, 1 lane, ")


def test_images_are_asked_in_turn(run: Run) -> None:
    """With `--images` all networks get a request for one image, then for the next."""
    lines = run("plan", "wide,small", "--images=2").stdout.splitlines()
    networks = [line.split()[5] for line in lines if " init " in line]
    assert networks == ["wide", "small", "wide", "small"]


def test_own_policy_gets_the_lanes(run: Run) -> None:
    """A policy of the project is called like any other, with the lanes that it may use."""
    assert "policy mine, no memory limit, 3 lanes, " in run("plan", "small", "--policy=mine", "--lanes=3").stdout


def test_budget_is_the_limit_minus_idle_memory_and_margin(run: Run) -> None:
    """With a limit, the budget is the limit minus the idle worker's memory and a margin of 16 MiB."""
    done = run("plan", "small", "--policy=mine", "--mem=base+64M")
    assert f"policy mine, memory base+64M, budget 48M, {48 * 1024 + 2} lanes, " in done.stdout, done.stderr


def test_limit_below_the_idle_worker_is_refused_with_a_larger_one(run: Run) -> None:
    """A limit that an idle worker already exceeds is an error that names a sufficient limit."""
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
        (["smal"], "network 'smal': not registered; did you mean small?"),
        (["small,,wide"], "networks 'small,,wide': a name is missing before or after a comma; write them as a,b"),
        ([""], "network '': not a name; give 1 to 1000 printable characters"),
        (["small", "--policy=lineer"], "--policy=lineer: unknown; did you mean linear?"),
        (["small", "--policy=lean"], "--policy=lean: a peer, which has no plan; did you mean linear?"),
        (["small", "--policy=mime"], "--policy=mime: unknown; did you mean mine?"),
        (["small", "--policy=lacking"], "policy lacking: the plan lacks 1 free of request 0, layer 1"),
        (
            ["small,wide", "--policy=stuck"],
            "policy stuck: the plan stops: tasks are left, none runs, and none can start",
        ),
        (["mix.yaml", "--images=2"], "--images=2: the file mix.yaml sets the images; leave it out"),
    ],
)
def test_error_is_one_sentence_and_status_2(run: Run, arguments: list[str], words: str) -> None:
    """Every error is one sentence, with status 2."""
    done = run("plan", *arguments)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", f"edgeload: {words}\n")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--mem=12X"], "argument --mem: 12X: not a size; try 512M, 1G or base+256M"),
        (["--lanes=0"], "argument --lanes: 0: not a count; give a whole number of at least 1"),
        (["--images=two"], "argument --images: two: not a count; give a whole number of at least 1"),
        (["--cache-dir=tiny.py"], "argument --cache-dir: tiny.py: not a folder; name a folder"),
        (["--format=svg"], "argument --format: invalid choice: 'svg'"),
    ],
)
def test_wrong_value_of_an_option_is_refused_with_its_name(run: Run, arguments: list[str], words: str) -> None:
    """A wrong value of an option is an error with status 2 that names the option and the way out."""
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
            "policy bulk: registered twice; give the second another name",
        ),
    ],
)
def test_error_in_the_conftest_is_one_sentence(run: Run, tmp_path: Path, conftest: str, words: str) -> None:
    """Any error in the project's conftest is one sentence; an exception is followed by the lines that raised it."""
    (tmp_path / "conftest.py").write_text(conftest)
    done = run("plan", "small", folder=tmp_path)
    sentence, *lines = done.stderr.splitlines()
    assert (done.returncode, done.stdout, sentence) == (2, "", f"edgeload: {words}")
    own = [str(tmp_path / "conftest.py") in line for line in lines if line.startswith("  File")]
    assert own[:1] == ([] if "registered twice" in words else [True])


def test_folder_without_networks_is_refused_with_a_hint(run: Run, tmp_path: Path) -> None:
    """In a folder whose conftest registers no network, the hint is to go to the project."""
    done = run("plan", "small", folder=tmp_path)
    words = f"{tmp_path}: no conftest.py here registers networks; start edgeload in the project's folder"
    assert (done.returncode, done.stdout, done.stderr) == (2, "", f"edgeload: {words}\n")


def test_cache_that_is_not_a_folder_is_one_error_message(source: Path) -> None:
    """A path that cannot be the cache folder is an error of one sentence."""
    done = subprocess.run(
        [*COMMAND, "plan", "small"], cwd=source, env=environment(source / "tiny.py"), capture_output=True, check=False
    )
    assert done.returncode == 2
    assert re.fullmatch(rb"edgeload: \S+: Not a directory; name another folder with --cache-dir\n", done.stderr)


def test_workload_file_replaces_the_list_of_networks(run: Run, tmp_path: Path, source: Path) -> None:
    """A workload file contains the requests; an error in it is one sentence."""
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


def test_page_has_a_row_for_each_option_and_no_other() -> None:
    """The page on `edgeload plan` has a row for each of its options, and no other row."""
    page = (Path(__file__).parents[2] / "docs" / "plan.md").read_text()
    shown = subprocess.run([*COMMAND, "plan", "--help"], capture_output=True, text=True, check=True).stdout
    rows = re.findall(r"^\| `(--[a-z-]+)=", page, re.MULTILINE)
    assert sorted(rows) == sorted(set(re.findall(r"^  (--[a-z-]+) ", shown, re.MULTILINE)))
