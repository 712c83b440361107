"""For code inside a measured program: it reports metrics of its own, and names moments. Standard library only.

Outside a measured run, nothing happens. Each message is a datagram to a socket of the run, so nothing is left behind,
and any process that inherits the run's variable may send one.
"""

from __future__ import annotations

import json
import os

INBOX = "EDGELOAD_INBOX"
"""The variable with the name of the socket, in the abstract namespace of Linux, that receives the messages."""

RECORD, MARK, REPETITION = b"record ", b"mark ", b"repetition"
"""The beginnings of the messages: a metric in JSON, a moment's name, and the end of a repetition.

The last two are answered when the memory of the run has been read.
"""

_PATIENCE_S = 1.0
_MAX_NUMBERS = 1000  # of a series in one message, because a datagram holds about 200 KB


def record(
    name: str, value: object, *, unit: str | None = None, better: str | None = None, series: bool = False
) -> None:
    """Report a metric of the program's own, such as `record("tokens_per_s", 31.2)`.

    `value` is a number, or a list of numbers, which is a series. If `series` is true, it is added to the series of this
    `name`; otherwise a name may be reported once per run. `unit` is any text, and `better` is `"higher"`,
    `"lower"` or `"neither"`. Without them, both follow from the name: `tokens_per_s` is per second, and higher is
    better. A value that is not a number is no error here, but the row of the run says so.
    """
    if not os.environ.get(INBOX):
        return
    values = _plain(value)
    is_series = series or isinstance(values, list)
    for part in _parts(values):
        report = {"name": name, "value": part, "unit": unit, "better": better, "series": is_series}
        _send(RECORD + json.dumps(report, default=repr).encode())


def mark(name: str) -> None:
    """Name this moment, such as `mark("unloaded")`: the time line shows it, and `anon_at.unloaded` is a metric.

    The metric is the anonymous memory of all processes of the run, in memory and in swap, in bytes. This call returns
    when it has been read: after less than a millisecond on an idle machine, and after at most a second.
    """
    _send(MARK + str(name).encode(errors="backslashreplace"), waits=True)


def end_repetition() -> None:
    """Have the memory read after a repetition of a measured function."""
    _send(REPETITION, waits=True)


def _plain(value: object) -> object:
    """Return an array, a tensor or one of their scalars as lists or a number, and any other sequence as a list."""
    to_list = getattr(value, "tolist", None)
    if callable(to_list):
        return to_list()
    return list(value) if isinstance(value, list | tuple) else value


def _parts(value: object) -> list[object]:
    """Return a value in parts that fit into a message each."""
    if not isinstance(value, list) or len(value) <= _MAX_NUMBERS:
        return [value]
    return [value[begin : begin + _MAX_NUMBERS] for begin in range(0, len(value), _MAX_NUMBERS)]


def _send(message: bytes, *, waits: bool = False) -> None:
    """Send a message to the run, and wait for its answer if it `waits`."""
    address = os.environ.get(INBOX)
    if not address:
        return
    import socket  # noqa: PLC0415  # only now, because it takes memory

    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.settimeout(_PATIENCE_S)
        try:
            if waits:
                sender.bind("")  # the kernel chooses a name, to which the answer is sent
            sender.sendto(message, f"\0{address}")
            if waits:
                sender.recv(1)
        except OSError:  # the run is over, or no one answered in time
            pass
