"""The policies, peers and networks that a project registers by hooks, and the checks of names against them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from difflib import get_close_matches

import pytest

from pytest_edgeload.base.errors import UsageError, suggestion
from pytest_edgeload.engine.readers import READERS
from pytest_edgeload.measuring.peers import Peer, known_peers
from pytest_edgeload.plugin.options import Given, source
from pytest_edgeload.plugin.settings import Settings
from pytest_edgeload.policies import Policy, known_policies

_MIN_LIKENESS = 0.8


def policies(config: pytest.Config) -> dict[str, Policy]:
    """Return the built-in and the registered policies by name. Raises UsageError for a name that is used twice."""
    return known_policies(lambda register: config.hook.pytest_edge_policies(register=register))


def peers(config: pytest.Config) -> dict[str, Peer]:
    """Return the registered peers by name. Raises UsageError for a name that is used twice."""
    return known_peers(lambda register: config.hook.pytest_edge_peers(register=register), policies(config))


def check_name(kind: str, name: str, known: Collection[str]) -> None:
    """Raise UsageError if `name` is not known."""
    if name not in known:
        raise UsageError(f"{kind}={name}", "unknown", suggestion(name, known))


def policy_names(config: pytest.Config, settings: Settings, given: Mapping[str, Given]) -> tuple[str, ...]:
    """Return the names of the policies and peers to run, with `all` replaced by all policies.

    Raises UsageError if an option has an unknown name of a policy, peer or reader.
    """
    every = policies(config)
    known = [*every, *peers(config)]
    names = tuple(dict.fromkeys(n for name in settings.policy for n in (every if name == "all" else [name])))
    for name in names:
        check_name(source("policy", given), name, known)
    for name in settings.reader:
        check_name(source("reader", given), name, READERS)
    for threshold in settings.compare_fail:
        reference = threshold.figure.reference
        # An unknown name may be that of a program, which is only known when it runs; a near miss is an error.
        if reference not in {None, *known} and get_close_matches(str(reference), known, 1, _MIN_LIKENESS):
            subject = f"{source('compare-fail', given)}={threshold.text}"
            raise UsageError(subject, f"{reference} is not a policy", suggestion(str(reference), known))
    return names
