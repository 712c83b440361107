"""The policies, peers and networks that a project registers by hooks, and the checks of names against them.

pytest loads the `conftest.py` of a subfolder when it collects that folder. So the names in options are checked after
collection, and a test sees the policies and peers of the conftest files in its own folder and in those above.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from difflib import get_close_matches
from typing import TYPE_CHECKING

from pytest_edgeload.base.errors import UsageError, suggestion
from pytest_edgeload.engine.readers import READERS
from pytest_edgeload.measuring.peers import Peer, known_peers
from pytest_edgeload.plugin.options import Given, source
from pytest_edgeload.plugin.settings import Settings
from pytest_edgeload.policies import Policy, known_policies

if TYPE_CHECKING:
    from pluggy import HookRelay

_MIN_LIKENESS = 0.8


def policies(hook: HookRelay) -> dict[str, Policy]:
    """Return the built-in policies and those that the hooks in `hook` register, by name.

    `hook` is `config.hook` for all of the session, or `node.ihook` for those that a test sees. Raises UsageError for a
    name that is used twice.
    """
    return known_policies(lambda register: hook.pytest_edge_policies(register=register))


def peers(hook: HookRelay) -> dict[str, Peer]:
    """Return the peers that the hooks in `hook` register, by name. Raises UsageError for a name that is used twice."""
    return known_peers(lambda register: hook.pytest_edge_peers(register=register), policies(hook))


def policy_names(settings: Settings, hook: HookRelay) -> tuple[str, ...]:
    """Return the names of --edge-policy, with `all` replaced by all policies that the hooks in `hook` know."""
    every = policies(hook) if "all" in settings.policy else ()
    return tuple(dict.fromkeys(n for name in settings.policy for n in (every if name == "all" else [name])))


def check_name(kind: str, name: str, known: Collection[str]) -> None:
    """Raise UsageError if `name` is not known."""
    if name not in known:
        raise UsageError(f"{kind}={name}", "unknown", suggestion(name, known))


def check_readers(settings: Settings, given: Mapping[str, Given]) -> None:
    """Raise UsageError if the option has an unknown name of a reader."""
    for name in settings.reader:
        check_name(source("reader", given), name, READERS)


def check_registered(settings: Settings, given: Mapping[str, Given], hook: HookRelay) -> None:
    """Raise UsageError if an option has a name of a policy or peer that no hook in `hook` registers."""
    known = [*policies(hook), *peers(hook)]
    for name in policy_names(settings, hook):
        if name not in known:
            reason = "unknown, also to the conftest.py files of the collected tests"
            raise UsageError(f"{source('policy', given)}={name}", reason, suggestion(name, known))
    for threshold in settings.compare_fail:
        reference = threshold.figure.reference
        # An unknown name may be that of a program, which is only known when it runs; a near miss is an error.
        if reference not in {None, *known} and get_close_matches(str(reference), known, 1, _MIN_LIKENESS):
            subject = f"{source('compare-fail', given)}={threshold.text}"
            raise UsageError(subject, f"{reference} is not a policy", suggestion(str(reference), known))
