"""Errors are parts; a front end spells the options in them, and no part is lost."""

from __future__ import annotations

import pickle

import pytest

from pytest_edgeload.base.errors import Setting, Unsupported, UsageError, Words, notes, suggestion, with_notes


@pytest.mark.parametrize(
    ("parts", "sentence"),
    [
        (("network x", "registered twice", "rename one"), "network x: registered twice; rename one"),
        (("network x", "registered twice"), "network x: registered twice"),
        (("the whole sentence",), "the whole sentence"),
        (("", "a reason", "a hint"), "a reason; a hint"),
        ((Setting("mem", "12X"), "not a size", "try 512M"), "--edge-mem=12X: not a size; try 512M"),
        (("swap", "off", ("try ", Setting("swap", "auto"), " here")), "swap: off; try --edge-swap=auto here"),
        (("a\nb", "c\x1b[0m"), "a\\nb: c\\x1b[0m"),
    ],
)
def test_message_has_all_parts_and_the_spelling_of_its_front_end(parts: tuple[Words, ...], sentence: str) -> None:
    """A message is `subject: reason; hint` on one printable line."""
    assert str(UsageError(*parts).spelled(lambda setting: f"--edge-{setting}")) == sentence


def test_error_keeps_its_parts_when_pickled_and_when_it_is_about_something_else() -> None:
    """Parts survive the way between processes; `about` replaces the subject, and the hint only if one is given."""
    error = Unsupported(Setting("read-bw", "90M"), "no disk", "leave it out")
    assert str(pickle.loads(pickle.dumps(error))) == str(error) == "read-bw=90M: no disk; leave it out"  # noqa: S301
    assert str(error.about("device x")) == "device x: no disk; leave it out"
    assert str(error.about("device x", "use another")) == "device x: no disk; use another"
    assert isinstance(error.about("device x"), Unsupported)


def test_error_within_another_subject_keeps_subject_reason_and_spelling() -> None:
    """`within` makes the reason of the old subject and reason, and replaces the hint only if one is given."""
    error = Unsupported(Setting("read-bw", "90M"), ("not with ", Setting("cap", "none")), "leave it out")
    assert str(error.within("device x")) == "device x: read-bw=90M: not with cap=none; leave it out"
    assert (
        str(error.within("device x", "use another").spelled(lambda _: "-o")) == "device x: -o: not with -o; use another"
    )
    assert str(Unsupported("no disk").within("device x")) == "device x: no disk"
    assert isinstance(error.within("device x"), Unsupported)


def test_suggestion_is_the_nearest_name_or_all_of_them() -> None:
    """A typing error gets one name; anything else gets the list."""
    assert suggestion("bulc", ["bulk", "linear"]) == "did you mean bulk?"
    assert suggestion("xyz", ["bulk", "linear"]) == "choose from bulk, linear"
    assert suggestion("xyz", []) == "none is registered"


def test_notes_follow_an_error_to_its_new_subject() -> None:
    """The user's own lines stay with an error that becomes about, or the reason of, something else."""
    error = UsageError("network x", "KeyError: 'w'")
    error.add_note('  File "models.py", line 3, in make')
    for other in (error.about("network y"), error.within("session"), with_notes(ValueError(), error)):
        assert notes(other) == ('  File "models.py", line 3, in make',)
    assert "models.py" not in str(error.about("network y"))
