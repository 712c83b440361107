"""`edgeload recommend`, as a shell starts it, in a project of two small networks."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from pytest_edgeload.base.units import exact_size
from pytest_edgeload.policies import POLICIES
from pytest_edgeload.results.advice import Advice
from tests.cli.commands import Run


def test_advice_has_a_limit_a_choice_and_the_next_steps(run: Run, tmp_path: Path) -> None:
    """The text names the limit, the choice and the commands to use next; JSON has every prediction."""
    done = run("recommend", "small,wide", "--json", str(tmp_path / "advice.json"), "--threads=1")
    assert (done.returncode, done.stderr) == (0, "")
    advice = msgspec.json.decode((tmp_path / "advice.json").read_bytes(), type=Advice)
    best = advice.recommended
    assert best is not None
    assert best.limit_bytes in [limit.limit_bytes for limit in advice.limits]
    assert {*POLICIES} <= {each.choice.policy for each in advice.limits[0].predictions}
    choice, limit = best.choice, exact_size(best.limit_bytes)
    assert f"use {choice.policy}, reader {choice.reader}, 1 thread at {limit}: makespan" in done.stdout
    assert "not confirmed" in done.stdout
    assert f'policy="{choice.policy}", reader="{choice.reader}", threads=1)' in done.stdout
    assert f"--edge-mem={limit} --edge-policy=" in done.stdout


def test_advice_for_compressed_weights_is_about_compressed_weights(run: Run) -> None:
    """The next step for pytest compresses them as well, and a reader that cannot read them is refused."""
    words = ("recommend", "small", "--store=compressed", "--policy=linear")
    assert " --edge-store=compressed " in run(*words).stdout
    refused = run(*words, "--reader=mmap")
    assert refused.stderr == "edgeload: reader mmap: compressed weights cannot be mapped; choose read or direct\n"


def test_goal_out_of_reach_is_status_1(run: Run) -> None:
    """A goal that no limit meets gives status 1 and names the best that there is."""
    done = run("recommend", "small", "--within=0.001ms", "--policy=linear,stream")
    assert done.returncode == 1
    assert "no limit gives a slowest response of at most" in done.stdout
    assert "next:" not in done.stdout


def test_confirmed_choices_are_shown_with_their_predictions(run: Run, tmp_path: Path) -> None:
    """The best choices run for real, and their errors are the certainty of this and of later advice."""
    file = tmp_path / "advice.json"
    words = ("recommend", "small", "--rate=20", "--policy=linear,bulk", "--swap=off", "--json", str(file))
    done = run(*words, "--confirm")
    assert done.returncode == 0, done.stderr
    advice = msgspec.json.decode(file.read_bytes(), type=Advice)
    assert advice.objective.metric == "in_time"
    assert 1 <= len(advice.confirmations) <= 3
    assert all(each.measured.outcome == "ok" for each in advice.confirmations)
    assert advice.certainty is not None
    assert advice.certainty.confirmed >= len(advice.confirmations)
    assert "confirmed prediction" in run(*words).stdout


def test_choice_that_misses_the_rate_is_confirmed_as_well(run: Run, tmp_path: Path) -> None:
    """If no limit will do, the best choice under the largest one runs."""
    file = tmp_path / "advice.json"
    done = run(
        *("recommend", "small", "--rate=20", "--within=0.001ms", "--policy=linear,bulk", "--swap=off"),
        *("--confirm", "--json", str(file)),
    )
    assert done.returncode == 1, done.stderr
    advice = msgspec.json.decode(file.read_bytes(), type=Advice)
    assert advice.recommended is None
    assert [each.measured.limit_bytes for each in advice.confirmations] == [advice.limits[-1].limit_bytes]
    assert advice.confirmations[0].measured.outcome == "ok"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["small", "--policy=bulc"], "--policy=bulc: unknown; did you mean bulk?"),
        (["small", "--json=/proc/a"], "--json=/proc/a: No such file or directory; name a file elsewhere"),
        (["smal"], "network 'smal': not registered; did you mean small?"),
        (["small,"], "networks 'small,': a name is missing before or after a comma; write them as a,b"),
        (["small", "--mem=none"], "--mem=none: the advice is about limits; leave it out to see the largest"),
        (["small", "--rate=2", "--images=3"], "--images=3: a rate sets the number of requests; leave it out"),
        (["small", "--device=rpi33"], "--device=rpi33: no such device; did you mean rpi3?"),
        (["mix.yaml", "--rate=2"], "--rate=2: the file mix.yaml sets when requests arrive; leave it out"),
    ],
)
def test_errors_name_the_way_out(run: Run, words: list[str], message: str) -> None:
    """Each error is one sentence with the option, its value and the way out."""
    done = run("recommend", *words)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", f"edgeload: {message}\n")
