"""Files of networks that are damaged between runs or during one: noticed, or harmless, and never a wrong figure."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import tempfile
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from pytest_edgeload.devices.constraints import Constraints
from pytest_edgeload.measuring.bench import Bench
from pytest_edgeload.measuring.launcher import Launcher
from pytest_edgeload.networks.checkpoint import BadCheckpoint, read_checkpoint
from pytest_edgeload.networks.folder import GRAPH, SAMPLES, WEIGHTS, read_graph, verify_network
from pytest_edgeload.networks.layer import FORMAT, Network
from pytest_edgeload.networks.registry import Registry
from pytest_edgeload.networks.store import Store
from pytest_edgeload.networks.tensor_file import DamagedNetwork
from pytest_edgeload.policies import POLICIES
from pytest_edgeload.results.case import Case
from pytest_edgeload.sandbox.caps import CAPS, Cap, Group
from pytest_edgeload.sandbox.constraints import Limits
from pytest_edgeload.sandbox.enclosure import Enclosure
from pytest_edgeload.sandbox.launch import launch
from pytest_edgeload.sandbox.swap import Swap
from pytest_edgeload.workload import Mix
from tests.builders import job, stored
from tests.plugin.sessions import Begin, write

SAMPLE = (torch.linspace(-1, 1, 8).reshape(1, 8),)


def linear() -> torch.nn.Linear:
    torch.manual_seed(0)
    return torch.nn.Linear(8, 8)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a small network, stored."""
    return stored(tmp_path, linear(), SAMPLE)


def known(folder: Path) -> Registry:
    """Return what knows the network, as in the middle of a session."""
    registry = Registry(Store(folder.parent))
    registry.adopt("net", folder)
    assert get(registry) == read_graph(folder)
    return registry


def get(registry: Registry) -> Network:
    _, network = registry.get("net", lambda *_: None)
    return network


def flip(path: Path, byte: int = -1, bit: int = 0) -> None:
    """Flip a bit in place, and restore the times as far as possible."""
    before = path.stat()
    data = bytearray(path.read_bytes())
    data[byte] ^= 1 << bit
    path.write_bytes(data)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def replace(path: Path) -> None:
    """Put another file of the same size and time in its place."""
    other = path.with_name("other")
    shutil.copy2(path, other)
    flip(other)
    other.replace(path)


def into_fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def into_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


HARMS: dict[str, Callable[[Path], object]] = {
    "cut short": lambda path: os.truncate(path, path.stat().st_size - 1),
    "emptied": lambda path: os.truncate(path, 0),
    "a bit flipped": flip,
    "replaced": replace,
    "removed": Path.unlink,
    "a FIFO": into_fifo,
    "a folder": into_folder,
}


@pytest.mark.parametrize("name", [GRAPH, WEIGHTS, SAMPLES])
@pytest.mark.parametrize("harm", HARMS)
def test_damage_between_runs_is_noticed(folder: Path, name: str, harm: str) -> None:
    """Damage to a stored file during a session is noticed before the next run, with a hint."""
    registry = known(folder)
    HARMS[harm](folder / name)
    with pytest.raises(
        DamagedNetwork, match=f"^{folder / name} is damaged: .*; delete the folder {folder}, and it"
    ) as told:
        get(registry)
    assert "\n" not in str(told.value)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user and back")
def test_unreadable_network_is_refused(folder: Path) -> None:
    """A network that may no longer be read counts neither as missing nor as intact."""
    registry = known(folder)
    folder.chmod(0o700)
    os.seteuid(65534)
    try:
        with pytest.raises(DamagedNetwork, match=f"^{folder / GRAPH} is damaged: Permission denied; "):
            get(registry)
        assert Store(folder.parent).find("key") is None
        with pytest.raises(BadCheckpoint, match="Permission denied; fetch it, or name an existing file"):
            read_checkpoint(folder / WEIGHTS, 0)
    finally:
        os.seteuid(0)


def test_removed_network_is_reported(folder: Path) -> None:
    """A network whose folder was removed is reported as missing."""
    registry = known(folder)
    shutil.rmtree(folder)
    with pytest.raises(DamagedNetwork, match=f"^{folder} is gone; start a new session, which makes it again$"):
        get(registry)


HARMLESS: dict[str, Callable[[Path], object]] = {
    "touched": Path.touch,
    "made private": lambda path: path.chmod(0o600),
    "written again": lambda path: path.write_bytes(path.read_bytes()),
    "copied in place": lambda path: Path(shutil.copy2(path, path.with_name("copy"))).replace(path),
}


@pytest.mark.parametrize("change", HARMLESS)
def test_rewritten_bytes_are_harmless(folder: Path, change: str) -> None:
    """A file with the same bytes as before is the same network."""
    registry = known(folder)
    HARMLESS[change](folder / WEIGHTS)
    assert get(registry) == read_graph(folder)


CHANGES = {name: harm for name, harm in HARMS.items() if name not in {"emptied", "cut short"}} | {
    "touched": Path.touch,
    "emptied": HARMS["emptied"],
    "cut short": HARMS["cut short"],
}


@pytest.mark.parametrize("change", CHANGES)
def test_changed_checkpoint_is_noticed(tmp_path: Path, change: str) -> None:
    """Any change of a user's own weights is reported: they have no digest, so the network is made anew."""
    weights = tmp_path / "model.safetensors"
    save_file(linear().state_dict(), weights)
    registry = known(stored(tmp_path / "store", linear(), SAMPLE, checkpoint=weights))
    CHANGES[change](weights)
    with pytest.raises(BadCheckpoint, match=f"^{weights}.*; (start a new session|fetch it.*)$") as told:
        get(registry)
    assert "\n" not in str(told.value)


# ---- what slips through ----------------------------------------------------------------------------------------


def _launch(folder: Path) -> tuple[str, str]:
    made, _ = job("linear", folder)
    run = launch(made, Enclosure(CAPS["none"], "", Limits(), 60.0))
    return run.outcome, run.detail


def test_flipped_bit_is_a_wrong_output(folder: Path) -> None:
    """Damage on the disk itself, without a new time stamp, is the outcome `wrong` if outputs differ."""
    first = read_graph(folder).layers[0].weights[0].offset
    flip(folder / WEIGHTS, byte=first + 3, bit=5)  # of the exponent
    outcome, detail = _launch(folder)
    assert (outcome, "differs from plain PyTorch" in detail) == ("wrong", True)


def test_invisible_flipped_bit_has_another_digest(folder: Path) -> None:
    """A change without an effect on outputs is within the tolerance of sums in another order; its digest differs."""
    first = read_graph(folder).layers[0].weights[0].offset
    flip(folder / WEIGHTS, byte=first)  # the last bit of a number
    assert _launch(folder) == ("ok", "")
    with pytest.raises(DamagedNetwork, match="bytes are not the ones that were written"):
        verify_network(folder)


@dataclasses.dataclass
class Meanwhile:
    """The cap that limits nothing, and something that happens when the worker is about to be started."""

    happens: Callable[[], object]
    cap: Cap = CAPS["none"]

    def __getattr__(self, name: str) -> Any:
        return getattr(self.cap, name)

    def open(self, name: str, limits: Limits) -> Group:
        """Let it happen."""
        self.happens()
        return self.cap.open(name, limits)


@pytest.mark.parametrize("harm", ["a bit flipped", "removed"])
def test_damage_during_a_run_is_not_a_measurement(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, harm: str
) -> None:
    """A run during which the weights were changed is not a measurement, even if its outputs are right or it crashed."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))  # nothing here is a timing, so nobody need wait
    cap: Any = Meanwhile(lambda: HARMS[harm](folder / WEIGHTS))
    launcher = Launcher(cap, Swap(0), "1-1-1", timeout_s=60.0)
    bench = Bench(launcher, known(folder), POLICIES, tmp_path, lambda *_: None)
    case = Case(
        test="test",
        workload="net",
        policy="bulk",
        reader="read",
        cap="none",
        swap="none",
        constraints=Constraints(threads=1),
    )
    with pytest.raises(DamagedNetwork, match=f"^{folder / WEIGHTS} is damaged: "):
        bench.measure(case, Mix.of("net", ["net"]))


# ---- hostile ---------------------------------------------------------------------------------------------------

Weight = dict[str, Any]


def _forged(folder: Path, change: Callable[[Weight], object]) -> Path:
    """Return the network with a weight changed in its graph, under the digest of that graph."""
    graph = json.loads((folder / GRAPH).read_bytes())
    change(graph["layers"][0]["weights"][0])
    text = json.dumps(graph).encode()
    (folder / GRAPH).write_bytes(text)
    return folder.rename(folder.with_name(sha256(text).hexdigest()))


FORGED: dict[str, dict[str, Any]] = {
    "before the file": {"offset": -64},
    "behind the file": {"offset": 1 << 40},
    "across its end": {"offset": 4096 + 40},
    "too large": {"shape": [1 << 40, 8], "size_bytes": 1 << 45},
    "larger than it says": {"shape": [1 << 31, 1 << 31]},
    "negative": {"shape": [-8, -8]},
    "of no type": {"dtype": "object"},
    "of less than nothing": {"shape": [8], "size_bytes": -32},
}


@pytest.mark.parametrize("kind", FORGED)
def test_forged_graph_is_refused(folder: Path, kind: str) -> None:
    """A graph that sends its reader elsewhere is refused, even with a right digest."""
    forged = _forged(folder, lambda weight: weight.update(FORGED[kind]))
    with pytest.raises(DamagedNetwork, match="is outside the network's files; delete the folder"):
        verify_network(forged)


def test_later_format_is_refused(folder: Path) -> None:
    """A network of a later version is refused with both versions."""
    text = (folder / GRAPH).read_bytes().replace(b'"format":%d' % FORMAT, b'"format":%d' % (FORMAT + 1))
    (folder / GRAPH).write_bytes(text)
    later = folder.rename(folder.with_name(sha256(text).hexdigest()))
    with pytest.raises(
        DamagedNetwork, match=f"format {FORMAT + 1}, and this version reads format {FORMAT}; delete the"
    ):
        verify_network(later)


@pytest.mark.parametrize("text", [b"", b"[" * 100_000, b'{"name": "\xff"}', b"{" + b" " * 70_000_000 + b"}"])
def test_damaged_graph_is_refused(folder: Path, text: bytes) -> None:
    """A graph that is not one, is nested without end or far too large, is refused as damaged."""
    (folder / GRAPH).write_bytes(text)
    with pytest.raises(DamagedNetwork, match=f"^{folder / GRAPH} is damaged: "):
        read_graph(folder)


@pytest.mark.parametrize("note", [b"", b"..", b"../../elsewhere", b"/etc", b"\xff\xfe", b"a" * 5000, b"a/../b"])
def test_forged_note_is_ignored(tmp_path: Path, note: bytes) -> None:
    """The network that a note names is looked up among the networks, and nowhere else."""
    store = Store(tmp_path / "store")
    (tmp_path / "elsewhere").mkdir()
    for name in ("recipes", "networks", "networks/b"):
        (store.root / name).mkdir(parents=True)
    (store.root / "recipes" / "key").write_bytes(note)
    assert store.find("key") is None


HEADERS: dict[str, Any] = {
    "a place that is no number": {"w": {"dtype": "F32", "shape": [2], "data_offsets": ["0", "8"]}},
    "a place in halves": {"w": {"dtype": "F32", "shape": [2], "data_offsets": [0.5, 8.5]}},
    "before the file": {"w": {"dtype": "F32", "shape": [2], "data_offsets": [-8, 0]}},
    "a shape of fractions": {"w": {"dtype": "F32", "shape": [0.5, 4], "data_offsets": [0, 8]}},
    "a shape of yes": {"w": {"dtype": "F32", "shape": [True, 2], "data_offsets": [0, 8]}},
    "larger than numbers are": {"w": {"dtype": "F32", "shape": [1 << 70], "data_offsets": [0, 8]}},
    "no tensor": {"w": None},
}


@pytest.mark.parametrize("kind", HEADERS)
def test_forged_header_is_refused(tmp_path: Path, kind: str) -> None:
    """An invalid header of a checkpoint is refused with the file's name."""
    text = json.dumps(HEADERS[kind]).encode()
    path = tmp_path / "model.safetensors"
    path.write_bytes(len(text).to_bytes(8, "little") + text + bytes(8))
    with pytest.raises(
        BadCheckpoint, match=f"^{path}: not a safetensors file, or its header is damaged; fetch it again$"
    ):
        read_checkpoint(path, 0)


@pytest.mark.parametrize("size", [0, 100_001, 1 << 62])
def test_endless_header_is_refused(tmp_path: Path, size: int) -> None:
    """A header that claims more than the file has, or is nested without end, is refused as well."""
    path = tmp_path / "model.safetensors"
    path.write_bytes(size.to_bytes(8, "little") + b"[" * 100_001)
    with pytest.raises(BadCheckpoint, match="not a safetensors file, or its header is damaged; fetch it again"):
        read_checkpoint(path, 0)


# ---- a session -------------------------------------------------------------------------------------------------

HARMING = """
import os, pathlib, shutil

CACHE = pathlib.Path(os.environ["PYTEST_EDGE_CACHE_DIR"])

def test_before(edge):
    assert edge.run(["small"]).outcome == "ok"

def test_harmed(edge):
    for path in CACHE.glob("networks/*/weights.safetensors"):
        os.truncate(path, 5000)
    edge.run(["small"])

def test_removed(edge):
    shutil.rmtree(CACHE)
    edge.run(["small"])

def test_program(edge):
    edge.command(["/bin/true"])
"""


def test_session_keeps_measurements_when_its_cache_is_removed(begin: Begin, prepared: Path, tmp_path: Path) -> None:
    """A session whose cache is damaged and then removed keeps its measurements; each later test gives the reason."""
    project, cache = write(tmp_path, test_tiny=HARMING), tmp_path / "cache"
    shutil.copytree(prepared, cache, ignore=shutil.ignore_patterns("sessions"))
    options = ("--junitxml=junit.xml", "--edge-json=out.json")
    ended = begin(project, *options, PYTEST_EDGE_CACHE_DIR=str(cache)).end()
    assert ended.status == pytest.ExitCode.TESTS_FAILED, ended.said
    harmed, removed = (ended.failure(f"test_{name}").attrib["message"] for name in ("harmed", "removed"))
    assert "weights.safetensors is damaged: its 5000 bytes are not the ones that were written" in harmed
    assert "is gone; start a new session, which makes it again" in removed
    for words in ("Traceback", "INTERNALERROR", "FileNotFoundError"):
        assert words not in ended.said
    assert [record.case.workload for record in ended.records][:1] == ["small"]
    assert ended.running.leavings == []
