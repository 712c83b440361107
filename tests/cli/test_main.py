"""What all commands have in common: how they start, print, end and are cut short."""

from __future__ import annotations

import importlib.metadata
import signal
import subprocess
import sys
from pathlib import Path

from pytest_edgeload import cli
from tests.cli.commands import COMMAND, environment, until
from tests.plugin.sessions import PATIENCE_S, write


def test_installed() -> None:
    """Installing the package installs the command."""
    (entry,) = importlib.metadata.entry_points(group="console_scripts", name="edgeload")
    assert entry.load() is cli.main


def test_broken_pipe(cache: Path, source: Path) -> None:
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


def test_full_disk(cache: Path, source: Path) -> None:
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
