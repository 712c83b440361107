"""The parent's side of the conversation in `making`: start a maker, follow its events, and stop it on Ctrl-C."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import IO

import msgspec

from pytest_edgeload.base import decoding
from pytest_edgeload.base.errors import Refusal
from pytest_edgeload.networks.making import Event, Made, NotMade, Progress, Request, Waiting

ShowProgress = Callable[[str, int, int], None]
"""Shows the name of a network being made, the bytes done, and the bytes in total (0 while the total is unknown)."""

_MAKER = "pytest_edgeload.exporting.maker"
_EXIT_S = 5.0
_MAX_LINE_BYTES = 1 << 20


class PreparationFailed(Refusal):
    """A network could not be made or converted; the message has the maker's reason."""


def prepare(request: Request, label: str, show: ShowProgress) -> Path:
    """Have a maker carry out `request`, and return the folder that it made. Progress is shown under `label`.

    Raises PreparationFailed if the maker fails or ends without an answer.
    """
    command = [sys.executable, "-P", "-m", _MAKER, str(os.getpid())]
    pipe = subprocess.PIPE
    # The output of the factory and of torch is discarded; all results arrive as events.
    with subprocess.Popen(
        command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, start_new_session=True
    ) as process:
        assert process.stdin is not None  # both are pipes, see above
        assert process.stdout is not None
        try:
            with suppress(BrokenPipeError), process.stdin:  # of a maker that has ended, which its status explains
                process.stdin.write(msgspec.json.encode(request))
            answer = _follow(process.stdout, label, show)
        except BaseException:  # such as Ctrl-C: no one waits for the network any more
            _stop(process)
            raise
    if isinstance(answer, Made) and process.returncode == 0:
        return Path(answer.folder)
    if isinstance(answer, NotMade):
        failure = PreparationFailed(answer.reason, hint=answer.hint)
        for note in answer.notes:
            failure.add_note(note)
        raise failure
    raise PreparationFailed(f"the process ended with status {process.returncode}")


def _follow(events: IO[bytes], label: str, show: ShowProgress) -> Event | None:
    """Show the maker's progress until its output ends; return its last event, or None without any."""
    last: Event | None = None
    waiting = ""
    while line := events.readline(_MAX_LINE_BYTES):
        last = _event(line)
        if isinstance(last, Waiting):
            waiting = f"{label} (waiting for {last.holder})"
            show(waiting, 0, 0)
        elif isinstance(last, Progress):
            show(label, last.done_bytes, last.total_bytes)
    if waiting:
        show(waiting, 1, 1)
    return last


def _event(line: bytes) -> Event:
    """Return the event in a line; a failure if the line is not one, because the code in the process wrote it."""
    try:
        return decoding.decode(line, Event)  # type: ignore[arg-type]  # a union of structs, which msgspec decodes
    except ValueError:
        return NotMade(("the code in the process wrote between the events",))


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Interrupt the maker, which then removes its unfinished files, and kill it if it does not end in time."""
    process.send_signal(signal.SIGINT)
    with suppress(subprocess.TimeoutExpired):
        process.wait(_EXIT_S)
    process.kill()
