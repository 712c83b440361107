"""The confirmed predictions of a machine: each with the run that it was compared with, in a file of the cache."""

from __future__ import annotations

from pathlib import Path

import msgspec

from pytest_edgeload.base import files
from pytest_edgeload.results.advice import Confirmation

_MAX_KEPT = 200
_MAX_BYTES = 1 << 20


class ConfirmationEntry(msgspec.Struct, frozen=True):
    """A confirmation with its circumstances: the kind of machine, the device, the workload and its figure.

    `is_calibrated`: it was predicted with the measured speeds of the machine.
    """

    machine: str
    device: str | None
    workload: str
    metric: str
    is_calibrated: bool
    confirmation: Confirmation


class Confirmations:
    """The file of confirmations in a cache folder."""

    def __init__(self, cache: Path) -> None:
        self._cache, self._path = cache, cache / "confirmations.json"

    def errors(self, machine: str, device: str | None, *, is_calibrated: bool) -> list[float]:
        """Return the errors of predictions for this machine and device that used the same kind of speeds."""
        asked = machine, device, is_calibrated
        own = (each for each in self._kept() if (each.machine, each.device, each.is_calibrated) == asked)
        return [error for each in own if (error := each.confirmation.error) is not None]

    def add(self, confirmation: ConfirmationEntry) -> None:
        """Keep a confirmation, and forget the oldest ones. Raises UsageError if the folder cannot be written."""
        kept = [*self._kept(), confirmation][-_MAX_KEPT:]
        with files.noting(self._cache):
            files.make_folder(self._cache)
            files.write(self._path, msgspec.json.encode(kept), files.OURS)

    def _kept(self) -> list[ConfirmationEntry]:
        """Return the confirmations; none if the file is missing or of another version, because it is only a cache."""
        try:
            return msgspec.json.decode(files.read(self._path, _MAX_BYTES), type=list[ConfirmationEntry])
        except (OSError, ValueError):
            return []
