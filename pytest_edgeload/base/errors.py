"""The exceptions whose message is all there is to say: one sentence with the thing, the value and the way out.

A run's own failure is a value, not an exception.
"""

from __future__ import annotations

from collections.abc import Iterable

from pytest_edgeload.base import text as texts

_ALIKE = 100  # characters of a name that are compared with others, which takes time


class Refusal(Exception):
    """Something cannot be done; where in our code that was noticed says nothing to the reader.

    Its sentence may quote what others wrote, and is one line that no terminal obeys all the same.
    """

    def __str__(self) -> str:
        return texts.printable(super().__str__())


class UsageError(Refusal):
    """The caller asked for something that makes no sense."""


class Unsupported(Refusal):
    """This machine cannot do what was asked; the message says what would make it able to."""


def check_name(what: str, name: str) -> None:
    """Raise UsageError, which says `what` it should name, for what is no name."""
    try:
        texts.check(what, name)
    except ValueError as error:
        raise UsageError(str(error)) from None


def hint(name: str, known: Iterable[str], *, likeness: float = 0.6) -> str:
    """Return the way out for a name that nothing has: the nearest of `known`, at least so alike (0 to 1), else all."""
    import difflib  # noqa: PLC0415  # not for every pytest start

    known = list(known)
    near = difflib.get_close_matches(name[:_ALIKE], known, n=1, cutoff=likeness)
    return f"did you mean {near[0]}?" if near else f"there are {', '.join(known) or 'none'}"
