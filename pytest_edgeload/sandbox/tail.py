"""The end of a process's output. However much there is, it fills neither a disk nor a memory limit."""

from __future__ import annotations

import os
import threading

KEPT_BYTES = 1 << 20
"""The most bytes of an output that are kept."""

_CHUNK_BYTES = 1 << 16
_MAX_WORDS_CHARACTERS = 400
_PATIENCE_S = 1.0


class Tail:
    """A pipe that is drained on a thread. The process writes to `fd`; once it has started, call `drain`."""

    def __init__(self) -> None:
        self._read, self.fd = os.pipe()
        self._open = {self._read, self.fd}
        self._kept = bytearray()
        self._thread = threading.Thread(target=self._read_all, name="edgeload tail", daemon=True)

    def drain(self) -> None:
        """Close this process's end, and read on a thread until every process that can write is gone."""
        self._close(self.fd)  # only the process has it open now
        try:
            self._thread.start()
        except RuntimeError:  # no more threads
            self._close(self._read)
            raise

    def close(self) -> None:
        """Close both ends if no process was started. Otherwise they close when the process ends."""
        if self._thread.ident is None:
            self._close(self.fd)
            self._close(self._read)

    def _close(self, fd: int) -> None:
        if fd in self._open:  # a second close could hit another file of the same number
            self._open.remove(fd)
            os.close(fd)

    def _read_all(self) -> None:
        while data := os.read(self._read, _CHUNK_BYTES):
            self._kept += data
            if len(self._kept) > 2 * KEPT_BYTES:  # not at each chunk, because it moves all of them
                del self._kept[:-KEPT_BYTES]
        self._close(self._read)

    def words(self) -> str:
        """Return the last words of a process that has ended. A child that escaped may still be writing."""
        return self.text().strip()[-_MAX_WORDS_CHARACTERS:].strip()

    def text(self) -> str:
        """Return the end of the output of a process that has ended."""
        self._thread.join(_PATIENCE_S)
        return bytes(self._kept[-KEPT_BYTES:]).decode(errors="replace")
