"""Setting a host up, from a wheel that is copied over."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import pytest

from pytest_edgeload import cli
from pytest_edgeload.hosts.check import versions_here
from tests.hosts.network import Machine

pytestmark = [
    pytest.mark.xdist_group("hosts"),
    pytest.mark.skipif(find_spec("pip") is None, reason="pip is not installed"),
]


def wheel(folder: Path) -> Path:
    """Return a wheel of this version, of which nothing but `MARK` is ours."""
    name, number = "pytest_edgeload", version("pytest-edgeload")
    path, info = folder / f"{name}-{number}-py3-none-any.whl", f"{name}-{number}.dist-info"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr(f"{name}/__init__.py", "MARK = 'rebuilt'\n")
        file.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: pytest-edgeload\nVersion: {number}\n")
        file.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        file.writestr(f"{info}/RECORD", "")
    return path


def environment(machine: Machine) -> Path:
    """Make an environment with the packages of this one on a host, and return its interpreter."""
    folder = machine.folder / "edgeload/venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    [packages] = folder.glob("lib/python*/site-packages")
    (packages / "here.pth").write_text("\n".join(path for path in sys.path if path.endswith("site-packages")))
    return folder / "bin/python"


def test_wheel_of_the_installed_version_is_installed(
    hosts: tuple[Machine, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A rebuilt wheel of the same version replaces the installed one; an environment of others is left alone."""
    alpha, beta, _ = hosts
    python, file = environment(alpha), tmp_path / "boards.toml"
    file.write_text(alpha.table(python=str(python)) + beta.table(python="/usr/bin/python3"))
    wheels = alpha.folder / "edgeload/wheels"
    wheels.mkdir()
    command = ["hosts", "install", str(file), f"--wheel={wheel(tmp_path)}", "--pip=--no-index"]
    assert cli.main(command) == 1
    alpha_said, beta_said = capsys.readouterr().out.splitlines()[-2:]
    assert alpha_said == f"alpha: installed, PyTorch {versions_here()['torch']}"
    assert beta_said.startswith("beta: python = /usr/bin/python3: not the interpreter of")
    script = "import pytest_edgeload; print(pytest_edgeload.MARK)"
    assert subprocess.check_output([python, "-Ic", script], text=True) == "rebuilt\n"
    assert wheels.exists(), "a folder of the user stays"
    assert not list((alpha.folder / "edgeload").glob(".*"))
