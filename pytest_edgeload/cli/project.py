"""The project in the current folder: the networks, policies and peers that its `conftest.py` registers with hooks."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from pytest_edgeload.base.errors import Refusal, Setting, UsageError, check_name, suggestion
from pytest_edgeload.base.text import MAX_NAME_CHARACTERS, bounded
from pytest_edgeload.base.tracebacks import with_user_lines
from pytest_edgeload.cli import terminal
from pytest_edgeload.networks.layer import Network
from pytest_edgeload.networks.recipe import is_file
from pytest_edgeload.networks.registry import Registry
from pytest_edgeload.networks.store import Store
from pytest_edgeload.peers import known_peers, missing
from pytest_edgeload.peers.peer import Peer
from pytest_edgeload.planning.plan import Budget, Plan
from pytest_edgeload.policies import Policy, known_policies
from pytest_edgeload.workload import Mix, Workload

_WORKLOAD_FILES = {".yaml", ".yml", ".json"}


class Project:
    """The hooks of a folder's `conftest.py`, if there is one. Every method raises UsageError if a hook fails."""

    def __init__(self, folder: Path) -> None:
        sys.path.insert(0, str(folder))  # as in pytest, because the maker of networks gets the same path
        path = folder / "conftest.py"
        self._conftest = _import(path) if path.is_file() else None

    def registry(self, store: Store) -> Registry:
        """Return the networks that the project registers."""
        registry = Registry(store)
        self._call("pytest_edge_networks", registry.register)
        return registry

    def policies(self) -> Mapping[str, Policy]:
        """Return the project's own policies and the built-in ones."""
        return known_policies(lambda register: self._call("pytest_edge_policies", register))

    def peers(self) -> Mapping[str, Peer]:
        """Return the built-in peers and the project's own."""
        return known_peers(lambda register: self._call("pytest_edge_peers", register), self.policies())

    def policy(self, name: str) -> Policy:
        """Return the project's own or built-in policy with this name."""
        known = self.policies()
        if name not in known:
            reason = "a peer, which has no plan" if name in self.peers() else "unknown"
            raise UsageError(Setting("policy", name), reason, suggestion(name, known))
        return known[name]

    def explained_policy(self, name: str) -> Policy:
        """Return the policy with this name; an error of its own code names it. Raises UsageError."""
        function = self.policy(name)

        def plan(workload: Workload, budget: Budget) -> Plan:
            with explaining(f"policy {name}"):
                return function(workload, budget)

        return plan

    def _call(self, hook: str, register: Callable[..., None]) -> None:
        function: Any = getattr(self._conftest, hook, None)
        if function is not None:
            with explaining(f"conftest.py: {hook}"):
                function(register=register)


def is_workload_file(networks: str) -> bool:
    """Return whether the word about networks is the name of a workload file."""
    return Path(networks).suffix.lower() in _WORKLOAD_FILES


def mix_of(networks: str, images: int | None) -> Mix:
    """Return the workload that the command line names. Raises UsageError."""
    if not is_workload_file(networks):
        names = listed(networks)
        for name in names:
            check_name("network", name)
        return Mix.of(bounded("+".join(names), MAX_NAME_CHARACTERS), names, images=images or 1)
    if images is not None:
        raise UsageError(Setting("images", str(images)), f"the file {networks} sets the images", "leave it out")
    return Mix.load(Path(networks))


def listed(networks: str) -> list[str]:
    """Return the words of a comma list of networks. Raises UsageError if one of several is empty."""
    words = [word.strip() for word in networks.split(",")]
    if len(words) > 1 and not all(words):
        raise UsageError(f"networks {networks!r}", "a name is missing before or after a comma", "write them as a,b")
    return words


def networks_of(mix: Mix, registry: Registry) -> dict[str, Network]:
    """Return the networks of `mix`, and make those that are not stored yet. Raises Refusal."""
    if not registry.names:
        raise UsageError(
            str(Path.cwd()), "no conftest.py here registers networks", "start edgeload in the project's folder"
        )
    for name in mix.networks:
        registry.check(name)  # all of them before the first is made, which may take minutes
    return {name: registry.get(name, terminal.show_making)[1] for name in mix.networks}


def registered(word: str, registry: Registry) -> str:
    """Return the name of the network that a word of the command line means. Raises UsageError.

    It is a registered network, or a function or file that is registered now.
    """
    if word in registry.names:
        return word
    if is_file(word):
        name = Path(word).stem
    elif ":" in word:
        name = word.rpartition(":")[2]
    elif registry.names:
        registry.check(word)
    else:
        raise UsageError(f"network {word!r}", "no conftest.py here registers networks", "write it as module:function")
    registry.register(name, word)
    return name


def check_policies(names: Iterable[str], policies: Collection[str], peers: Collection[str]) -> None:
    """Raise UsageError for a name of neither a policy nor a peer, Unsupported for a peer whose package is missing."""
    for name in names:
        if name not in policies and name not in peers:
            raise UsageError(Setting("policy", name), "unknown", suggestion(name, [*policies, *peers]))
        if (refusal := missing(name)) is not None:
            raise refusal


def _import(conftest: Path) -> ModuleType:
    """Return the file as the module `conftest`. Raises UsageError."""
    spec = importlib.util.spec_from_file_location("conftest", conftest)
    assert spec is not None  # it is a Python file
    assert spec.loader is not None
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    with explaining("conftest.py", "cannot be imported"):
        spec.loader.exec_module(module)
    return module


@contextmanager
def explaining(subject: str, failure: str = "failed") -> Iterator[None]:
    """Turn any exception of the project's own code into a UsageError about `subject`, with the lines of that code."""
    try:
        yield
    except (Refusal, KeyboardInterrupt):
        raise
    except BaseException as error:  # includes those of pytest.skip and sys.exit
        refusal = UsageError(f"{subject} {failure}", f"{type(error).__name__}: {error}")
        raise with_user_lines(refusal, error) from error
