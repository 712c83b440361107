"""Large files on their way to hosts: copied once, continued after a lost connection, and refused without room."""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cached_property
from pathlib import Path

import pytest

pytest.importorskip("execnet")

import execnet

from pytest_edgeload.base.errors import Unsupported
from pytest_edgeload.base.locks import hold
from pytest_edgeload.hosts import project
from pytest_edgeload.hosts.check import Examined, examine
from pytest_edgeload.hosts.connection import address
from pytest_edgeload.hosts.file import parse
from pytest_edgeload.hosts.outgoing import Digests, offers, send, send_large
from tests.cli.commands import until
from tests.hosts.conftest import Session
from tests.hosts.network import Machine
from tests.plugin.sessions import PATIENCE_S

pytestmark = pytest.mark.xdist_group("hosts")

MIB = 1 << 20
_FILES = "edgeload/cache/files"

CHECKPOINT = """\
def pytest_edge_networks(register):
    register("tiny", "net:tiny", checkpoint="../weights/tiny.safetensors")
"""

NETWORK = """\
import torch

def tiny():
    with torch.device("meta"):
        module = torch.nn.Sequential(torch.nn.Linear(8, 8))
    return module, [(torch.ones(1, 8),)]
"""

RUNS = """\
def test_run(edge):
    assert edge.run(["tiny"], policy="bulk").outcome == "ok"
"""


class Controller:
    """A controller with a project of one large file, which has two names."""

    def __init__(self, here: Path, host: Machine, size: int, **keys: str) -> None:
        self.project = here / "project"
        (self.project / "weights").mkdir(parents=True, exist_ok=True)
        content = os.urandom(size)
        self.digest = hashlib.sha256(content).hexdigest()
        (self.project / "weights/large.bin").write_bytes(content)
        (self.project / "weights/again.bin").symlink_to("large.bin")
        [self.host] = parse(host.table(**keys), "boards.toml")
        self.folder = ""
        self.digests = Digests(here / "digests")

    @cached_property
    def examined(self) -> Examined:
        """The host."""
        return examine(self.host)

    def copy(self, shown: list[tuple[int, int, str]] | None = None) -> list[tuple[int, int, str]]:
        """Copy the file over a new connection. Return everything that is shown, also in the list `shown` at once."""
        shown = [] if shown is None else shown
        group = execnet.Group()
        try:
            gateway = group.makegateway(address(self.host))
            self.folder = project.send(self.project, gateway, self.examined).folder
            begin = lambda _: lambda *each: shown.append(each)  # noqa: E731
            send_large(gateway, self.examined, self.project, self.folder, self.digests, begin)
        finally:
            group.terminate(timeout=1)
        return shown

    def cached(self, machine: Machine) -> dict[str, Path]:
        """Return the files of this content in the cache of a host, by the ends of their names."""
        found = (machine.folder / _FILES).glob(f"{self.digest}*")
        return {path.suffix: path for path in found if path.suffix != ".lock"}

    def arrived_bytes(self, machine: Machine) -> int:
        """Return the bytes of the file on a host after a lost connection, when no process there writes to it."""
        with hold(machine.folder / _FILES / f"{self.digest}.lock"):
            return self.cached(machine)[".part"].stat().st_size

    def copies(self) -> list[bytes]:
        """Return the content of the file on the host, by its two names."""
        return [(Path(self.folder) / "weights" / name).read_bytes() for name in ("large.bin", "again.bin")]


@contextmanager
def in_background(work: Callable[[], object]) -> Iterator[list[object]]:
    """Run `work` on a thread during the block. Its result, or its error, is in the list afterwards."""
    ended: list[object] = []

    def run() -> None:
        try:
            ended.append(work())
        except Unsupported as error:
            ended.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    yield ended
    thread.join(PATIENCE_S)


def test_large_file_is_copied_once(hosts: tuple[Machine, ...], tmp_path: Path) -> None:
    """A host gets a file once, whatever its names; a file that was written to there is copied again."""
    machine = hosts[0]
    controller = Controller(tmp_path, machine, 17 * MIB)
    shown = controller.copy()
    assert shown[0] == (0, 17 * MIB, "")
    assert shown[-1] == (17 * MIB, 17 * MIB, "")
    content = (controller.project / "weights/large.bin").read_bytes()
    assert controller.copies() == [content] * 2
    assert [*controller.cached(machine)] == [""]
    assert controller.copy() == []
    with controller.cached(machine)[""].open("r+b") as file:
        file.write(b"changed")
    assert controller.copy()[-1] == (17 * MIB, 17 * MIB, "")
    assert controller.copies() == [content] * 2


@pytest.mark.parametrize("is_damaged", [False, True])
def test_copy_continues_after_a_lost_connection(
    hosts: tuple[Machine, ...], tmp_path: Path, *, is_damaged: bool
) -> None:
    """The next session copies the rest; if the first part is damaged, as by a power cut, it copies all of it."""
    machine = hosts[0]
    controller = Controller(tmp_path, machine, 24 * MIB, ssh=machine.impatient_ssh)
    assert controller.examined

    def size() -> int:
        return sum(path.stat().st_size for path in controller.cached(machine).values())

    with machine.slow_link("10mbit"), in_background(controller.copy) as ended:  # the whole file would take 20 s
        until(lambda: size() > MIB)
        machine.cut_off()
        until(lambda: ended)
        machine.connect()
    assert str(ended[0]).endswith("; start the session again; it continues the copy")
    begun = controller.arrived_bytes(machine)
    assert MIB < begun < 24 * MIB
    if is_damaged:
        with controller.cached(machine)[".part"].open("r+b") as file:
            file.write(bytes(4096))
    shown = controller.copy()
    assert shown[0] == (0, 24 * MIB - begun, "")
    needed = 24 * MIB - begun + (24 * MIB if is_damaged else 0)
    assert shown[-1] == (needed, needed, "")
    assert controller.copies() == [(controller.project / "weights/large.bin").read_bytes()] * 2


def test_two_controllers_copy_one_file_once(hosts: tuple[Machine, ...], tmp_path: Path) -> None:
    """The second controller waits for the first one, says so, and sends nothing."""
    machine = hosts[1]
    controller = Controller(tmp_path, machine, 24 * MIB)
    assert controller.examined
    first: list[tuple[int, int, str]] = []
    second: list[tuple[int, int, str]] = []
    with machine.slow_link("40mbit"), in_background(lambda: controller.copy(first)):
        until(lambda: first)
        with in_background(lambda: controller.copy(second)):
            until(lambda: second and second[-1][2])
            machine.free_link()
    assert first[-1] == (24 * MIB, 24 * MIB, "")
    assert {done for done, _, _ in second} == {0}
    assert second[-1][2].startswith("process ")
    assert controller.copies() == [(controller.project / "weights/large.bin").read_bytes()] * 2


def receive_and_tell(channel: object, cache: str) -> None:
    """Receive files as a host does, and send the reason why it did not get them. Runs in another process."""
    from pathlib import Path  # noqa: PLC0415  # execnet sends the text of this function only

    from pytest_edgeload.base.errors import Refusal  # noqa: PLC0415
    from pytest_edgeload.hosts.incoming import receive  # noqa: PLC0415

    try:
        receive(channel, Path(cache))
    except Refusal as error:
        channel.send(("told", str(error)))  # type: ignore[attr-defined]  # of execnet


def test_file_that_cannot_be_read_here_is_named(tmp_path: Path) -> None:
    """The sentence here and the one on the host name the file of this machine, and no host is blamed."""
    path = tmp_path / "weights.bin"
    path.write_bytes(bytes(MIB))
    offered = offers({path.name: path}, Digests(tmp_path / "digests"))
    path.unlink()
    group = execnet.Group()
    try:
        channel = group.makegateway("popen").remote_exec(receive_and_tell, cache=str(tmp_path / "cache"))
        with pytest.raises(Unsupported) as refused:
            send(channel, "alpha", offered, {path.name: path}, lambda *_: None)
        assert str(refused.value) == f"{path}: No such file or directory"
        assert [values for word, *values in channel if word == "told"] == [[str(refused.value)]]
    finally:
        group.terminate(timeout=1)


def test_file_that_was_needed_long_ago_is_removed(tmp_path: Path) -> None:
    """A file and a part that no session has needed for a month go, with links to them; one that arrives stays."""
    new, cached = tmp_path / "new.bin", tmp_path / "cache/files"
    new.write_bytes(bytes(MIB))
    offered = offers({new.name: new}, Digests(tmp_path / "digests"))
    cached.mkdir(parents=True)
    month_s = 30 * 86400
    for name, unused_s in {"old": month_s + 60, "young": month_s - 60, "arriving": month_s + 60}.items():
        for suffix in ("", ".part", ".lock"):
            (cached / f"{name}{suffix}").touch()
        os.utime(cached / f"{name}.lock", times=(time.time() - unused_s,) * 2)
    for checkpoint, names in {"gone": ["old"], "sharded": ["old", "young"]}.items():
        folder = tmp_path / "cache/checkpoints" / checkpoint
        folder.mkdir(parents=True)
        for name in names:
            (folder / name).symlink_to(cached / name)
    group = execnet.Group()
    try:
        with hold(cached / "arriving.lock"):
            os.utime(cached / "arriving.lock", (0, 0))
            channel = group.makegateway("popen").remote_exec(receive_and_tell, cache=str(tmp_path / "cache"))
            send(channel, "alpha", offered, {new.name: new}, lambda *_: None)
    finally:
        group.terminate(timeout=1)
    left = {path.name for path in cached.iterdir() if path.suffix != ".lock"}
    assert left == {"young", "young.part", "arriving", "arriving.part", offered[0].digest}
    links = [path for path in (tmp_path / "cache/checkpoints").glob("*/*") if path.name != new.name]
    assert links == [tmp_path / "cache/checkpoints/sharded/young"]
    assert not (tmp_path / "cache/checkpoints/gone").exists()


def test_file_of_a_running_session_is_kept(tmp_path: Path) -> None:
    """No session removes an old file that another one needs later, or its own, even if the clock was set meanwhile."""
    cached = tmp_path / "cache/files"
    paths = {name: tmp_path / name for name in ("first", "later", "other", "last")}
    for name, path in paths.items():
        path.write_bytes(name.encode())
    known = {each.name: each for each in offers(paths, Digests(tmp_path / "digests"))}
    group = execnet.Group()
    one, two = group.makegateway("popen"), group.makegateway("popen")

    def copy(gateway: object, *names: str, show: Callable[[int, int, str], None] = lambda *_: None) -> None:
        channel = gateway.remote_exec(receive_and_tell, cache=str(tmp_path / "cache"))  # type: ignore[attr-defined]
        send(channel, "alpha", [known[name] for name in names], paths, show)

    def make_old(name: str) -> None:
        os.utime(cached / f"{known[name].digest}.lock", (0, 0))

    def is_here(name: str) -> bool:
        return (cached / known[name].digest).exists()

    try:
        copy(one, "later")
        make_old("later")
        waits: list[str] = []
        with ExitStack() as first:
            first.enter_context(hold(cached / f"{known['first'].digest}.lock"))
            with in_background(lambda: copy(one, "first", "later", show=lambda *each: waits.append(each[2]))):
                until(lambda: any(waits))
                copy(two, "other")
                assert is_here("later")
                first.close()
        for by, stay in ((one, True), (two, False)):
            make_old("first")
            make_old("later")
            copy(by, "last")
            assert (is_here("first"), is_here("later")) == (stay, stay)
    finally:
        group.terminate(timeout=1)


def test_host_without_room_is_refused_before_the_first_byte(hosts: tuple[Machine, ...], tmp_path: Path) -> None:
    """The sentence names the folder, the file, and both sizes."""
    machine = hosts[2]
    with machine.small_disk("16M") as folder:
        controller = Controller(tmp_path, machine, 17 * MIB, folder=str(folder))
        with pytest.raises(Unsupported, match=r"gamma: .*/small/cache/files: 17M are needed for .*, and 1.* are free"):
            controller.copy()
        assert [path.name for path in folder.glob("cache/files/*")] == []


def test_host_fetches_a_checkpoint_outside_of_the_project(
    hosts: tuple[Machine, ...], session: Session, tmp_path: Path
) -> None:
    """A registered checkpoint that is not in the project is fetched when its network is made."""
    torch, safetensors = pytest.importorskip("torch"), pytest.importorskip("safetensors.torch")
    (tmp_path / "weights").mkdir()
    weights = {"0.weight": torch.ones(8, 8), "0.bias": torch.ones(8)}
    safetensors.save_file(weights, tmp_path / "weights/tiny.safetensors")
    (tmp_path / "project/conftest.py").write_text(CHECKPOINT)
    (tmp_path / "project/net.py").write_text(NETWORK)
    ended = session(RUNS, hosts[0].table(), "--edge-cap=none").end()
    assert ended.status == 0, ended.said
    ended.lines.fnmatch_lines(["*edgeload: copied tiny.safetensors (*) to alpha in * s, */s"])
    assert ended.said.count("edgeload: copied ") == 1
