"""Checks of rights, clock, processors and software. `root` is the folder of /proc, /sys and the like."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import time
from collections.abc import Mapping
from pathlib import Path

from pytest_edgeload.base import kernel_text
from pytest_edgeload.sandbox.doctor.check import Check

_ROOT = Path("/")
_RIGHTS = {  # the bit in CapEff, see capabilities(7), and its use
    "CAP_SYS_ADMIN": (21, "swap files"),
    "CAP_SYS_RESOURCE": (24, "going beyond a user's resource limits"),
}
_CAPABILITIES = re.compile(r"^CapEff:\s*([0-9a-f]{1,16})$", re.MULTILINE)
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
_NO_PRESSURE = "boot with the kernel parameter psi=1"
_HIDDEN = "not visible here"
_SUDO = "run as root: sudo -E env PATH=$PATH edgeload doctor"
_GRANT = "run as root; in a container: docker run --cap-add={} ..."
_OUTSIDE = "run outside of it: root in a user namespace is not root outside"


def _text(path: Path) -> str:
    """Return the text of a file, stripped; empty if it cannot be read."""
    try:
        return kernel_text.read(path).strip()
    except OSError:
        return ""


def rights(root: Path = _ROOT, environ: Mapping[str, str] = os.environ) -> list[Check]:
    """Return the checks of this process's user, capabilities and container."""
    user = os.geteuid()
    held = _CAPABILITIES.search(_text(root / "proc/self/status"))
    bits = int(held[1], 16) if held else 0
    return [
        Check("rights", "root", user == 0, f"user {user}", _SUDO, "informative"),
        *(_capability(name, use, is_held=bool(bits >> bit & 1)) for name, (bit, use) in _RIGHTS.items()),
        _container(root, environ),
        _user_namespace(root),
    ]


def _capability(name: str, use: str, *, is_held: bool) -> Check:
    hint = _GRANT.format(name.removeprefix("CAP_"))
    return Check("rights", name, is_held, f"for {use}", hint, "informative")


def _container(root: Path, environ: Mapping[str, str]) -> Check:
    marks = [kind for path, kind in _MARKS.items() if (root / path.lstrip("/")).exists()]
    kinds = [environ.get("container", ""), *marks, _text(root / "run/systemd/container")]
    kinds += ["kubernetes"] if "KUBERNETES_SERVICE_HOST" in environ else []
    found = ", ".join(dict.fromkeys(filter(None, kinds)))
    hint = (
        "if limits cannot be set: docker run --privileged --cgroupns=host -v /sys/fs/cgroup:/sys/fs/cgroup:rw ...; "
        "podman the same; in Kubernetes securityContext: privileged: true"
    )
    return Check("rights", "no container", not found, found or "none seen", hint, "informative")


def _user_namespace(root: Path) -> Check:
    mapped = _text(root / "proc/self/uid_map").split()
    is_first = mapped[:2] == ["0", "0"] and mapped[2:] == ["4294967295"]
    found = "the first" if is_first else f"ids are mapped: {' '.join(mapped) or 'none'}"
    return Check("rights", "user namespace", is_first, found, _OUTSIDE, "informative")


def clock(root: Path = _ROOT) -> list[Check]:
    """Return the checks of the clock that times are taken from."""
    source = _text(root / "sys/devices/system/clocksource/clocksource0/current_clocksource")
    step_s = time.clock_getres(time.CLOCK_MONOTONIC)
    return [
        Check("clock", "clock source", source in _STEADY_CLOCKS, source or "unknown", "boot with clocksource=tsc"),
        Check("clock", "resolution", step_s <= _STEP_S, f"{step_s * 1e9:g} ns", "a kernel with high resolution timers"),
    ]


def processors(root: Path = _ROOT) -> list[Check]:
    """Return the checks of the processors, and of the settings that change their speed."""
    folder = root / "sys/devices/system/cpu"
    return [_affinity(), _governor(folder), _turbo(folder), _huge_pages(root)]


def _affinity() -> Check:
    usable, total = len(os.sched_getaffinity(0)), os.cpu_count() or 1
    hint = f"taskset -c 0-{total - 1} pytest ..."
    return Check("processors", "all usable", usable == total, f"{usable} of {total}", hint)


def _governor(folder: Path) -> Check:
    found = sorted({_text(file) for file in folder.glob("cpu*/cpufreq/scaling_governor")})
    hint = "cpupower frequency-set -g performance"
    return Check("processors", "governor", found in ([], ["performance"]), ", ".join(found) or _HIDDEN, hint)


def _huge_pages(root: Path) -> Check:
    found = _text(root / "sys/kernel/mm/transparent_hugepage/enabled")
    hint = "echo madvise > /sys/kernel/mm/transparent_hugepage/enabled, on a kernel that has them"
    ok = bool(found) and "[never]" not in found
    return Check("processors", "transparent huge pages", ok, found or "none in this kernel", hint)


def _turbo(folder: Path) -> Check:
    switches = {folder / "intel_pstate/no_turbo": "1", folder / "cpufreq/boost": "0"}  # and its text when off
    found = next(((file, off) for file, off in switches.items() if file.exists()), None)
    if found is None:
        return Check("processors", "no turbo", ok=True, found=_HIDDEN)
    file, off = found
    is_off = _text(file) == off
    return Check("processors", "no turbo", is_off, "off" if is_off else "on", f"echo {off} > {file}")


def software(root: Path = _ROOT) -> list[Check]:
    """Return the versions, and a check that the kernel reports waits for memory."""
    has_pressure = (root / "proc/pressure/memory").exists()
    try:
        torch = importlib.metadata.version("torch")
    except importlib.metadata.PackageNotFoundError:
        torch = ""
    return [
        Check(
            "software",
            "Linux",
            platform.system() == "Linux",
            platform.release(),
            "another system has no cgroups",
            "required",
        ),
        Check("software", "pressure (PSI)", has_pressure, "reported" if has_pressure else "not reported", _NO_PRESSURE),
        Check("software", "Python", ok=True, found=platform.python_version(), weight="required"),
        Check("software", "torch", bool(torch), torch or "not installed", "pip install torch", "required"),
    ]
