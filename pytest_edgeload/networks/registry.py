"""Which networks exist by name, and how one that is not stored yet gets made. Never imports torch.

A network is registered as `module:function`; the function takes nothing and returns the module and its samples. It is
called in a process of its own, so that neither pytest nor the measured worker ever holds the model's code or memory. Or
it is registered as the path of a .pt2 file.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from pytest_edgeload.base.errors import UsageError, check_name, suggestion
from pytest_edgeload.base.functions import check_function, search_path
from pytest_edgeload.networks.checkpoint import BadCheckpoint, outdated, stamp
from pytest_edgeload.networks.checkpoint import files as checkpoint_files
from pytest_edgeload.networks.layer import FORMAT, Network
from pytest_edgeload.networks.making import ConvertNetwork, MakeNetwork, is_saved_model
from pytest_edgeload.networks.preparation import PreparationFailed, ShowProgress, prepare
from pytest_edgeload.networks.store import Store, converted_folder, read_graph, recipe_key, stamps, verify_network


class UnknownNetwork(UsageError):
    """No network of this name is registered."""


class Recipe(NamedTuple):
    """What makes a network: a function or the path of a .pt2 file, and the checkpoint with the weights, if there is."""

    factory: str
    checkpoint: Path | None = None

    def __str__(self) -> str:
        return self.factory if self.checkpoint is None else f"{self.factory} with {self.checkpoint}"


class _Ready(NamedTuple):
    """A network that can be measured, and what its files looked like before they were last verified."""

    folder: Path
    network: Network
    stamps: Mapping[Path, object]

    @classmethod
    def of(cls, folder: Path) -> _Ready:
        """Return the network in `folder`. Raises DamagedNetwork or BadCheckpoint."""
        seen = stamps(folder, read_graph(folder))  # before, so that what changes meanwhile is noticed later
        return cls(folder, verify_network(folder), seen)

    def still(self) -> _Ready:
        """Return the same network, if it is. Raises DamagedNetwork or BadCheckpoint."""
        now = stamps(self.folder, self.network)
        changed = [path for path in now if now[path] != self.stamps[path]]
        if not changed:
            return self
        found = _Ready.of(self.folder)
        for path in changed:
            if path.parent != self.folder:  # nobody knows what was in there, but that it was written to
                raise BadCheckpoint(outdated(path))
        return found


class Registry:
    """Networks by name, each made at most once and verified once in the life of this object.

    Paths are those of files below the folder `base`, where they are not absolute.
    """

    def __init__(self, store: Store, base: Path | None = None) -> None:
        self._store = store
        self._root = str(store.root)
        self.base = Path.cwd() if base is None else base
        self._recipes: dict[str, Recipe] = {}
        self._ready: dict[str, _Ready] = {}

    def register(
        self, name: str, factory: str | os.PathLike[str], checkpoint: str | os.PathLike[str] | None = None
    ) -> None:
        """Register the network `name`, made by `factory`, written as `module:function`, or the path of a .pt2 file.

        `checkpoint` is a safetensors file, an index of shards or the folder of either: the function's module gets its
        weights from there. Raises UsageError for a factory of another form, or a name that something else already has.
        """
        check_name("network", name)
        factory = os.fspath(factory)
        if is_saved_model(factory):
            if checkpoint is not None:
                raise UsageError(f"network {name}: {factory} has weights of its own; leave the checkpoint out")
            factory = str(self.base / factory)
        else:
            check_function(f"network {name}: factory", factory)
        recipe = Recipe(factory, None if checkpoint is None else self.base / checkpoint)
        if self._recipes.get(name) != recipe:
            self.check_free(name, recipe)
        self._recipes[name] = recipe

    def check_free(self, name: str, wanted: object = "a model of a test's own") -> None:
        """Raise UsageError where `name` is taken, by other than what is `wanted`."""
        if name in self.names:
            known = self._recipes.get(name, "a model of a test's own")
            raise UsageError(f"network {name} is registered twice, as {known} and as {wanted}; rename one")

    def adopt(self, name: str, folder: Path) -> None:
        """Let `name` be the network in `folder`, from now on; it was made by this process."""
        network = read_graph(folder)
        self._ready[name] = _Ready(folder, network, stamps(folder, network))

    @property
    def names(self) -> tuple[str, ...]:
        """All registered names, in the order of registration, and then those that were adopted."""
        return tuple(dict.fromkeys([*self._recipes, *self._ready]))

    def check(self, name: str) -> None:
        """Raise UnknownNetwork, naming the nearest one, unless `name` is registered."""
        if name not in self.names:
            raise UnknownNetwork(f"{name!r} is not a registered network; {suggestion(name, self.names)}")

    def get(self, name: str, show: ShowProgress) -> tuple[Path, Network]:
        """Return the folder and the layers of the network `name`, making it first where it is not stored yet.

        Whatever happened to its files since they were verified is noticed, each time. Raises UnknownNetwork,
        PreparationFailed, `store.DamagedNetwork` or `checkpoint.BadCheckpoint`.
        """
        if name not in self._ready:
            self.check(name)
            self._ready[name] = _Ready.of(self._make(name, show))
        ready = self._ready[name] = self._ready[name].still()
        return ready.folder, ready.network

    def convert(self, name: str, function: str, show: ShowProgress) -> Path:
        """Return the folder of what `function` makes of the network `name`, made where it is not stored yet.

        `function` is written as `module:function`; see `convert.convert`. Raises what `get` raises.
        """
        folder, _ = self.get(name, show)
        recipe = self._recipes.get(name)
        if recipe is None or recipe.checkpoint is not None or is_saved_model(recipe.factory):
            raise UsageError(
                f"network {name} cannot be made ready by {function}, which takes modules with their weights; "
                "register it as a function that gives one"
            )
        sources = _sources(f"network {name}", function.partition(":")[0])
        key = recipe_key(function, sources, (folder.name, importlib.metadata.version("torch")))
        files = converted_folder(folder, key)
        if files.is_dir():
            return files
        label = f"{name} for {function}"
        show(label, 0, 0)
        request = ConvertNetwork(self._root, key, search_path(), recipe.factory, str(folder), function)
        try:
            return prepare(request, label, show)
        except PreparationFailed as error:
            raise error.about(f"network {name} could not be converted by {function}") from None
        finally:
            show(label, 1, 1)

    def _make(self, name: str, show: ShowProgress) -> Path:
        recipe = self._recipes[name]
        try:
            code, files = self._made_of(name, recipe)
            stamps = [stamp(file) for file in files]
        except BadCheckpoint as error:
            raise PreparationFailed(f"network {name} ({recipe}) could not be made: {error}") from error
        versions = (name, str(FORMAT), importlib.metadata.version("torch"), *stamps)
        key = recipe_key(str(recipe), code, versions)
        found = self._store.find(key)
        if found is not None:
            return found
        checkpoint = None if recipe.checkpoint is None else str(recipe.checkpoint)
        request = MakeNetwork(self._root, key, search_path(), recipe.factory, name, checkpoint)
        try:
            return prepare(request, name, show)
        except PreparationFailed as error:
            raise error.about(f"network {name} ({recipe}) could not be made") from None

    def _made_of(self, name: str, recipe: Recipe) -> tuple[list[Path], list[Path]]:
        """Return the source files and the files of weights that decide what a recipe gives. Raises BadCheckpoint."""
        if is_saved_model(recipe.factory):
            return [], [Path(recipe.factory)]
        weights = [] if recipe.checkpoint is None else checkpoint_files(recipe.checkpoint)
        return _sources(f"network {name}", recipe.factory.partition(":")[0]), weights


def _sources(what: str, module: str) -> list[Path]:
    """Return the files whose text decides what `module` makes: its package's Python files, or the file alone."""
    top, *inner = module.split(".")
    # Only the top is looked up: finding what is inside would import it, and with it torch, into this process.
    spec = importlib.util.find_spec(top) if top else None
    origin = Path(spec.origin) if spec is not None and spec.origin is not None else Path()
    if inner and spec is not None and spec.submodule_search_locations:
        folder = Path(spec.submodule_search_locations[0], *inner)
        origin = folder / "__init__.py" if folder.is_dir() else folder.with_suffix(".py")
    elif inner:
        origin = Path()
    if not origin.is_file():
        raise PreparationFailed(f"{what}: no module named {module!r} can be imported; check sys.path")
    return list(origin.parent.glob("*.py")) if "." in module else [origin]
