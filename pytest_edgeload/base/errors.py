"""Exceptions made of parts: the subject, the reason and a hint. Each front end spells the options in them its own way.

A run's own failure is a value, not an exception.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple, Self, TypeVar

from pytest_edgeload.base import text as texts

_MAX_COMPARED = 100  # characters of a name that are compared with others, because comparing takes time

E = TypeVar("E", bound=BaseException)


class Setting(NamedTuple):
    """An option, without the spelling of pytest or the command line: `Setting("read-bw", "90M")`."""

    name: str
    value: str = ""

    def __str__(self) -> str:
        return f"{self.name}={self.value}" if self.value else self.name


Words = str | Setting | tuple[str | Setting, ...]
"""A part of a message. The items of a tuple follow each other without a separator."""

Spelling = Callable[[Setting], str]
"""How a front end writes a setting, as pytest's option or as one of the command line."""


class Refusal(Exception):
    """Something cannot be done. The message is one printable line: `subject: reason; hint`.

    `subject` is the thing and its value, `reason` the fault, and `hint` the way out. Empty parts are left
    out. Its notes (PEP 678) are lines of the user's own code; they are shown below the message.
    """

    spelling: Spelling = staticmethod(str)

    def __init__(self, subject: Words, reason: Words = "", hint: Words = "") -> None:
        super().__init__(subject, reason, hint)
        self.subject = subject
        self.reason = reason
        self.hint = hint

    def spelled(self, spelling: Spelling) -> Self:
        """Return this error, which from now on spells its options that way."""
        self.spelling = spelling
        return self

    def about(self, subject: Words, hint: Words = "") -> Self:
        """Return an error of the same type and reason with another subject, and with another hint if one is given."""
        return with_notes(type(self)(subject, self.reason or self.subject, hint or self.hint), self)

    @property
    def statement(self) -> tuple[str | Setting, ...]:
        """The subject and the reason, without the hint: the reason of an error that this one causes."""
        subject, reason = pieces(self.subject), pieces(self.reason)
        return (*subject, ": ", *reason) if subject and reason else subject or reason

    def within(self, subject: Words, hint: Words = "") -> Self:
        """Return an error of the same type, about `subject`, whose reason is all of this error but its hint."""
        return with_notes(type(self)(subject, self.statement, hint or self.hint), self)

    def __str__(self) -> str:
        subject, reason, hint = (joined(part, self.spelling) for part in (self.subject, self.reason, self.hint))
        body = ": ".join(part for part in (subject, reason) if part)
        return texts.printable(f"{body}; {hint}" if hint else body)


class UsageError(Refusal):
    """The caller asked for something that makes no sense."""


class Unsupported(Refusal):
    """This machine cannot do it. The hint names what would let it."""


def with_notes(error: E, source: BaseException) -> E:
    """Return `error` with the notes of `source` added."""
    for note in notes(source):
        error.add_note(note)
    return error


def notes(error: BaseException) -> tuple[str, ...]:
    """Return the notes of an error."""
    return tuple(getattr(error, "__notes__", ()))


def pieces(part: Words) -> tuple[str | Setting, ...]:
    """Return a part of a message as its pieces: none if it is empty."""
    if isinstance(part, str | Setting):
        return (part,) if part else ()
    return part


def joined(part: Words, spelling: Spelling = str) -> str:
    """Return a part of a message as text."""
    return "".join(piece if isinstance(piece, str) else spelling(piece) for piece in pieces(part))


def check_name(kind: str, name: str) -> None:
    """Raise UsageError if `name` cannot name a thing of this kind."""
    try:
        texts.check(kind, name)
    except ValueError as error:
        raise UsageError(str(error)) from None


def suggestion(name: str, known: Iterable[str], *, min_likeness: float = 0.6) -> str:
    """Return a hint for an unknown name: the most similar of `known` if similar enough (0 to 1), else all of them."""
    known = list(known)
    if not known:
        return "none is registered"
    near = nearest(name, known, min_likeness=min_likeness)
    return f"did you mean {near}?" if near else f"choose from {', '.join(known)}"


def nearest(name: str, known: Iterable[str], *, min_likeness: float = 0.6) -> str | None:
    """Return the most similar of `known`; None if none is similar enough (0 to 1)."""
    import difflib  # noqa: PLC0415  # not needed at every start of pytest

    near = difflib.get_close_matches(name[:_MAX_COMPARED], list(known), n=1, cutoff=min_likeness)
    return near[0] if near else None
