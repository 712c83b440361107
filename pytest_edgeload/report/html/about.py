"""The title of the page and the description of the session: project, command, devices, machine. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pytest_edgeload.base.units import format_size
from pytest_edgeload.results.case import HOST
from pytest_edgeload.results.document import Document

_MAX_COMMAND = 120  # characters in the title; the description has the whole command
_MAX_DEVICES = 3


def title(document: Document) -> str:
    """Return the title: project, command and devices, as far as they are known."""
    cases = [record.case for record in document.records]
    kind = "Programs" if cases and all(case.is_program for case in cases) else "Loading policies"
    command = _shortened(document.command, _MAX_COMMAND)
    subject = ": ".join(filter(None, [document.project, command])) or f"{kind} under a memory limit"
    devices = list(dict.fromkeys(case.device for case in cases if case.device is not None))
    return f"{subject} on {_listed(devices)}" if devices else subject


def _shortened(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[: length - 1]}…"


def _listed(names: Sequence[str]) -> str:
    shown, rest = names[:_MAX_DEVICES], len(names) - _MAX_DEVICES
    return ", ".join(shown) + (f" and {rest} more" if rest > 0 else "")


def origin(document: Document) -> str:
    """Return the time, machine and commit of the measurement in one line."""
    commit = document.commit
    parts = [document.created, _processor(document)]
    return ", ".join([*parts, *([] if commit is None else [f"commit {commit.id[:12]}"])])


def about(document: Document) -> list[tuple[str, str]]:
    """Return the description of the machine and the session as terms and texts."""
    machine, commit = document.machine, document.commit
    cases = [record.case for record in document.records]
    terms = {
        "project": document.project,
        "command": document.command,
        _verb(document): document.created,
        "processor": _processor(document),
        "memory": format_size(machine.memory_bytes),
        "kernel": machine.kernel,
        "Python": machine.python,
        "PyTorch": machine.torch,
        "versions": ", ".join(f"{name} {version}" for name, version in document.versions.items()),
        "commit": ""
        if commit is None
        else f"{commit.id} on {commit.branch}{' with uncommitted changes' * commit.is_dirty}",
        "cap": _each(case.cap for case in cases),
        "swap": _each(case.swap for case in cases),
        "view": _each(case.view for case in cases if any(other.view != HOST for other in cases)),
        "threads": _each(case.threads for case in cases),
        "seeds": _each(case.seed for case in cases if case.seed is not None),
        "devices": _each(case.device for case in cases if case.device is not None),
    }
    return [(term, text) for term, text in terms.items() if text]


def _processor(document: Document) -> str:
    return f"{document.machine.processors} x {document.machine.processor}".rstrip(" x")


def _each(values: Iterable[object]) -> str:
    return ", ".join(map(str, dict.fromkeys(values)))


def _verb(document: Document) -> str:
    """Return the word for the time of a document; one without records describes only the machine."""
    if not document.records:
        return "written"
    return "simulated" if document.is_simulated else "measured"
