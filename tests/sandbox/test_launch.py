"""A worker: every ending has its outcome, its figures are those of the run, and nothing of it is left."""

from __future__ import annotations

import dataclasses
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path

import msgspec
import pytest

from pytest_edgeload.base.errors import Unsupported
from pytest_edgeload.base.units import format_size
from pytest_edgeload.devices.constraints import Constraints
from pytest_edgeload.job import Job, JobRequest
from pytest_edgeload.networks.registry import Registry
from pytest_edgeload.planning.plan import Plan
from pytest_edgeload.results.measurement import METRICS, Measurement
from pytest_edgeload.sandbox.caps import CAPS, Cap
from pytest_edgeload.sandbox.constraints import Limits
from pytest_edgeload.sandbox.enclosure import Enclosure
from pytest_edgeload.sandbox.launch import environment, launch
from pytest_edgeload.sandbox.owner import PREFIX, tag
from pytest_edgeload.sandbox.swap import Swap
from tests import builders
from tests.sandbox import witness
from tests.sandbox.child import MIB

FROM_THE_PLAN = {  # test_measure has them
    "load_s", "exec_s", "wait_s", "dropped_s", "plan_peak_bytes", "throughput_per_s", "lane_use", "worst_slowdown",
    "deadline_misses", "service_time_s", "first_step_s", "state_bytes", "read_per_step_bytes",
    "requests_due", "in_time", "worst_in_time", "xr_score", "fairness", "overruns",
    "energy_per_answer_j",
    *(name for name in METRICS if name.startswith(("response_", "bound_", "step_", "steps_"))),
}  # fmt: skip
OF_SENSORS = {"energy_j", "idle_power_w", "max_temperature_c", "min_frequency_share", "throttled_s"}
UNMARKED = set[str]() if witness.marks_peaks() else {"peak_charged_bytes"}
LACKS = {"none": {"refaults", "peak_charged_bytes"}, "cgroup1": set[str](), "cgroup2": UNMARKED}
LONG = 60  # requests of the wide network: a run that is still on when something befalls it

LAUNCH = """
import msgspec, os, sys
from pytest_edgeload.job import Job
from pytest_edgeload.sandbox.caps import CAPS
from pytest_edgeload.sandbox.launch import launch
from pytest_edgeload.sandbox.enclosure import Enclosure
from pytest_edgeload.sandbox.constraints import Limits
from pytest_edgeload.sandbox.owner import PREFIX, tag
job = msgspec.json.decode(sys.stdin.buffer.read(), type=Job)
launch(job, Enclosure(CAPS[sys.argv[1]], f"{PREFIX}{tag(os.getpid())}-0", Limits(), 60))
"""


@pytest.fixture(scope="module")
def folders(registry: Registry) -> Callable[[str], Path]:
    """Return the folder of a network."""
    return lambda name: registry.get(name, lambda *_: None)[0]


@pytest.fixture(scope="module")
def long_job(folders: Callable[[str], Path]) -> Job:
    """Return a job that takes long."""
    return builders.job("bulk", folders("wide"), requests=LONG)[0]


@pytest.fixture(scope="module")
def idle(any_cap: Cap, fresh: Callable[[], str]) -> Measurement:
    """Measure a worker that has nothing to do."""
    return launch(Job(Plan(()), (), (), "read", 1), Enclosure(any_cap, fresh(), Limits(), timeout_s=60))


@pytest.fixture(scope="module")
def ok(any_cap: Cap, fresh: Callable[[], str], folders: Callable[[str], Path]) -> Measurement:
    """Measure a run of the wide network, with all the memory it wants."""
    job, _ = builders.job("bulk", folders("wide"), requests=2)
    return launch(job, Enclosure(any_cap, fresh(), Limits(), timeout_s=60))


@pytest.fixture
def enclosure(cap: Cap, fresh: Callable[[], str]) -> Enclosure:
    """Return an enclosure with much time and no limit."""
    return Enclosure(cap, fresh(), Limits(), timeout_s=60)


@contextmanager
def befalling(name: str, act: Callable[[int], object]) -> Iterator[None]:
    """Act on the worker in the group called `name` once it has read more than one network."""

    def running() -> bool:
        for pid in witness.members(name):
            if _read_bytes(pid) > 400 * MIB:
                act(pid)
                return True
        return False

    thread = threading.Thread(target=witness.until, args=(running,))
    thread.start()
    yield
    thread.join()


def _read_bytes(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/io").read_text().split()[1])  # from anywhere, the page cache included
    except OSError:
        return 0


def weight_bytes(folder: Path) -> int:
    return (folder / "weights.safetensors").stat().st_size


def test_good_run_has_every_metric(ok: Measurement, any_cap_name: str) -> None:
    """A good run has every metric that this kernel reports, and no detail."""
    assert (ok.outcome, ok.detail) == ("ok", "")
    lacking = LACKS[any_cap_name] | (set() if Path("/proc/pressure/memory").exists() else {"stall_s"})
    given = {name for name in METRICS if getattr(ok, name) is not None}
    assert given == METRICS.keys() - lacking - FROM_THE_PLAN - OF_SENSORS  # this enclosure has no board
    assert all(getattr(ok, name) >= 0 for name in given)
    assert ok.started < ok.ended


def test_machine_wide_metrics_are_named(
    ok: Measurement, any_cap: Cap, any_cap_name: str, fresh: Callable[[], str]
) -> None:
    """Metrics of the whole machine are named: pressure except with version 2, and swap if the group may have some."""
    with closing(any_cap.open(fresh(), Limits())) as group:
        counts_swap = group.counts_swap
    pressure = ["stall_s"] if Path("/proc/pressure/memory").exists() and any_cap_name != "cgroup2" else []
    if ok.peak_charged_bytes is not None and counts_swap and not is_in_limited_group(any_cap):
        assert [*ok.machine_wide] == pressure
    elif any_cap_name == "cgroup2":
        assert {*ok.machine_wide} <= {"swap_in_bytes", "swap_out_bytes"}  # which newer kernels count by group, too
    else:
        assert [*ok.machine_wide] == ["swap_in_bytes", "swap_out_bytes", *pressure]


def is_in_limited_group(cap: Cap) -> bool:
    """Return whether a group around those of runs has a memory limit, at which the kernel swaps memory of any run."""
    return any(limit.resource == "memory_bytes" for limit in cap.outer().limits)


def test_peaks_include_the_weights(ok: Measurement, folders: Callable[[str], Path], any_cap: Cap) -> None:
    """The peaks include the weights above the baseline, and all samples on the way."""
    assert ok.peak_bytes is not None
    assert ok.baseline_bytes is not None
    assert ok.peak_anon_bytes is not None
    assert ok.ledger_peak_bytes is not None
    weights = weight_bytes(folders("wide"))
    assert weights < ok.ledger_peak_bytes < weights + MIB
    assert ok.peak_bytes >= ok.baseline_bytes + weights
    assert ok.peak_bytes >= ok.peak_anon_bytes >= weights
    if any_cap.enforces:
        assert ok.peak_file_bytes is not None
        assert ok.peak_charged_bytes is None or ok.peak_charged_bytes >= ok.peak_anon_bytes
        assert ok.peak_file_bytes >= weights * 0.9  # the file's own pages: it was dropped before


def test_weights_come_from_storage_once(ok: Measurement, folders: Callable[[str], Path]) -> None:
    """The weights come from storage once, although the network was just written and is requested twice."""
    assert ok.read_bytes is not None
    weights = weight_bytes(folders("wide"))
    assert weights <= ok.read_bytes < weights * 1.2


def test_outputs_are_those_of_pytorch(ok: Measurement) -> None:
    """The outputs are those of plain PyTorch."""
    assert ok.output_error is not None
    assert ok.output_error < 1e-5


def test_every_task_has_a_span(ok: Measurement) -> None:
    """Every task ran once, when it was ready, within the makespan; the time line has the same zero."""
    assert ok.makespan_s is not None
    assert sorted(span.task for span in ok.tasks) == list(range(2 * (1 + 3 * 12)))
    for span in ok.tasks:
        assert 0 <= span.ready_s <= span.start_s <= span.end_s <= ok.makespan_s
    assert ok.timeline.at_s[0] < 0 < ok.timeline.at_s[-1]
    during = [a for at_s, a in zip(ok.timeline.at_s, ok.timeline.anon_bytes, strict=True) if 0 <= at_s <= ok.makespan_s]
    assert ok.peak_anon_bytes is not None
    assert max(during) <= ok.peak_anon_bytes


def test_idle_worker_only_starts(idle: Measurement, ok: Measurement) -> None:
    """A worker with an empty plan only starts, and takes as much as every worker before its first task."""
    assert (idle.outcome, idle.makespan_s, idle.read_bytes, idle.ledger_peak_bytes) == ("ok", 0.0, 0, 0)
    assert idle.peak_bytes is not None
    assert idle.baseline_bytes is not None
    assert ok.baseline_bytes == pytest.approx(idle.baseline_bytes, rel=0.05)
    assert idle.baseline_bytes <= idle.peak_bytes < idle.baseline_bytes + 8 * MIB


def test_worker_is_killed_at_its_limit(
    enclosure: Enclosure, folders: Callable[[str], Path], idle_anon: int, swap: Swap
) -> None:
    """A plan that needs more than its limit and may not swap ends as `oom`; later figures are absent."""
    limit = idle_anon + 104 * MIB
    job, _ = builders.job("bulk", folders("wide"))
    run = launch(job, dataclasses.replace(enclosure, limits=Limits(Constraints(limit))))
    assert (run.outcome, run.detail) == ("oom", f"killed by the kernel at its limit of {format_size(limit)}")
    assert (run.makespan_s, run.output_error, run.ledger_peak_bytes, run.tasks) == (None, None, None, ())
    assert run.peak_anon_bytes is not None
    assert idle_anon < run.peak_anon_bytes <= limit


@pytest.fixture(scope="module")
def idle_anon(cap: Cap, fresh: Callable[[], str]) -> int:
    """Return the memory that an idle worker's group is charged with, without libraries."""
    run = launch(Job(Plan(()), (), (), "read", 1), Enclosure(cap, fresh(), Limits(), timeout_s=60))
    assert run.peak_anon_bytes is not None
    return run.peak_anon_bytes


def test_worker_swaps_beyond_its_limit(
    enclosure: Enclosure, folders: Callable[[str], Path], idle_anon: int, swap: Swap
) -> None:
    """The same plan under the same limit ends well if it may swap, and the swap is in the figures."""
    limit = idle_anon + 104 * MIB
    job, _ = builders.job("bulk", folders("wide"))
    run = launch(job, dataclasses.replace(enclosure, limits=Limits(Constraints(limit), may_swap=True)))
    assert (run.outcome, run.detail) == ("ok", "")
    assert run.peak_swap_bytes is not None
    assert run.peak_anon_bytes is not None
    assert run.peak_swap_bytes > 64 * MIB
    assert run.peak_anon_bytes <= limit


def test_swap_of_other_programs_does_not_count(
    enclosure: Enclosure, fresh: Callable[[], str], folders: Callable[[str], Path], idle_anon: int, swap: Swap
) -> None:
    """A run that stays below its limit has no swap traffic, while another one swaps."""
    if is_in_limited_group(enclosure.cap):
        pytest.skip("a group around the runs has a memory limit")
    one, _ = builders.job("bulk", folders("wide"))
    small = Limits(Constraints(idle_anon + 104 * MIB), may_swap=True)
    large = Limits(Constraints(idle_anon + 2048 * MIB), may_swap=True)
    with ThreadPoolExecutor() as pool:
        other = pool.submit(launch, one, Enclosure(enclosure.cap, fresh(), small, timeout_s=60))
        many, _ = builders.job("bulk", folders("wide"), requests=4)
        run = launch(many, dataclasses.replace(enclosure, limits=large))
    assert (other.result().swap_out_bytes or 0) > 64 * MIB
    if run.peak_charged_bytes is None:
        pytest.skip("the kernel has no high-water mark of charged memory")
    assert (run.outcome, run.swap_in_bytes, run.swap_out_bytes) == ("ok", 0, 0)


def test_limit_too_small_to_start_is_oom(enclosure: Enclosure) -> None:
    """A limit in which not even Python starts is `oom` as well, before the first message."""
    run = launch(Job(Plan(()), (), (), "read", 1), dataclasses.replace(enclosure, limits=Limits(Constraints(16 * MIB))))
    assert (run.outcome, run.detail) == ("oom", "killed by the kernel at its limit of 16M")
    assert (run.startup_s, run.baseline_bytes, run.makespan_s) == (None, None, None)


def test_worker_that_starts_too_late_times_out(any_cap: Cap, fresh: Callable[[], str], long_job: Job) -> None:
    """A worker that has not started in time is ended, which is a `timeout`."""
    run = launch(long_job, Enclosure(any_cap, fresh(), Limits(), timeout_s=0.1))
    assert (run.outcome, run.detail) == ("timeout", "not done after 0.1 s; raise the timeout")
    assert (run.startup_s, run.makespan_s) == (None, None)


def test_hanging_worker_times_out(enclosure: Enclosure, long_job: Job) -> None:
    """A worker that hangs in the middle is ended in time, although it answers nothing."""
    with befalling(enclosure.name, lambda pid: os.kill(pid, signal.SIGSTOP)):
        run = launch(long_job, dataclasses.replace(enclosure, timeout_s=6))
    assert (run.outcome, run.detail) == ("timeout", "not done after 6 s; raise the timeout")
    assert run.makespan_s is None


@pytest.mark.parametrize(("steps", "spins"), [(1, "1000"), (4, "3000")])
def test_worker_of_a_loop_sleeps_later(steps: int, spins: str) -> None:
    """OpenMP threads look for work longer if requests have several steps, whose products follow each other closely."""
    requests = (JobRequest(0), JobRequest(0, steps=steps))
    assert environment(Job(Plan(()), (), requests, "read", 2))["GOMP_SPINCOUNT"] == spins


@pytest.mark.parametrize("variable", ["GOMP_SPINCOUNT", "GLIBC_TUNABLES"])
def test_worker_has_its_environment(enclosure: Enclosure, long_job: Job, variable: str) -> None:
    """The process that computes has the variables of its job."""
    found: list[bytes] = []

    def look(pid: int) -> None:
        found.append(Path(f"/proc/{pid}/environ").read_bytes())
        os.kill(pid, signal.SIGKILL)

    with befalling(enclosure.name, look):
        launch(long_job, enclosure)
    assert f"{variable}={environment(long_job)[variable]}".encode() in found[0].split(b"\0")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
def test_signal_is_a_crash(enclosure: Enclosure, long_job: Job, number: signal.Signals) -> None:
    """A worker that a signal ends, not its limit, ends as `crashed` with the signal's number."""
    with befalling(enclosure.name, lambda pid: os.kill(pid, number)):
        run = launch(long_job, enclosure)
    assert run.outcome == "crashed"
    assert run.detail.startswith(f"the worker was ended by signal {number}")
    assert run.startup_s is not None
    assert run.makespan_s is None
    assert run.peak_bytes is not None


def test_refused_memory_is_oom(enclosure: Enclosure, long_job: Job) -> None:
    """A worker that is refused memory, rather than killed, ends as `oom` as well."""
    with befalling(enclosure.name, lambda pid: resource.prlimit(pid, resource.RLIMIT_AS, (64 * MIB, 64 * MIB))):
        run = launch(long_job, enclosure)
    assert run.outcome == "oom", run.detail


def test_failed_worker_gives_its_reason(enclosure: Enclosure, folders: Callable[[str], Path], tmp_path: Path) -> None:
    """A worker that cannot go on gives its reason and ends as `crashed`."""
    folder = Path(shutil.copytree(folders("tiny"), tmp_path / "tiny"))
    os.truncate(folder / "weights.safetensors", 4096)
    run = launch(builders.job("bulk", folder)[0], enclosure)
    assert run.outcome == "crashed"
    assert re.fullmatch(r"EOFError: .*: the weights file ends at byte 4096; restore it", run.detail)


def test_wrong_output_is_an_outcome(enclosure: Enclosure, folders: Callable[[str], Path]) -> None:
    """A network that computes another result than its module ends as `wrong`, with the difference."""
    run = launch(builders.job("bulk", folders("lying"))[0], enclosure)
    assert run.outcome == "wrong"
    assert run.detail.startswith("request 0 differs from plain PyTorch by 0.4")  # 1.125 is not 2.125
    assert run.output_error == pytest.approx(1 / 2.125)
    assert run.makespan_s is not None


def test_missing_group_starts_no_worker(fresh: Callable[[], str]) -> None:
    """If the cap cannot be set up, no worker is started, and the error has a hint."""
    lacking = next((cap for cap in CAPS.values() if cap.unavailable()), None)
    if lacking is None:
        pytest.skip("this machine has every cap")
    with pytest.raises(Unsupported):
        launch(
            Job(Plan(()), (), (), "read", 1), Enclosure(lacking, fresh(), Limits(Constraints(512 * MIB)), timeout_s=60)
        )


@contextmanager
def launching(cap_name: str, job: Job) -> Iterator[tuple[subprocess.Popen[bytes], str, int]]:
    """Have another process launch `job`; give it, the name of its group, and its worker in the middle of the run."""
    pipe = subprocess.PIPE
    found: list[int] = []
    with subprocess.Popen([sys.executable, "-c", LAUNCH, cap_name], stdin=pipe, stderr=pipe) as launcher:
        name = f"{PREFIX}{tag(launcher.pid)}-0"
        assert launcher.stdin is not None
        launcher.stdin.write(msgspec.json.encode(job))
        launcher.stdin.close()
        launcher.stdin = None
        with befalling(name, found.append):
            pass
        yield launcher, name, found[0]


def test_ctrl_c_ends_a_run(cap_name: str, long_job: Job) -> None:
    """Ctrl-C in the middle of a run ends it at once and leaves no group; the terminal does not reach the worker."""
    with launching(cap_name, long_job) as (launcher, name, worker):
        assert os.getsid(worker) == worker
        launcher.send_signal(signal.SIGINT)
        _, errors = launcher.communicate()
        assert launcher.returncode == -signal.SIGINT
    assert errors.rstrip().endswith(b"KeyboardInterrupt")
    assert not witness.alive(worker)
    assert witness.groups(name) == []


def test_worker_dies_with_its_launcher(cap_name: str, cap: Cap, long_job: Job) -> None:
    """When its launcher is killed, the worker dies as well, even if it hangs; the next session removes the group."""
    with launching(cap_name, long_job) as (launcher, name, worker):
        os.kill(worker, signal.SIGSTOP)
        assert witness.groups(name)  # any session may remove it afterwards
        launcher.kill()
    assert witness.until(lambda: not witness.alive(worker))
    cap.sweep(None)
    assert witness.until(lambda: witness.groups(name) == [])
