"""A worker of root drops root's rights: it can read root's files, and is otherwise like any user's process."""

from __future__ import annotations

import ctypes
import itertools
import os
import pwd
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from pytest_edgeload.base.errors import UsageError
from pytest_edgeload.devices.constraints import Constraints
from pytest_edgeload.plugin.programs import pack_call
from pytest_edgeload.results.measurement import Measurement
from pytest_edgeload.sandbox.caps import Cap
from pytest_edgeload.sandbox.command import Command, launch_command
from pytest_edgeload.sandbox.constraints import Limits
from pytest_edgeload.sandbox.enclosure import Enclosure
from pytest_edgeload.sandbox.launch import launch_call
from pytest_edgeload.sandbox.user import User, choose, ourselves
from tests.sandbox import witness
from tests.sandbox.child import MIB

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root has rights to give up")

NOBODY = 65534
READ_SEARCH = 1 << 2  # CAP_DAC_READ_SEARCH of capabilities(7)
PTRACE_ATTACH = 16
IMPORTS = "from pytest_edgeload.sandbox.user import choose"

Enclosing = Callable[..., Enclosure]


@pytest.fixture
def enclosing(any_cap: Cap, fresh: Callable[[], str]) -> Enclosing:
    """Return enclosures of each cap for workers of a user."""

    def enclosing(setting: str = "auto", name: str = "") -> Enclosure:
        user = choose(setting, {})
        return Enclosure(any_cap, name or fresh(), Limits(Constraints(256 * MIB)), 60, user=user)

    return enclosing


def call(enclosure: Enclosure, function: Callable[..., object], *args: object) -> Measurement:
    """Call a function of this file in a worker."""
    return launch_call(pack_call("it", function, args, {}, [sys.modules[__name__]]), 1, enclosure)


def run(enclosure: Enclosure, *argv: str | Path, env: dict[str, str] | None = None) -> Measurement:
    """Run a program."""
    command = Command.of(argv, {**os.environ, **(env or {})}, None, None, None, None)
    return launch_command(command, 1, enclosure)


def status(pid: int | str = "self") -> dict[str, list[str]]:
    """Return the kernel's lines about a process's rights."""
    lines = (line.split() for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    wanted = ("Uid:", "Gid:", "Groups:", "CapInh:", "CapPrm:", "CapEff:", "CapBnd:", "CapAmb:", "NoNewPrivs:")
    return {name.rstrip(":"): values for name, *values in lines if name in wanted}


def of_nobody() -> dict[str, list[str]]:
    """Return its lines about a process with the rights of nobody that may read."""
    kept = [f"{READ_SEARCH:016x}"]
    sets = dict.fromkeys(("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"), kept)
    group = pwd.getpwnam("nobody").pw_gid
    return {"Uid": [str(NOBODY)] * 4, "Gid": [str(group)] * 4, "Groups": [str(group)], **sets, "NoNewPrivs": ["1"]}


@as_root
def test_function_has_the_right_to_read_alone(enclosing: Enclosing) -> None:
    """A function runs as nobody with only the right to read, for good; its environment says so, and keeps the rest."""
    seen = call(enclosing(), lambda: (status(), os.environ["USER"], os.environ["LOGNAME"], os.environ.get("HOME")))
    assert (seen.outcome, seen.detail) == ("ok", "")
    assert seen.returned == [of_nobody(), "nobody", "nobody", os.environ.get("HOME")]


@as_root
def test_service_has_no_more_rights(enclosing: Enclosing) -> None:
    """A service and its children have no more rights, as seen from outside."""
    calls, found = itertools.count(), list[dict[str, list[str]]]()
    script = "sleep 60 & exec sleep 60"

    def is_ready() -> bool:
        return next(calls) > 0 and len(_sleepers()) == 2

    def ask() -> None:
        found.extend(status(process.pid) for process in _sleepers())

    wanted = Command.of(["sh", "-c", script], os.environ, None, None, is_ready, ask)
    assert launch_command(wanted, 1, enclosing()).outcome == "ok"
    assert found == [of_nobody()] * 2


def _sleepers() -> list[psutil.Process]:
    return [each for each in psutil.Process().children(recursive=True) if each.name() == "sleep"]


def _attempts(file: str, folder: str, groups: list[str], parent: int) -> dict[str, str]:
    """Try what root may, and return how each attempt ended."""
    libc = ctypes.CDLL(None, use_errno=True)

    def asked(done: int) -> None:
        if done < 0:
            raise OSError(ctypes.get_errno(), "")

    acts: dict[str, Callable[[], object]] = {
        "write": lambda: Path(file).write_text("mine"),
        "make": lambda: Path(folder, "made").touch(),
        "remove": lambda: Path(file).unlink(),
        "own": lambda: os.chown(file, os.getuid(), -1),
        "chmod": lambda: Path(file).chmod(0o666),
        "signal": lambda: os.kill(parent, 0),
        "trace": lambda: asked(libc.ptrace(PTRACE_ATTACH, parent, None, None)),
        "memory": lambda: Path(f"/proc/{parent}/mem").open("rb").close(),
        "environ": lambda: Path(f"/proc/{parent}/environ").read_bytes(),
        "mount": lambda: asked(libc.mount(b"none", folder.encode(), b"tmpfs", 0, None)),
        "swap": lambda: asked(libc.swapoff(file.encode())),
        "root": lambda: os.setuid(0),
        "groups": lambda: os.setgroups([0]),
        **{group: lambda group=group: Path(group).write_text("0") for group in groups},  # type: ignore[misc]
    }
    return {name: _ended(act) for name, act in acts.items()}


def _ended(act: Callable[[], object]) -> str:
    try:
        act()
    except OSError as error:
        return type(error).__name__
    return "done"


@as_root
def test_worker_cannot_change_anything_of_root(
    enclosing: Enclosing, any_cap: Cap, fresh: Callable[[], str], tmp_path: Path
) -> None:
    """It can neither change root's files, nor reach pytest, leave its group, or move its limit."""
    file, name = tmp_path / "file", fresh()
    file.write_text("root's")
    seen = call(enclosing(name=name), _reach, str(file), str(tmp_path), name)
    assert (seen.outcome, seen.detail) == ("ok", "")
    assert seen.returned is not None
    assert {*seen.returned.values()} == {"PermissionError"}, seen.returned
    assert any("cgroup.procs" in what for what in seen.returned) == any_cap.enforces
    assert (file.read_text(), file.stat().st_uid, [*tmp_path.iterdir()]) == ("root's", 0, [file])


def _reach(file: str, folder: str, name: str) -> dict[str, str]:
    """Try it with the files of its own group, and of the group around that."""
    own = [Path(top, name) for top, names, _ in os.walk("/sys/fs/cgroup") if name in names]
    limits = ("memory.limit_in_bytes", "memory.max", "cgroup.procs")
    files = [str(each / limit) for each in own for limit in limits if (each / limit).exists()]
    return _attempts(file, folder, [*files, *(str(each.parent / "cgroup.procs") for each in own)], os.getppid())


@as_root
def test_worker_reads_files_of_root(enclosing: Enclosing, tmp_path: Path) -> None:
    """It reads a file that is root's alone, in a folder that is root's alone, and starts a program there."""
    secret = tmp_path / "secret"
    secret.mkdir(mode=0o700)
    file, program = secret / "weights", secret / "program"
    file.write_text("root's")
    file.chmod(0o600)
    program.write_text("#!/bin/sh\n")
    program.chmod(0o700)
    seen = call(enclosing(), lambda: (file.read_text(), sorted(path.name for path in secret.iterdir())))
    assert seen.returned == ["root's", ["program", "weights"]]
    assert run(enclosing(), program).outcome == "ok"


@as_root
@pytest.mark.parametrize(
    ("script", "detail"),
    [
        (
            "echo > {}/file",
            "Permission denied (the worker ran as user nobody; the user `same` keeps the rights of root)",
        ),
        ("echo other >&2; exit 1", "the program ended with status 1: other"),
    ],
)
def test_missing_right_is_explained(enclosing: Enclosing, tmp_path: Path, script: str, detail: str) -> None:
    """A program that fails for a missing right is explained with a hint, and no other one is."""
    seen = run(enclosing(), "sh", "-c", script.format(tmp_path))
    assert seen.outcome == "crashed"
    assert seen.detail.endswith(detail)
    seen = call(enclosing(), (tmp_path / "file").touch)
    assert seen.detail.startswith("PermissionError: ")
    assert "the user `same`" in seen.detail


@as_root
def test_program_opens_its_output_by_name(enclosing: Enclosing) -> None:
    """A program may open its own output and errors by names, to which /dev/stdout is a link."""
    seen = run(enclosing(), "sh", "-c", "echo out > /proc/self/fd/1 && echo error > /proc/self/fd/2 && exit 3")
    assert seen.detail == "the program ended with status 3: error"


@as_root
def test_users_of_the_environment_stay(enclosing: Enclosing) -> None:
    """A test's own values of USER and LOGNAME stay."""
    seen = run(enclosing(), "sh", "-c", "echo $USER $LOGNAME; exit 1", env={"USER": "me"})
    assert seen.detail.endswith(": me nobody")


@as_root
def test_early_variables_reach_only_the_program() -> None:
    """Variables that the loader or a shell obeys do not reach code with root's rights, but the program itself."""
    given = {
        "LD_PRELOAD": "/x.so",
        "LD_LIBRARY_PATH": "/x",
        "BASH_ENV": "/y",
        "GCONV_PATH": "/z",
        "KEPT": "1",
        "USER": "nobody",
        "LOGNAME": "nobody",
    }
    command, env = choose("nobody").command_line(["enter"], ["program"], given)
    assert env == {"KEPT": "1", "USER": "nobody", "LOGNAME": "nobody"}
    became = command.index("--")
    assert command[became + 1] == "/usr/bin/env"
    assert command[became + 2 : became + 6] == [f"{name}={given[name]}" for name in [*given][:4]]
    assert command[-1] == "program"
    assert choose("same").command_line([], ["program"], given)[1] == given


PRELOADED = """\
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
__attribute__((constructor)) static void note(void)
{
    FILE *file = fopen(getenv("NOTE"), "a");
    fprintf(file, "%d\\n", (int)geteuid());
    fclose(file);
}
"""


@as_root
@pytest.mark.skipif(shutil.which("cc") is None, reason="takes a compiler")
def test_preloaded_library_never_has_rights(enclosing: Enclosing, tmp_path: Path) -> None:
    """A preloaded library is in the program, with any path, and never in code with root's rights."""
    library, note, program = tmp_path / "x.so", tmp_path / "note", tmp_path / "a=b"
    (tmp_path / "x.c").write_text(PRELOADED)
    subprocess.run(["cc", "-shared", "-fPIC", "-o", library, tmp_path / "x.c"], check=True)
    note.touch()
    note.chmod(0o666)
    program.symlink_to(shutil.which("true") or "")
    seen = run(enclosing(), program, env={"LD_PRELOAD": str(library), "NOTE": str(note)})
    assert (seen.outcome, seen.detail) == ("ok", "")
    assert {*note.read_text().split()} == {str(NOBODY)}


@as_root
def test_same_keeps_all_rights(enclosing: Enclosing, tmp_path: Path) -> None:
    """`same` keeps all rights of root, and explains nothing."""
    seen = call(enclosing("same"), lambda: (status()["Uid"], status()["CapEff"], (tmp_path / "made").write_text("")))
    assert seen.returned == [["0"] * 4, status()["CapEff"], 0]
    assert "`same`" not in call(enclosing("same"), os.listdir, "/nowhere").detail


@as_root
def test_program_of_nobody_dies_with_pytest(tmp_path: Path) -> None:
    """A program of nobody ends when pytest is killed, even without a group."""
    code = (
        "import os, sys; from tests.sandbox.test_user import *; from pytest_edgeload.sandbox.caps import CAPS\n"
        "run(Enclosure(CAPS['none'], 'it', Limits(), 60, user=choose('auto', {})), 'sh', '-c',"
        " 'echo $$ > \"$0\"; exec sleep 60', sys.argv[1])"
    )
    note = tmp_path / "pid"
    note.touch()
    note.chmod(0o666)
    with subprocess.Popen([sys.executable, "-c", code, note]) as launcher:
        assert witness.until(lambda: note.stat().st_size > 0)
        launcher.kill()
    assert witness.until(lambda: not witness.alive(int(note.read_text())))


@as_root
def test_auto_is_the_sudo_caller_or_nobody() -> None:
    """`auto` is the caller of sudo, else nobody; a caller that is root, or unknown, is nobody as well."""
    daemon = pwd.getpwnam("daemon")
    assert choose("auto", {"SUDO_UID": str(daemon.pw_uid)}).ids == (daemon.pw_uid, daemon.pw_gid)
    for environ in ({}, {"SUDO_UID": "0"}, {"SUDO_UID": "4000000"}, {"SUDO_UID": "9" * 30}, {"SUDO_UID": "-1"}):
        assert (choose("auto", environ).name, choose("auto", environ).notice) == ("nobody", "")
    assert choose("root") == choose("same") == ourselves()
    assert choose("daemon").name == "daemon"


def test_user_without_root_cannot_be_changed() -> None:
    """A user without rights runs workers as they are, and is refused another user in one sentence."""
    found = ", ".join(f"choose('{setting}').ids" for setting in ("auto", "nobody", "same"))
    assert witness.as_nobody(IMPORTS, found) == "None None None"
    told = witness.as_nobody(IMPORTS, "choose('root')")
    assert told == "UsageError: user=root: only root may run workers as another user; leave it out, or start as root"


@pytest.mark.parametrize("name", ["no-such-user", "", "a\0b", "../root"])
def test_unknown_user_is_refused(name: str) -> None:
    """An unknown user is refused in one sentence with a hint."""
    with pytest.raises(UsageError, match=r"^user.*: this user does not exist; try nobody or same$"):
        choose(name)


LACKING = {
    "dac_read_search": "setpriv: apply capabilities: Operation not permitted",
    "setuid": "setpriv: setresuid failed: Operation not permitted",
    "kill": "a process of that user cannot be started and ended: Operation not permitted",
}


@as_root
@pytest.mark.parametrize("right", LACKING)
def test_root_without_rights_keeps_them_with_a_notice(right: str) -> None:
    """If root lacks a needed right, a named user is refused, and `auto` is root with a notice."""
    without = ["setpriv", f"--inh-caps=-{right}", f"--bounding-set=-{right}", "--", sys.executable, "-c"]
    notice = f"{IMPORTS}\nuser = choose('auto', {{}})\nprint(user.name, user.ids, user.notice)"
    told = subprocess.run([*without, notice], check=True, capture_output=True, text=True).stdout
    assert told.startswith(f"root None workers had the rights of root, not those of nobody: {LACKING[right]}; install ")
    refused = subprocess.run([*without, f"{IMPORTS}\nchoose('nobody')"], check=False, capture_output=True, text=True)
    assert f"Unsupported: user=nobody: {LACKING[right]}; install setpriv" in refused.stderr


@as_root
def test_missing_setpriv_is_a_notice(tmp_path: Path) -> None:
    """Without setpriv, or with an old one, workers run as root, and a notice says so."""
    (tmp_path / "setpriv").write_text("#!/bin/sh\necho 'setpriv: unrecognized option' >&2; exit 1\n")
    code = f"{IMPORTS}\nuser = choose('auto', {{}})\nprint(user.become, user.notice)"
    for mode, reason in ((0o600, "setpriv is not installed"), (0o700, "setpriv: unrecog")):
        (tmp_path / "setpriv").chmod(mode)
        env = {**os.environ, "PATH": str(tmp_path)}
        done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, env=env)
        assert done.stdout.startswith(f"() workers had the rights of root, not those of nobody: {reason}")


def test_only_errors_of_rights_are_explained() -> None:
    """Only an error about rights is explained, and only if rights were dropped."""
    nobody = User("nobody", (), (NOBODY, NOBODY))
    assert nobody.explain("x: Operation not permitted").endswith("the user `same` keeps the rights of root)")
    assert nobody.explain("x: No such file or directory") == "x: No such file or directory"
    assert ourselves().explain("x: Permission denied") == "x: Permission denied"
