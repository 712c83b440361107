"""The policies, peers and networks that a project registers by hooks, and the checks of names against them.

pytest loads the `conftest.py` of a subfolder when it collects that folder. So the names in options are checked after
collection, and a test sees the policies and peers of the conftest files in its own folder and in those above.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from difflib import get_close_matches
from typing import TYPE_CHECKING

from pytest_edgeload.base.errors import UsageError, suggestion
from pytest_edgeload.engine.readers import READERS
from pytest_edgeload.peers import known_peers, missing
from pytest_edgeload.peers.peer import Peer
from pytest_edgeload.plugin.options import Given, source
from pytest_edgeload.plugin.settings import Settings
from pytest_edgeload.policies import PolicyTable, known_policies
from pytest_edgeload.results.case import AUTO

if TYPE_CHECKING:
    from pluggy import HookRelay

_MIN_LIKENESS = 0.8


def policies(hook: HookRelay) -> PolicyTable:
    """Return the built-in policies and those that the hooks in `hook` register, by name.

    `hook` is `config.hook` for all of the session, or `node.ihook` for those that a test sees. Raises UsageError for a
    name that is used twice.
    """
    return known_policies(lambda register: hook.pytest_edge_policies(register=register))


def peers(hook: HookRelay) -> dict[str, Peer]:
    """Return the built-in peers and those that the hooks in `hook` register, by name.

    Raises UsageError for a name that is used twice.
    """
    return known_peers(lambda register: hook.pytest_edge_peers(register=register), policies(hook))


def policy_names(settings: Settings, hook: HookRelay) -> tuple[str, ...]:
    """Return the names of --edge-policy and --edge-peer; `all` is replaced by all that the hooks in `hook` know."""
    return tuple(dict.fromkeys([*_named(settings.policy, policies, hook), *_named(settings.peer, peers, hook)]))


def _has(table: PolicyTable, name: str, subject: str) -> bool:
    """Return whether there is such a policy. Raises UsageError about `subject` for wrong parameters."""
    try:
        return name in table
    except UsageError as error:
        raise error.about(subject) from None


def _named(names: Sequence[str], every: Callable[[HookRelay], Mapping[str, object]], hook: HookRelay) -> list[str]:
    """Return `names`, with `all` replaced by the names in `every`."""
    return [n for name in names for n in (every(hook) if name == "all" else [name])]


def check_name(kind: str, name: str, known: Collection[str]) -> None:
    """Raise UsageError if `name` is not known."""
    if name not in known:
        raise UsageError(f"{kind}={name}", "unknown", suggestion(name, known))


def check_readers(settings: Settings, given: Mapping[str, Given]) -> None:
    """Raise UsageError if the option has an unknown name of a reader."""
    for name in settings.reader:
        check_name(source("reader", given), name, [AUTO, *READERS])


def check_registered(settings: Settings, given: Mapping[str, Given], hook: HookRelay) -> None:
    """Raise UsageError if an option has an unknown name of a policy or peer.

    Raises Unsupported for a peer whose package is not installed.
    """
    peer_names, table = [*peers(hook)], policies(hook)
    known = [*table, *peer_names]
    for option, names, choices in (("policy", settings.policy, known), ("peer", settings.peer, peer_names)):
        for name in names:
            subject = f"{source(option, given)}={name}"
            if name not in {"all", *choices} and not (option == "policy" and _has(table, name, subject)):
                reason = "unknown, also to the conftest.py files of the collected tests"
                raise UsageError(subject, reason, suggestion(name, choices))
            if (refusal := missing(name)) is not None:
                raise refusal.about(subject)
    for threshold in settings.compare_fail:
        reference = threshold.figure.reference
        # An unknown name may be that of a program, which is only known when it runs; a near miss is an error.
        if reference not in {None, *known} and get_close_matches(str(reference), known, 1, _MIN_LIKENESS):
            subject = f"{source('compare-fail', given)}={threshold.text}"
            raise UsageError(subject, f"{reference} is not a policy", suggestion(str(reference), known))
