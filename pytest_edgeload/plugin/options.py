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

if TYPE_CHECKING:
    from pytest_edgeload.report.view import View
    from pytest_edgeload.results.threshold import Threshold
    from pytest_edgeload.units import Limit

FILES: Mapping[str, str] = {"json": "json", "csv": "csv", "md": "markdown", "html": "html", "trace": "trace"}
"""The formats, keys of `report.FORMATS`, of the options that name a file."""

EXPORTS = ("bmf", "gab", "gab-bigger")
"""The formats, too, that --edge-export writes for services."""

CAP_NAMES = ("auto", "cgroup2", "cgroup1", "none")
"""`auto` and the keys of `sandbox.caps.CAPS`, which would cost every pytest start its import."""


def _limits(text: str) -> tuple[Limit | None, ...]:
    from pytest_edgeload.units import Limit

    return tuple(dict.fromkeys(None if item == "none" else Limit.parse(item) for item in _names(text)))


def _duration(text: str) -> float:
    from pytest_edgeload.units import parse_duration

    return parse_duration(text)


def _rate(text: str) -> int | None:
    from pytest_edgeload.units import parse_rate

    return None if text == "none" else parse_rate(text)


def _swap(text: str) -> str:
    from pytest_edgeload.units import parse_swap

    return parse_swap(text)


def _names(text: str) -> tuple[str, ...]:
    """Split a comma list; a name that stands there twice counts once."""
    names = tuple(dict.fromkeys(item.strip() for item in text.split(",") if item.strip()))
    if not names:
        raise ValueError("an empty list; name at least one")
    return names


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) >= 1):
        raise ValueError("not a count; give a whole number of at least 1")
    return int(text)


class Rounds(NamedTuple):
    """How many worker runs of each case there are at least, and at most."""

    least: int
    most: int

    def __str__(self) -> str:
        return str(self.least) if self.least == self.most else f"{self.least}-{self.most}"


def _rounds(text: str) -> Rounds:
    least, dash, most = text.partition("-")
    try:
        rounds = Rounds(_count(least.strip()), _count(most.strip()) if dash else _count(least.strip()))
    except ValueError:
        raise ValueError("not a number of rounds; try 5, or 3-15 with --edge-precision=5%") from None
    if rounds.least > rounds.most:
        raise ValueError(
            f"at least {rounds.least} is more than at most {rounds.most}; try {rounds.most}-{rounds.least}"
        )
    return rounds


def _precision(text: str) -> float | None:
    from pytest_edgeload.units import parse_percent

    return parse_percent(text) if text else None


def _thresholds(text: str) -> tuple[Threshold, ...]:
    if not text:
        return ()
    from pytest_edgeload.results.threshold import parse_thresholds

    return parse_thresholds(text)


def _baseline_name(text: str) -> str | None:
    if not text:
        return None
    from pytest_edgeload.results.baseline import check_name

    return check_name(text)


def _baseline(text: str) -> str:
    if text and Path(text).exists() and Path(text).suffix != ".json":
        raise ValueError("that is no baseline; did it mean to be a test? Write --edge-compare=newest, or put it last")
    return text


def _seed(text: str) -> int | None:
    if text and not (text.isascii() and text.isdigit()):
        raise ValueError("not a seed; give a whole number from 0 on")
    return int(text) if text else None


def _cap(text: str) -> str:
    if text not in CAP_NAMES:
        raise ValueError(f"not a cap; there are {', '.join(CAP_NAMES)}")
    return text


def _output(text: str) -> Path | None:
    if not text:
        return None
    path = Path(text).absolute()
    if path.is_dir():
        raise ValueError("a folder; name a file, as in results.json")
    if not path.parent.is_dir():
        raise ValueError(f"the folder {path.parent} does not exist; make it first")
    if (path.exists() and not path.is_file()) or not os.access(path.parent, os.W_OK):
        raise ValueError("not a file that can be written here; name another")
    return path


def _exports(text: str) -> tuple[tuple[str, Path], ...]:
    return tuple(map(_export, _names(text))) if text else ()


def _export(text: str) -> tuple[str, Path]:
    service, colon, file = text.partition(":")
    if service not in EXPORTS or not colon:
        raise ValueError(f"not a service and its file; try {EXPORTS[0]}:out.json, there are {', '.join(EXPORTS)}")
    path = _output(file)
    if path is None:
        raise ValueError(f"{text} names no file; try {text}out.json")
    return service, path


def _columns(text: str) -> tuple[str, ...]:
    if not text:
        return ()
    from pytest_edgeload.report.columns import parse_columns

    return parse_columns(text)


def _sort(text: str) -> str:
    if not text:
        return ""
    from pytest_edgeload.report.columns import parse_sort

    return parse_sort(text)


def _group_by(text: str) -> tuple[str, ...]:
    if not text:
        return ()
    from pytest_edgeload.report.columns import parse_group_by

    return parse_group_by(text)


def _name(text: str) -> str:
    if text not in {"short", "long"}:
        raise ValueError("not a kind of name; there are short, long")
    return text


def _github(text: str) -> bool:
    if text == "auto":
        return os.environ.get("GITHUB_ACTIONS") == "true"
    try:
        return _switch(text)
    except ValueError:
        raise ValueError("neither yes, no nor auto; did it mean to be a test? Write --edge-github=yes") from None


def _folder(text: str) -> Path | None:
    path = Path(text).expanduser().absolute() if text else None
    if path is not None and path.exists() and not path.is_dir():
        raise ValueError("not a folder; name one, it is made where it does not exist")
    return path


def _switch(text: str) -> bool:
    words = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}
    if text.lower() not in words:
        raise ValueError("neither true nor false")
    return words[text.lower()]


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
        _limits, "1G", "SIZES",
        "Memory limits of the capped worker, as a comma list: 1G, 512M, base+256M (above what the idle worker needs), "
        "none. K, M and G are powers of 1024. Default: 1G",
        is_list=True,
    ),
    "policy": Option(
        _names, "bulk,linear,partial", "NAMES",
        "Loading policies, as a comma list, or all; peers by name. Default: bulk,linear,partial",
        is_list=True,
    ),
    "reader": Option(_names, "read", "NAMES", "How weights are read, as a comma list. Default: read", is_list=True),
    "rounds": Option(
        _rounds, "1", "N", "Worker runs of each case, interleaved over the cases compared; 3-15 is 3 and with "
        "--edge-precision up to 15. Default: 1"
    ),
    "precision": Option(
        _precision, "", "PERCENT",
        "Run more rounds only of groups in which half the 95% interval of a median makespan is still wider than this",
    ),
    "threads": Option(
        _count, str(len(os.sched_getaffinity(0))), "N", "Threads an operator may use. Default: the processors there are"
    ),
    "timeout": Option(_duration, "300s", "TIME", "Longest time a worker may take, from its start. Default: 300s"),
    "cap": Option(_cap, "auto", "NAME", f"What enforces the limit: {', '.join(CAP_NAMES)}. Default: auto, the first"),
    "swap": Option(
        _swap, "existing", "KIND",
        "What the worker may swap to: existing (what the machine has), a size (a temporary file, removed afterwards; "
        "needs root), auto (existing, else a file where root), off. Default: existing",
    ),
    "read-bw": Option(
        _rate, "none", "RATE",
        "Bytes a second that the worker may read from the disk of its weights, such as 90M for an SD card; needs a cap "
        "that enforces. Default: none, as fast as the disk is",
    ),
    "bound": Option(
        _switch, "false", "",
        "Measure once what no run can beat, reading and computing alone, and show how far above it each run is; takes "
        "about six seconds a network", is_switch=True,
    ),
    "examples": Option(_count, "3", "N", "Workloads that a test of drawn workloads draws. Default: 3"),
    "seed": Option(_seed, "", "N", "Draw what a session drew that printed this seed. Default: another in each session"),
    "save": Option(_baseline_name, "", "NAME", "Save the records as a baseline of this name"),
    "autosave": Option(_switch, "false", "", "Save the records as a baseline named by commit and time", is_switch=True),
    "storage": Option(_folder, ".edgeload", "DIR", "Where baselines are kept. Default: .edgeload"),
    "compare": Option(
        _baseline, "", "BASELINE",
        "Compare with a baseline: its number, name or file. Without a value: newest, of such a machine if possible",
        bare="newest",
    ),
    "compare-fail": Option(
        _thresholds, "", "EXPR",
        "Fail what became worse than a baseline by more than this: makespan:10%, makespan/bulk:10%, peak:64M, "
        "makespan:10%+0.2s; a comma list, every one applies; compares with the newest baseline unless --edge-compare "
        "names one",
        is_list=True,
    ),
    "strict": Option(
        _switch, "false", "",
        "Fail also what cannot be judged: no baseline, missing, inconclusive or invalid cases", is_switch=True,
    ),
    "json": Option(_output, "", "FILE", "Write all records, with task spans and time lines, to this file as JSON"),
    "csv": Option(_output, "", "FILE", "Write a row for each round to this file as CSV"),
    "md": Option(_output, "", "FILE", "Write verdicts and tables to this file as Markdown, for a comment"),
    "html": Option(_output, "", "FILE", "Write charts and tables to this file as one page of HTML"),
    "trace": Option(_output, "", "FILE", "Write every task and the memory to this file as trace events, for Perfetto"),
    "export": Option(
        _exports, "", "SERVICE:FILE",
        f"Write what a service reads, as a comma list: {', '.join(EXPORTS)} (Bencher, github-action-benchmark)",
        is_list=True,
    ),
    "github": Option(
        _github, "auto", "WHEN",
        "Annotate what fails and add the Markdown to the job's summary: yes, no, auto. "
        "Default: auto, where GITHUB_ACTIONS is true", bare="yes",
    ),
    "columns": Option(
        _columns, "", "NAMES",
        "Columns of tables and files: metrics as in thresholds (makespan, response.p90, peak, min), ratio, bound, "
        "interval, rounds, outcome, and what a case is made of. Default: by what was measured", is_list=True,
    ),
    "sort": Option(_sort, "", "COLUMN", "Order of rows: a column, or name. Default: what cases are compared by"),
    "group-by": Option(
        _group_by, "", "KEYS",
        "What rows of one table have in common: workload, limit, reader, test, policy, param:NAME, ... "
        "Default: everything but the policy", is_list=True,
    ),
    "name": Option(_name, "short", "KIND", "How rows are called: short, or long, by the whole case. Default: short"),
    "quiet": Option(
        _switch, "false", "", "Show no tables, only what failed or could not be judged", is_switch=True,
    ),
    "cache-dir": Option(
        _folder, "", "DIR", "Where networks, sessions and swap files are kept. Default: the user's cache folder"
    ),
    "only": Option(_switch, "false", "", "Skip all tests that measure nothing", is_switch=True),
    "skip": Option(_switch, "false", "", "Skip all tests that measure", is_switch=True),
    "disable": Option(
        _switch, "false", "",
        "Run every case once, with its first request alone and no limit, and record nothing", is_switch=True,
    ),
    "enable": Option(_switch, "false", "", "Take back --edge-disable, say that of the ini file", is_switch=True),
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
        dest, words = _dest(name), option.help.replace("%", "%%")  # argparse formats it
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
"""Under which key xdist's controller sends its workers the options as given there, and the session's home."""


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
            raise pytest.UsageError(f"{place}={text}: {error}") from error
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
    value = config.getoption(_dest(name))
    if value is not None:
        return Given(",".join(value) if isinstance(value, list) else value, flag(name))
    variable = f"PYTEST_{_dest(name).upper()}"
    if text := os.environ.get(variable):
        return Given(text, variable)
    if text := str(config.getini(_dest(name))).strip():
        return Given(text, _dest(name))
    return None


def flag(name: str) -> str:
    """Return the flag of an option."""
    return f"--edge-{name}"


def _dest(name: str) -> str:
    return f"edge_{_field(name)}"


def _field(name: str) -> str:
    return name.replace("-", "_")
