"""The plugin's options: one table that gives flag, environment variable, ini key, default and help.

A value comes from the command line, else the environment, else the ini file, else the table. This file is imported by
every pytest start wherever the plugin is installed, so what it needs for parsing is imported when there is something to
parse.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import pytest

from pytest_edgeload.base.errors import Setting
from pytest_edgeload.base.text import printable
from pytest_edgeload.plugin.values import (
    CAP_NAMES,
    EXPORTS,
    Rounds,
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
    to_input,
    to_limits,
    to_name,
    to_names,
    to_output,
    to_precision,
    to_rate,
    to_rounds,
    to_seed,
    to_sort,
    to_swap,
    to_switch,
    to_thresholds,
)

if TYPE_CHECKING:
    from pytest_edgeload.base.units import Limit
    from pytest_edgeload.report.view import View
    from pytest_edgeload.results.threshold import Threshold

FILES: Mapping[str, str] = {"json": "json", "csv": "csv", "md": "markdown", "html": "html", "trace": "trace"}
"""The formats, keys of `report.FORMATS`, of the options that name a file."""


class Option(NamedTuple):
    """One row of the table. A switch takes no value on the command line; a list may be given several times.

    `bare` is the value of an option that may stand without one.
    """

    parse: Callable[[str], Any]
    default: str
    metavar: str
    help: str
    is_switch: bool = False
    is_list: bool = False
    bare: str = ""


OPTIONS: Mapping[str, Option] = {
    "mem": Option(
        to_limits, "1G", "SIZES",
        "Memory limits of the capped worker, as a comma list: 1G, 512M, base+256M (above what the idle worker needs), "
        "none. K, M and G are powers of 1024. Default: 1G",
        is_list=True,
    ),
    "policy": Option(
        to_names, "bulk,linear,partial", "NAMES",
        "Loading policies, as a comma list, or all; peers by name. Default: bulk,linear,partial",
        is_list=True,
    ),
    "reader": Option(to_names, "read", "NAMES", "How weights are read, as a comma list. Default: read", is_list=True),
    "rounds": Option(
        to_rounds, "1", "N", "Worker runs of each case, interleaved over the cases compared; 3-15 is 3 and with "
        "--edge-precision up to 15. Default: 1"
    ),
    "precision": Option(
        to_precision, "", "PERCENT",
        "Run more rounds only of groups in which half the 95% interval of a median makespan is still wider than this",
    ),
    "threads": Option(
        to_count, str(len(os.sched_getaffinity(0))), "N",
        "Threads an operator may use. Default: the processors there are",
    ),
    "timeout": Option(to_duration, "300s", "TIME", "Longest time a worker may take, from its start. Default: 300s"),
    "cap": Option(to_cap, "auto", "NAME", f"What enforces the limit: {', '.join(CAP_NAMES)}. Default: auto, the first"),
    "swap": Option(
        to_swap, "existing", "KIND",
        "What the worker may swap to: existing (what the machine has), a size (a temporary file, removed afterwards; "
        "needs root), auto (existing, else a file where root), off. Default: existing",
    ),
    "read-bw": Option(
        to_rate, "none", "RATE",
        "Bytes a second that the worker may read from the disk of its weights, such as 90M for an SD card; needs a cap "
        "that enforces. Default: none, as fast as the disk is",
    ),
    "device": Option(
        to_devices, "", "NAMES",
        "What to behave more like, as a comma list: rpi4-1g, rpi3, ..., none. Memory, cores, processor time, "
        "threads, reading, writing and swap are then the device's, unless an option says otherwise", is_list=True,
    ),
    "devices": Option(
        to_input, "", "FILE", "Devices of your own, in TOML. Default: edge-devices.toml in rootdir, if it is there"
    ),
    "user": Option(
        str, "auto", "NAME",
        "Whom workers run as where pytest runs as root: a user, who may then read what root may, and do no more than "
        "that user; same (root); auto (who called sudo, else nobody). Default: auto",
    ),
    "bound": Option(
        to_switch, "false", "",
        "Measure once what no run can beat, reading and computing alone, and show how far above it each run is; takes "
        "about six seconds a network", is_switch=True,
    ),
    "examples": Option(to_count, "3", "N", "Workloads that a test of drawn workloads draws. Default: 3"),
    "seed": Option(
        to_seed, "", "N", "Draw what a session drew that printed this seed. Default: another in each session"
    ),
    "save": Option(to_baseline_name, "", "NAME", "Save the records as a baseline of this name"),
    "autosave": Option(
        to_switch, "false", "", "Save the records as a baseline named by commit and time", is_switch=True
    ),
    "storage": Option(to_folder, ".edgeload", "DIR", "Where baselines are kept. Default: .edgeload"),
    "compare": Option(
        to_baseline, "", "BASELINE",
        "Compare with a baseline: its number, name or file. Without a value: newest, of such a machine if possible",
        bare="newest",
    ),
    "compare-fail": Option(
        to_thresholds, "", "EXPR",
        "Fail what became worse than a baseline by more than this: makespan:10%, makespan/bulk:10%, peak:64M, "
        "makespan:10%+0.2s; a comma list, every one applies; compares with the newest baseline unless --edge-compare "
        "names one",
        is_list=True,
    ),
    "strict": Option(
        to_switch, "false", "",
        "Fail also what cannot be judged: no baseline, missing, inconclusive or invalid cases", is_switch=True,
    ),
    "json": Option(to_output, "", "FILE", "Write all records, with task spans and time lines, to this file as JSON"),
    "csv": Option(to_output, "", "FILE", "Write a row for each round to this file as CSV"),
    "md": Option(to_output, "", "FILE", "Write verdicts and tables to this file as Markdown, for a comment"),
    "html": Option(to_output, "", "FILE", "Write charts and tables to this file as one page of HTML"),
    "trace": Option(to_output, "", "FILE", "Write tasks and memory over time to this file as trace events (Perfetto)"),
    "export": Option(
        to_exports, "", "SERVICE:FILE",
        f"Write what a service reads, as a comma list: {', '.join(EXPORTS)} (Bencher, github-action-benchmark)",
        is_list=True,
    ),
    "github": Option(
        to_github, "auto", "WHEN",
        "Annotate what fails and add the Markdown to the job's summary: yes, no, auto. "
        "Default: auto, where GITHUB_ACTIONS is true", bare="yes",
    ),
    "columns": Option(
        to_columns, "", "NAMES",
        "Columns of tables and files: metrics as in thresholds (makespan, response.p90, peak, min), ratio, bound, "
        "interval, rounds, outcome, and what a case is made of. Default: by what was measured", is_list=True,
    ),
    "sort": Option(to_sort, "", "COLUMN", "Order of rows: a column, or name. Default: what cases are compared by"),
    "group-by": Option(
        to_group_by, "", "KEYS",
        "What rows of one table have in common: workload, limit, reader, test, policy, param:NAME, ... "
        "Default: everything but the policy", is_list=True,
    ),
    "name": Option(to_name, "short", "KIND", "How rows are called: short, or long, by the whole case. Default: short"),
    "quiet": Option(
        to_switch, "false", "", "Show no tables, only what failed or could not be judged", is_switch=True,
    ),
    "cache-dir": Option(
        to_folder, "", "DIR", "Where networks, sessions and swap files are kept. Default: the user's cache folder"
    ),
    "only": Option(to_switch, "false", "", "Skip all tests that measure nothing", is_switch=True),
    "skip": Option(to_switch, "false", "", "Skip all tests that measure", is_switch=True),
    "disable": Option(
        to_switch, "false", "",
        "Run every case once, with its first request alone and no limit, and record nothing", is_switch=True,
    ),
    "enable": Option(to_switch, "false", "", "Take back --edge-disable, say that of the ini file", is_switch=True),
}  # fmt: skip


class File(NamedTuple):
    """A file to write: the option that names it, the format, and where it stands."""

    option: str
    format: str
    path: Path


class Settings(NamedTuple):
    """All options of a session, parsed."""

    mem: tuple[Limit | None, ...]
    policy: tuple[str, ...]
    reader: tuple[str, ...]
    rounds: Rounds
    precision: float | None
    threads: int
    timeout: float
    cap: str
    swap: str
    read_bw: int | None
    device: tuple[str | None, ...]
    devices: Path | None
    user: str
    bound: bool
    examples: int
    seed: int | None
    save: str | None
    autosave: bool
    storage: Path
    compare: str
    compare_fail: tuple[Threshold, ...]
    strict: bool
    json: Path | None
    csv: Path | None
    md: Path | None
    html: Path | None
    trace: Path | None
    export: tuple[tuple[str, Path], ...]
    github: bool
    columns: tuple[str, ...]
    sort: str
    group_by: tuple[str, ...]
    name: Literal["short", "long"]
    quiet: bool
    cache_dir: Path | None
    only: bool
    skip: bool
    disable: bool

    @property
    def view(self) -> View:
        """What reports show of the records."""
        from pytest_edgeload.report.view import View

        return View(self.columns, self.sort, self.group_by, self.name)

    @property
    def files(self) -> list[File]:
        """All files to write at the end, and how they were asked for."""
        named = [(option, format_, getattr(self, option)) for option, format_ in FILES.items()]
        found = [File(option, format_, path) for option, format_, path in named if path is not None]
        return found + [File("export", service, path) for service, path in self.export]


def add(parser: pytest.Parser) -> None:
    """Declare all options and ini keys."""
    group = parser.getgroup("edgeload", "loading policies measured under a memory limit")
    for name, option in OPTIONS.items():
        dest, words = ini_key(name), option.help.replace("%", "%%")  # argparse formats it
        if option.is_switch:
            group.addoption(flag(name), dest=dest, action="store_const", const="true", default=None, help=words)
        else:
            action = "append" if option.is_list else "store"
            bare = {"nargs": "?", "const": option.bare} if option.bare else {}
            group.addoption(
                flag(name), dest=dest, action=action, default=None, metavar=option.metavar, help=words, **bare
            )
        parser.addini(dest, f"{option.help} (as {flag(name)})", type="string", default="")


class Given(NamedTuple):
    """An option as somebody wrote it: the text, and the flag, variable or ini key where it stands."""

    text: str
    place: str


SENT = "edgeload"
"""Under which key xdist's controller sends its workers the options as given there, and the session's directories."""


def sent(config: pytest.Config) -> dict[str, Any] | None:
    """Return what xdist's controller sent; None in a process that is no worker of xdist."""
    text = getattr(config, "workerinput", {}).get(SENT)
    return None if text is None else dict(json.loads(text))


def read(config: pytest.Config) -> dict[str, Given]:
    """Return the options that the command line, the environment or the ini file gives."""
    received = sent(config)
    if received is not None:
        return {name: Given(*given) for name, given in received["given"].items()}
    return {name: given for name in OPTIONS if (given := _given(config, name)) is not None}


def parse(given: Mapping[str, Given]) -> Settings:
    """Return the settings; what is not given has its default. Raises pytest.UsageError: option, value and way out."""
    values: dict[str, Any] = {}
    for name, option in OPTIONS.items():
        text, place = given.get(name, Given(option.default, flag(name)))
        try:
            values[_field(name)] = option.parse(text)
        except ValueError as error:
            raise pytest.UsageError(printable(f"{place}={text}: {error}")) from error
    if values["only"] and values["skip"]:
        both = f"{given['only'].place} and {given['skip'].place}"
        raise pytest.UsageError(f"{both} together leave nothing to run; give one of them")
    if values["precision"] is not None and values["rounds"].least == values["rounds"].most:
        place = given["precision"].place
        raise pytest.UsageError(
            f"{place}={given['precision'].text}: rounds are {values['rounds']}; try --edge-rounds=3-15"
        )
    if values["compare_fail"] and not values["compare"]:
        values["compare"] = OPTIONS["compare"].bare
    enabled = values.pop("enable")
    values["disable"] = values["disable"] and not enabled
    settings = Settings(**values)
    paths = [file.path for file in settings.files]
    for path in paths:
        if paths.count(path) > 1:
            raise pytest.UsageError(f"{path} is to hold two reports; name another file for one of them")
    return settings


def _given(config: pytest.Config, name: str) -> Given | None:
    value = config.getoption(ini_key(name))
    if value is not None:
        return Given(",".join(value) if isinstance(value, list) else value, flag(name))
    if text := os.environ.get(variable(name)):
        return Given(text, variable(name))
    if text := str(config.getini(ini_key(name))).strip():
        return Given(text, ini_key(name))
    return None


def in_ini(given: Given) -> bool:
    """Tell whether an option stands in the ini file."""
    return given.place.startswith("edge_")


def flag(name: str) -> str:
    """Return the flag of an option."""
    return f"--edge-{name}"


def spell(setting: Setting) -> str:
    """Return an option of an error message as pytest's command line spells it: `--edge-read-bw=90M`."""
    return flag(str(setting))


def ini_key(name: str) -> str:
    """Return the key by which an ini file gives an option."""
    return f"edge_{_field(name)}"


def variable(name: str) -> str:
    """Return the environment variable that gives an option."""
    return f"PYTEST_{ini_key(name).upper()}"


def _field(name: str) -> str:
    return name.replace("-", "_")
