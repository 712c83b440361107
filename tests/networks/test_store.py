"""The cache of networks: makers do not disturb each other, and leave nothing unfinished."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from pytest_edgeload.networks.folder import GRAPH
from pytest_edgeload.networks.store import Store, Unwritable, recipe_key


@pytest.mark.parametrize("name", ["", "recipes"])
def test_file_in_place_of_the_store_is_refused(tmp_path: Path, name: str) -> None:
    """A file in place of the store, or of a folder in it, is refused with a hint."""
    root = tmp_path / "store"
    (root / name).parent.mkdir(exist_ok=True)
    (root / name).touch()
    with pytest.raises(Unwritable, match=f"^{root}: Not a directory; name another folder with cache-dir$"):
        Store(root).find("key")


def test_recipe_is_known_until_its_folder_is_deleted(tmp_path: Path) -> None:
    """A recipe is known until the folder of its network is deleted."""
    store = Store(tmp_path / "not there yet")
    assert store.find("key") is None
    with store.making("key") as folder:
        (folder / GRAPH).write_text("graph")
        assert store.find("key") is None
        kept = store.keep("key", folder, "digest")
    assert store.find("key") == kept
    assert [path.name for path in kept.iterdir()] == [GRAPH]
    kept.rename(tmp_path / "away")
    assert store.find("key") is None


MAKER = """
import sys, time
from pathlib import Path
from pytest_edgeload.networks.store import Store
root, seconds = sys.argv[1:]
store = Store(Path(root))
with store.making("key") as folder:
    assert list(folder.iterdir()) == [], "not empty"
    if store.find("key") is None:
        (folder / "file").write_text("word")
        print("making", flush=True)
        time.sleep(float(seconds))
        store.keep("key", folder, "digest")
assert (store.find("key") / "file").read_text() == "word"
"""


def _maker(root: Path, seconds: float) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", MAKER, str(root), str(seconds)], stdout=subprocess.PIPE, text=True)


def _entries(root: Path) -> set[str]:
    """Return the names of all files and folders in the store except locks."""
    return {str(path.relative_to(root)) for path in root.glob("*/*") if path.suffix != ".lock"}


def test_one_of_several_makers_makes_the_network(tmp_path: Path) -> None:
    """Of several processes that want the same network, one makes it, all find it, and one folder remains."""
    makers = [_maker(tmp_path, 0.5) for _ in range(4)]
    answers = [maker.communicate()[0] for maker in makers]
    assert [maker.returncode for maker in makers] == [0] * 4
    assert sorted(answers) == ["", "", "", "making\n"]
    assert _entries(tmp_path) == {"networks/digest", "recipes/key"}


def test_recipes_may_make_the_same_network_at_once(tmp_path: Path) -> None:
    """Makers with different locks that finish the same network at once all find it afterwards."""
    store, errors = Store(tmp_path), list[BaseException]()

    def make(key: str, digest: str, others: threading.Barrier) -> None:
        try:
            with store.making(key) as folder:
                (folder / "file").write_text("word")
                others.wait()
                store.keep(key, folder, digest)
        except OSError as error:
            errors.append(error)

    for turn in range(40):
        barrier = threading.Barrier(8)
        threads = [threading.Thread(target=make, args=(f"key{i}", f"digest{turn}", barrier)) for i in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert errors == []
    assert {store.find(f"key{i}") for i in range(8)} == {tmp_path / "networks" / "digest39"}


def test_files_of_a_killed_maker_are_removed(tmp_path: Path) -> None:
    """The next maker removes the files of a killed one."""
    killed = _maker(tmp_path, 600)
    assert killed.stdout is not None
    assert killed.stdout.readline() == "making\n"
    killed.kill()
    killed.communicate()
    assert _entries(tmp_path) != set()
    with Store(tmp_path).making("key") as folder:
        assert list(folder.iterdir()) == []
    assert _entries(tmp_path) == set()


def test_failing_maker_leaves_no_files(tmp_path: Path) -> None:
    """A maker whose work raises leaves no files."""
    with pytest.raises(UnicodeEncodeError), Store(tmp_path).making("key") as folder:
        (folder / "file").write_text("word, and then \udc80", encoding="utf-8")
    assert _entries(tmp_path) == set()


def test_recipe_key_changes_with_its_parts_only(tmp_path: Path) -> None:
    """A key changes with the factory, the versions, and the names and code of the sources, and nothing else."""
    (a, b), copies = [[tmp_path / folder / name for name in ("a.py", "b.py")] for folder in (".", "elsewhere")]
    renamed = tmp_path / "c.py"
    copies[0].parent.mkdir()
    for path in (a, b, *copies):
        path.write_text("1")
    key = recipe_key("m:f", [a, b], ["1", "2"])
    assert key == recipe_key("m:f", reversed(copies), ["1", "2"])
    b.write_text("2")
    renamed.write_text("2")
    others = [
        recipe_key("m:f", [a, b], ["1", "2"]),
        recipe_key("m:g", [a, b], ["1", "2"]),
        recipe_key("m:f", [a, b], ["1", "3"]),
        recipe_key("m:f", [a, b], ["12"]),
        recipe_key("m:f", [a], ["1", "2"]),
        recipe_key("m:f", [b], ["1", "2"]),
        recipe_key("m:f", [a, renamed], ["1", "2"]),
    ]
    assert len({key, *others}) == 8
    b.write_text('"""Words."""\n# a comment\n(2)')
    assert recipe_key("m:f", [a, b], ["1", "2"]) == others[0]
    os.utime(b, (0, 0))
    assert recipe_key("m:f", [a, b], ["1", "2"]) == others[0]
