"""Remembers which .edgenet files were compared with their digests, so that none is read twice. Never imports torch.

verified/<key>        the stamp of a file that was compared; the key covers its path
"""

from __future__ import annotations

import hashlib
from contextlib import suppress
from pathlib import Path

from pytest_edgeload.base import files
from pytest_edgeload.networks.edgenet import read_edgenet
from pytest_edgeload.networks.folder import file_stamps, verify_network
from pytest_edgeload.networks.layer import Network

_MAX_STAMP_BYTES = 1000


def verify_once(stored: Path, cache: Path) -> Network:
    """Return the network in an .edgenet file, whose graph is compared with its digest.

    The weights are as well, unless they were before and the file has not changed since. The folder `cache` remembers
    that; if it cannot be written, they are compared each time. Raises DamagedNetwork.
    """
    network = read_edgenet(stored)
    note, stamp = cache / "verified" / _key(stored), _stamp(stored, network)
    with suppress(OSError):
        if files.read(note, _MAX_STAMP_BYTES) == stamp:
            return network
    network = verify_network(stored)
    if stamp == _stamp(stored, network):  # the file did not change meanwhile
        with suppress(OSError):
            files.make_folder(note.parent)
            files.write(note, stamp, files.OURS)
    return network


def _key(stored: Path) -> str:
    return hashlib.sha256(bytes(stored.resolve())).hexdigest()[:32]


def _stamp(stored: Path, network: Network) -> bytes:
    return repr([*file_stamps(stored, network).values()]).encode()
