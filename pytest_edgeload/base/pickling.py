"""Pickling of functions and classes for a process that cannot import the modules which define them."""

from __future__ import annotations

import marshal
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from types import CodeType, ModuleType
from typing import Any

import cloudpickle

from pytest_edgeload.base.lazy_module import LazyModule

_MARSHAL = 2  # the newest format that is the same for equal code, because it counts no references
_REWRITTEN = "_pytest.assertion.rewrite"


class Pickler(cloudpickle.Pickler):  # type: ignore[misc]  # cloudpickle has no types
    """Pickles functions with assertions that pytest rewrote, without pytest: the worker imports it if one fails.

    Code keeps the name of its file, which cloudpickle leaves out, so that tracebacks show the lines.
    """

    def reducer_override(self, obj: object) -> Any:
        """Return how to pickle `obj`."""
        if isinstance(obj, ModuleType) and obj.__name__ == _REWRITTEN:
            return LazyModule, (_REWRITTEN,)
        if isinstance(obj, CodeType):
            with suppress(ValueError):  # a constant that no compiler makes
                return marshal.loads, (marshal.dumps(obj, _MARSHAL),)
        return super().reducer_override(obj)


@contextmanager
def by_value(modules: Iterable[ModuleType]) -> Iterator[None]:
    """Pickle the definitions of these modules by value instead of by name."""
    known = cloudpickle.list_registry_pickle_by_value()
    # By name, because cloudpickle registers names, and several folders may have a conftest.
    new = {module.__name__: module for module in modules if module.__name__ not in known}
    for module in new.values():
        cloudpickle.register_pickle_by_value(module)
    try:
        yield
    finally:
        for module in new.values():
            cloudpickle.unregister_pickle_by_value(module)
