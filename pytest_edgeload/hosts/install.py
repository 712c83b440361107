"""The environment of a host: made of a wheel that is copied over, by the host's own pip with its own settings."""

from __future__ import annotations

import shlex
from pathlib import Path

from pytest_edgeload.base.errors import UsageError
from pytest_edgeload.hosts.check import versions_here
from pytest_edgeload.hosts.connection import ask
from pytest_edgeload.hosts.file import Host

_PATIENCE_S = 3600.0  # PyTorch is large, and boards are slow
_WHEELS = ".edgeload-wheels"  # removed, so no folder of the user may have this name


def install(host: Host, wheel: Path, options: str = "") -> str:
    """Make the environment of a host, with the versions of this machine. Return the version of PyTorch there.

    `options` are further arguments of pip, such as an index. Raises UsageError for a host whose interpreter is not that
    of the environment, and Unsupported.
    """
    python = f"{host.environment}/bin/python"
    if host.interpreter != python:
        reason = f"not the interpreter of {host.environment}, the only environment that is changed"
        hint = "leave python out of the file of hosts, or install the wheel there by hand"
        raise UsageError(f"{host.name}: python = {host.python}", reason, hint)
    ask(host, _script(host, wheel.name, options), wheel.read_bytes(), timeout_s=_PATIENCE_S)
    script = "import importlib.metadata as m; print(m.version('torch'))"
    return ask(host, f"{python} -c {shlex.quote(script)}").decode().strip()


def _script(host: Host, wheel: str, options: str) -> str:
    """Return the shell's commands that install a wheel from standard input, and leave no wheel.

    A lock keeps two installations from changing the environment at once: the second one waits for the first.
    """
    python, wheels = f"{host.environment}/bin/python", f"{host.folder}/{_WHEELS}"
    copied = shlex.quote(f"{wheels if wheels.startswith('/') else f'./{wheels}'}/{wheel}")
    makes_pip = f"{python} -c 'import pip' || {python} -m ensurepip"  # an environment of uv has none
    pip = f"{python} -m pip install --quiet --disable-pip-version-check {options}"
    steps = [
        f"rm -rf {wheels}",
        f"mkdir {wheels}",
        f"cat > {copied}",
        f"{{ {{ {makes_pip}; }} > /dev/null 2>&1 || python3 -m venv --clear {host.environment}; }}",
        f"{pip} {copied} {' '.join(map(shlex.quote, _pinned()))}",
        # pip takes a wheel of the same version for the installed one, so it gets the wheel twice.
        f"{pip} --force-reinstall --no-deps {copied}",
    ]
    script = f"{' && '.join(steps)}; status=$?; rm -rf {wheels}; exit $status"
    return f"mkdir -p {host.folder} && flock {host.folder}/install.lock sh -c {shlex.quote(script)}"


def _pinned() -> list[str]:
    """Return the packages of this machine whose versions must be the same, as requirements of pip."""
    here = versions_here()
    return [f"{name}=={here[name].partition('+')[0]}" for name in here if name != "pytest-edgeload"]
