"""Runs any program under a cap: to its end, or as a service that is asked once it is ready, and then ended."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Self

from pytest_edgeload.base import arguments
from pytest_edgeload.base.arguments import BadArgument
from pytest_edgeload.base.errors import UsageError
from pytest_edgeload.base.tracebacks import user_lines
from pytest_edgeload.results.measurement import Measurement, Outcome
from pytest_edgeload.results.reported import ReportedValue
from pytest_edgeload.results.source import MetricSource
from pytest_edgeload.sandbox import page_cache
from pytest_edgeload.sandbox.enclosure import Enclosure, Start
from pytest_edgeload.sandbox.life import THREADS, live
from pytest_edgeload.sandbox.readiness import Probe, probe_of
from pytest_edgeload.sandbox.sources import ProgramOutput, Sources
from pytest_edgeload.sandbox.tail import Tail
from pytest_edgeload.sandbox.worker import Worker, with_words

GRACE_S = 5.0
"""How long a service may take to end after SIGTERM."""

Word = str | bytes | float | os.PathLike[str]
"""A word of a command as a caller gives it; numbers are written in Python's way."""

MIN_BYTES = 1 << 20
"""The smallest limit that a process could start under."""

_PERIOD_S = 0.01
_MAX_ERROR_CHARACTERS = 400


@dataclass(frozen=True, slots=True)
class Command:
    """A program and its arguments. `env` is its whole environment.

    With `is_ready` it is a service: once that returns true, `ask` is called in this process, and the service is ended.
    Before it starts, `prepare` is called in this process, and the files `cold` are dropped from the page cache as well
    as those that its arguments name. `metrics` are the sources of its own metrics.
    """

    argv: tuple[str, ...]
    env: Mapping[str, str]
    cwd: str
    stdin: bytes = b""
    is_ready: Callable[[], bool] | None = None
    ask: Callable[[], object] | None = None
    prepare: Callable[[], object] | None = None
    cold: tuple[Path, ...] = ()
    metrics: Mapping[str, MetricSource] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        argv: Iterable[Word],
        env: Mapping[str, str],
        cwd: str | os.PathLike[str] | None,
        stdin: bytes | str | None,
        ready: Probe | str | None,
        ask: Callable[[], object] | None,
    ) -> Self:
        """Return the command, with its program looked up in the PATH of `env` as by a shell. Raises UsageError."""
        program, *rest = _words(argv)
        if ask is not None and not callable(ask):
            raise BadArgument.of("ask", ask, "not a function", "give a function without arguments")
        if ask is not None and ready is None:
            raise UsageError(f"command {program}", "ask needs a service", "add ready=, which says when to ask it")
        folder = str(Path("." if cwd is None else arguments.path("cwd", cwd)).absolute())
        if not Path(folder).is_dir():
            raise UsageError(f"command {program}", f"cwd={folder!r} is not a folder")
        words = (_look_up(program, env, folder), *rest)
        return cls(words, env, folder, _data(stdin), None if ready is None else probe_of(ready), ask)

    @property
    def key(self) -> object:
        """The identity of this command, without `ask`."""
        return self.argv, self.env, self.cwd, self.stdin

    @property
    def files(self) -> list[Path]:
        """The files that are dropped from the page cache: those that its arguments name, and `cold`."""
        return [*page_cache.files_named(self.argv[1:], self.cwd), *self.cold]


def _words(argv: object) -> list[str]:
    """Return a program and its arguments as text; numbers and paths are written as such. Raises UsageError."""
    words: list[str] = []
    if isinstance(argv, Iterable) and not isinstance(argv, str | bytes | Mapping):
        words = [arguments.word(f"argv[{i}]", each) for i, each in enumerate(argv)]
    if not words or not words[0]:
        hint = "try ['./program', 'file']"
        raise UsageError(f"command {argv!r}", "not a list of a program and its arguments", hint)
    return words


def _data(stdin: object) -> bytes:
    """Return the input of a program. Raises UsageError."""
    if stdin is None:
        return b""
    if isinstance(stdin, str):
        return stdin.encode()
    if isinstance(stdin, bytes | bytearray | memoryview):
        return bytes(stdin)
    raise BadArgument.of("stdin", stdin, "neither text nor bytes", "read it first, as by Path('input').read_bytes()")


def _look_up(program: str, env: Mapping[str, str], folder: str) -> str:
    """Return the path of `program`. Raises UsageError."""
    name = str(Path(folder, program)) if "/" in program else program
    path = shutil.which(name, path=env.get("PATH", os.defpath))
    if path is None:
        reason = "not an executable file" if "/" in program else f"not in a folder of {env.get('PATH', '')!r}"
        raise UsageError(f"command {program}", reason, "build or install it, or give its whole path")
    return str(Path(folder, path))


def launch_command(command: Command, threads: int, enclosure: Enclosure) -> Measurement:
    """Run `command` and return its measurement. Its failure is a value, not an exception.

    OpenMP may use this many `threads`, unless the command's environment sets another number. Nothing of it is left when
    this returns or raises. Raises Unsupported if the cap cannot be set up, UsageError if `is_ready` returns true
    before the service has started, and the errors of `prepare`.
    """
    if command.prepare is not None:
        command.prepare()
    if command.is_ready is not None and command.is_ready():
        hint = "end the program that answers there, or use another address"
        raise UsageError(f"command {command.argv[0]}", "ready is true before it has started", hint)
    page_cache.drop(command.files)
    page_cache.back(enclosure.max_bytes, enclosure.timeout_s)
    with ExitStack() as stack:
        stdin: int | IO[bytes] = subprocess.DEVNULL
        if command.stdin:
            stdin = stack.enter_context(tempfile.TemporaryFile())
            stdin.write(command.stdin)
            stdin.seek(0)
        sources = Sources.before_run(command.metrics, Path(command.cwd))
        is_ready = command.is_ready
        conversation = _Run(sources) if is_ready is None else _Service(is_ready, command.ask, sources)
        env = {THREADS: str(threads), **command.env}
        start = Start(command.argv, env, command.cwd, stdin, conversation.out.fd)
        stack.callback(conversation.out.close)
        return live(conversation, start, enclosure)


class _Run:
    """A program that runs to its end."""

    def __init__(self, sources: Sources) -> None:
        self.out = Tail()
        self._sources = sources
        self._makespan_s: float | None = None

    def converse(self, worker: Worker) -> None:
        """Wait for the end."""
        self.out.drain()
        before = worker.start_clock()
        with worker.timed(), worker.monitor:
            worker.wait_in_time()
            self._makespan_s = time.monotonic() - worker.began_s
            worker.record_growth(before)

    def outcome(self, worker: Worker) -> tuple[Outcome, str]:
        """Return whether the exit status was 0."""
        if worker.status == 0:
            return "ok", ""
        return "crashed", with_words(worker.ending("the program"), worker.errors, self.out)

    def reports(self, worker: Worker) -> Iterator[ReportedValue]:
        """Return the metrics in the output and the files of the program."""
        return self._sources.reports(ProgramOutput(self.out.text, worker.errors.text))

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


def _answer(value: object) -> object:
    """Return the value of `ask` if metrics can be in it: a mapping, a list or a text; None for any other value."""
    if isinstance(value, bytes):
        value = value.decode(errors="replace")
    return value if isinstance(value, dict | list | tuple | str) and value else None


class _Service:
    """A program that runs until `ask` has been called."""

    def __init__(self, is_ready: Callable[[], bool], ask: Callable[[], object] | None, sources: Sources) -> None:
        self.out = Tail()
        self._sources = sources
        self._answer: object = None
        self._is_ready = is_ready
        self._ask = ask
        self._makespan_s: float | None = None
        self._notices: tuple[str, ...] = ()
        self._has_answered = False
        self._failure: tuple[Outcome, str] | None = None
        self._traceback = ""

    def converse(self, worker: Worker) -> None:
        """Wait until it is ready, call `ask`, and ask it to end."""
        self.out.drain()
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
                    with worker.inbox.offered():
                        self._answer = _answer(self._ask())
                    self._makespan_s = time.monotonic() - begin
            except Exception as error:  # noqa: BLE001  # any exception is an outcome
                kind: Outcome = "wrong" if isinstance(error, AssertionError) else "crashed"
                self._failure = kind, f"{type(error).__name__}: {error}"[:_MAX_ERROR_CHARACTERS]
                self._traceback = user_lines(error)
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
            hint = " (a service has to stay in the foreground)" if worker.status == 0 else ""
            return "crashed", with_words(f"{worker.ending('the program')} {when}{hint}", worker.errors, self.out)
        return self._failure or ("ok", "")

    def reports(self, worker: Worker) -> Iterator[ReportedValue]:
        """Return the metrics in the answer of `ask`, or else in the output of the service."""
        return self._sources.reports(ProgramOutput(self.out.text, worker.errors.text, self._answer))

    def measurement(self, worker: Worker, outcome: Outcome, detail: str) -> Measurement:  # noqa: ARG002
        """Return the measurement with the time that `ask` took."""
        return Measurement(
            outcome=outcome,
            detail=detail,
            traceback=self._traceback,
            makespan_s=self._makespan_s,
            notices=self._notices,
        )
