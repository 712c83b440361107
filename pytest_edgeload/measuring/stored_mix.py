"""Everything about the stored networks of a mix that predictions depend on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from pytest_edgeload.engine.reader_choice import accept_direct
from pytest_edgeload.measuring.fed_samples import check_fed_samples
from pytest_edgeload.measuring.stored_samples import truths
from pytest_edgeload.networks.compressed import COMPRESSED, StoreForm, stored_share
from pytest_edgeload.networks.folder import weight_files
from pytest_edgeload.networks.layer import Network
from pytest_edgeload.networks.preparation import ShowProgress
from pytest_edgeload.networks.registry import Registry
from pytest_edgeload.planning.simulate import Holds, always
from pytest_edgeload.workload import Mix
from pytest_edgeload.workload.conditions import check_conditions, check_step_counts


class StoredMix(NamedTuple):
    """The networks of a mix by name, and the facts about their files.

    `holds` returns whether the condition of a request holds. `stored_share` is the share of the bytes of weights that
    is stored, if they are compressed. With `is_direct_possible`, the reader `direct` can read past the page cache.
    """

    networks: Mapping[str, Network]
    holds: Holds = always
    stored_share: float = 1.0
    is_direct_possible: bool = True


def read_stored(mix: Mix, store: StoreForm, registry: Registry, progress: ShowProgress) -> StoredMix:
    """Return the stored networks of `mix`, which are made, and compressed, if they are not there yet.

    Conditions hold as on the outputs of plain PyTorch. Raises UnknownNetwork, PreparationFailed, DamagedNetwork or
    CannotCompress, and UsageError if a condition or a feed refers to an output that does not exist.
    """
    stored = {name: registry.get(name, progress) for name in mix.networks}
    for name in stored:
        registry.check_form(name, store, progress)
    networks = {name: network for name, (_, network) in stored.items()}
    workload = mix.workload(networks)  # the times of its requests do not matter here
    check_conditions(workload)
    check_step_counts(workload)
    folders = [stored[ask.network][0] for ask in mix.asks]
    check_fed_samples(workload, folders)
    return StoredMix(
        networks,
        truths(workload, folders).__getitem__,
        stored_share(stored.values()) if store == COMPRESSED else 1.0,
        accept_direct(file for folder, _ in stored.values() for file in weight_files(folder)),
    )
