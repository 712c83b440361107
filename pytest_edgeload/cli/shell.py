"""Shell commands around a measured program: one that prepares each run, and one that asks a service."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
from contextlib import suppress
from typing import IO

from pytest_edgeload.base.errors import Setting, UsageError

_MAX_OUTPUT_BYTES = 1 << 20
_MAX_ERROR_CHARACTERS = 400


class ShellError(Exception):
    """A shell command failed."""


def ask(text: str, timeout_s: float) -> str:
    """Run the shell command that asks a service; return the end of its standard output. Raises ShellError."""
    return _output(text, timeout_s)


def prepare(text: str) -> None:
    """Run the shell command that prepares a run. Raises UsageError if it fails."""
    try:
        _output(text, None)
    except ShellError as error:
        raise UsageError(Setting("prepare", text), str(error), "no run was started after that") from error


def _output(text: str, timeout_s: float | None) -> str:
    """Return the end of a shell command's output. Processes that it leaves live on, unless its time is over."""
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:  # a pipe would wait for its children
        shell = ["/bin/sh", "-c", text]
        with subprocess.Popen(
            shell, stdin=subprocess.DEVNULL, stdout=output, stderr=errors, start_new_session=True
        ) as process:
            try:
                status = process.wait(timeout_s)
            except subprocess.TimeoutExpired as error:
                _kill(process)
                raise ShellError(f"did not end within {timeout_s:g} s") from error
            except BaseException:
                _kill(process)
                raise
        if status:
            words = " ".join(_end(errors).split())
            raise ShellError(f"exited with status {status}{f': {words[-_MAX_ERROR_CHARACTERS:]}' if words else ''}")
        return _end(output)


def _kill(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def _end(file: IO[bytes]) -> str:
    """Return the end of a file as text."""
    file.seek(max(0, file.seek(0, os.SEEK_END) - _MAX_OUTPUT_BYTES))
    return file.read().decode(errors="replace")
