"""The search for the workload with the largest loss, over losses that are simple functions of a workload."""

from __future__ import annotations

import pytest

from pytest_edgeload.workload.file import WorkloadDocument
from pytest_edgeload.worst_mix import MAX_LOSS, MixSearch, WorkloadForm, documents

DRAWN = documents(["small", "large"], 1.0)


def _requests(document: WorkloadForm) -> tuple[str, ...]:
    return tuple(map(str, document.requests)) if isinstance(document, WorkloadDocument) else ()


def test_largest_loss_is_found_and_simplified() -> None:
    """Of all workloads with the largest loss, the search returns the simplest; nothing else is left in it."""

    def loss(document: WorkloadForm) -> float:
        return _requests(document).count("large") / 10

    found = MixSearch(DRAWN, loss, 6.0, lambda *_: None).run()
    assert found is not None
    assert found.loss == loss(found.document) >= 0.5
    assert isinstance(found.document, WorkloadDocument)
    assert {*_requests(found.document)} == {"large"}
    assert found.document.images == 1


def test_loss_is_computed_once_for_each_workload() -> None:
    """The number of tried workloads is that of different ones, and each is shown."""
    seen: list[WorkloadForm] = []

    def loss(document: WorkloadForm) -> float:
        seen.append(document)
        return 0.01 * len(_requests(document))

    shown: list[int] = []
    found = MixSearch(DRAWN, loss, 1.0, lambda tried, _: shown.append(tried)).run()
    assert found is not None
    assert found.tried == len(seen) == len({*seen})
    assert shown == [*range(1, found.tried + 1)]


def test_interrupted_search_keeps_what_it_found() -> None:
    """After Ctrl-C, the workload with the largest loss so far is known."""
    losses = iter([0.1, 0.5, 0.2])

    def loss(_: WorkloadForm) -> float:
        try:
            return next(losses)
        except StopIteration:
            raise KeyboardInterrupt from None

    searching = MixSearch(DRAWN, loss, 6.0, lambda *_: None)
    assert searching.found is None
    with pytest.raises(KeyboardInterrupt):
        searching.run()
    assert searching.found is not None
    assert (searching.found.loss, searching.found.tried) == (0.5, 3)


@pytest.mark.parametrize(("value", "is_found"), [(-1.0, False), (0.0, False), (99.0, True)])
def test_only_losses_above_zero_are_found(value: float, is_found: bool) -> None:  # noqa: FBT001
    """A policy that loses nowhere has no worst workload; and no loss exceeds the largest one."""
    found = MixSearch(DRAWN, lambda _: value, 0.5, lambda *_: None).run()
    assert (found is not None) == is_found
    assert found is None or found.loss == MAX_LOSS
