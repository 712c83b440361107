"""The networks that a runtime opens: folders, files, or functions that make them when they are not stored yet."""

from __future__ import annotations

import os
from pathlib import Path

from platformdirs import user_cache_path

from pytest_edgeload.base import arguments
from pytest_edgeload.base.arguments import BadArgument
from pytest_edgeload.base.errors import Refusal, Setting
from pytest_edgeload.networks.edgenet import SUFFIX, is_edgenet
from pytest_edgeload.networks.folder import GRAPH
from pytest_edgeload.networks.registry import Registry
from pytest_edgeload.networks.store import Store
from pytest_edgeload.networks.verified import verify_once


def find_network(name: str, source: str | os.PathLike[str]) -> Path:
    """Return where a network is stored: in `source` itself, or where the function `module:function` stores it.

    Every byte of an .edgenet file is compared with its digest, unless it was before and the file has not changed. A
    function is called in a process of its own, unless the
    cache has its network. Raises UsageError, PreparationFailed, DamagedNetwork or BadCheckpoint.
    """
    text = arguments.path(f"networks[{name!r}]", source)
    is_folder = os.path.isfile(os.path.join(text, GRAPH))  # noqa: PTH113, PTH118  # they never raise
    if is_edgenet(text):
        verify_once(Path(text), user_cache_path("edgeload"))
    elif ":" in text and not is_folder:
        registry = Registry(Store(user_cache_path("edgeload")))
        registry.register(name, text)
        try:
            return registry.get(name, lambda *_: None)[0]
        except Refusal as error:
            raise error.spelled(_spelled) from None
    elif not is_folder:
        hint = f"give the {SUFFIX} file of edgeload store, or a function such as my_models:detector"
        raise BadArgument.of(f"networks[{name!r}]", text, "not a stored network", hint)
    return Path(text)


def _spelled(setting: Setting) -> str:
    """Return the way to another cache: a runtime has no option for it."""
    return "the environment variable XDG_CACHE_HOME" if setting.name == "cache-dir" else str(setting)
