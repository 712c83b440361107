"""The command `edgeload`: what there is to do without pytest. Never imports torch, nor anything that knows pytest."""

from __future__ import annotations

import argparse
import importlib.util
import os
import signal
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from platformdirs import user_cache_path

from pytest_edgeload.errors import Refusal, Unsupported, UsageError, hint
from pytest_edgeload.measure import budget_bytes, check_conditions, enforced_bytes, measure_idle_bytes
from pytest_edgeload.networks.layer import Network
from pytest_edgeload.networks.registry import Registry
from pytest_edgeload.networks.store import Store
from pytest_edgeload.peers import known_peers
from pytest_edgeload.plan import Budget, InvalidPlan
from pytest_edgeload.policies import REFERENCE, Policy, known_policies, make_plan
from pytest_edgeload.report import graph
from pytest_edgeload.sandbox.caps import CAPS
from pytest_edgeload.sandbox.launch import Enclosure
from pytest_edgeload.sandbox.limits import Limits
from pytest_edgeload.sandbox.lock import host_lock
from pytest_edgeload.simulate import simulate
from pytest_edgeload.units import Limit, format_size
from pytest_edgeload.workload import Mix

REFUSED = 2
"""The exit status of what cannot be done; argparse uses it, too."""

_WORKLOAD_FILES = {".yaml", ".yml", ".json"}
_IDLE_TIMEOUT_S = 60.0
_CACHE_VARIABLE = "PYTEST_EDGE_CACHE_DIR"


def main(arguments: Sequence[str] | None = None) -> int:
    """Carry out the command that `arguments` (those of the process) name; return the exit status."""
    asked = _parser().parse_args(arguments)
    try:
        try:
            text = asked.command(asked)
        finally:
            _show("")
        return _write(text)
    except Refusal as error:
        sys.stderr.write(f"edgeload: {error}\n")
        return REFUSED
    except KeyboardInterrupt:
        return 128 + signal.SIGINT


def _write(text: str) -> int:
    """Write `text` to standard output; return the exit status. Raises Unsupported."""
    try:
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the interpreter flushes once more at its end
        if isinstance(error, BrokenPipeError):  # whoever read it, `head` say, has read enough
            return 128 + signal.SIGPIPE
        raise Unsupported(f"standard output cannot be written: {error.strerror}") from error
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="edgeload", description="Loading policies for several networks in little memory."
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    words = "show the plan that a policy makes, and what it would need"
    plan = commands.add_parser("plan", help=words, description=f"{words.capitalize()}; no layer is loaded.")
    plan.set_defaults(command=_plan)
    add = plan.add_argument
    add("networks", metavar="NETWORKS", help="registered networks as a comma list, or a workload file (.yaml, .json)")
    add("--policy", default=REFERENCE, metavar="NAME", help="the loading policy (default: %(default)s)")
    add("--mem", type=_limit, metavar="SIZE", help="memory limit: 512M, 1G, base+256M or none (default: none)")
    add("--images", type=_count, metavar="N", help="about how many images each network is asked (default: 1)")
    add("--lanes", type=_count, default=2, metavar="N", help="lanes that a policy may use (default: %(default)s)")
    add("--format", choices=("text", *graph.FORMATS), default="text", help="default: %(default)s")
    add(
        "--cache-dir",
        type=_folder,
        metavar="DIR",
        help=f"where networks are kept (default: {_CACHE_VARIABLE}, or the user's cache folder)",
    )
    return parser


def _limit(text: str) -> Limit | None:
    try:
        return None if text == "none" else Limit.parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text}: {error}") from error


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) >= 1):
        raise argparse.ArgumentTypeError(f"{text}: not a count; give a whole number of at least 1")
    return int(text)


def _folder(text: str) -> Path:
    path = Path(text).expanduser().absolute()
    if path.exists() and not path.is_dir():
        raise argparse.ArgumentTypeError(f"{text}: not a folder; name one, it is made where it does not exist")
    return path


def _plan(asked: argparse.Namespace) -> str:
    """Return what `edgeload plan` prints."""
    project = _Project(Path.cwd())
    policy = project.policy(asked.policy)
    mix = _mix(asked.networks, asked.images)
    registry = project.registry(Store(asked.cache_dir or _cache()))
    workload = mix.workload(_networks(mix.networks, registry))
    memory_bytes = None if asked.mem is None else _memory_bytes(asked.mem)
    check_conditions(workload)
    with _in_a_sentence(f"policy {asked.policy} failed"):
        plan = make_plan(asked.policy, policy, workload, Budget(memory_bytes=memory_bytes, lanes=asked.lanes))
    if asked.format != "text":
        return graph.FORMATS[asked.format](plan, workload)
    memory = "no memory limit" if memory_bytes is None else f"memory {asked.mem}, budget {format_size(memory_bytes)}"
    try:
        simulated = simulate(plan, workload)
    except InvalidPlan as error:
        raise InvalidPlan(f"policy {asked.policy}: {error}") from None
    return graph.text(plan, workload, simulated, f"policy {asked.policy}, {memory}")


def _cache() -> Path:
    """Return the cache folder that pytest uses, so that nothing is made twice."""
    given = os.environ.get(_CACHE_VARIABLE)
    return Path(given).expanduser().absolute() if given else user_cache_path("edgeload")


def _mix(networks: str, images: int | None) -> Mix:
    """Return the workload that the command line names. Raises UsageError."""
    if Path(networks).suffix.lower() not in _WORKLOAD_FILES:
        names = [name.strip() for name in networks.split(",")]
        return Mix.of("+".join(names), names, images=images or 1)
    if images is not None:
        raise UsageError(f"--images={images}: the file {networks} says which images are asked about; leave it out")
    return Mix.load(Path(networks))


def _networks(names: Iterable[str], registry: Registry) -> dict[str, Network]:
    """Return the networks called `names`, made first where they are not stored yet. Raises Refusal."""
    names = list(names)
    if not registry.names:
        raise UsageError(f"no conftest.py in {Path.cwd()} registers networks; start edgeload in the project's folder")
    for name in names:
        registry.check(name)  # before the first is made, which may take minutes
    try:
        return {name: registry.get(name, _show_making)[1] for name in names}
    except OSError as error:
        raise UsageError(f"{error.filename}: {error.strerror}; name another folder by --cache-dir") from error


def _show_making(name: str, done: int, total: int) -> None:
    _show(f"edgeload: making network {name}" + (f": {100 * done // total}%" if total else ""))


def _show(text: str) -> None:
    """Put `text` in place of what was shown before, where standard error is a terminal."""
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\033[K{text}")
        sys.stderr.flush()


def _memory_bytes(limit: Limit) -> int:
    """Return what a policy may plan with under `limit`. Raises UsageError or Unsupported."""
    _show("edgeload: measuring what an idle worker needs")
    with host_lock():
        idle_bytes = measure_idle_bytes(Enclosure(CAPS["none"], "", Limits(), _IDLE_TIMEOUT_S))
    return budget_bytes(enforced_bytes(limit, idle_bytes), idle_bytes)


class _Project:
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

    def policy(self, name: str) -> Policy:
        """Return the policy called `name`, its own or a built-in one."""
        known = known_policies(lambda register: self._call("pytest_edge_policies", register))
        if name not in known:
            peers = known_peers(lambda register: self._call("pytest_edge_peers", register), known)
            reason = "a peer, which has no plan" if name in peers else "unknown"
            raise UsageError(f"--policy={name}: {reason}; {hint(name, known)}")
        return known[name]

    def _call(self, hook: str, register: Callable[..., None]) -> None:
        function: Any = getattr(self._conftest, hook, None)
        if function is not None:
            with _in_a_sentence(f"conftest.py: {hook} failed"):
                function(register=register)


def _imported(conftest: Path) -> ModuleType:
    """Return the file as the module `conftest`. Raises UsageError."""
    spec = importlib.util.spec_from_file_location("conftest", conftest)
    assert spec is not None  # it is a Python file
    assert spec.loader is not None
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    with _in_a_sentence("conftest.py cannot be imported"):
        spec.loader.exec_module(module)
    return module


@contextmanager
def _in_a_sentence(what: str) -> Iterator[None]:
    """Turn whatever the project's own code raises into a UsageError."""
    try:
        yield
    except (Refusal, KeyboardInterrupt):
        raise
    except BaseException as error:  # pytest.skip and sys.exit, too
        raise UsageError(f"{what}: {type(error).__name__}: {error}") from error
