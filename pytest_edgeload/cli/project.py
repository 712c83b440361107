"""The project in the current folder: its networks, policies and peers, as its `conftest.py` tells by the hooks."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from pytest_edgeload.base.errors import Refusal, UsageError, check_name, suggestion
from pytest_edgeload.base.text import MOST
from pytest_edgeload.cli import terminal
from pytest_edgeload.measuring.peers import Peer, known_peers
from pytest_edgeload.networks.layer import Network
from pytest_edgeload.networks.registry import Registry
from pytest_edgeload.networks.store import Store
from pytest_edgeload.policies import Policy, known_policies
from pytest_edgeload.workload import Mix

_WORKLOAD_FILES = {".yaml", ".yml", ".json"}


class Project:
    """What the `conftest.py` of a folder, if there is one, tells by the plugin's hooks. Raises UsageError."""

    def __init__(self, folder: Path) -> None:
        sys.path.insert(0, str(folder))  # as pytest does it; networks are made with the same path
        path = folder / "conftest.py"
        self._conftest = _imported(path) if path.is_file() else None

    def registry(self, store: Store) -> Registry:
        """Return the networks it registers."""
        registry = Registry(store)
        self._call("pytest_edge_networks", registry.register)
        return registry

    def policies(self) -> Mapping[str, Policy]:
        """Return its own policies and the built-in ones."""
        return known_policies(lambda register: self._call("pytest_edge_policies", register))

    def peers(self) -> Mapping[str, Peer]:
        """Return its peers."""
        return known_peers(lambda register: self._call("pytest_edge_peers", register), self.policies())

    def policy(self, name: str) -> Policy:
        """Return the policy called `name`, its own or a built-in one."""
        known = self.policies()
        if name not in known:
            reason = "a peer, which has no plan" if name in self.peers() else "unknown"
            raise UsageError(f"--policy={name}: {reason}; {suggestion(name, known)}")
        return known[name]

    def _call(self, hook: str, register: Callable[..., None]) -> None:
        function: Any = getattr(self._conftest, hook, None)
        if function is not None:
            with in_a_sentence(f"conftest.py: {hook} failed"):
                function(register=register)


def mix_of(networks: str, images: int | None) -> Mix:
    """Return the workload that the command line names. Raises UsageError."""
    if Path(networks).suffix.lower() not in _WORKLOAD_FILES:
        names = [name.strip() for name in networks.split(",")]
        for name in names:
            check_name("network", name)
        return Mix.of("+".join(names)[:MOST], names, images=images or 1)
    if images is not None:
        raise UsageError(f"--images={images}: the file {networks} says which images are asked about; leave it out")
    return Mix.load(Path(networks))


def networks_of(mix: Mix, registry: Registry) -> dict[str, Network]:
    """Return the networks of `mix`, made first where they are not stored yet. Raises Refusal."""
    if not registry.names:
        raise UsageError(f"no conftest.py in {Path.cwd()} registers networks; start edgeload in the project's folder")
    for name in mix.networks:
        registry.check(name)  # before the first is made, which may take minutes
    return {name: registry.get(name, terminal.show_making)[1] for name in mix.networks}


def check_policies(names: Iterable[str], known: Iterable[str]) -> None:
    """Raise UsageError for a policy that nobody registered."""
    known = list(known)
    for name in names:
        if name not in known:
            raise UsageError(f"--policy={name}: unknown; {suggestion(name, known)}")


def _imported(conftest: Path) -> ModuleType:
    """Return the file as the module `conftest`. Raises UsageError."""
    spec = importlib.util.spec_from_file_location("conftest", conftest)
    assert spec is not None  # it is a Python file
    assert spec.loader is not None
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    with in_a_sentence("conftest.py cannot be imported"):
        spec.loader.exec_module(module)
    return module


@contextmanager
def in_a_sentence(what: str) -> Iterator[None]:
    """Turn whatever the project's own code raises into a UsageError."""
    try:
        yield
    except (Refusal, KeyboardInterrupt):
        raise
    except BaseException as error:  # pytest.skip and sys.exit, too
        raise UsageError(f"{what}: {type(error).__name__}: {error}") from error
