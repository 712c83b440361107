"""The user that workers run as. If pytest runs as root, a worker drops root's rights before it starts measured code.

See setpriv(1), capabilities(7) and Documentation/userspace-api/no_new_privs.rst.
"""

from __future__ import annotations

import errno
import os
import pwd
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache

from pytest_edgeload.base import kernel_text
from pytest_edgeload.base.errors import Refusal, Setting, Unsupported, UsageError

AUTO, SAME = "auto", "same"

_UNPRIVILEGED = "nobody"
_KEPT = "dac_read_search"  # to read files of root: the project, its environment and the weights are often root's
_SETS = ("inh-caps", "ambient-caps", "bounding-set")
_RIGHTS = (*(f"--{each}=-all,+{_KEPT}" for each in _SETS), "--no-new-privs")
_BOUND = "--pdeathsig=KILL"  # the kernel ends a worker whose parent is killed
_PROBE = (sys.executable, "-I", "-S", "-c", "print(flush=True); input()")  # ends with its input, if not killed
_DENIED = (os.strerror(errno.EACCES), os.strerror(errno.EPERM))
_USER_NAMES = ("USER", "LOGNAME")
_EARLY = (
    *("LD_", "GCONV_PATH", "GETCONF_DIR", "LOCPATH", "NLSPATH", "MALLOC_"),
    *("ENV", "BASH_ENV", "BASH_FUNC_", "SHELLOPTS", "BASHOPTS", "PS4"),
)
"""Prefixes of variables that the dynamic loader, the C library or a shell obeys, and so before rights are dropped."""

# env(1) would take a program's path with a `=` for a variable, so a shell starts the program.
_WITH_VARIABLES = ("/usr/bin/env", "/bin/sh", "-c", 'exec "$@"', "sh")
_NEEDS = (
    "install setpriv (Debian package util-linux), and give a container the capabilities SETUID, SETGID, KILL and "
    "DAC_READ_SEARCH with docker's --cap-add"
)


@dataclass(frozen=True, slots=True)
class User:
    """A user that workers run as.

    `become` is a command prefix that runs the command behind it as this user, and kills it when this process dies.
    `ids` are user and group if it is another user than this process's. `refusal` says why it is not, although it
    should be.
    """

    name: str
    become: tuple[str, ...]
    ids: tuple[int, int] | None = None
    refusal: Refusal | None = None

    @property
    def notice(self) -> str:
        """The refusal as one sentence; empty without one."""
        return "" if self.refusal is None else str(self.refusal)

    @property
    def uid(self) -> int:
        """The id of this user."""
        return os.geteuid() if self.ids is None else self.ids[0]

    def own(self, fd: int) -> None:
        """Make the user the owner of an open file, because programs open their output by names such as /dev/stdout."""
        if self.ids is not None:
            os.fchown(fd, *self.ids)

    def command_line(
        self, enter: Sequence[str], command: Sequence[str], env: Mapping[str, str]
    ) -> tuple[list[str], dict[str, str]]:
        """Return the command behind the prefix `enter` that becomes `command` as this user, and its environment.

        In `env` the user's name replaces that of this process's user. Variables that would take effect before the
        rights are dropped are set afterwards.
        """
        if self.ids is None:
            return [*enter, *self.become, *command], {**env}
        names = [name for name in _USER_NAMES if env.get(name) == os.environ.get(name)]
        safe = {name: value for name, value in env.items() if not name.startswith(_EARLY)}
        late = [f"{name}={env[name]}" for name in env if name not in safe]
        setting = [_WITH_VARIABLES[0], *late, *_WITH_VARIABLES[1:]] if late else []
        return [*enter, *self.become, *setting, *command], {**safe, **dict.fromkeys(names, self.name)}

    def explain(self, detail: str) -> str:
        """Return the detail of a failure, with a hint if this user may lack a right that root has."""
        if self.ids is None or not any(word in detail for word in _DENIED):
            return detail
        return f"{detail} (the worker ran as user {self.name}; the user `{SAME}` keeps the rights of root)"


@cache
def ourselves() -> User:
    """Return the user of this process."""
    bound = _setpriv(_BOUND)
    return User(_name(), () if _fault(bound) else bound)


def choose(setting: str, environ: Mapping[str, str] = os.environ) -> User:
    """Return the user that `setting` names, after a trial.

    `same`: this process's user. `auto`: the same, but for root the user who called sudo, or else nobody; if that
    fails, root with a `refusal`. Any other setting is a user's name. Raises UsageError or Unsupported.
    """
    if setting == SAME or (setting == AUTO and os.geteuid() != 0):
        return ourselves()
    if setting != AUTO:
        return _user_called(setting)
    name = _caller(environ) or _UNPRIVILEGED
    try:
        return _user_called(name)
    except Refusal as error:
        hint = _NEEDS if isinstance(error, Unsupported) else ""
        return replace(ourselves(), refusal=error.about(f"workers had the rights of root, not those of {name}", hint))


def _user_called(name: str) -> User:
    try:
        entry = pwd.getpwnam(name)
    except (KeyError, ValueError):  # ValueError: a null character
        raise UsageError(Setting("user", name), "this user does not exist", f"try {_UNPRIVILEGED} or {SAME}") from None
    if entry.pw_uid == os.geteuid():
        return ourselves()
    if os.geteuid() != 0:
        raise UsageError(
            Setting("user", name), "only root may run workers as another user", f"leave it out, or start as {name}"
        )
    user = _unprivileged(entry)
    fault = _fault(user.become)
    if fault is not None:
        hint = (_NEEDS, ", or keep the rights of root with ", Setting("user", SAME))
        raise Unsupported(Setting("user", name), fault, hint)
    return user


def caller_id(environ: Mapping[str, str] = os.environ) -> int | None:
    """Return the id of the user who became root by sudo; None without sudo."""
    return kernel_text.number(environ.get("SUDO_UID", "")) or None


def _caller(environ: Mapping[str, str]) -> str | None:
    user = caller_id(environ)
    try:
        return None if user is None else pwd.getpwuid(user).pw_name
    except (KeyError, OverflowError):
        return None


def _name() -> str:
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return f"user {os.geteuid()}"


def _unprivileged(entry: pwd.struct_passwd) -> User:
    ids = entry.pw_uid, entry.pw_gid
    groups = ",".join(map(str, os.getgrouplist(entry.pw_name, entry.pw_gid)))
    identity = (f"--reuid={ids[0]}", f"--regid={ids[1]}", f"--groups={groups}")
    return User(entry.pw_name, _setpriv(*identity, *_RIGHTS, _BOUND), ids)


def _setpriv(*options: str) -> tuple[str, ...]:
    program = shutil.which("setpriv")
    return (program, *options, "--") if program else ()


def _fault(become: tuple[str, ...]) -> str | None:
    """Return why Python cannot be started behind this prefix and then killed; None if it can."""
    if not become:
        return "setpriv is not installed"
    pipe = subprocess.PIPE
    try:
        with subprocess.Popen([*become, *_PROBE], stdin=pipe, stdout=pipe, stderr=pipe) as probe:
            assert probe.stdout is not None  # all are pipes
            assert probe.stderr is not None
            if probe.stdout.readline():
                probe.kill()
                return None
            return " ".join(probe.stderr.read().decode(errors="replace").split())
    except OSError as error:
        return f"a process of that user cannot be started and ended: {error.strerror}"
