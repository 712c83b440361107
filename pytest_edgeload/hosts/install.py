"""The environment of a host: made of a wheel that is copied over, by the host's own pip with its own settings."""

from __future__ import annotations

import shlex
from pathlib import Path

from pytest_edgeload.hosts.check import versions_here
from pytest_edgeload.hosts.connection import ask
from pytest_edgeload.hosts.file import Host

_PATIENCE_S = 3600.0  # PyTorch is large, and boards are slow
_WHEELS = "wheels"


def install(host: Host, wheel: Path, options: str = "") -> str:
    """Make the environment of a host, with the versions of this machine. Return the version of PyTorch there.

    `options` are further arguments of pip, such as an index. Raises Unsupported.
    """
    folder, copied = host.folder, f"{host.folder}/{_WHEELS}/{wheel.name}"
    ask(host, f"mkdir -p {folder}/{_WHEELS} && cat > {copied}", wheel.read_bytes())
    ask(host, f"test -x {host.interpreter} || python3 -m venv {folder}/venv", timeout_s=_PATIENCE_S)
    words = [f"./{copied}" if not copied.startswith("/") else copied, *_pinned()]
    pip = f"{host.interpreter} -m pip install --quiet --disable-pip-version-check {options}"
    ask(host, f"{pip} {' '.join(map(shlex.quote, words))}", timeout_s=_PATIENCE_S)
    script = "import importlib.metadata as m; print(m.version('torch'))"
    return ask(host, f"{host.interpreter} -c {shlex.quote(script)}").decode().strip()


def _pinned() -> list[str]:
    """Return the packages of this machine whose versions must be the same, as requirements of pip."""
    here = versions_here()
    return [f"{name}=={here[name].partition('+')[0]}" for name in here if name != "pytest-edgeload"]
