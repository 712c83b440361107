"""Has any program run under a cap: to its end, or until it is ready, was asked, and is asked to end."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Self

from pytest_edgeload.base.errors import UsageError
from pytest_edgeload.results.record import Measurement, Outcome
from pytest_edgeload.sandbox import page_cache
from pytest_edgeload.sandbox.life import THREADS, Enclosure, Start, live
from pytest_edgeload.sandbox.readiness import Probe, probe_of
from pytest_edgeload.sandbox.tail import Tail
from pytest_edgeload.sandbox.worker import Worker, with_words

GRACE_S = 5.0
"""How long a service may take to end after SIGTERM."""

_PERIOD_S = 0.01
_MAX_ERROR_CHARACTERS = 400


@dataclass(frozen=True, slots=True)
class Command:
    """A program and its arguments, as one starts it; `env` is its whole environment.

    With `is_ready` it is a service: once that is true, `ask` is called, in this process, and then it is ended.
    """

    argv: tuple[str, ...]
    env: Mapping[str, str]
    cwd: str
    stdin: bytes = b""
    is_ready: Callable[[], bool] | None = None
    ask: Callable[[], object] | None = None

    @classmethod
    def of(
        cls,
        argv: Sequence[str | os.PathLike[str]],
        env: Mapping[str, str],
        cwd: str | os.PathLike[str] | None,
        stdin: bytes | str | None,
        ready: Probe | str | None,
        ask: Callable[[], object] | None,
    ) -> Self:
        """Return the command, its program found as a shell would with the PATH of `env`. Raises UsageError."""
        if isinstance(argv, str | bytes) or not argv:
            raise UsageError(f"command {argv!r} is no list of a program and its arguments; try ['./program', 'file']")
        if ask is not None and ready is None:
            raise UsageError(f"command {argv[0]}: ask is for a service, so say by ready= when it can be asked")
        folder = str(Path(cwd or ".").absolute())
        if not Path(folder).is_dir():
            raise UsageError(f"command {argv[0]}: cwd={folder!r} is no folder")
        program, *arguments = [os.fspath(word) for word in argv]
        given = stdin.encode() if isinstance(stdin, str) else stdin or b""
        words = (_found(program, env, folder), *arguments)
        return cls(words, env, folder, given, None if ready is None else probe_of(ready), ask)

    @property
    def key(self) -> object:
        """What tells this command from another one, whoever asks it."""
        return self.argv, self.env, self.cwd, self.stdin

    @property
    def files(self) -> list[Path]:
        """The files that its arguments name."""
        return page_cache.named(self.argv[1:], self.cwd)


def _found(program: str, env: Mapping[str, str], folder: str) -> str:
    """Return the path of `program`. Raises UsageError."""
    wanted = str(Path(folder, program)) if "/" in program else program
    found = shutil.which(wanted, path=env.get("PATH", os.defpath))
    if found is None:
        where = "is no file that can be executed" if "/" in program else f"is in no folder of {env.get('PATH', '')!r}"
        raise UsageError(f"command {program}: it {where}; build or install it, or name it by its whole path")
    return str(Path(folder, found))


def launch_command(command: Command, threads: int, enclosure: Enclosure) -> Measurement:
    """Run `command` and return everything seen of it; its failure is a value, not an exception.

    `threads` is what OpenMP may use unless the command's environment says otherwise. Nothing of it is left when this
    returns or raises. Raises Unsupported where the cap cannot be set up, and UsageError where what tells that a service
    is ready says so before it has started.
    """
    if command.is_ready is not None and command.is_ready():
        raise UsageError(
            f"command {command.argv[0]}: ready is true before it has started; end what answers there, or ask elsewhere"
        )
    page_cache.drop(command.files)
    page_cache.back(enclosure.max_bytes)
    with ExitStack() as opened:
        stdin: int | IO[bytes] = subprocess.DEVNULL
        if command.stdin:
            stdin = opened.enter_context(tempfile.TemporaryFile())
            stdin.write(command.stdin)
            stdin.seek(0)
        talk = _Run() if command.is_ready is None else _Service(command.is_ready, command.ask)
        env = {THREADS: str(threads), **command.env}
        start = Start(command.argv, env, command.cwd, stdin, talk.out.fd)
        opened.callback(talk.out.close)
        return live(talk, start, enclosure)


class _Run:
    """A program that runs to its end."""

    def __init__(self) -> None:
        self.out = Tail()
        self._makespan_s: float | None = None

    def converse(self, worker: Worker) -> None:
        """Wait for the end."""
        self.out.started()
        before = worker.start_clock()
        with worker.timed():
            worker.wait_in_time()
            self._makespan_s = time.monotonic() - worker.began_s
            worker.record_growth(before)

    def outcome(self, worker: Worker) -> tuple[Outcome, str]:
        """Return whether the exit status was 0."""
        if worker.status == 0:
            return "ok", ""
        return "crashed", with_words(worker.ending("the program"), worker.errors, self.out)

    def measurement(self, worker: Worker, outcome: Outcome, detail: str) -> Measurement:
        """Return the measurement with the kernel's figures of a process that was waited for, its children included."""
        usage = worker.usage
        return Measurement(
            outcome=outcome,
            detail=detail,
            makespan_s=self._makespan_s if worker.status == 0 else None,
            cpu_s=None if usage is None else usage.ru_utime + usage.ru_stime,
            minor_faults=None if usage is None else usage.ru_minflt,
            major_faults=None if usage is None else usage.ru_majflt,
        )


class _Service:
    """A program that runs until `ask` has been called."""

    def __init__(self, is_ready: Callable[[], bool], ask: Callable[[], object] | None) -> None:
        self.out = Tail()
        self._is_ready = is_ready
        self._ask = ask
        self._makespan_s: float | None = None
        self._notices: tuple[str, ...] = ()
        self._has_answered = False
        self._failure: tuple[Outcome, str] | None = None

    def converse(self, worker: Worker) -> None:
        """Wait until it is ready, call `ask`, and ask it to end."""
        self.out.started()
        worker.awaited = "ready"
        with worker.timed():
            if self._await(worker):
                worker.awaited = "done"
                self._call_ask(worker)
        if self._has_answered:
            self._terminate(worker)

    def _await(self, worker: Worker) -> bool:
        """Return whether it became ready."""
        while not worker.is_over() and worker.can_end_yet():
            if self._is_ready():
                worker.report_ready()
                return True
            time.sleep(_PERIOD_S)
        return False

    def _call_ask(self, worker: Worker) -> None:
        with worker.on_the_clock():
            begin = time.monotonic()
            try:
                if self._ask is not None:
                    self._ask()
                    self._makespan_s = time.monotonic() - begin
            except Exception as error:  # noqa: BLE001  # any exception is an outcome
                kind: Outcome = "wrong" if isinstance(error, AssertionError) else "crashed"
                self._failure = kind, f"{type(error).__name__}: {error}"[:_MAX_ERROR_CHARACTERS]
        self._has_answered = not worker.is_over()

    def _terminate(self, worker: Worker) -> None:
        with suppress(ProcessLookupError):
            os.kill(worker.pid, signal.SIGTERM)
        if not worker.wait(GRACE_S):
            self._notices = (f"the program did not end within {GRACE_S:g} s of SIGTERM and was killed",)

    def outcome(self, worker: Worker) -> tuple[Outcome, str]:
        """Return the outcome of `ask`, or that the program ended before or during it."""
        if not self._has_answered:
            when = "before it was ready" if worker.startup_s is None else "while it was asked"
            return "crashed", with_words(f"{worker.ending('the program')} {when}", worker.errors, self.out)
        return self._failure or ("ok", "")

    def measurement(self, worker: Worker, outcome: Outcome, detail: str) -> Measurement:  # noqa: ARG002
        """Return the measurement with the time that `ask` took."""
        return Measurement(outcome=outcome, detail=detail, makespan_s=self._makespan_s, notices=self._notices)
