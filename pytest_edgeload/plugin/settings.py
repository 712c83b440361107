"""The options, each written once: a field of `Settings` is an option with its parser, default and help.

The name of the field gives the flag, the ini key and the environment variable (see `options`). To add an option, add a
field, and a parser to `values` if no parser there fits. Every pytest start imports this file, so it imports little.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, Self, TypeVar, overload

from pytest_edgeload.base.text import comma_list
from pytest_edgeload.plugin.values import (
    CAP_NAMES,
    EXPORTS,
    or_empty,
    or_none,
    to_baseline,
    to_baseline_name,
    to_cap,
    to_columns,
    to_count,
    to_devices,
    to_duration,
    to_exports,
    to_folder,
    to_github,
    to_group_by,
    to_hosts,
    to_input,
    to_limits,
    to_name,
    to_output,
    to_parallel,
    to_precision,
    to_rate,
    to_rounds,
    to_seed,
    to_sort,
    to_stores,
    to_swap,
    to_switch,
    to_thresholds,
    to_visible,
)

if TYPE_CHECKING:
    from pytest_edgeload.report.view import View

_T = TypeVar("_T")


class Option(Generic[_T]):
    """An option, and the field of `Settings` that has its value.

    `bare` is the text of an option that is given without a value; `is_list` options may be given several times. In the
    help, `default_words` replace the text of the default. `report` is the format of the report that the option names a
    file for. The parser of an option with `is_path` also takes the folder that a relative path starts at.
    """

    name: str

    def __init__(
        self,
        parse: Callable[..., _T],
        default: str,
        metavar: str,
        meaning: str,
        *,
        default_words: str = "",
        is_list: bool = False,
        is_switch: bool = False,
        is_path: bool = False,
        bare: str = "",
        report: str = "",
    ) -> None:
        self.parse = parse
        self.default = default
        self.metavar = metavar
        self.is_list = is_list
        self.is_switch = is_switch
        self.is_path = is_path
        self.bare = bare
        self.report = report
        words = default_words or ("" if is_switch else default)
        self.help = f"{meaning}. Default: {words}" if words else meaning

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name.replace("_", "-")

    @overload
    def __get__(self, instance: None, owner: type) -> Self: ...

    @overload
    def __get__(self, instance: Settings, owner: type) -> _T: ...

    def __get__(self, instance: Settings | None, owner: type) -> Self | _T:
        if instance is None:
            return self
        value: _T = instance.values[self.name]
        return value


def _switch(meaning: str) -> Option[bool]:
    return Option(to_switch, "false", "", meaning, is_switch=True)


def _file(report: str, meaning: str) -> Option[Path | None]:
    return Option(or_none(to_output), "", "FILE", meaning, is_path=True, report=report)


class File(NamedTuple):
    """A report to write: the option that names the file, the report's format, and the path."""

    option: str
    format: str
    path: Path


class Settings:
    """The options of a session, parsed. Made by `options.parse`."""

    __slots__ = ("values",)

    def __init__(self, values: Mapping[str, Any]) -> None:
        self.values = values

    # fmt: off
    mem = Option(
        to_limits, "1G", "SIZES",
        "Memory limits of the worker, separated by commas: 1G, 512M, base+256M (256M more than an idle worker needs), "
        "none. K, M and G are powers of 1024",
        is_list=True,
    )
    policy = Option(
        comma_list, "bulk,linear,partial", "NAMES",
        "Loading policies and peers, separated by commas; all means every policy without parameters",
        is_list=True,
    )
    peer = Option(
        or_empty(comma_list), "", "NAMES",
        "Peers to measure beside the policies, separated by commas: torch-load, safetensors, onnxruntime, ...; all "
        "means every peer whose package is installed",
        default_words="none, and all for a test with edge_peer", is_list=True,
    )
    reader = Option(
        comma_list, "auto", "NAMES",
        "Readers of weights, separated by commas: read, mmap, direct, or auto (the best one for the policy, the memory "
        "and the file system)",
        is_list=True,
    )
    store = Option(
        to_stores, "plain", "FORMS",
        "Forms in which weights are stored, separated by commas: plain, or compressed (without loss; each load "
        "restores them, which is faster if reading is slow)",
        is_list=True,
    )
    rounds = Option(
        to_rounds, "1", "N",
        "Number of runs of each case, interleaved over the cases of a comparison group. With --edge-precision, 3-15 "
        "means at least 3 and at most 15",
    )
    precision = Option(
        or_none(to_precision), "", "PERCENT",
        "Run more rounds of a comparison group only while half the 95% interval of a median makespan is wider than "
        "this share of the median",
    )
    repeat_throttled = Option(
        or_none(to_count), "", "N",
        "Repeat a run of networks during which heat or a weak power supply slowed the processor, up to N times, each "
        "time after a wait of at most 5 minutes for the board to cool; not with --edge-parallel",
    )
    threads = Option(
        to_count, str(len(os.sched_getaffinity(0))), "N",
        "Maximum number of threads of one operator",
        default_words="the number of available processors",
    )
    timeout = Option(to_duration, "300s", "TIME", "Maximum run time of a worker or program, from its start")
    cap = Option(
        to_cap, "auto", "NAME",
        f"Mechanism that enforces the limit: {', '.join(CAP_NAMES)}",
        default_words="auto, the first one available",
    )
    swap = Option(
        to_swap, "existing", "KIND",
        "Swap that the worker may use: existing (what the machine has), a size (a temporary file, removed afterwards; "
        "needs root), zram:SIZE (compressed memory; needs root), auto (existing swap, or a file if there is none and "
        "pytest runs as root), off",
    )
    view = Option(
        to_visible, "host", "VIEW",
        "Memory that workers and programs see in /proc/meminfo, /proc/swaps and their cgroup files: host (all of the "
        "machine's) or limit (their own limit); limit needs root or user namespaces",
    )
    read_bw = Option(
        to_rate, "none", "RATE",
        "Maximum read rate from the disk of the weights in bytes per second, such as 90M for an SD card; needs a cap "
        "that enforces it",
        default_words="none, the speed of the disk",
    )
    device = Option(
        to_devices, "", "NAMES",
        "Devices to emulate, separated by commas: rpi4-1g, rpi3, ..., none. A device sets memory, cores, processor "
        "time, threads, read and write rates, and swap, unless another option sets them",
        is_list=True,
    )
    devices = Option(
        or_none(to_input), "", "FILE",
        "TOML file with devices of your own",
        default_words="edge-devices.toml in rootdir, if it exists", is_path=True,
    )
    hosts = Option(
        or_none(to_hosts), "", "FILE[:NAMES]",
        "TOML file of hosts to measure on, over ssh, instead of this machine; all hosts, or those with these names or "
        "tags. Needs pytest-xdist",
        is_path=True,
    )
    parallel = Option(
        to_parallel, "no", "WHEN",
        "Let runs of several processes (-n) or sessions overlap if their memory limits fit side by side and each has "
        "cores of its own: yes, no, or comparable (yes, and compare them with runs that took turns)",
        default_words="no: measured runs take turns", bare="yes",
    )
    user = Option(
        str, "auto", "NAME",
        "User that workers run as when pytest runs as root: a user name (workers may still read every file), same "
        "(root), or auto (the user who called sudo, otherwise nobody)",
    )
    keep_env = Option(
        or_empty(comma_list), "", "NAMES",
        "Variables of instruments and allocators, separated by commas, that workers and programs inherit all the same: "
        "LD_PRELOAD, MALLOC_ARENA_MAX, PYTHONTRACEMALLOC, ...",
        default_words="none of them", is_list=True,
    )
    bound = _switch(
        "Measure the bound of each case, which is the shortest possible time to read and compute, and show each "
        "makespan relative to it; takes six or seven starts of a worker per network"
    )
    examples = Option(to_count, "3", "N", "Number of workloads that a test with drawn workloads draws")
    seed = Option(
        or_none(to_seed), "", "N",
        "Seed of drawn workloads; a session prints its seed",
        default_words="a new seed for each session",
    )
    save = Option(or_none(to_baseline_name), "", "NAME", "Save the records as a baseline with this name")
    autosave = _switch("Save the records as a baseline named after the commit and the time")
    storage = Option(
        to_folder, ".edgeload", "DIR",
        "Folder of the baselines. A relative path of the command line or the environment starts at the current folder, "
        "one of the ini file at the ini file",
        default_words=".edgeload in rootdir", is_path=True,
    )
    compare = Option(
        to_baseline, "", "BASELINE",
        "Compare with a baseline, given by number, name or file. Without a value: with the newest baseline, from a "
        "machine like this one if possible",
        is_path=True, bare="newest",
    )
    compare_fail = Option(
        or_empty(to_thresholds), "", "EXPR",
        "Fail if a metric is worse than in the baseline by more than a threshold. All thresholds of the list apply: "
        "makespan:10%, makespan/bulk:10%, peak:64M, makespan:10%+0.2s. Uses the newest baseline unless --edge-compare "
        "names another one",
        is_list=True,
    )
    strict = _switch(
        "Also fail if a case is inconclusive, invalid, incomparable, new or missing, or if a threshold judges nothing, "
        "and refuse to start without a baseline"
    )
    json = _file("json", "Write all records, with the spans of tasks and timelines, to this file as JSON")
    csv = _file("csv", "Write one row for each round to this file as CSV")
    md = _file("markdown", "Write the verdicts and tables to this file as Markdown, for a pull request comment")
    html = _file("html", "Write charts and tables to this file as one HTML page")
    trace = _file("trace", "Write tasks and memory over time to this file as trace events, for Perfetto")
    export = Option(
        or_empty(to_exports), "", "SERVICE:FILE",
        f"Write files for benchmark services, separated by commas: {', '.join(EXPORTS)} (Bencher, "
        "github-action-benchmark)",
        is_list=True, is_path=True,
    )
    github = Option(
        to_github, "auto", "WHEN",
        "Annotate failures on GitHub and add the Markdown report to the summary of the job: yes, no, auto",
        default_words="auto, which is yes if GITHUB_ACTIONS is true", bare="yes",
    )
    columns = Option(
        or_empty(to_columns), "", "NAMES",
        "Columns of tables and files, separated by commas: metrics as in thresholds (makespan, response.p90, peak, "
        "min), ratio, bound, interval, rounds, outcome, and the keys of a case",
        default_words="depends on what was measured", is_list=True,
    )
    sort = Option(
        to_sort, "", "COLUMN",
        "Column that orders the rows, or name",
        default_words="the metric that the cases are compared by",
    )
    group_by = Option(
        or_empty(to_group_by), "", "KEYS",
        "Keys of a case that are equal in all rows of a table: workload, limit, reader, test, policy, param:NAME, ...",
        default_words="all keys except policy", is_list=True,
    )
    name = Option(to_name, "short", "KIND", "Form of the names of rows: short, or long with all keys of the case")
    quiet = _switch("Show only failures and cases that cannot be judged, without tables")
    cache_dir = Option(
        or_none(to_folder), "", "DIR",
        "Folder of stored networks, sessions and swap files",
        default_words="the cache folder of the user", is_path=True,
    )
    simulate = _switch(
        "Carry out each run once in virtual time, with the speeds that edgeload calibrate measured, and without a "
        "worker; programs, functions and peers are skipped"
    )
    only = _switch("Run only tests that measure; skip all others")
    skip = _switch("Skip tests that measure")
    disable = _switch("Run every case once without a limit, with only its first request, and record nothing")
    enable = _switch("Override --edge-disable, for example if the ini file sets it")
    # fmt: on

    @property
    def report_view(self) -> View:
        """The columns, order, groups and names of the reports."""
        from pytest_edgeload.report.view import View

        return View(self.columns, self.sort, self.group_by, self.name)

    @property
    def files(self) -> list[File]:
        """All reports to write at the end of the session."""
        named = [(option, self.values[name]) for name, option in OPTIONS.items() if option.report]
        files = [File(option.name, option.report, path) for option, path in named if path is not None]
        return files + [File("export", service, path) for service, path in self.export]


OPTIONS: Mapping[str, Option[Any]] = {
    option.name: option for option in vars(Settings).values() if isinstance(option, Option)
}
"""All options by name, in the order of the help."""
