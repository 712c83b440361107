"""Three hosts on this machine: network namespaces with addresses of their own, each with its own sshd."""

from __future__ import annotations

import ipaddress
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import psutil

from pytest_edgeload.hosts.facts import ORIGIN
from pytest_edgeload.sandbox.owner import PREFIX, is_abandoned, tag
from tests.plugin.sessions import PATIENCE_S

NAMES = ("alpha", "beta", "gamma")

_SSHD = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
_IP = shutil.which("ip", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
_TC = shutil.which("tc", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
_SPACES = Path("/run/netns")
_ENTER = ("nsenter",)  # unlike `ip netns exec`, it keeps the mounted cgroups
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
    space = f"{PREFIX}{tag(os.getpid())}-try"
    tried = subprocess.run([str(_IP), "netns", "add", space], capture_output=True, check=False)
    if tried.returncode:
        return "no network namespaces here"
    _ip("netns", "delete", space)
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

    @property
    def impatient_ssh(self) -> str:
        """The destination for tests that cut the host off, which is noticed within 3 s instead of 30."""
        return f"-oServerAliveInterval=1 -oServerAliveCountMax=2 {self.ssh}"

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

    def process(self, controller: int) -> psutil.Process:
        """Return the process on the host of a session, which runs a test, by the process of that session here."""
        [folder] = self._folders(controller)
        return psutil.Process(int(folder.name.split("-")[1]))

    def runs(self, controller: int) -> list[Path]:
        """Return the files of measurements on the host in the session of a process here."""
        return [path for folder in self._folders(controller) for path in folder.glob("runs/*.json")]

    def _folders(self, controller: int) -> Iterator[Path]:
        """Yield the folders on the host of the session of a process here, which have its note until it has ended."""
        for note in self._cache.glob(f"sessions/*/{ORIGIN}"):
            with suppress(FileNotFoundError):  # of a session that has just ended
                if f".edgeload-{controller}-" in note.read_text():
                    yield note.parent

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
    _remove_abandoned()
    with ExitStack() as undo:
        key = folder / "key"
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
        yield tuple(undo.enter_context(_machine(name, folder, i)) for i, name in enumerate(NAMES))


def _remove_abandoned() -> None:
    """Remove the hosts of test runs that were killed: their processes, and their namespaces with the links."""
    for space in [path.name for path in _SPACES.glob(f"{PREFIX}*") if is_abandoned(path.name)]:
        with suppress(subprocess.CalledProcessError):  # another run may have been quicker
            for pid in map(int, _ip("netns", "pids", space).split()):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            _ip("netns", "delete", space)


@contextmanager
def _machine(name: str, shared: Path, number: int) -> Iterator[Machine]:
    folder, space, link = shared / name, f"{PREFIX}{tag(os.getpid())}-{name}", f"edgel{os.getpid()}-{name[0]}"
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
                [*_ENTER, f"--net={_SPACES / space}", *sshd], stdin=subprocess.DEVNULL, stderr=log
            )
        undo.callback(process.wait, PATIENCE_S)
        undo.callback(process.terminate)
        known = f"-oUserKnownHostsFile={folder}/known_hosts -oStrictHostKeyChecking=accept-new"
        machine = Machine(name, folder, f"-i {shared}/key {known} root@{there}", link)
        _wait(machine)
        yield machine


def _addresses(number: int) -> tuple[str, str]:
    """Return this machine's and the host's address in the network of a host: those of other processes differ."""
    first = (os.getpid() % 10_000 * len(NAMES) + number) * 4  # a network of four addresses for each host
    network = ipaddress.ip_address("198.18.0.0") + first  # 198.18.0.0/15 is for tests; see RFC 2544
    return str(network + 1), str(network + 2)


def _wait(machine: Machine) -> None:
    """Wait until the host answers."""
    deadline = time.monotonic() + PATIENCE_S
    command = ["ssh", *machine.ssh.split(), "-oBatchMode=yes", "true"]
    while subprocess.run(command, capture_output=True, check=False).returncode:
        assert time.monotonic() < deadline, (machine.folder / "sshd.log").read_text()
        time.sleep(0.05)


def _ip(*words: str) -> str:
    return subprocess.run([str(_IP), *words], check=True, capture_output=True, text=True).stdout
