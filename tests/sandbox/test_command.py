"""Any program: every ending has its outcome, its figures include its children, and nothing is left."""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, NoReturn

import numpy as np
import pytest

from pytest_edgeload.base.errors import Unsupported, UsageError
from pytest_edgeload.devices.constraints import Constraints
from pytest_edgeload.results.measurement import Measurement
from pytest_edgeload.sandbox.caps import Cap
from pytest_edgeload.sandbox.caps.uncapped import Uncapped
from pytest_edgeload.sandbox.command import Command, launch_command
from pytest_edgeload.sandbox.constraints import Limits
from pytest_edgeload.sandbox.enclosure import Enclosure
from tests.sandbox import witness
from tests.sandbox.child import MIB

Run = Callable[..., Measurement]

HOLD = """\
#include <stdlib.h>
#include <string.h>
int main(int argc, char **argv) {
    size_t size = strtoul(argv[1], 0, 10) << 20;
    char *held = malloc(size);
    memset(held, 1, size);
    return held[size / 2] - 1;
}
"""


def command(
    *argv: str | Path,
    env: dict[str, str] | None = None,
    cwd: Path | None = None,
    stdin: bytes | str | None = None,
    ready: Callable[[], object] | str | None = None,
    ask: Callable[[], object] | None = None,
) -> Command:
    """Return the command, in this environment."""
    return Command.of(argv, os.environ if env is None else env, cwd, stdin, ready, ask)


@pytest.fixture
def run(any_cap: Cap, fresh: Callable[[], str]) -> Run:
    """Return a function that runs a command, under each cap."""

    def run(wanted: Command, *, limit: int | None = None, timeout_s: float = 60) -> Measurement:
        return launch_command(wanted, 1, Enclosure(any_cap, fresh(), Limits(Constraints(limit)), timeout_s))

    return run


@pytest.fixture(scope="module")
def hold(tmp_path_factory: pytest.TempPathFactory) -> tuple[str | Path, ...]:
    """Return a program that holds as many MiB as its argument: in C, or in Python without a compiler."""
    compiler = shutil.which("cc")
    if compiler is None:
        return (sys.executable, "-c", "import sys; bytearray(int(sys.argv[1]) << 20)")
    source = tmp_path_factory.mktemp("hold") / "hold.c"
    source.write_text(HOLD)
    subprocess.run([compiler, "-O0", "-o", source.with_suffix(""), source], check=True)
    return (source.with_suffix(""),)


def test_program_has_makespan_and_peak(run: Run, hold: tuple[str | Path, ...]) -> None:
    """A program that ends well has a makespan and a peak; figures of a worker are absent."""
    seen = run(command(*hold, "64"))
    assert (seen.outcome, seen.detail) == ("ok", "")
    assert seen.makespan_s is not None
    assert seen.cpu_s is not None
    assert seen.peak_bytes is not None
    assert 64 * MIB <= seen.peak_bytes < 80 * MIB
    assert seen.minor_faults is not None
    assert seen.minor_faults > 0
    assert (seen.startup_s, seen.baseline_bytes, seen.output_error, seen.tasks) == (None, None, None, ())


def test_program_is_killed_at_its_limit(run: Run, hold: tuple[str | Path, ...], any_cap: Cap) -> None:
    """A program that holds more than an enforced limit is killed."""
    seen = run(command(*hold, "128"), limit=64 * MIB)
    found = ("oom", "killed by the kernel at its limit of 64M", None) if any_cap.enforces else ("ok", "", 0)
    assert (seen.outcome, seen.detail, seen.makespan_s and 0) == found


def test_children_count(run: Run, hold: tuple[str | Path, ...], any_cap: Cap) -> None:
    """A child's memory counts: its limit kills, its faults and its peak are the program's."""
    words = " ".join(f"'{word}'" for word in hold)
    seen = run(command("sh", "-c", f"{words} 96; true"))
    assert seen.peak_bytes is not None
    assert 96 * MIB <= seen.peak_bytes < 112 * MIB
    assert seen.minor_faults is not None
    assert seen.minor_faults > 100
    if any_cap.enforces:
        assert seen.peak_charged_bytes is None or seen.peak_charged_bytes >= 96 * MIB
        assert run(command("sh", "-c", f"{words} 96; true"), limit=64 * MIB).outcome == "oom"


def test_peak_is_independent_of_the_size_of_pytest(run: Run, hold: tuple[str | Path, ...]) -> None:
    """The peak of a child that ends at once is the same, to 1 MiB, if pytest itself is much larger."""
    words = " ".join(f"'{word}'" for word in hold)
    peaks = []
    for mib in (0, 256):
        ballast = b"1" * (mib * MIB)
        peaks.append(run(command("sh", "-c", f"{words} 48; true")).peak_bytes)
        del ballast
    assert peaks[0] is not None
    assert 48 * MIB <= peaks[0] < 64 * MIB
    assert peaks[1] == pytest.approx(peaks[0], abs=MIB)


TOGETHER = """\
import os, sys, time
children = []
for _ in range(3):
    if (pid := os.fork()) == 0:
        held = bytearray(40 << 20)
        end = time.process_time() + 0.2
        while time.process_time() < end:
            pass
        os._exit(0)
    children.append(pid)
for pid in children:
    os.waitpid(pid, 0)
open(sys.argv[1], "w").close()
"""


@pytest.mark.parametrize("is_service", [False, True], ids=["command", "service"])
def test_processes_count_together(run: Run, any_cap: Cap, tmp_path: Path, *, is_service: bool) -> None:
    """Children that live at the same time are one peak, and their processor time and faults are the program's."""
    done = tmp_path / "done"
    if is_service:
        script = f"exec({TOGETHER!r}); import time; time.sleep(60)"
        calls = itertools.count()
        wanted = command(
            sys.executable, "-c", script, done, ready=lambda: next(calls) > 0, ask=lambda: witness.until(done.exists)
        )
    else:
        wanted = command(sys.executable, "-c", TOGETHER, done)
    seen = run(wanted)
    assert (seen.outcome, seen.detail) == ("ok", "")
    assert seen.cpu_s is not None
    assert seen.cpu_s >= 0.55
    assert seen.minor_faults is not None
    assert seen.minor_faults >= 1000
    assert seen.peak_bytes is not None
    if any_cap.enforces:
        assert seen.peak_anon_bytes is not None
        assert 120 * MIB <= seen.peak_anon_bytes <= seen.peak_bytes < 150 * MIB
    else:  # without a group, the largest process is seen
        assert 40 * MIB <= seen.peak_bytes < 80 * MIB


MAPPED = """
import mmap, sys
with open(sys.argv[1], "rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as pages:
    sum(pages[at] for at in range(0, len(pages), mmap.PAGESIZE))
"""


def test_mapped_file_is_page_cache(run: Run, any_cap: Cap, tmp_path: Path) -> None:
    """A file that a program maps is no part of the memory that it needs, although it fills the limit and the peak."""
    limit, file = 64 * MIB, tmp_path / "file"
    file.write_bytes(bytes(1) * 2 * limit)
    os.sync()  # dirty pages would stay in the page cache, charged to this process
    seen = run(command(sys.executable, "-I", "-S", "-c", MAPPED, file), limit=limit)
    assert (seen.outcome, seen.detail) == ("ok", "")
    assert seen.peak_anon_bytes is not None
    assert seen.peak_bytes is not None
    assert seen.peak_anon_bytes < 16 * MIB
    assert seen.peak_bytes > 0.8 * limit
    if any_cap.enforces:
        assert seen.peak_file_bytes is not None
        assert seen.peak_charged_bytes is None or seen.peak_charged_bytes > 0.9 * limit
        assert seen.peak_file_bytes > 0.8 * limit


@pytest.mark.parametrize(
    ("script", "detail"),
    [
        ("echo out; echo err >&2; exit 3", "the program ended with status 3: err"),
        ("echo out; exit 1", "the program ended with status 1: out"),
        ("kill -SEGV $$", "the program was ended by signal 11"),
        ("yes word | head -c 50000000; exit 1", "the program ended with status 1: " + " ".join(["word"] * 80)),
    ],
)
def test_failed_program_has_crashed(run: Run, script: str, detail: str) -> None:
    """An exit status other than 0 and a signal are `crashed`, with the program's last words."""
    seen = run(command("sh", "-c", script))
    assert (seen.outcome, seen.makespan_s) == ("crashed", None)
    assert seen.detail == detail


def test_program_gets_arguments_input_environment_and_folder(run: Run, tmp_path: Path) -> None:
    """A program gets its arguments, its input, its environment and its folder."""
    script = 'cat > in; echo "$0 $WORD" > out'
    seen = run(
        command("sh", "-c", script, "arg", env={"PATH": os.environ["PATH"], "WORD": "w"}, cwd=tmp_path, stdin="i")
    )
    assert seen.outcome == "ok", seen.detail
    assert [(tmp_path / name).read_text() for name in ("in", "out")] == ["i", "arg w\n"]


def test_relative_program_runs_in_its_folder(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program in a folder, both relative paths, runs in that folder."""
    (tmp_path / "inner").mkdir()
    program = tmp_path / "inner" / "program"
    program.write_text("#!/bin/sh\npwd > out\n")
    program.chmod(0o700)
    monkeypatch.chdir(tmp_path)
    seen = run(command("./program", cwd=Path("inner")))
    assert seen.outcome == "ok", seen.detail
    assert (tmp_path / "inner" / "out").read_text() == f"{tmp_path}/inner\n"


def test_files_of_ask_stay_open(run: Run, tmp_path: Path) -> None:
    """A file that `ask` opens and keeps is not closed by other code."""
    kept: list[IO[bytes]] = []
    calls = itertools.count()
    seen = run(
        command(
            "sleep", "60", ready=lambda: next(calls) > 0, ask=lambda: kept.append((tmp_path / "kept").open("wb", 0))
        )
    )
    assert seen.outcome == "ok", seen.detail
    with kept[0] as file:
        assert file.write(b"there") == len(b"there")


class Refusing(Uncapped):
    """A cap that cannot be set up."""

    def open(self, name: str, limits: Limits) -> NoReturn:  # noqa: ARG002
        """Refuse."""
        raise Unsupported("not here")


def test_failed_start_leaves_no_file_open() -> None:
    """A command that cannot be started leaves no file open."""
    before = os.listdir("/proc/self/fd")  # noqa: PTH208
    with pytest.raises(Unsupported):
        launch_command(command("true"), 1, Enclosure(Refusing(), "it", Limits(), 60))
    assert os.listdir("/proc/self/fd") == before  # noqa: PTH208


def test_programs_may_have_any_name(run: Run, tmp_path: Path) -> None:
    """A program runs to its end if the kernel cuts its name, or that of another process, within a character."""
    program = tmp_path / "mysql备份服务进程"  # the kernel keeps 15 bytes
    shutil.copy(shutil.which("sleep") or "", program)
    with subprocess.Popen([program, "60"]) as other:
        assert run(command(program, "0.01")).outcome == "ok"
        other.kill()


class Broken(Uncapped):
    """A cap whose groups cannot be read or killed."""

    def open(self, name: str, limits: Limits) -> Any:  # noqa: ARG002
        """Return such a group."""
        return BrokenGroup()


class BrokenGroup:
    """A group that cannot be read or killed."""

    enter: tuple[str, ...] = ()

    def memory(self, pid: int) -> None:
        """Return that nothing is known."""

    def totals(self, pid: int) -> NoReturn:  # noqa: ARG002
        """Fail."""
        raise RuntimeError("no totals")

    def kill(self) -> None:
        """Fail."""
        raise RuntimeError("not killed")

    def close(self) -> None:
        """Do nothing."""


def test_program_is_waited_for_whatever_fails(tmp_path: Path) -> None:
    """A program is ended and waited for even if its group fails at the end; see also the fixture `nothing_left`."""
    note = tmp_path / "pid"
    service = command("sh", "-c", "echo $$ > pid; exec sleep 60", cwd=tmp_path, ready=note.exists, ask=lambda: None)
    with pytest.raises(RuntimeError):
        launch_command(service, 1, Enclosure(Broken(), "it", Limits(), 60))
    assert not witness.alive(int(note.read_text()))


def test_sleeping_program_times_out(run: Run) -> None:
    """A program that sleeps, and its children, are ended when its time is up."""
    seen = run(command("sh", "-c", "sleep 60 & wait"), timeout_s=0.5)
    assert (seen.outcome, seen.detail) == ("timeout", "not done after 0.5 s; raise the timeout")


def test_program_dies_with_pytest(tmp_path: Path) -> None:
    """A program ends when pytest is killed, even without a group."""
    if shutil.which("setpriv") is None:
        pytest.skip("needs setpriv, of util-linux")
    code = (
        "import os, sys; from tests.sandbox.test_command import *; from pytest_edgeload.sandbox.caps import CAPS\n"
        "it = command('sh', '-c', 'echo $$ > pid; exec sleep 60', cwd=sys.argv[1])\n"
        "launch_command(it, 1, Enclosure(CAPS['none'], 'it', Limits(), 60))"
    )
    note = tmp_path / "pid"
    with subprocess.Popen([sys.executable, "-c", code, tmp_path]) as launcher:
        assert witness.until(lambda: note.exists() and note.stat().st_size > 0)
        launcher.kill()
    assert witness.until(lambda: not witness.alive(int(note.read_text())))


@pytest.fixture
def port() -> int:
    """Return a port without a listener."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        found: int = server.getsockname()[1]
        return found


def _server(port: int) -> tuple[str, ...]:
    return (sys.executable, "-m", "http.server", "--bind", "127.0.0.1", str(port))


@pytest.mark.parametrize("form", ["tcp:127.0.0.1:{}", "http://127.0.0.1:{}/"])
def test_service_is_asked_when_ready(run: Run, port: int, form: str, tmp_path: Path) -> None:
    """A service is asked when it is ready, and ends well by our signal; the clock runs during the asking."""
    (tmp_path / "word").write_text("hello")
    answers: list[bytes] = []

    def ask() -> None:
        answers.append(urllib.request.urlopen(f"http://127.0.0.1:{port}/word").read())

    seen = run(command(*_server(port), cwd=tmp_path, ready=form.format(port), ask=ask))
    assert (seen.outcome, seen.detail, answers) == ("ok", "", [b"hello"])
    assert seen.startup_s is not None
    assert seen.makespan_s is not None
    assert seen.makespan_s < seen.startup_s + seen.makespan_s <= seen.ended - seen.started
    assert seen.baseline_bytes is not None
    assert seen.peak_bytes is not None
    assert 4 * MIB < seen.baseline_bytes <= seen.peak_bytes


def _say(error: Exception) -> Callable[[], object]:
    def ask() -> None:
        raise error

    return ask


@pytest.mark.parametrize(
    ("script", "ask", "outcome", "detail"),
    [
        ("sleep 60", _say(AssertionError("not 4")), "wrong", "AssertionError: not 4"),
        ("sleep 60", _say(KeyError("four")), "crashed", "KeyError: 'four'"),
        ("sleep 60", None, "ok", ""),
        ("echo gone >&2; exit 3", None, "crashed", "the program ended with status 3 before it was ready: gone"),
        (
            "setsid sleep 60 >&- 2>&- & exit 0",
            None,
            "crashed",
            "the program ended with status 0 before it was ready (a service has to stay in the foreground)",
        ),
    ],
)
def test_ask_decides_the_outcome(
    run: Run, script: str, ask: Callable[[], object] | None, outcome: str, detail: str
) -> None:
    """An exception of `ask` is the outcome, as is an end before it was ready; without `ask` nothing is timed."""
    calls = itertools.count()
    becomes_ready = "exit" not in script
    seen = run(command("sh", "-c", f"sleep 0.05; {script}", ready=lambda: next(calls) > 0 and becomes_ready, ask=ask))
    assert (seen.outcome, seen.detail, seen.makespan_s) == (outcome, detail, None)
    assert ("    raise error" in seen.traceback) == ("Error: " in detail)


def test_stubborn_service_is_killed(run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A service that ignores SIGTERM is killed, with a notice."""
    monkeypatch.setattr("pytest_edgeload.sandbox.command.GRACE_S", 0.2)
    deaf = "import signal, sys, time; signal.signal(15, signal.SIG_IGN); open(sys.argv[1], 'w'); time.sleep(60)"
    note = tmp_path / "deaf"
    seen = run(command(sys.executable, "-c", deaf, note, ready=note.exists))
    assert (seen.outcome, seen.notices) == (
        "ok",
        ("the program did not end within 0.2 s of SIGTERM and was killed",),
    )


def test_service_that_is_never_ready_times_out(run: Run, port: int) -> None:
    """A service that is never ready is a `timeout`."""
    seen = run(command("sleep", "60", ready=f"tcp:127.0.0.1:{port}"), timeout_s=0.3)
    assert (seen.outcome, seen.detail) == ("timeout", "not ready after 0.3 s; raise the timeout")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a program that gains its rights")
@pytest.mark.parametrize("ready", [None, lambda: False])
def test_program_that_gains_rights_is_named(ready: Callable[[], object] | None, tmp_path: Path) -> None:
    """A program that gains the rights of root, as by sudo, delays nothing longer, and is named."""
    sudo = shutil.copy(shutil.which("setpriv") or "", tmp_path)
    Path(sudo).chmod(0o4755)
    for folder in (tmp_path, *tmp_path.parents[:3]):
        folder.chmod(0o755)
    script = f"""\
import os
from pytest_edgeload.sandbox import command, life, worker
from pytest_edgeload.sandbox.caps.uncapped import Uncapped
from pytest_edgeload.sandbox.constraints import Limits
worker._KILL_S = 0.5
argv = [{sudo!r}, "--reuid=0", "--regid=0", "--clear-groups", "sleep", "60"]
wanted = command.Command.of(argv, os.environ, "/", None, {"None" if ready is None else "lambda: False"}, None)
seen = command.launch_command(wanted, 1, life.Enclosure(Uncapped(), "edgeload-test", Limits(), 1.0))
print(seen.outcome, seen.detail)
"""
    read = "-all,+dac_read_search"  # the interpreter may be root's
    nobody = ("--reuid=65534", "--regid=65534", "--clear-groups", f"--inh-caps={read}", f"--ambient-caps={read}")
    started = subprocess.run(
        ["setpriv", *nobody, sys.executable, "-c", script], check=True, capture_output=True, text=True, timeout=100
    )
    told = started.stdout
    sentence = "crashed it gained other rights than pytest's, which could not end it: process "
    assert told.startswith(sentence)
    pid = int(told.removeprefix(sentence).split()[0])
    assert Path(f"/proc/{pid}/comm").read_text() == "sleep\n"
    os.kill(pid, signal.SIGKILL)


def test_words_of_a_command_become_text(tmp_path: Path) -> None:
    """Numbers, bytes and paths are words of a command, its input may be any bytes, and its folder bytes."""
    words = [b"/bin/sh", 5, np.int64(6), 0.5, Path("x")]
    made = Command.of(words, {}, os.fsencode(tmp_path), bytearray(b"in"), None, None)  # type: ignore[arg-type]
    assert made == Command(("/bin/sh", "5", "6", "0.5", "x"), {}, str(tmp_path), b"in")


def test_service_ready_before_its_start_is_refused(run: Run) -> None:
    """A service that is ready before it has started is refused: another program answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        wanted = command("sleep", "60", ready=f"tcp:127.0.0.1:{server.getsockname()[1]}")
        with pytest.raises(UsageError, match="ready is true before it has started"):
            run(wanted)


@pytest.mark.parametrize(
    ("argv", "more", "sentence"),
    [
        (("no-such-program",), {}, "command no-such-program: not in a folder of "),
        (("./no/such",), {}, "command ./no/such: not an executable file"),
        ((__file__,), {}, "not an executable file"),
        (("sh",), {"env": {"PATH": "/nowhere"}}, "command sh: not in a folder of '/nowhere'"),
        ((), {}, r"command \(\): not a list of a program and its arguments"),
        (("sh",), {"cwd": Path("/nowhere")}, "command sh: cwd='/nowhere' is not a folder"),
        (("sh",), {"ask": print}, "command sh: ask needs a service"),
        (("sh",), {"ready": "tcp:8000"}, "ready='tcp:8000': not an address of a service"),
        (("sh",), {"ready": "tcp:host:port"}, "ready='tcp:host:port': "),
        (("sh", None), {}, r"^argv\[1\]=None: neither text, a number nor a path; give text in quotes"),
        (("sh", "a\0b"), {}, r"^argv\[1\]='a.*b': contains a NUL character"),
        (("sh",), {"cwd": 5}, "^cwd=5: not a path; give text in quotes, or a pathlib.Path$"),
        (("sh",), {"stdin": 5}, "^stdin=5: neither text nor bytes; read it first"),
        (("sh",), {"ready": 8000}, "^ready=8000: neither an address nor a function; try 'tcp:"),
        (("sh",), {"ready": print, "ask": 5}, "^ask=5: not a function; give a function without arguments$"),
        (("sh",), {"ready": "ftp://host/"}, "ready='ftp://host/': not an address of a service"),
    ],
)
def test_wrong_command_is_refused(argv: tuple[str, ...], more: dict[str, object], sentence: str) -> None:
    """A command that cannot be started is refused in one sentence before any process starts."""
    with pytest.raises(UsageError, match=sentence):
        command(*argv, **more)  # type: ignore[arg-type]
