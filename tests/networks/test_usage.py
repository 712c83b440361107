"""What the store says about its networks: name, size, last use; and which are removed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_edgeload.networks.store import Store
from pytest_edgeload.networks.usage import StoredFolder, beyond, remove, stored_folders, unused_since

HOUR_S = 3600.0


def _keep(root: Path, key: str, name: str, size_bytes: int, used_s: float) -> Path:
    """Store a network of so many bytes that was last used at `used_s`."""
    store = Store(root)
    with store.making(key) as folder:
        (folder / "graph.json").write_text(f'{{"name": "{name}", "layers": []}}')
        (folder / "weights.safetensors").write_bytes(bytes(size_bytes))
        kept = store.keep(key, folder, f"digest{key}")
    os.utime(root / "recipes" / key, (used_s, used_s))
    return kept


def test_networks_are_listed_by_last_use(tmp_path: Path) -> None:
    """The network that was used longest ago comes first; its size is that of its files on the disk."""
    _keep(tmp_path, "1", "young", 8192, 2 * HOUR_S)
    _keep(tmp_path, "2", "old", 100_000, HOUR_S)
    found = stored_folders(tmp_path)
    assert [(one.name, one.used_s) for one in found] == [("old", HOUR_S), ("young", 2 * HOUR_S)]
    assert 100_000 <= found[0].size_bytes <= 120_000
    assert stored_folders(tmp_path / "missing") == []


def test_finding_a_network_is_a_use(tmp_path: Path) -> None:
    """The last use is when a session last asked for the network, not when it was made."""
    folder = _keep(tmp_path, "1", "net", 1, HOUR_S)
    assert Store(tmp_path).find("1") == folder
    (found,) = stored_folders(tmp_path)
    assert found.used_s > HOUR_S


def test_a_damaged_network_is_listed(tmp_path: Path) -> None:
    """A network whose graph cannot be read has no name, but a size, and can be removed."""
    folder = _keep(tmp_path, "1", "net", 5000, HOUR_S)
    (folder / "graph.json").write_text("{")
    (folder / "compressed-1").mkdir()
    (folder / "compressed-1" / "0.json").write_text("{")
    (found,) = stored_folders(tmp_path)
    assert (found.name, found.compressed_share) == ("(unreadable)", None)
    remove(tmp_path, [found])
    assert stored_folders(tmp_path) == []
    assert Store(tmp_path).find("1") is None


def test_removal_takes_the_recipes_along(tmp_path: Path) -> None:
    """What is removed is not found any more, and all else is."""
    kept = _keep(tmp_path, "1", "kept", 1, 3 * HOUR_S)
    _keep(tmp_path, "2", "gone", 1, HOUR_S)
    remove(tmp_path, unused_since(stored_folders(tmp_path), 2 * HOUR_S))
    assert Store(tmp_path).find("1") == kept
    assert Store(tmp_path).find("2") is None
    assert not (tmp_path / "recipes" / "2").exists()


@pytest.mark.parametrize(
    ("size_bytes", "names"), [(60, []), (59, ["a"]), (50, ["a"]), (49, ["a", "b"]), (0, ["a", "b", "c"])]
)
def test_the_longest_unused_go_first(size_bytes: int, names: list[str]) -> None:
    """No more is removed than is needed, to the byte."""
    stored = [
        StoredFolder(Path(name), name, size, used) for name, size, used in (("b", 20, 2), ("c", 30, 3), ("a", 10, 1))
    ]
    assert [one.name for one in beyond(stored, size_bytes)] == names


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 9)), max_size=8), st.integers(0, 200))
def test_the_rest_fits(drawn: list[tuple[int, int]], size_bytes: int) -> None:
    """What is left has at most the size, and everything removed is older than everything left."""
    stored = [StoredFolder(Path(str(i)), "net", size, float(used)) for i, (size, used) in enumerate(drawn)]
    removed = beyond(stored, size_bytes)
    left = [one for one in stored if one not in removed]
    assert sum(one.size_bytes for one in left) <= size_bytes
    assert all(old.used_s <= young.used_s for old in removed for young in left)
