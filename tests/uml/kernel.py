"""Run a command in a User-mode Linux kernel with cgroup v2, its memory controller and swap, on any host."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

KERNEL = "linux.uml"
DISK_BYTES = 4 << 30  # takes no more of the host than what is written to it
REPOSITORY = Path(__file__).resolve().parents[2]
SHIM = Path(__file__).with_name("xstate.c")

# The guest's first process. The guest's root is the host's own (hostfs), so this mounts over nothing but /proc, /sys,
# the /dev that the kernel brings and a directory of ours; mounts stay the guest's. Where a step fails it ends, and the
# kernel panics. Home is a disk of the guest's own because hostfs is none: it forgets a file's pages when the file is
# closed, counts no bytes read, refuses O_DIRECT, and gives whatever a guest's user creates to the host's user.
INIT = """\
#!/bin/sh -e
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mkdir /dev/shm /dev/pts
mount -t tmpfs -o mode=1777 tmpfs /dev/shm
mount -t devpts devpts /dev/pts
ln -s /proc/self/fd /dev/fd
mkfs.ext4 -q -O ^has_journal -E nodiscard /dev/ubda
mount /dev/ubda {scratch}/home
chmod 1777 {scratch}/home
if [ -b /dev/ubdb ]; then mkswap --quiet /dev/ubdb; swapon /dev/ubdb; fi
ip link set lo up || true
cd {directory}
status=0
# Its own shell opens its files: this one would tell there of a command that a signal ends.
sh -c 'exec "$@" </dev/null >"$0/stdout" 2>"$0/stderr"' {scratch} env -i {environment} {command} || status=$?
echo $status >{scratch}/status
sync --file-system {scratch}  # power off drops what hostfs has not written back
echo o >/proc/sysrq-trigger
while :; do sleep 1; done
"""


def available() -> str | None:
    """Return why no kernel can run here, or None."""
    if not shutil.which(KERNEL):
        return f"no {KERNEL} on this host (Debian package user-mode-linux)"
    if _has_large_registers() and not shutil.which("cc"):
        return f"{KERNEL} needs a C compiler on this processor (Debian package gcc)"
    return None


def run(
    command: Sequence[str],
    *,
    memory: str = "1024M",
    swap_bytes: int = 512 << 20,
    timeout_s: float = 300,
    environment: Mapping[str, str] = MappingProxyType({}),
) -> subprocess.CompletedProcess[str]:
    """Boot a kernel, run the command as its root in the repository's directory, power off, and give the result.

    The command sees the host's files, a unified cgroup hierarchy at /sys/fs/cgroup, and swap unless `swap_bytes` is 0.
    Its environment is PATH, HOME and TMPDIR, on a disk that vanishes afterwards, and `environment`. As in a shell,
    return code 128 + N means death by signal N. RuntimeError, with the kernel's console, says that the kernel ended
    before the command did; TimeoutError that it was killed.
    """
    with tempfile.TemporaryDirectory(prefix="uml-") as directory:
        scratch = Path(directory)
        scratch.chmod(0o755)  # the guest's unprivileged users pass here on their way home
        home = scratch / "home"
        home.mkdir()
        variables = {"PATH": os.environ.get("PATH", os.defpath), "HOME": str(home), "TMPDIR": str(home), **environment}
        init = scratch / "init"
        init.write_text(
            INIT.format(
                directory=shlex.quote(str(REPOSITORY)),
                environment=shlex.join(f"{name}={value}" for name, value in variables.items()),
                command=shlex.join(command),
                scratch=shlex.quote(directory),
            ),
        )
        init.chmod(0o755)
        disk, swap = _sparse(scratch / "disk", DISK_BYTES), _sparse(scratch / "swap", swap_bytes)
        options = [f"mem={memory}", f"init={init}", f"ubda={disk}", *([f"ubdb={swap}"] if swap_bytes else [])]
        ended = _boot(scratch, options, timeout_s)
        stdout, stderr, status, console = (_text(scratch / name) for name in ("stdout", "stderr", "status", "console"))
    if ended and status:
        return subprocess.CompletedProcess(list(command), int(status), stdout, stderr)
    # What precedes its first process is the same at every boot: of use only if it got no further.
    console = console.rpartition("as init process\n")[2]
    message = f"{shlex.join(command)}\n{stdout}{stderr}\n{KERNEL}'s console:\n{console}"
    raise RuntimeError(message) if ended else TimeoutError(message)


def _boot(scratch: Path, options: Sequence[str], timeout_s: float) -> bool:
    """Run the kernel to its end, its console in a file, and tell whether it ended by itself."""
    root = ["root=/dev/root", "rootfstype=hostfs", "rootflags=/", "rw"]
    consoles = ["con=null", "con0=null,fd:1"]
    with (
        (scratch / "console").open("w") as console,
        subprocess.Popen(
            [KERNEL, *root, *consoles, f"uml_dir={scratch}", *options],
            cwd=scratch,
            # Where the file that is the guest's memory goes: /dev/shm is often tiny in containers.
            env={**os.environ, **_preload(scratch), "TMPDIR": str(scratch)},
            stdin=subprocess.DEVNULL,
            stdout=console,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # all its processes in one group, and no terminal's ^C for them
        ) as kernel,
    ):
        # Every system call and page fault goes from a guest process to the kernel process and back: on one CPU that
        # costs less than half of what it costs across two.
        cpus = sorted(os.sched_getaffinity(0))
        beside = os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")  # each of these tests gets its own
        os.sched_setaffinity(kernel.pid, {cpus[int(beside) % len(cpus)]})
        try:
            kernel.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return False
        else:
            return True
        finally:
            if kernel.poll() is None:
                kernel.terminate()  # it then reaps its helper processes itself
                with suppress(subprocess.TimeoutExpired):
                    kernel.wait(5)
            with suppress(ProcessLookupError):
                os.killpg(kernel.pid, signal.SIGKILL)


def _has_large_registers() -> bool:
    """Return whether the processor has AMX, whose registers do not fit the buffers of the guest's kernel."""
    return "amx_tile" in Path("/proc/cpuinfo").read_text().split()


def _preload(scratch: Path) -> dict[str, str]:
    """Return the environment that makes the kernel work on this processor; see xstate.c."""
    if not _has_large_registers():
        return {}
    library = scratch / "xstate.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-O2", "-o", library, SHIM], check=True)
    return {"LD_PRELOAD": str(library)}


def _sparse(file: Path, size: int) -> Path:
    file.touch()
    os.truncate(file, size)
    return file


def _text(file: Path) -> str:
    return file.read_text(errors="replace") if file.exists() else ""
