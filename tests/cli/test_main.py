"""What all commands have in common: how they start, print, end and are cut short."""

from __future__ import annotations

import importlib.metadata
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from pytest_edgeload import cli
from tests.cli.commands import COMMAND, environment, until
from tests.plugin.sessions import PATIENCE_S, write


def test_package_installs_the_command() -> None:
    """Installing the package installs the command."""
    (entry,) = importlib.metadata.entry_points(group="console_scripts", name="edgeload")
    assert entry.load() is cli.main


def test_reader_that_closes_the_pipe_ends_the_command_silently(cache: Path, source: Path) -> None:
    """A reader that closes the pipe ends the command without a message."""
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


def test_output_to_a_full_disk_is_one_error_message(cache: Path, source: Path) -> None:
    """Output that cannot be written is an error of one sentence."""
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


def test_closed_output_is_refused_before_anything_runs(tmp_path: Path) -> None:
    """A closed standard output is an error of one sentence; a closed standard error is not."""
    command = shlex.join([*COMMAND, "history", "makespan"])
    closed, silent = (
        subprocess.run(f"{command} {how}", cwd=tmp_path, shell=True, capture_output=True, check=False)  # noqa: S602  # closes
        for how in (">&-", "2>&-")
    )
    said = b"edgeload: standard output: closed; send it to a file, or to /dev/null\n"
    assert (closed.returncode, closed.stderr) == (2, said)
    assert silent.returncode == 2


def test_ctrl_c_while_a_network_is_made_leaves_nothing(tmp_path: Path) -> None:
    """Ctrl-C while a network is made ends the command silently with status 130 and leaves no unfinished files."""
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


def test_command_imports_neither_torch_nor_pytest() -> None:
    """The command and everything that it imports work without torch and without pytest."""
    modules = {"torch", "numpy", "hypothesis", "pytest", "_pytest"}
    code = f"import sys, pytest_edgeload.cli; sys.exit(bool({modules} & set(sys.modules)))"
    subprocess.run([sys.executable, "-c", code], check=True, env={"PYTHONPATH": ":".join(sys.path)})


def test_plugin_does_not_import_the_command() -> None:
    """The plugin does not import the command."""
    code = (
        "import sys, pytest_edgeload.plugin.collection, pytest_edgeload.plugin.reporting; "
        "sys.exit('pytest_edgeload.cli' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env={"PYTHONPATH": ":".join(sys.path)})


@pytest.mark.parametrize("name", list(cli.SUBCOMMANDS))
def test_help_shows_no_value_of_python(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The help of a command shows values as they are typed, not as Python prints tuples or None."""
    with pytest.raises(SystemExit):
        cli.main_parser([name]).parse_args([name, "--help"])
    assert not re.search(r"default: (None|\(|\[|')", capsys.readouterr().out)
