"""`edgeload search`, as a shell starts it, in a project of two small networks."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_edgeload.workload import Mix
from tests.cli.commands import Run


def test_found_workload_is_a_file_and_a_test(run: Run, tmp_path: Path) -> None:
    """The search prints the figures, the workload and a test, writes the file, and runs both policies under it."""
    file = tmp_path / "worst.yaml"
    done = run(
        "search", "--policy=linear", "--against=partial,stream", "--mem=base+80M", "--seconds=4", "-o", str(file)
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("linear loses most to ")
    assert "predicted: linear " in done.stdout
    assert "measured, median of 3 runs: linear " in done.stdout
    assert file.read_text() in done.stdout
    assert {*Mix.load(file).networks} <= {"small", "wide"}
    test = done.stdout.partition("# test_worst.py\n")[2]
    assert "def test_worst" in test
    compile(test, "test_worst.py", "exec")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--policy=bulc"], "--policy=bulc: unknown; did you mean bulk?"),
        (["--policy=bulk", "--against=bulk"], "--against=bulk: no other policy; name one, or any"),
        (
            ["--policy=bulk", "-o", "/proc/a"],
            "--output=/proc/a: No such file or directory; name a file elsewhere",
        ),
        (["--policy=bulk", "--networks=smal"], "network 'smal': not registered; did you mean small?"),
    ],
)
def test_search_refuses_what_cannot_be_searched(run: Run, words: list[str], message: str) -> None:
    """Each error is one sentence with the option, its value and the way out."""
    done = run("search", "--mem=512M", *words)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", f"edgeload: {message}\n")
