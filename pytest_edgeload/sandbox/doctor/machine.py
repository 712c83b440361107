"""Rights, clock, processors and software. `root` is where /proc, /sys and the like stand."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import time
from collections.abc import Mapping
from pathlib import Path

from pytest_edgeload.sandbox.doctor.row import Row

_ROOT = Path("/")
_RIGHTS = {  # bit in CapEff, see capabilities(7); what it is for
    "CAP_SYS_ADMIN": (21, "swap files"),
    "CAP_SYS_RESOURCE": (24, "going beyond a user's resource limits"),
}
_MARKS = {"/.dockerenv": "docker", "/run/.containerenv": "podman"}
_STEADY_CLOCKS = {
    "tsc",
    "arch_sys_counter",
    "kvm-clock",
    "hyperv_clocksource_tsc_page",
    "timebase",
    "riscv_clocksource",
}
_STEP_S = 1e-6
_HIDDEN = "not visible here"
_SUDO = "run as root: sudo -E env PATH=$PATH edgeload doctor"
_GRANT = "run as root; in a container: docker run --cap-add={} ..."


def _text(path: Path) -> str:
    """Return what a file says; nothing where it is not there or not for us."""
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return ""


def rights(root: Path = _ROOT, environ: Mapping[str, str] = os.environ) -> list[Row]:
    """Return who this process is, what it may, and in what it is contained."""
    user = os.geteuid()
    status = dict(line.split(":", 1) for line in _text(root / "proc/self/status").splitlines() if ":" in line)
    held = int(status.get("CapEff", "0"), 16)
    return [
        Row("rights", "root", user == 0, f"user {user}", _SUDO, "told"),
        *(
            Row("rights", name, bool(held >> bit & 1), f"for {use}", _GRANT.format(name.removeprefix("CAP_")), "told")
            for name, (bit, use) in _RIGHTS.items()
        ),
        _container(root, environ),
        _user_namespace(root),
    ]


def _container(root: Path, environ: Mapping[str, str]) -> Row:
    marks = [kind for path, kind in _MARKS.items() if (root / path.lstrip("/")).exists()]
    kinds = [environ.get("container", ""), *marks, _text(root / "run/systemd/container")]
    kinds += ["kubernetes"] if "KUBERNETES_SERVICE_HOST" in environ else []
    found = ", ".join(dict.fromkeys(filter(None, kinds)))
    way_out = (
        "if limits cannot be set: docker run --privileged --cgroupns=host -v /sys/fs/cgroup:/sys/fs/cgroup:rw ...; "
        "podman the same; in Kubernetes securityContext: privileged: true"
    )
    return Row("rights", "no container", not found, found or "none seen", way_out, "told")


def _user_namespace(root: Path) -> Row:
    mapped = _text(root / "proc/self/uid_map").split()
    is_first = mapped[:2] == ["0", "0"] and mapped[2:] == ["4294967295"]
    found = "the first" if is_first else f"ids are mapped: {' '.join(mapped) or 'none'}"
    return Row("rights", "user namespace", is_first, found, "run outside of it: root in here is no root", "told")


def clock(root: Path = _ROOT) -> list[Row]:
    """Return what times are taken by."""
    source = _text(root / "sys/devices/system/clocksource/clocksource0/current_clocksource")
    step_s = time.clock_getres(time.CLOCK_MONOTONIC)
    return [
        Row("clock", "clock source", source in _STEADY_CLOCKS, source or "not told", "boot with clocksource=tsc"),
        Row("clock", "resolution", step_s <= _STEP_S, f"{step_s * 1e9:g} ns", "a kernel with high resolution timers"),
    ]


def processors(root: Path = _ROOT) -> list[Row]:
    """Return what computes, and what makes its speed change."""
    folder = root / "sys/devices/system/cpu"
    return [_affinity(), _governor(folder), _turbo(folder), _huge_pages(root)]


def _affinity() -> Row:
    usable, there = len(os.sched_getaffinity(0)), os.cpu_count() or 1
    way_out = f"taskset -c 0-{there - 1} pytest ..."
    return Row("processors", "all usable", usable == there, f"{usable} of {there}", way_out)


def _governor(folder: Path) -> Row:
    found = sorted({_text(file) for file in folder.glob("cpu*/cpufreq/scaling_governor")})
    way_out = "cpupower frequency-set -g performance"
    return Row("processors", "governor", found in ([], ["performance"]), ", ".join(found) or _HIDDEN, way_out)


def _huge_pages(root: Path) -> Row:
    found = _text(root / "sys/kernel/mm/transparent_hugepage/enabled")
    way_out = "echo madvise > /sys/kernel/mm/transparent_hugepage/enabled, on a kernel that has them"
    ok = bool(found) and "[never]" not in found
    return Row("processors", "transparent huge pages", ok, found or "none in this kernel", way_out)


def _turbo(folder: Path) -> Row:
    switches = {folder / "intel_pstate/no_turbo": "1", folder / "cpufreq/boost": "0"}  # and what it says when off
    found = next(((file, off) for file, off in switches.items() if file.exists()), None)
    if found is None:
        return Row("processors", "no turbo", ok=True, found=_HIDDEN)
    file, off = found
    is_off = _text(file) == off
    return Row("processors", "no turbo", is_off, "off" if is_off else "on", f"echo {off} > {file}")


def software(root: Path = _ROOT) -> list[Row]:
    """Return versions, and whether the kernel tells of waiting for memory."""
    waits = (root / "proc/pressure/memory").exists()
    try:
        torch = importlib.metadata.version("torch")
    except importlib.metadata.PackageNotFoundError:
        torch = ""
    return [
        Row(
            "software",
            "Linux",
            platform.system() == "Linux",
            platform.release(),
            "another system has no cgroups",
            "required",
        ),
        Row(
            "software", "pressure (PSI)", waits, "told" if waits else "not told", "boot with the kernel parameter psi=1"
        ),
        Row("software", "Python", ok=True, found=platform.python_version(), weight="required"),
        Row("software", "torch", bool(torch), torch or "not installed", "pip install torch", "required"),
    ]
