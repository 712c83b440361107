"""What a process prints, of which the end is kept: however much it is, it fills no disk and no memory limit."""

from __future__ import annotations

import os
import threading

_KEPT_BYTES = 1 << 16
_LAST_WORDS = 400
_PATIENCE_S = 1.0


class Tail:
    """A pipe that is drained on a thread. `fd` is for the process to write into; `started` is to be called then."""

    def __init__(self) -> None:
        self._read, self.fd = os.pipe()
        self._open = {self._read, self.fd}
        self._kept = b""
        self._thread = threading.Thread(target=self._drain, name="edgeload tail", daemon=True)

    def started(self) -> None:
        """Read until every process that can write is gone."""
        self._close(self.fd)  # the process's alone now
        try:
            self._thread.start()
        except RuntimeError:  # no more threads
            self._close(self._read)
            raise

    def close(self) -> None:
        """Close both ends, where no process was started; one that was has them closed by its end."""
        if self._thread.ident is None:
            self._close(self.fd)
            self._close(self._read)

    def _close(self, fd: int) -> None:
        if fd in self._open:  # closed twice, it could be somebody else's by then
            self._open.remove(fd)
            os.close(fd)

    def _drain(self) -> None:
        while data := os.read(self._read, _KEPT_BYTES):
            self._kept = (self._kept + data)[-_KEPT_BYTES:]
        self._close(self._read)

    def words(self) -> str:
        """Return the last words; of a process that has ended, but for what escaped and may still be writing."""
        self._thread.join(_PATIENCE_S)
        return self._kept.decode(errors="replace").strip()[-_LAST_WORDS:].strip()
