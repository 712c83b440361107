"""The exceptions whose message is all there is to say: one sentence with the thing, the value and the way out.

A run's own failure is a value, not an exception.
"""

from __future__ import annotations


class Refusal(Exception):
    """Something cannot be done; where in our code that was noticed says nothing to the reader."""


class UsageError(Refusal):
    """The caller asked for something that makes no sense."""


class Unsupported(Refusal):
    """This machine cannot do what was asked; the message says what would make it able to."""
