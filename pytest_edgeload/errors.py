"""The two exceptions that say whose fault it is; a run's own failure is a value, not an exception."""

from __future__ import annotations


class UsageError(Exception):
    """The caller asked for something that makes no sense; the message names the thing, the value and the way out."""


class Unsupported(Exception):
    """This machine cannot do what was asked; the message says what would make it able to."""
