"""As whom a worker runs: one of a session of root's gives up root's rights before it becomes what is measured.

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

from pytest_edgeload.base.errors import Refusal, Setting, Unsupported, UsageError

AUTO, SAME = "auto", "same"

_UNPRIVILEGED = "nobody"
_KEPT = "dac_read_search"  # reading what root may read: the project, its environment and the weights are often root's
_SETS = ("inh-caps", "ambient-caps", "bounding-set")
_RIGHTS = (*(f"--{each}=-all,+{_KEPT}" for each in _SETS), "--no-new-privs")
_BOUND = "--pdeathsig=KILL"  # the kernel ends a worker whose parent is killed
_PROBE = (sys.executable, "-I", "-S", "-c", "print(flush=True); input()")  # it ends with its input, if not by us
_DENIED = (os.strerror(errno.EACCES), os.strerror(errno.EPERM))
_CALLED = ("USER", "LOGNAME")
_OBEYED = (
    *("LD_", "GCONV_PATH", "GETCONF_DIR", "LOCPATH", "NLSPATH", "MALLOC_"),
    *("ENV", "BASH_ENV", "BASH_FUNC_", "SHELLOPTS", "BASHOPTS", "PS4"),
)
"""How variables begin that the dynamic loader, the C library or a shell obeys, before rights are given up."""

_GIVEN = ("/usr/bin/env", "/bin/sh", "-c", 'exec "$@"', "sh")  # a program's path may hold `=`, which env would take
_NEEDS = (
    "install setpriv (Debian package util-linux), and give a container the capabilities SETUID, SETGID, KILL and "
    "DAC_READ_SEARCH with docker's --cap-add"
)


@dataclass(frozen=True, slots=True)
class User:
    """A user that workers run as. `become` is a command prefix that runs what follows as this user, bound to us.

    `ids` are user and group where that is another user than ours. `notice` says why it is ours where it should not be.
    """

    name: str
    become: tuple[str, ...]
    ids: tuple[int, int] | None = None
    notice: str = ""

    def given(self, fd: int) -> None:
        """Give the user the file that `fd` stands for: programs open their output by name, such as /dev/stdout."""
        if self.ids is not None:
            os.fchown(fd, *self.ids)

    def started(
        self, enter: Sequence[str], command: Sequence[str], env: Mapping[str, str]
    ) -> tuple[list[str], dict[str, str]]:
        """Return what becomes `command` as this user behind the prefix `enter`, and the environment that starts it.

        In `env` the user's name replaces ours. What would be obeyed with rights that are to be given up comes after.
        """
        if self.ids is None:
            return [*enter, *self.become, *command], {**env}
        ours = [name for name in _CALLED if env.get(name) == os.environ.get(name)]
        early = {name: value for name, value in env.items() if not name.startswith(_OBEYED)}
        late = [f"{name}={env[name]}" for name in env if name not in early]
        given = [_GIVEN[0], *late, *_GIVEN[1:]] if late else []
        return [*enter, *self.become, *given, *command], {**early, **dict.fromkeys(ours, self.name)}

    def explained(self, detail: str) -> str:
        """Return what went wrong, with the way out where it was that this user may not do what ours may."""
        if self.ids is None or not any(word in detail for word in _DENIED):
            return detail
        return f"{detail} (the worker ran as user {self.name}; the user `{SAME}` keeps the rights of root)"


@cache
def ourselves() -> User:
    """Return the user that this process runs as."""
    bound = _setpriv(_BOUND)
    return User(_name(), () if _fault(bound) else bound)


def choose(setting: str, environ: Mapping[str, str] = os.environ) -> User:
    """Return the user that `setting` asks for, tried out.

    `same`: ourselves. `auto`: the same unless we are root; then who called sudo, or else nobody; where that cannot be,
    ourselves with a notice. Anything else is a user's name. Raises UsageError or Unsupported.
    """
    if setting == SAME or (setting == AUTO and os.geteuid() != 0):
        return ourselves()
    if setting != AUTO:
        return _named(setting)
    name = _caller(environ) or _UNPRIVILEGED
    try:
        return _named(name)
    except Refusal as error:
        hint = _NEEDS if isinstance(error, Unsupported) else ""
        return replace(
            ourselves(), notice=str(error.about(f"workers had the rights of root, not those of {name}", hint))
        )


def _named(name: str) -> User:
    try:
        entry = pwd.getpwnam(name)
    except (KeyError, ValueError):  # a name may hold no null character
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
    """Return the id of the user who became root by sudo; None where nobody did."""
    text = environ.get("SUDO_UID", "")
    return int(text) if text.isascii() and text.isdecimal() and int(text) else None


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
    became = (f"--reuid={ids[0]}", f"--regid={ids[1]}", f"--groups={groups}")
    return User(entry.pw_name, _setpriv(*became, *_RIGHTS, _BOUND), ids)


def _setpriv(*options: str) -> tuple[str, ...]:
    program = shutil.which("setpriv")
    return (program, *options, "--") if program else ()


def _fault(become: tuple[str, ...]) -> str | None:
    """Return why Python cannot be started behind this prefix, and ended by us; None where it can."""
    if not become:
        return "setpriv is not installed"
    pipe = subprocess.PIPE
    try:
        with subprocess.Popen([*become, *_PROBE], stdin=pipe, stdout=pipe, stderr=pipe, text=True) as probe:
            assert probe.stdout is not None  # all are pipes
            assert probe.stderr is not None
            if probe.stdout.readline():
                probe.kill()
                return None
            return " ".join(probe.stderr.read().split())
    except OSError as error:
        return f"a process of that user cannot be started and ended: {error.strerror}"
