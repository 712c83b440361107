"""Peers by name, and the workloads that they can answer."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import Any

import msgspec
import pytest
from packaging.requirements import Requirement

from pytest_edgeload.base.errors import UsageError
from pytest_edgeload.networks.feed import Feed
from pytest_edgeload.networks.inputs import Inputs, nest_of
from pytest_edgeload.peers import PEERS, known_peers, missing, versions
from pytest_edgeload.peers.peer import Peer, check_askable
from pytest_edgeload.policies import POLICIES
from pytest_edgeload.workload import Condition, Request, Workload
from tests.builders import network

ROOT = Path(__file__).parents[2]
Register = Callable[..., None]


def _twice(register: Register) -> None:
    register("mine", "m:f", "m:g")
    register("mine", "m:f")


@pytest.mark.parametrize(
    ("call_hook", "sentence"),
    [
        (lambda register: register("bulk", "m:f"), "peer bulk: a policy has the same name; give the peer another name"),
        (
            lambda register: register("onnxruntime", "m:f"),
            "peer onnxruntime: a built-in peer has the same name; give the peer another name",
        ),
        (_twice, "peer mine: registered twice; give the second peer another name"),
        (lambda register: register("mine", "m.f"), "peer mine: program 'm.f': not of the form 'module:function'"),
        (lambda register: register("mine", "m:f", "g"), "peer mine: prepare 'g': not of the form 'module:function'"),
    ],
    ids=["policy", "built-in", "twice", "program", "prepare"],
)
def test_ambiguous_name_or_malformed_function_is_refused(call_hook: Callable[[Register], None], sentence: str) -> None:
    """A name with two meanings and a malformed function are errors of one sentence."""
    with pytest.raises(UsageError) as refused:
        known_peers(call_hook, POLICIES)
    assert str(refused.value) == sentence


def test_peers_keep_the_order_of_registration() -> None:
    """Peers are in the order of registration, the built-in ones first; registering a peer again changes nothing."""

    def call_hook(register: Register) -> None:
        register("b", "m:f", prepare="m:g")
        register("a", "m:f")
        register("b", "m:f", prepare="m:g")

    known = known_peers(call_hook, POLICIES)
    assert known == {**PEERS, "b": Peer("m:f", "m:g"), "a": Peer("m:f")}
    assert [*known] == [*PEERS, "b", "a"]


def test_missing_package_is_named() -> None:
    """A peer that cannot run names the package it needs and how to get it; others and policies need none."""
    rival = Peer("m:f", "m:g", "no-such-package", "peers-rival")
    assert str(rival.missing("rival")) == (
        "peer rival: the package no-such-package is not installed; try pip install 'pytest-edgeload[peers-rival]'"
    )
    assert Peer("m:f").missing("mine") is missing("torch-load") is missing("linear") is None


def test_versions_are_those_of_the_measured_peers() -> None:
    """The record has the versions of the packages of the measured peers, and nothing for policies and others."""
    assert versions(["linear", "mine", "torch-load", "torch-load-mmap"]) == {"torch": metadata.version("torch")}


@pytest.mark.parametrize("name", PEERS)
def test_extra_of_a_peer_contains_its_package(name: str) -> None:
    """The hint of a missing package names an extra that installs it; PyTorch is installed with this package."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extra = project["optional-dependencies"][PEERS[name].extra]
    assert PEERS[name].package in {Requirement(text).name for text in (*extra, *project["dependencies"])}


ONCE = Workload("mix", (Request(network((1, 1, 1))), Request(network((1, 1, 1)), sample=1, deadline_s=1.0)))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"arrival_s": 0.5}, "requests that arrive over time"),
        ({"batch": 1}, "requests that arrive over time"),
        ({"when": Condition(0, 0.5)}, "requests with a condition"),
        ({"feeds": (Feed("x", request=0),)}, "requests that take outputs of others"),
    ],
)
def test_workload_over_time_or_with_conditions_is_refused(change: dict[str, Any], reason: str) -> None:
    """Requests that arrive over time or have conditions are an error with the way out."""
    first, second = ONCE.requests
    check_askable("mine", Peer("m:f"), ONCE)
    with pytest.raises(UsageError) as refused:
        check_askable("mine", Peer("m:f"), Workload("mix", (first, replace(second, **change))))
    assert str(refused.value) == (f"peer mine, workload mix: a peer cannot answer {reason}; run it under a policy")


def test_inputs_of_other_types_are_refused() -> None:
    """A network whose inputs contain an object that is not a tensor, a nest or a constant is an error."""
    nest = nest_of(Inputs((b"text",)), lambda value: value is None)
    asked = Workload("mix", (Request(msgspec.structs.replace(network((1, 1, 1)), nest=nest)),))
    with pytest.raises(UsageError) as refused:
        check_askable("mine", Peer("m:f"), asked)
    assert str(refused.value) == (
        "peer mine, workload mix: the inputs of network made-up contain an object of type bytes, which a peer cannot "
        "take; unpack it in a module around the model, or run it under a policy"
    )


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (
            {"inputs": ("x", "b_keys"), "outputs": ("y", "new_keys"), "buffers": ("keys",)},
            "network made-up changes its buffers, which a converted model does not; give them as inputs and return",
        ),
        (
            {"first_outputs": ("y",)},
            "network made-up has a prompt in its first step, which a converted model cannot take; give one",
        ),
    ],
)
def test_only_peers_that_run_the_module_accept_changed_buffers_and_prompts(change: dict[str, Any], reason: str) -> None:
    """A runtime refuses a network whose buffers change or whose first step has other shapes; a module can do both."""
    asked = Workload("loop", (Request(msgspec.structs.replace(network((1, 1, 1)), **change)),))
    for name in ("torch-load-mmap", "accelerate-disk", "safetensors-lazy"):
        check_askable(name, PEERS[name], asked)
    with pytest.raises(UsageError, match=f"^peer onnxruntime, workload loop: {reason}"):
        check_askable("onnxruntime", PEERS["onnxruntime"], asked)


def test_ignored_conditions_are_allowed() -> None:
    """A peer can answer a workload whose conditions are ignored."""
    first, second = ONCE.requests
    check_askable("mine", Peer("m:f"), Workload("mix", (first, replace(second, when=Condition(0, 0.5))), "ignore"))
