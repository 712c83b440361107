"""The socket that a measured program sends its metrics and moments to; see `inside`."""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress

from pytest_edgeload.inside import INBOX

_MAX_MESSAGE_BYTES = 1 << 18


class Inbox:
    """A socket of one run. Its name is in the abstract namespace, so it leaves no file, and any user may send."""

    def __init__(self) -> None:
        """Listen under a new name. Raises OSError."""
        self.name = f"edgeload-{secrets.token_hex(8)}"
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
        try:
            self._socket.bind(f"\0{self.name}")
        except OSError:
            self._socket.close()
            raise

    def env(self, env: Mapping[str, str]) -> dict[str, str]:
        """Return the environment with the name of this socket."""
        return {**env, INBOX: self.name}

    @contextmanager
    def offered(self) -> Iterator[None]:
        """Offer this socket to code of this process, and to programs that it starts, in this context."""
        before = os.environ.get(INBOX)
        os.environ[INBOX] = self.name
        try:
            yield
        finally:
            if before is None:
                del os.environ[INBOX]
            else:
                os.environ[INBOX] = before

    def fileno(self) -> int:
        """Return the descriptor, which is readable when a message has arrived."""
        return self._socket.fileno()

    def receive(self) -> tuple[bytes, bytes | str | None]:
        """Return a message that has arrived and the address of its sender; an empty message if there is none."""
        try:
            return self._socket.recvfrom(_MAX_MESSAGE_BYTES)
        except BlockingIOError:
            return b"", None

    def answer(self, sender: bytes | str | None) -> None:
        """Let the sender of a message go on, if it still waits."""
        with suppress(OSError):
            self._socket.sendto(b"", sender)  # type: ignore[arg-type]  # None raises as well

    def close(self) -> None:
        """Stop listening."""
        self._socket.close()
