"""Networks by name: how each is registered, and made when it is not stored yet. Never imports torch.

A network is registered as `module:function`, a function without arguments that returns the module and its samples, or
as the path of a .pt2 file. The maker calls the function in a process of its own, so neither pytest nor the measured
worker holds the model's code or memory. An .edgenet file is a network that is made already.
"""

from __future__ import annotations

import importlib.metadata
import os
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import NamedTuple

import msgspec

from pytest_edgeload.base.errors import Refusal, Setting, UsageError, check_name, suggestion
from pytest_edgeload.base.functions import search_path
from pytest_edgeload.networks.checkpoint import BadCheckpoint, changed_file, file_stamp
from pytest_edgeload.networks.compressed import PLAIN, StoreForm, compress_network, edgenet_form, verify_copy
from pytest_edgeload.networks.edgenet import is_edgenet
from pytest_edgeload.networks.folder import converted_folder, file_stamps, read_graph, verify_network
from pytest_edgeload.networks.layer import FORMAT, Network
from pytest_edgeload.networks.making import ConvertNetwork, MakeNetwork
from pytest_edgeload.networks.preparation import PreparationFailed, ShowProgress, prepare
from pytest_edgeload.networks.recipe import Recipe, is_file
from pytest_edgeload.networks.source import find_source
from pytest_edgeload.networks.store import Store, recipe_key


class UnknownNetwork(UsageError):
    """No network of this name is registered."""


_LIVE_MODEL = "a model of a test"
_NO_MODULE = UsageError("it has no module", hint="run it under a policy")
_SKELETON = "pytest_edgeload.exporting.weightless:write_skeleton"


class _StoredNetwork(NamedTuple):
    """A network in the store, and the stamps of its files from before they were last verified."""

    folder: Path
    network: Network
    stamps: Mapping[Path, object]

    @classmethod
    def verified(cls, folder: Path, name: str) -> _StoredNetwork:
        """Return the network `name` in `folder` after verifying it. Raises DamagedNetwork or BadCheckpoint."""
        stamps = file_stamps(folder, read_graph(folder))  # first, so that a later check notices a change meanwhile
        network = verify_network(folder)  # an .edgenet file may have been stored under another name
        return cls(folder, msgspec.structs.replace(network, name=name), stamps)

    def current(self) -> _StoredNetwork:
        """Return this network, verified again if its files have changed. Raises DamagedNetwork or BadCheckpoint."""
        stamps = file_stamps(self.folder, self.network)
        changed = [path for path in stamps if stamps[path] != self.stamps[path]]
        if not changed:
            return self
        network = _StoredNetwork.verified(self.folder, self.network.name)
        for path in changed:
            if path.parent != self.folder:  # a file of a checkpoint, which has no digest to compare with
                raise changed_file(path)
        return network


class Registry:
    """Networks by name. In the life of this object each is made at most once and verified once.

    Relative paths of files start at the folder `base`. `fetch` returns the path of a copy of a file that is missing; it
    raises a Refusal if there is none.
    """

    def __init__(self, store: Store, base: Path | None = None, fetch: Callable[[Path], Path] | None = None) -> None:
        self._store = store
        self._root = str(store.root)
        self.base = Path.cwd() if base is None else base
        self._fetch = fetch
        self._recipes: dict[str, Recipe] = {}
        self._local: dict[str, Recipe] = {}  # with the copies of files that were fetched
        self._stored: dict[str, _StoredNetwork] = {}
        self._skeletons: dict[str, Path | Refusal] = {}  # of the networks that no factory makes
        self._compressed: set[Path] = set()

    def register(
        self,
        name: str,
        factory: str | os.PathLike[str],
        checkpoint: str | os.PathLike[str] | None = None,
        *,
        tolerance: float | None = None,
        names: Mapping[str, str] | None = None,
    ) -> None:
        """Register the network `name`, made by `factory`: `module:function`, or the path of a .pt2 or .edgenet file.

        `checkpoint` is a safetensors file, an index of shards, the folder of either, or a GGUF file; the function's
        module gets its weights from it. `tolerance` is the largest difference from plain PyTorch's outputs, relative to
        the largest value; by default it follows from the network's types. `names` has the names of tensors in the
        checkpoint by those in the module, for tensors whose names differ. Raises UsageError if the factory has another
        form, the tolerance is not a positive number, `names` are not texts or the name is taken.
        """
        check_name("network", name)
        recipe = Recipe.of(name, factory, checkpoint, tolerance, names, self.base)
        if self._recipes.get(name) != recipe:
            self.check_free(name, recipe)
        self._recipes[name] = recipe
        if is_edgenet(recipe.factory):
            self._skeletons[name] = _NO_MODULE

    def check_free(self, name: str, source: object = _LIVE_MODEL) -> None:
        """Raise UsageError if `name` is taken and therefore cannot name the network of `source`."""
        if name in self.names:
            known = self._recipes.get(name, _LIVE_MODEL)
            raise UsageError(f"network {name}", f"registered twice, as {known} and as {source}", "rename one")

    def adopt(self, name: str, folder: Path, skeleton: Path | Refusal = _NO_MODULE) -> None:
        """Use the network in `folder`, which this process has made, as `name` from now on.

        `skeleton` is the folder of its module without weights, or the reason why there is none.
        """
        self._skeletons[name] = skeleton
        network = read_graph(folder)
        self._stored[name] = _StoredNetwork(folder, network, file_stamps(folder, network))

    @property
    def names(self) -> tuple[str, ...]:
        """All registered names in the order of registration, followed by the adopted ones."""
        return tuple(dict.fromkeys([*self._recipes, *self._stored]))

    def check(self, name: str) -> None:
        """Raise UnknownNetwork, with the nearest name as a hint, if `name` is not registered."""
        if name not in self.names:
            raise UnknownNetwork(f"network {name!r}", "not registered", suggestion(name, self.names))

    def get(self, name: str, show: ShowProgress) -> tuple[Path, Network]:
        """Return the folder and the layers of the network `name`. Makes it first if it is not in the store.

        Each call notices changes of its files. Raises UnknownNetwork, PreparationFailed, DamagedNetwork or
        BadCheckpoint.
        """
        if name not in self._stored:
            self.check(name)
            self._stored[name] = _StoredNetwork.verified(self._make(name, show), name)
        stored = self._stored[name] = self._stored[name].current()
        return stored.folder, stored.network

    def check_form(self, name: str, form: StoreForm, show: ShowProgress) -> None:
        """Make the compressed copy of the network `name` if its `form` needs it and it is not there; verify it once.

        Raises CannotCompress, UsageError for an .edgenet file of the other form, and the errors of `get`.
        """
        folder, network = self.get(name, show)
        if is_edgenet(folder):
            if (own := edgenet_form(folder)) != form:
                raise UsageError(
                    f"network {name}", f"the weights in its file are {own}", ("choose ", Setting("store", own))
                )
        elif form != PLAIN and folder not in self._compressed:
            compress_network(folder, network, partial(show, f"{name}, compressed"))
            verify_copy(folder, 1 + len(network.checkpoint_files))
            self._compressed.add(folder)

    def convert(self, name: str, function: str, show: ShowProgress) -> Path:
        """Return the folder of files that `function` makes of the network `name`. Makes them if they are not stored.

        `function` is written as `module:function`; see `exporting.convert`. Raises UsageError for a model of a test
        that cannot be pickled, and the errors of `get`.
        """
        folder, _ = self.get(name, show)
        sources = _sources(name, function.partition(":")[0])
        key = recipe_key(function, sources, (folder.name, importlib.metadata.version("torch")))
        request = self._request(name, function, key, converted_folder(folder, key))
        return _convert(request, f"{name} for {function}", f"network {name} could not be converted by {function}", show)

    def skeleton(self, name: str, root: Path, show: ShowProgress) -> Path:
        """Return the folder in `root`, a folder of this session, with the module of the network `name` without weights.

        Raises as `convert`.
        """
        folder, _ = self.get(name, show)
        if name in self._skeletons:
            return self._skeleton_without_factory(name)
        # Every session makes its own, because a worker unpickles it.
        key = recipe_key(_SKELETON, (), (str(root), folder.name))
        request = self._request(name, _SKELETON, key, root / folder.name)
        return _convert(request, f"{name} without its weights", _no_skeleton(name), show)

    def _skeleton_without_factory(self, name: str) -> Path:
        skeleton = self._skeletons[name]
        if isinstance(skeleton, Refusal):
            raise UsageError(_no_skeleton(name), skeleton.statement, skeleton.hint)
        return skeleton

    def _request(self, name: str, function: str, key: str, files: Path) -> ConvertNetwork:
        """Return the request for the folder `files`, which `function` makes of a network. Raises UsageError."""
        recipe = self._local.get(name, Recipe(""))
        checkpoint = None if recipe.checkpoint is None else str(recipe.checkpoint)
        skeleton = str(self._skeleton_without_factory(name)) if name in self._skeletons else None
        network = str(self._stored[name].folder)
        return ConvertNetwork(
            self._root,
            key,
            search_path(),
            recipe.factory,
            network,
            function,
            str(files),
            checkpoint,
            skeleton,
            dict(recipe.names),
        )

    def _make(self, name: str, show: ShowProgress) -> Path:
        subject = f"network {name} ({self._recipes[name]}) could not be made"
        recipe = self._local[name] = self._with_files(self._recipes[name], subject)
        if is_edgenet(recipe.factory):
            return Path(recipe.factory)
        sources = [] if recipe.source_module is None else _sources(name, recipe.source_module)
        try:
            stamps = [file_stamp(file) for file in recipe.weight_files()]
        except BadCheckpoint as error:
            raise PreparationFailed(subject, error.statement, error.hint) from error
        versions = (name, str(FORMAT), importlib.metadata.version("torch"), *stamps)
        key = recipe_key(str(recipe), sources, (*versions, *map(str, recipe.names)))
        stored = self._store.find(key)
        if stored is not None:
            return stored
        checkpoint = None if recipe.checkpoint is None else str(recipe.checkpoint)
        request = MakeNetwork(
            self._root, key, search_path(), recipe.factory, name, checkpoint, recipe.tolerance, dict(recipe.names)
        )
        try:
            return prepare(request, name, show)
        except PreparationFailed as error:
            raise error.about(subject) from None

    def _with_files(self, recipe: Recipe, subject: str) -> Recipe:
        """Return the recipe with copies of its files that are missing. Raises PreparationFailed, about `subject`."""
        if self._fetch is None:
            return recipe
        try:
            if is_file(recipe.factory) and not Path(recipe.factory).exists():
                return recipe._replace(factory=str(self._fetch(Path(recipe.factory))))
            if recipe.checkpoint is not None and not recipe.checkpoint.exists():
                return recipe._replace(checkpoint=self._fetch(recipe.checkpoint))
        except Refusal as error:
            raise PreparationFailed(subject, error.statement, error.hint) from error
        return recipe


def _no_skeleton(name: str) -> str:
    return f"network {name} cannot be sent to a peer"


def _convert(request: ConvertNetwork, label: str, failed: str, show: ShowProgress) -> Path:
    """Return the folder of `request`; make it if it does not exist. Raises PreparationFailed, about `failed`."""
    files = Path(request.files)
    if files.is_dir():
        return files
    show(label, 0, 0)
    try:
        return prepare(request, label, show)
    except PreparationFailed as error:
        raise error.about(failed) from None
    finally:
        show(label, 1, 1)


def _sources(network: str, module: str) -> list[Path]:
    """Return the files whose text decides the result of `module`: the Python files of its package, or its own file.

    Raises PreparationFailed, about `network`, if there is no such module.
    """
    origin = find_source(module)
    if origin is None:
        raise PreparationFailed(f"network {network}", f"no module named {module!r} can be imported", "check sys.path")
    return list(origin.parent.glob("*.py")) if "." in module else [origin]
