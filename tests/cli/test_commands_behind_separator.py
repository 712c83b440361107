"""Commands behind `--`: how they are separated, split, looked up and named."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import pytest

from pytest_edgeload import cli
from pytest_edgeload.base.errors import UsageError
from pytest_edgeload.cli.programs import NamedCommand, commands_of
from pytest_edgeload.cli.subcommand import split_commands
from pytest_edgeload.results.source import MetricSource


def commands(line: str) -> tuple[NamedCommand, ...]:
    """Return the commands of a line of `edgeload run`."""
    return commands_of(cli.parse(["run", *shlex.split(line)]))


def refusal(line: str) -> str:
    """Return the error about the commands of a line of `edgeload run`."""
    with pytest.raises(UsageError) as caught:
        commands(line)
    return str(caught.value)


def test_separators_divide_options_and_commands() -> None:
    """The first separator ends the options, and each further one a command."""
    assert split_commands(["--mem=1G", "--", "a", "-x", "--", "b"]) == (["--mem=1G"], (("a", "-x"), ("b",)))
    assert split_commands(["--mem=1G"]) == (["--mem=1G"], ())


def test_other_subcommands_keep_the_separator() -> None:
    """A subcommand that takes no commands gets all words, as argparse reads them."""
    assert cli.parse(["report", "--", "-a.json"]).files == ["-a.json"]


def test_command_in_quotes_may_contain_the_separator() -> None:
    """One word with spaces is split as a shell splits it, so the command can contain the separator."""
    (made,) = commands("""-- 'echo -- "a b"'""")
    assert made.command.argv[1:] == ("--", "a b")


def test_path_with_a_space_is_one_word(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One word that is the path of a program is not split."""
    (tmp_path / "my program").symlink_to(sys.executable)
    monkeypatch.chdir(tmp_path)
    (made,) = commands("-- './my program'")
    assert (made.name, made.command.argv) == ("my-program", (str(tmp_path / "my program"),))


def test_names_are_those_of_programs_unless_they_are_equal() -> None:
    """A row has the name of its program, as in pytest, or all words if another command has the same program."""
    assert [made.name for made in commands("-- echo a -- true")] == ["echo", "true"]
    assert [made.name for made in commands("-- echo a -- echo --b=c")] == ["echo-a", "echo---b-c"]
    assert [made.name for made in commands("--name=old --name=näu -- echo a -- true")] == ["old", "näu"]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("", "no command: there is nothing to measure; write each behind --, as in: edgeload run -- ./program"),
        ("-- true --", "an empty command: there is nothing to measure"),
        ("-- ''", "an empty command: there is nothing to measure"),
        ("-- true -- no-such-program", "command no-such-program: not in a folder of"),
        ("-- /etc/passwd", "command /etc/passwd: not an executable file"),
        ("-- 'echo a | wc'", "command echo a | wc: no shell reads it, so | has no effect; try -- sh -c 'echo a | wc'"),
        ("""-- "echo 'a" """, "command echo 'a: no closing quotation; close the quotation"),
        ("-- true -- true", "command true: two commands would have the same name; give each command a name"),
        ("--name=a -- true -- false", "name=a: the number of names is 1, and that of commands is 2; give one for each"),
        ("--name=a --name=a -- true -- false", "name=a: two commands have this name"),
        ("--name=a/b -- true", "name=a/b: a threshold could not contain it; use letters, digits, and . _ -"),
        ("--ask=true -- true", "ask=true: only a service can be asked; add ready, which says when to ask it"),
        ("--ready=8000 -- true", "ready=8000: not an address of a service; try tcp:127.0.0.1:8000"),
    ],
)
def test_wrong_command_is_refused_in_one_sentence(line: str, words: str) -> None:
    """A missing, empty, unknown or ambiguous command is refused before anything runs."""
    assert refusal(line).startswith(words)


def test_metrics_have_a_name_and_a_source() -> None:
    """Each metric is found in the output of every command."""
    made = commands(r"--metric=a=$.x '--metric=b:ms:lower=/(?P<value>\d+) ms/' -- echo a -- true")
    assert [*made[0].command.metrics] == ["a", "b"]
    assert made[0].command.metrics["b"] == MetricSource(r"/(?P<value>\d+) ms/", "ms", "lower")
    assert made[1].command.metrics == made[0].command.metrics


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("--metric=tps", "metric=tps: not a metric and its source; try tokens_per_s=$.timings.predicted_per_second"),
        ("--metric=x=y", "metric=x=y: neither a path in JSON nor a regular expression; try $.tokens_per_s, "),
        ("--metric=peak_bytes=$", "metric=peak_bytes=$: this name is taken: every run has it; choose another, such as"),
        ("--metric=x=$.a --metric=x=$.b", "metric=x=$.b: x has another source already; give it another name"),
    ],
)
def test_other_metrics_are_refused(line: str, sentence: str) -> None:
    """A metric without a source, or whose name is taken, is refused before anything runs."""
    assert refusal(f"{line} -- true").startswith(sentence)
