"""Files of hosts: each mistake is one sentence with the line, the thing and the way out."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pytest_edgeload.base.errors import UsageError
from pytest_edgeload.hosts.connection import address
from pytest_edgeload.hosts.file import KEYS, choose, load, parse

PAGE = (Path(__file__).parents[2] / "docs/hosts.md").read_text(encoding="utf-8")

FILE = """\
# a shelf
[pi4]
ssh = "-p 2222 pi@pi4"
tags = ["arm"]

[pc]
ssh = "me@pc"
folder = "/mnt/edgeload"
device = "rpi3"
"""


def test_hosts_have_defaults() -> None:
    """A host needs only a destination: the interpreter is that of the environment in its folder."""
    pi4, pc = parse(FILE, "boards.toml")
    assert (pi4.name, pi4.folder, pi4.interpreter, pi4.device) == ("pi4", "edgeload", "edgeload/venv/bin/python", None)
    assert (pc.interpreter, pc.device, pc.tags) == ("/mnt/edgeload/venv/bin/python", "rpi3", ())


def test_address_has_the_options_of_the_host_first() -> None:
    """Ssh takes the first value of an option, so those of the host overrule ours."""
    pi4, _ = parse(FILE.replace("-p 2222", "-oConnectTimeout=1"), "boards.toml")
    parts = address(pi4).split("//")
    assert parts[0].startswith("ssh=-oConnectTimeout=1 pi@pi4 -oBatchMode=yes -oConnectTimeout=10 ")
    assert parts[1:] == ["python=edgeload/venv/bin/python", "id=pi4"]


def test_hosts_are_chosen_by_name_or_tag() -> None:
    """A name or a tag chooses; an unknown one is refused."""
    hosts = parse(FILE, "boards.toml")
    assert [host.name for host in choose(hosts, ["arm"], "boards.toml")] == ["pi4"]
    assert [host.name for host in choose(hosts, ["pc", "arm"], "boards.toml")] == ["pi4", "pc"]
    with pytest.raises(UsageError, match=r"^boards.toml: pi5: no host has this name or tag; did you mean pi4\?$"):
        choose(hosts, ["pi5"], "boards.toml")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('ssh = "me@pc"\n', "", "boards.toml:6: [pc]: has no ssh; add ssh = "),
        ("tags = [", "tag = [", "boards.toml:4: [pi4] tag: no such key; did you mean tags?"),
        ('tags = ["arm"]', "tags = 4", "boards.toml:4: [pi4] tags = 4: Expected `array`, got `int`; write tags = "),
        ('tags = ["arm"]', 'tags = ["a b"]', "boards.toml:4: [pi4] tags = ['a b']: Expected `str` matching regex"),
        (
            '"/mnt/edgeload"',
            '"/mnt/edge load"',
            "boards.toml:8: [pc] folder = '/mnt/edge load': Expected",
        ),
        ('"/mnt/edgeload"', '"~/edgeload"', "boards.toml:8: [pc] folder = '~/edgeload': Expected"),
        ('"/mnt/edgeload"', '"a;reboot"', "boards.toml:8: [pc] folder = 'a;reboot': Expected"),
        ('folder = "/mnt', 'python = "$(x)', "boards.toml:8: [pc] python = '$(x)/edgeload': Expected"),
        ('"me@pc"', "' '", "boards.toml:7: [pc] ssh = ' ': Expected"),
        ("me@pc", "-i '/my key' me@pc", "boards.toml:7: [pc] ssh = \"-i '/my key' me@pc\": Expected"),
        ("[pi4]", '["p i"]', "boards.toml:2: [p i]: not a name for a host; use letters, digits"),
        ("[pi4]", "pi4 = 1\n[x]", "boards.toml:2: pi4: not a host; begin each host with a table: [pi4]"),
        ("[pc]", "[pc", "boards.toml: not TOML: Expected ']'"),
        ("me@pc", "me@pc//x", "boards.toml:6: [pc]: ssh and python may not contain //; write single slashes"),
    ],
)
def test_mistake_is_named_with_its_line(old: str, new: str, message: str) -> None:
    """A mistake is one sentence."""
    with pytest.raises(UsageError) as refused:
        parse(FILE.replace(old, new, 1), "boards.toml")
    assert str(refused.value).startswith(message)


def test_empty_and_missing_files_are_refused(tmp_path: Path) -> None:
    """A file without hosts, and a file that does not exist, are refused."""
    with pytest.raises(UsageError, match="no hosts are in it; begin each host with a table"):
        parse("", "boards.toml")
    with pytest.raises(UsageError, match="No such file or directory; name another file of hosts"):
        load(tmp_path / "boards.toml")


def test_page_has_a_valid_file_and_all_keys() -> None:
    """The example of the page is a file of hosts, and the page explains each key."""
    [example] = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    assert len(parse(example, "boards.toml")) == 3
    assert [key for key in KEYS if f"| `{key}` |" not in PAGE] == []
