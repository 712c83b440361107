"""The code that a network was made by, besides its own file: modules of the project, and installed packages.

The maker records them next to the network; the next session compares them with the files and packages of that day.
"""

from __future__ import annotations

import importlib.metadata
import sys
import sysconfig
from collections.abc import Collection, Iterable, Mapping
from functools import cache
from pathlib import Path

import msgspec

from pytest_edgeload.networks.source import code_digest, find_source

_PACKAGES = frozenset({"site-packages", "dist-packages"})
_IN_EVERY_KEY = frozenset({"torch", "pytest_edgeload"})


class Dependencies(msgspec.Struct, frozen=True):
    """The digests of the code of modules, and the versions of installed packages, by their names.

    Names rather than paths, so that a project may be moved, or the store restored from the cache of a CI service.
    """

    modules: Mapping[str, str] = {}
    packages: Mapping[str, str] = {}

    def are_current(self) -> bool:
        """Return whether the modules and the installed packages are still the same."""
        return all(_digest(name) == digest for name, digest in self.modules.items()) and all(
            _version(name) == version for name, version in self.packages.items()
        )


def imported_since(before: Collection[str]) -> Dependencies:
    """Return the modules that this process has imported besides those named in `before`.

    The standard library, PyTorch and this package are left out: a new version of them has other keys.
    """
    modules = [module for name, module in list(sys.modules.items()) if name not in before]
    files = {module.__name__: Path(file) for module in modules if (file := getattr(module, "__file__", None))}
    installed = {_top(name) for name, file in files.items() if _PACKAGES & {*file.parts}} - _IN_EVERY_KEY
    own = (name for name, file in files.items() if _top(name) not in _IN_EVERY_KEY and _is_own(file))
    return Dependencies({name: digest for name in sorted(own) if (digest := _digest(name))}, _versions(installed))


def _top(module: str) -> str:
    return module.partition(".")[0]


def _is_own(file: Path) -> bool:
    """Return whether a module in `file` belongs to the project, rather than to an installed package or to Python."""
    library = sysconfig.get_path("stdlib")
    return file.suffix == ".py" and not _PACKAGES & {*file.parts} and not file.is_relative_to(library)


def _digest(module: str) -> str:
    """Return the digest of the code that `module` would have now, empty without a source."""
    path = find_source(module)
    return "" if path is None else code_digest(path)


def _versions(modules: Iterable[str]) -> dict[str, str]:
    """Return the versions of the packages that install these modules of the top level."""
    names = importlib.metadata.packages_distributions() if modules else {}
    return {name: _version(name) for module in sorted(modules) for name in sorted(set(names.get(module, ())))}


@cache
def _version(package: str) -> str:
    """Return the version of an installed package, empty if it is not installed."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""
