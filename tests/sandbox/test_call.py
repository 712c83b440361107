"""A called function: every ending has its outcome, its result comes back as data, and nothing is left."""

from __future__ import annotations

import multiprocessing
import operator
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from pytest_edgeload.devices.constraints import Constraints
from pytest_edgeload.plugin.programs import pack_call
from pytest_edgeload.results.measurement import Measurement
from pytest_edgeload.sandbox.caps import Cap
from pytest_edgeload.sandbox.constraints import Limits
from pytest_edgeload.sandbox.enclosure import Enclosure
from pytest_edgeload.sandbox.launch import launch_call
from tests.sandbox import witness
from tests.sandbox.child import MIB

Call = Callable[..., Measurement]


@pytest.fixture
def call(any_cap: Cap, fresh: Callable[[], str]) -> Call:
    """Return a function that calls a function with arguments in a new worker, under each cap."""

    def call(
        function: Callable[..., object], *args: object, limit: int | None = None, timeout_s: float = 60
    ) -> Measurement:
        made = pack_call("it", function, args, {}, [sys.modules[__name__]])
        return launch_call(made, 1, Enclosure(any_cap, fresh(), Limits(Constraints(limit)), timeout_s))

    return call


def _hold(size_bytes: int) -> int:
    return len(bytearray(size_bytes))


def test_result_comes_back_as_json(call: Call) -> None:
    """A function's result comes back as JSON, its peak is the memory it held, and its worker has no torch."""

    def work(size_bytes: int) -> object:
        return {"held": (_hold(size_bytes), None), "torch": "torch" in sys.modules, "pytest": "pytest" in sys.modules}

    run = call(work, 64 * MIB)
    assert (run.outcome, run.detail, run.notices) == ("ok", "", ())
    assert run.returned == {"held": [64 * MIB, None], "torch": False, "pytest": False}
    assert run.baseline_bytes is not None
    assert run.peak_bytes is not None
    assert run.baseline_bytes < 64 * MIB < run.peak_bytes < 64 * MIB + 2 * run.baseline_bytes
    assert run.makespan_s is not None
    assert run.startup_s is not None
    assert (run.tasks, run.steps, run.output_error, run.ledger_peak_bytes) == ((), (), None, None)


def test_instruments_stay_in_pytest(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    """A function has no variable of an instrument, of an allocator or of the test, and the row has no notice."""
    names = {"PYTHONTRACEMALLOC", "COVERAGE_PROCESS_START", "MALLOC_ARENA_MAX", "PYTEST_CURRENT_TEST"}
    for name in names:
        monkeypatch.setenv(name, "1")
    run = call(lambda: sorted(names & {*os.environ}))
    assert (run.outcome, run.returned, run.notices) == ("ok", [], ())


def _nested(depth: int) -> object:
    found: list[object] = []
    for _ in range(depth):
        found = [found]
    return found


def test_worker_has_the_search_path(call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A search path that is not Unicode is the worker's as well, and a list may be 100 deep."""
    monkeypatch.syspath_prepend(os.fsdecode(os.fsencode(tmp_path) + b"/\xff"))
    run = call(lambda: (os.fsencode(sys.path[0])[-1], _nested(99)))
    assert (run.outcome, run.notices) == ("ok", ())
    assert run.returned == [255, _nested(99)]


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (object, "JSON cannot represent it"),
        (lambda: [float("nan")], "JSON cannot represent it"),
        (lambda: "\ud800", "JSON cannot represent it"),
        (lambda: _nested(960), "more than 100 levels deep"),
        (lambda: _nested(10**5), "more than 100 levels deep"),
        (lambda: "x" * 100_000, "more than 65536 bytes of JSON"),
    ],
    ids=["object", "no number", "half a character", "deep", "endless", "large"],
)
def test_result_beyond_json_is_a_notice(call: Call, make: Callable[[], object], words: str) -> None:
    """A result that JSON cannot hold, or that is too large for a record, is a notice, not a failure."""
    run = call(make)
    assert (run.outcome, run.returned) == ("ok", None)
    assert [words in notice for notice in run.notices] == [True]


@pytest.mark.parametrize(
    ("value", "kept", "lost"),
    [({1: "a", "1": "b"}, {"1": "b"}, "1"), ([{"x": {2.5: 0, "2.5": [1]}}], [{"x": {"2.5": [1]}}], "2.5")],
)
def test_lost_entry_is_a_notice(call: Call, value: object, kept: object, lost: str) -> None:
    """A result with two keys that are the same text in JSON loses an entry, with a notice that names the key."""
    run = call(lambda: value)
    assert (run.outcome, run.returned) == ("ok", kept)
    assert run.notices == (f"the returned value lost an entry: two keys of a dict are '{lost}' in JSON",)


def _square(number: int) -> int:
    return number * number


def _spread(numbers: list[int]) -> list[int]:
    with multiprocessing.get_context("fork").Pool(2) as pool:
        return pool.map(_square, numbers)


def test_pool_calls_functions_of_the_test_module(call: Call) -> None:
    """A pool of multiprocessing can call a function of the test's own module, which the worker cannot import."""
    run = call(_spread, [1, 2, 3])
    assert (run.outcome, run.detail, run.returned) == ("ok", "", [1, 4, 9])


def test_function_is_killed_at_its_limit(call: Call, any_cap: Cap) -> None:
    """A function that holds more than an enforced limit is killed."""
    run = call(_hold, 200 * MIB, limit=128 * MIB)
    if any_cap.enforces:
        assert (run.outcome, run.detail) == ("oom", "killed by the kernel at its limit of 128M")
        assert (run.makespan_s, run.returned) == (None, None)
    else:
        assert (run.outcome, run.returned) == ("ok", 200 * MIB)


def _refuse() -> None:
    raise MemoryError("no room")


def _assert(number: int) -> None:
    assert number == 4


def _print() -> None:
    for _ in range(100):
        sys.stdout.write("x" * MIB)
    sys.stderr.write("y" * MIB)


def _fail() -> None:
    raise ValueError("a\nb" + "c" * 1000)


@pytest.mark.parametrize(
    ("function", "outcome", "detail"),
    [
        (_fail, "crashed", "ValueError: a b" + "c" * 385),
        (lambda: _assert(3), "wrong", "AssertionError: assert 3 == 4"),
        (_refuse, "oom", "MemoryError: no room"),
        (lambda: sys.exit(0), "crashed", "SystemExit: 0"),
        (lambda: os._exit(7), "crashed", "the worker ended with status 7"),
        (lambda: os.kill(os.getpid(), signal.SIGSEGV), "crashed", "the worker was ended by signal 11"),
        (input, "crashed", "EOFError: EOF when reading a line"),
        (_print, "ok", ""),
    ],
    ids=["error", "assertion", "refused", "exit", "_exit", "signal", "input", "prints"],
)
def test_every_ending_has_an_outcome(call: Call, function: Callable[[], object], outcome: str, detail: str) -> None:
    """An exception, an assertion, an exit or a signal is an outcome in one sentence; output is not."""
    run = call(function)
    assert (run.outcome, run.detail.partition(" +")[0]) == (outcome, detail)


def test_closed_channel_is_a_crash(call: Call) -> None:
    """A function that closes its worker's channel has crashed it; the last words say how."""
    run = call(os.closerange, 3, 64)
    assert run.outcome == "crashed"
    assert run.detail.endswith("OSError: [Errno 9] Bad file descriptor")


def _shout(piece: bytes, times: int) -> None:
    """Write bytes that are not an answer to each channel of the worker."""
    for fd in range(3, 64):
        with suppress(OSError):
            for _ in range(times):
                os.write(fd, piece)


@pytest.mark.parametrize(
    ("piece", "times", "detail"),
    [
        (b"x" * MIB, 3, "wrote more than 1M instead of an answer"),
        (b"[" * 100_000 + b"\n", 1, "wrote between its answers"),
        (b'{"type":"done","makespan_s":1e400}\n', 1, "wrote between its answers"),
        (b'{"type":"done","makespan_s":-5.0}\n', 1, "wrote between its answers"),
        (b'{"type":"done","makespan_s":500.0}\n', 1, "the worker says it took 500 s, but answered after "),
        (b'{"type":"done","makespan_s":0}\n', 1, "the code in the worker answered out of turn"),
        (b'{"type":"ready"}\n', 1, "the code in the worker answered out of turn"),
        (b'{"type":"done","makespan_s":1,"dropped":[-1]}\n', 1, "wrote between its answers"),
        (b'{"type":"done","makespan_s":"\\ud800"}\n', 1, "wrote between its answers"),
        (b'{"type":"failed","message":"\\u001b[2J\\u202e\\n' + b"m" * 5000 + b'"}\n', 1, "m" * 900),
        (b"\xff\n", 1, "wrote between its answers"),
    ],
    ids=[
        "endless",
        "deep",
        "infinite",
        "back",
        "late",
        "early",
        "out of turn",
        "negative",
        "surrogate",
        "escapes",
        "bytes",
    ],
)
def test_hostile_answer_is_an_outcome(call: Call, piece: bytes, times: int, detail: str) -> None:
    """Any output instead of a worker's answer is an outcome, in one short printable line."""
    run = call(_shout, piece, times)
    assert run.outcome == "crashed"
    assert detail in run.detail
    assert run.detail.isprintable()
    assert len(run.detail) < 1100


def test_unprintable_error_is_reported(call: Call) -> None:
    """An exception whose text is not Unicode, or would clear the screen, is reported all the same, with its line."""

    def fail() -> None:
        raise ValueError("\ud800\x1b[2J\N{RIGHT-TO-LEFT OVERRIDE}")

    run = call(fail)
    assert (run.outcome, run.detail) == ("crashed", r"ValueError: \ud800\x1b[2J\u202e")
    place, code, *_ = run.traceback.splitlines()
    assert place.startswith(f'  File "{__file__}", line ')
    assert code.strip().startswith('raise ValueError("')


def test_sleeping_function_times_out(call: Call) -> None:
    """A function that sleeps is ended when its time is up."""
    run = call(time.sleep, 60, timeout_s=1)
    assert (run.outcome, run.detail) == ("timeout", "not done after 1 s; raise the timeout")


def _leave_a_sleeper(note: str) -> None:
    Path(note).write_text(str(subprocess.Popen(["sleep", "60"]).pid))


def _leave_a_chain(note: str) -> None:
    """Leave a process that is another one before anybody can kill it."""
    if os.fork() == 0:
        while os.fork() == 0:
            Path(note).write_text(str(os.getpid()))
        os._exit(0)
    while not Path(note).exists():
        time.sleep(0.01)


def _leave_forks_and_go(note: str) -> None:
    for _ in range(16):
        if (pid := os.fork()) == 0:
            time.sleep(60)
        Path(note).write_text(str(pid))
    os._exit(0)


@pytest.mark.parametrize(
    ("leave", "outcome"), [(_leave_a_sleeper, "ok"), (_leave_a_chain, "ok"), (_leave_forks_and_go, "crashed")]
)
def test_function_leaves_no_process(call: Call, tmp_path: Path, leave: Callable[[str], None], outcome: str) -> None:
    """All processes of a function end with it, even if it forks fast and waits for none."""
    note = tmp_path / "pid"
    run = call(leave, str(note))
    assert run.outcome == outcome, run.detail
    assert not witness.alive(int(note.read_text() or 0))
    note.unlink()
    time.sleep(0.2)  # in which a chain would be a hundred others
    assert not note.exists()


def test_returning_fork_does_not_answer(call: Call) -> None:
    """A fork that also returns from the function does not answer instead of the worker."""
    run = call(lambda: "child" if os.fork() == 0 else "parent")
    assert (run.outcome, run.returned) == ("ok", "parent")


def _interrupted(call: Call, after_s: float) -> None:
    timer = threading.Timer(after_s, lambda: os.kill(os.getpid(), signal.SIGINT))
    timer.start()
    call(time.sleep, 60)
    timer.join()


def test_ctrl_c_ends_a_worker_at_any_moment(call: Call) -> None:
    """Ctrl-C at any moment ends a worker at once and leaves neither a thread nor a file."""

    def held() -> tuple[int, int]:
        return threading.active_count(), len(os.listdir("/proc/self/fd"))  # noqa: PTH208

    before = held()
    for delay_ms in range(0, 90, 2):
        with pytest.raises(KeyboardInterrupt):
            _interrupted(call, delay_ms / 1000)
    # What an earlier test left to end by itself may have ended meanwhile.
    assert witness.until(lambda: all(map(operator.le, held(), before)))
