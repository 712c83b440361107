"""Three hosts on this machine: network namespaces with addresses of their own, each with its own sshd."""

from __future__ import annotations

import ipaddress
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

import psutil

NAMES = ("alpha", "beta", "gamma")

_SSHD = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
_IP = shutil.which("ip", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
_TC = shutil.which("tc", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
_ENTER = ("nsenter",)  # unlike `ip netns exec`, it keeps the mounted cgroups
_PATIENCE_S = 20.0
_CONFIG = """\
HostKey {folder}/host_key
AuthorizedKeysFile {folder}/authorized_keys
PidFile none
StrictModes no
UsePAM no
PermitRootLogin prohibit-password
PasswordAuthentication no
SetEnv TMPDIR={folder}/tmp PYTEST_DISABLE_PLUGIN_AUTOLOAD=1
"""


def missing() -> str:
    """Return the reason why this machine cannot have hosts; empty if it can."""
    if os.geteuid() != 0:
        return "only root can make network namespaces"
    absent = [name for name, path in (("openssh-server", _SSHD), ("iproute2", _IP)) if path is None]
    if absent:
        return f"not installed: {', '.join(absent)}"
    tried = subprocess.run([str(_IP), "netns", "add", f"edgeload-try-{os.getpid()}"], capture_output=True, check=False)
    if tried.returncode:
        return "no network namespaces here"
    _ip("netns", "delete", f"edgeload-try-{os.getpid()}")
    return ""


class Machine(NamedTuple):
    """A host: its name, its folder on this machine's disk, and the ssh destination that reaches it."""

    name: str
    folder: Path
    ssh: str
    link: str

    def table(self, **keys: str) -> str:
        """Return the host as a table of a file of hosts."""
        known = {"ssh": self.ssh, "folder": str(self.folder / "edgeload"), "python": sys.executable} | keys
        return "\n".join([f"[{self.name}]", *(f'{key} = "{value}"' for key, value in known.items()), ""])

    @contextmanager
    def small_disk(self, size: str = "2M") -> Iterator[Path]:
        """Mount a small disk for the host, and return its folder."""
        folder = self.folder / "small"
        folder.mkdir(exist_ok=True)  # of an earlier test
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)], check=True)
        try:
            yield folder
        finally:
            subprocess.run(["umount", "--lazy", str(folder)], check=True)

    @property
    def sessions(self) -> list[psutil.Process]:
        """The processes of pytest on the host."""
        names = [path.name for path in self._cache.glob("sessions/*.edgeload-*")]
        pids = [int(name.split("-")[1]) for name in names]
        return [psutil.Process(pid) for pid in pids if psutil.pid_exists(pid)]

    def runs(self, process: psutil.Process) -> list[Path]:
        """Return the files of measurements in the session of a process on the host."""
        return [*self._cache.glob(f"sessions/*.edgeload-{process.pid}-*/runs/*.json")]

    @staticmethod
    def groups(process: psutil.Process) -> list[str]:
        """Return the control groups of a session of the host, which may have ended."""
        names = (name for _, names, _ in os.walk("/sys/fs/cgroup") for name in names)
        return [name for name in names if name.startswith(f"edgeload-{process.pid}-")]

    @property
    def _cache(self) -> Path:
        return self.folder / "edgeload/cache"

    @contextmanager
    def slow_link(self, rate: str) -> Iterator[None]:
        """Let no more than this rate of tc's reach the host during the block, or until the link is freed."""
        words = ["root", "tbf", "rate", rate, "burst", "256k", "latency", "50ms"]
        subprocess.run([str(_TC), "qdisc", "add", "dev", self.link, *words], check=True, capture_output=True)
        try:
            yield
        finally:
            self.free_link()

    def free_link(self) -> None:
        """Let everything reach the host at once."""
        subprocess.run([str(_TC), "qdisc", "delete", "dev", self.link, "root"], check=False, capture_output=True)

    def cut_off(self) -> None:
        """Take the network away from the host, as if its cable was pulled."""
        _ip("link", "set", self.link, "down")

    def connect(self) -> None:
        """Give the network back to the host."""
        _ip("link", "set", self.link, "up")


@contextmanager
def machines(folder: Path) -> Iterator[tuple[Machine, ...]]:
    """Make the hosts with their files in `folder`."""
    with ExitStack() as undo:
        key = folder / "key"
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
        yield tuple(undo.enter_context(_machine(name, folder, i)) for i, name in enumerate(NAMES))


@contextmanager
def _machine(name: str, shared: Path, number: int) -> Iterator[Machine]:
    folder, space, link = shared / name, f"edgeload-{os.getpid()}-{name}", f"edgel{os.getpid()}-{name[0]}"
    (folder / "tmp").mkdir(parents=True)
    (folder / "authorized_keys").write_bytes((shared / "key.pub").read_bytes())
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / "host_key")], check=True)
    (folder / "sshd_config").write_text(_CONFIG.format(folder=folder))
    here, there = _addresses(number)
    Path("/run/sshd").mkdir(exist_ok=True)  # for sshd's separation of privileges
    with ExitStack() as undo:
        _ip("netns", "add", space)
        undo.callback(_ip, "netns", "delete", space)  # its end of the link goes with it
        _ip("link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", space)
        _ip("addr", "add", f"{here}/30", "dev", link)
        _ip("link", "set", link, "up")
        _ip("-n", space, "addr", "add", f"{there}/30", "dev", "eth0")
        _ip("-n", space, "link", "set", "eth0", "up")
        sshd = [str(_SSHD), "-D", "-e", "-f", str(folder / "sshd_config")]
        with (folder / "sshd.log").open("wb") as log:
            process = subprocess.Popen(
                [*_ENTER, f"--net=/run/netns/{space}", *sshd], stdin=subprocess.DEVNULL, stderr=log
            )
        undo.callback(process.wait, _PATIENCE_S)
        undo.callback(process.terminate)
        known = f"-oUserKnownHostsFile={folder}/known_hosts -oStrictHostKeyChecking=accept-new"
        alive = "-oServerAliveInterval=1 -oServerAliveCountMax=2"
        machine = Machine(name, folder, f"-i {shared}/key {known} {alive} root@{there}", link)
        _wait(machine)
        yield machine


def _addresses(number: int) -> tuple[str, str]:
    """Return this machine's and the host's address in the network of a host: those of other processes differ."""
    first = (os.getpid() % 10_000 * len(NAMES) + number) * 4  # a network of four addresses for each host
    network = ipaddress.ip_address("198.18.0.0") + first  # 198.18.0.0/15 is for tests; see RFC 2544
    return str(network + 1), str(network + 2)


def _wait(machine: Machine) -> None:
    """Wait until the host answers."""
    deadline = time.monotonic() + _PATIENCE_S
    command = ["ssh", *machine.ssh.split(), "-oBatchMode=yes", "true"]
    while subprocess.run(command, capture_output=True, check=False).returncode:
        assert time.monotonic() < deadline, (machine.folder / "sshd.log").read_text()
        time.sleep(0.05)


def _ip(*words: str) -> None:
    subprocess.run([str(_IP), *words], check=True, capture_output=True)
