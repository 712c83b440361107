"""Names and paths of users: invalid ones are refused at once, and every text is shown on one line."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_edgeload.base import text as texts
from pytest_edgeload.base.errors import UsageError
from pytest_edgeload.networks.registry import Registry
from pytest_edgeload.networks.store import Store
from pytest_edgeload.peers import known_peers
from pytest_edgeload.policies import known_policies
from pytest_edgeload.policies.bulk import bulk
from pytest_edgeload.workload import Mix

NONE = ("", "\0", "a\nb", "\x1b[2J", "\t", "\ud800", "\N{RIGHT-TO-LEFT OVERRIDE}", "\N{ZERO WIDTH SPACE}", "x" * 5000)
FINE = ("../../etc/x", "/etc/x", ".", "-rf", "\N{CYRILLIC SMALL LETTER A}ge_net", "=1", "<b>", "a,b", "x" * 1000)


def _network(name: str) -> None:
    Registry(Store(Path("/nowhere"))).register(name, "m:f")


def _mix(name: str) -> None:
    try:
        Mix.of(name, ["a"])
    except ValueError as error:
        raise UsageError(str(error)) from error


@pytest.mark.parametrize(
    "register",
    [
        _network,
        _mix,
        lambda name: known_policies(lambda register: register(name, bulk)),
        lambda name: known_peers(lambda register: register(name, "m:f"), ()),
    ],
    ids=["network", "workload", "policy", "peer"],
)
def test_invalid_name_is_refused(register: Callable[[str], object]) -> None:
    """A name that cannot be shown or stored is refused in one sentence on one line."""
    for name in NONE:
        with pytest.raises(UsageError, match=r": not a name; give 1 to 1000 printable characters$") as refused:
            register(name)
        assert str(refused.value).isprintable()
        assert len(str(refused.value)) < 200
    for name in FINE:
        register(name)


@given(st.text(min_size=1), st.integers(20, 40))
def test_bounded_texts_stay_different(text: str, size: int) -> None:
    """A long text is cut, and still differs from one that differs after the cut; a short text stays as it is."""
    one, other = (texts.bounded(text * 40 + end, size) for end in "ab")
    assert len(one) == len(other) == size
    assert one != other
    assert texts.bounded(text, len(text)) == text


@given(st.text())
def test_text_is_shown_on_one_line(text: str) -> None:
    """A text is shown on one line that can be printed and encoded; a printable text stays as it is."""
    shown = texts.printable(text)
    assert shown.isprintable()
    assert shown.encode().decode() == shown
    assert texts.printable(shown) == shown
    assert (shown == text) == text.isprintable()


@pytest.mark.parametrize("text", ["\0", "a\nb", "x" * 300, "~nobody-has-this-name/x", "\udcff", "a" * 5000])
def test_invalid_path_is_refused(text: str) -> None:
    """A text that cannot be a file's path, or cannot be printed, is refused."""
    with pytest.raises(ValueError, match="not a path that "):
        texts.as_path(text)


def test_forbidden_folder_is_reported_as_by_the_system(tmp_path: Path) -> None:
    """A path in a folder that may not be entered is refused with the system's reason."""
    (tmp_path / "theirs").mkdir(mode=0)
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)  # root may enter any
    try:
        with pytest.raises(ValueError, match=r"^Permission denied; name another$"):
            texts.as_path(str(tmp_path / "theirs" / "file"))
    finally:
        os.seteuid(user)


@pytest.mark.parametrize("note", ["../../secret", "/etc", "", ".", "..", "x" * 64 + "\0", "0" * 5000, "\0"])
def test_note_of_a_network_leads_nowhere_else(tmp_path: Path, note: str) -> None:
    """The cache's note of a network is a digest, or nothing: it names no other folder."""
    for folder in ("secret", "cache/networks", "cache/recipes", f"cache/networks/{'x' * 64}"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "cache" / "recipes" / "key").write_text(note)
    assert Store(tmp_path / "cache").find("key") is None


def test_long_list_is_cut_after_three_names() -> None:
    """Three names are listed and the others counted; names are printable."""
    assert texts.listed([]) == ""
    assert texts.listed(["a", "b", "c"]) == "a, b, c"
    assert texts.listed(["a", "b", "c", "d", "e"]) == "a, b, c and 2 more"
    assert texts.listed(["a\nb"]) == texts.printable("a\nb")
