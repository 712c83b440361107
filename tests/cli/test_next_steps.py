"""The next steps after advice are commands that work: with the user's own words, files and policies."""

from __future__ import annotations

from pytest_edgeload.cli.next_steps import next_steps
from pytest_edgeload.planning.plan import Budget, Plan
from pytest_edgeload.policies import POLICIES, known_policies
from pytest_edgeload.results.advice import Advice, ChoiceRun, Objective, PolicyChoice
from pytest_edgeload.workload import Workload

M = 1 << 20


def _own_plan(workload: Workload, budget: Budget) -> Plan:
    return POLICIES["linear"](workload, budget)


def _lines(policy: str, **sources: str) -> list[str]:
    best = ChoiceRun(PolicyChoice(policy, "direct", 2), 300 * M, "ok", 1.0)
    advice = Advice("mix", tuple(sources), None, Objective("makespan_s"), 200 * M, True, (), (), best)  # noqa: FBT003
    return next_steps(advice, sources, known_policies(lambda register: register("own", _own_plan)))


def test_words_of_the_command_line_are_stored_and_files_are_not_stored_again() -> None:
    """A function and a saved model are stored by the words that name them; a stored file is used from its place."""
    store, runtime, _ = _lines("stream", net="net", detector="models:detector", face="boards/face.edgenet")
    assert store == "edgeload store net models:detector"
    files = '{"net": "net.edgenet", "detector": "detector.edgenet", "face": "boards/face.edgenet"}'
    assert runtime == f'Runtime({files}, memory="100M", policy="stream", reader="direct", threads=2)'
    first, *_ = _lines("stream", face="face.edgenet")
    assert first.startswith("Runtime(")


def test_own_policy_is_a_function_for_the_runtime_and_a_name_for_pytest() -> None:
    """The runtime knows built-in policies by name only."""
    _, runtime, suite = _lines("own", net="net")
    assert "policy=_own_plan, " in runtime
    assert "--edge-policy=bulk,own " in suite


def test_speeds_in_doubt_are_measured_first() -> None:
    """If the machine or the device is not calibrated, or its speeds are stale, the first step measures them."""
    best = ChoiceRun(PolicyChoice("linear", "direct", 2), 300 * M, "ok", 1.0)
    advice = Advice("mix", ("net",), "rpi3", Objective("makespan_s"), 200 * M, False, ("stale",), (), best)  # noqa: FBT003
    assert next_steps(advice, {"net": "net"}, POLICIES)[0] == "edgeload calibrate --device=rpi3"


def test_shell_takes_a_policy_with_parameters() -> None:
    """Parentheses are quoted for the shell."""
    *_, suite = _lines("ttl(30s)", net="net")
    assert "'--edge-policy=bulk,ttl(30s)'" in suite
