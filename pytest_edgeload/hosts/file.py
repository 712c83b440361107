"""Files of hosts: one TOML table for each host. Each mistake gets one sentence with its line."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from pytest_edgeload.base import files
from pytest_edgeload.base.errors import UsageError, suggestion

_MAX_BYTES = 1 << 20
_NAME = re.compile(r"[A-Za-z0-9][\w.-]{0,99}", re.ASCII)
_ONE_LINE = r"^[^\n\r]+\Z"
_SSH = r"^[^\x00-\x1f'\"\\]*[^\x00-\x20'\"\\][^\x00-\x1f'\"\\]*\Z"  # not blank; ssh gets its words, without a shell
_SHELL_SAFE = r"^[A-Za-z0-9_./+][A-Za-z0-9_./+-]*\Z"
_PATH = re.compile(r" - at `\$\.?(?P<path>[^`]*)`")

Line = Annotated[str, Meta(pattern=_ONE_LINE, max_length=1000)]
PathThere = Annotated[str, Meta(pattern=_SHELL_SAFE, max_length=1000)]
Tag = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][\w.-]*$", max_length=100)]


class Host(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A machine that measures, reached by ssh.

    `ssh` is a destination with any options of ssh before it. Everything of ours on the host is in `folder`, which
    starts at the home directory unless it is absolute. `python` is the interpreter, by default that of the environment
    in the folder. `device` is the device that the host emulates; without one, its own hardware is measured. `tags` are
    words that choose hosts.
    """

    ssh: Annotated[str, Meta(pattern=_SSH, max_length=1000)]
    folder: PathThere = "edgeload"
    python: PathThere | None = None
    device: Line | None = None
    tags: tuple[Tag, ...] = ()
    name: str = ""

    @property
    def environment(self) -> str:
        """The folder of the virtual environment of ours; a relative path starts at the home directory."""
        return f"{self.folder}/venv"

    @property
    def interpreter(self) -> str:
        """The path of the interpreter; a relative path starts at the home directory."""
        return self.python or f"{self.environment}/bin/python"

    @property
    def arguments(self) -> list[str]:
        """The options and the destination for ssh."""
        return self.ssh.split()


KEYS = tuple(field for field in Host.__struct_fields__ if field != "name")
"""The keys of a host in the file."""

_EXAMPLE = 'begin each host with a table: [pi4], and below it ssh = "pi@192.168.1.14"'


def load(path: Path, chosen: Sequence[str] = ()) -> tuple[Host, ...]:
    """Return the hosts of a file, or those of them with a name or a tag in `chosen`. Raises UsageError."""
    try:
        text = files.read(path, _MAX_BYTES).decode("utf-8-sig")
    except OSError as error:
        raise UsageError(str(path), error.strerror or "cannot be read", "name another file of hosts") from error
    except ValueError as error:  # a byte that is not UTF-8
        raise UsageError(str(path), f"not TOML: {error}", "see docs/hosts.md") from error
    return choose(parse(text, str(path)), chosen, str(path))


def choose(hosts: Sequence[Host], chosen: Iterable[str], subject: str) -> tuple[Host, ...]:
    """Return the hosts with a name or a tag in `chosen`, or all without any. Raises UsageError for an unknown one."""
    known = {word for host in hosts for word in (host.name, *host.tags)}
    wanted = set(chosen)
    for word in sorted(wanted - known):
        raise UsageError(f"{subject}: {word}", "no host has this name or tag", suggestion(word, sorted(known)))
    return tuple(host for host in hosts if not wanted or wanted & {host.name, *host.tags})


def parse(text: str, subject: str) -> tuple[Host, ...]:
    """Return the hosts in a text, in its order. `subject` names the file in errors. Raises UsageError."""
    try:
        tables = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # RecursionError: tables nested too deep
        raise UsageError(subject, f"not TOML: {error}", "see docs/hosts.md") from error
    if not tables:
        raise UsageError(subject, "no hosts are in it", _EXAMPLE)
    return tuple(_host(name, table, subject, text) for name, table in tables.items())


def _host(name: str, table: object, subject: str, text: str) -> Host:
    if not isinstance(table, dict):
        raise UsageError(f"{subject}:{_line(text, '', name)}: {name}", "not a host", _EXAMPLE)
    place = f"{subject}:{_line(text, name, '')}: [{name}]"
    if not _NAME.fullmatch(name):
        raise UsageError(place, "not a name for a host", "use letters, digits, '.', '-' and '_', such as pi4")
    for key in table:
        if key not in KEYS:
            raise UsageError(
                f"{subject}:{_line(text, name, key)}: [{name}] {key}", "no such key", suggestion(key, KEYS)
            )
    if "ssh" not in table:
        raise UsageError(place, "has no ssh", 'add ssh = "pi@192.168.1.14", a destination as ssh takes it')
    try:
        host = msgspec.convert({**table, "name": name}, Host)
    except msgspec.ValidationError as error:
        at = _PATH.search(str(error))
        key = "" if at is None else re.split(r"\W", at["path"])[0]
        where = f"{subject}:{_line(text, name, key)}: [{name}] {key} = {table.get(key)!r}"
        raise UsageError(where, _PATH.sub("", str(error)), _example(key)) from None
    if "//" in f"{host.ssh} {host.interpreter}":  # execnet separates the parts of an address by it
        raise UsageError(place, "ssh and python may not contain //", "write single slashes")
    return host


_CHARACTERS = "of letters, digits and ._/+-; without / in front it starts at the home directory"
_EXAMPLES = {
    "ssh": '"pi@192.168.1.14"; options with quotes or spaces belong into ~/.ssh/config',
    "folder": f'"edgeload", {_CHARACTERS}',
    "python": f'"/usr/bin/python3", {_CHARACTERS}',
    "device": '"rpi3"',
    "tags": '["arm", "4g"]',
}


def _example(key: str) -> str:
    return f"write {key} = {_EXAMPLES.get(key, '...')}"


def _line(text: str, table: str, key: str) -> int:
    """Return the number of the line of a key in a table, or of the table's header; 1 if it is written in other ways."""
    header = re.compile(rf"\s*\[\s*[\"']?{re.escape(table)}[\"']?\s*\]")
    entry = re.compile(rf"\s*[\"']?{re.escape(key)}[\"']?\s*=")
    first, is_inside = 1, not table
    for number, line in enumerate(text.splitlines(), 1):
        if table and line.lstrip().startswith("["):
            is_inside = bool(header.match(line))
            first = number if is_inside else first
        if key and is_inside and entry.match(line):
            return number
    return first
