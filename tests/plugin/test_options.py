"""Options from the command line, the environment, the ini file or the default, and the values that are refused."""

from __future__ import annotations

import pytest

from pytest_edgeload.base.errors import UsageError
from pytest_edgeload.base.units import Limit
from pytest_edgeload.plugin.options import Given, parse, read
from pytest_edgeload.plugin.settings import OPTIONS, Settings
from pytest_edgeload.plugin.values import CAP_NAMES, EXPORTS, Rounds
from pytest_edgeload.report import FORMATS
from pytest_edgeload.report.view import View
from pytest_edgeload.sandbox.caps import CAPS

VALUES = {
    "mem": ("300M", "400M", "500M"),
    "policy": ("bulk", "linear", "partial"),
    "reader": ("a", "b", "c"),
    "store": ("compressed", "plain,compressed", "plain"),
    "peer": ("torch-load", "safetensors", "all"),
    "rounds": ("2", "3-5", "4"),
    "precision": ("1%", "2.5%", "5 %"),
    "repeat-throttled": ("1", "2", "none"),
    "threads": ("5", "6", "7"),
    "timeout": ("8s", "9s", "10s"),
    "cap": ("none", "cgroup1", "cgroup2"),
    "swap": ("off", "auto", "4G"),
    "parallel": ("yes", "no", "comparable"),
    "user": ("same", "nobody", "daemon"),
    "view": ("limit", "host", "limit"),
    "read-bw": ("none", "25M", "90M/s"),
    "device": ("rpi3", "rpi4-1g,none", "none"),
    "devices": ("d.toml", "e.toml", "f.toml"),
    "hosts": ("d.toml", "e.toml:pi4", "f.toml:pi4,bench"),
    "keep-env": ("LD_PRELOAD", "MALLOC_CONF,LD_AUDIT", "PYTHONMALLOC"),
    "bound": ("true", "false", "true"),
    "examples": ("7", "8", "9"),
    "seed": ("1", "2", "3"),
    "save": ("main", "v1", "v2"),
    "autosave": ("true", "false", "true"),
    "storage": ("s", "t", "u"),
    "compare": ("main", "1", "newest"),
    "compare-fail": ("makespan:10%", "peak:64M", "swap_in:0"),
    "strict": ("true", "false", "true"),
    "json": ("a.json", "b.json", "c.json"),
    "csv": ("a.csv", "b.csv", "c.csv"),
    "md": ("a.md", "b.md", "c.md"),
    "html": ("a.html", "b.html", "c.html"),
    "trace": ("a.trace", "b.trace", "c.trace"),
    "export": ("bmf:a", "gab:b", "gab-bigger:c"),
    "github": ("yes", "no", "auto"),
    "columns": ("makespan", "peak,outcome", "response.p90"),
    "sort": ("name", "peak", "ratio"),
    "group-by": ("limit", "workload,reader", "param:size"),
    "name": ("long", "short", "long"),
    "quiet": ("true", "false", "true"),
    "cache-dir": ("a", "b", "c"),
    "simulate": ("true", "false", "true"),
    "only": ("true", "false", "true"),
    "skip": ("true", "false", "true"),
    "disable": ("true", "false", "true"),
    "enable": ("true", "false", "true"),
}
"""For every option, a value for the command line, one for the environment and one for the ini file."""

FILES = {name: option.report for name, option in OPTIONS.items() if option.report}
"""The options that name a file, and their formats."""

SOURCES = ("command line", "environment", "ini file")


def key(name: str) -> str:
    return f"edge_{name.replace('-', '_')}"


def variable(name: str) -> str:
    return f"PYTEST_{key(name).upper()}"


def flag(name: str, value: str) -> str:
    return f"--edge-{name}" if OPTIONS[name].is_switch else f"--edge-{name}={value}"


def config(bare: pytest.Pytester, *args: str, ini: str = "") -> pytest.Config:
    bare.makeini(f"[pytest]\n{ini}")
    return bare.parseconfig(*args)


def settings(bare: pytest.Pytester, *args: str, ini: str = "") -> Settings:
    made = config(bare, *args, ini=ini)
    return parse(read(made), made.rootpath)


@pytest.mark.parametrize("silent", range(4), ids=["all", *(f"no {source}" for source in SOURCES)])
def test_first_source_counts(bare: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, silent: int) -> None:
    """Every option comes from the first source that has it: command line, environment, ini file, default."""
    assert VALUES.keys() == OPTIONS.keys()
    args = [flag(name, values[0]) for name, values in VALUES.items() if silent < 1]
    for name, values in VALUES.items():
        if silent < 2:
            monkeypatch.setenv(variable(name), values[1])
    ini = "\n".join(f"{key(name)} = {values[2]}" for name, values in VALUES.items() if silent < 3)
    found = read(config(bare, *args, ini=ini))
    places = (lambda name: f"--edge-{name}", variable, key)
    here = str(bare.path)
    expected = {
        name: Given(values[silent], places[silent](name), here) for name, values in VALUES.items() if silent < 3
    }
    assert found == expected


def test_defaults_are_those_of_the_help(bare: pytest.Pytester) -> None:
    """Without options, the settings are the defaults of the help."""
    found = settings(bare)
    assert found.mem == (Limit(1 << 30),)
    assert found.policy == ("bulk", "linear", "partial")
    assert (found.reader, found.rounds, found.timeout) == (("auto",), Rounds(1, 1), 300.0)
    assert (found.precision, found.save, found.compare, found.compare_fail) == (None, None, "", ())
    assert found.storage == bare.path / ".edgeload"
    assert (found.cap, found.swap, found.json, found.cache_dir) == ("auto", "existing", None, None)
    assert found.read_bw is None
    assert (found.only, found.skip, found.disable) == (False, False, False)


def test_values_are_parsed(bare: pytest.Pytester) -> None:
    """Values have the meaning that the help describes, with or without blanks around them."""
    ini = (
        "edge_mem = 512MiB , base+256M,none\nedge_timeout = 1.5m\nedge_json = out.json\nedge_only = Yes\n"
        "edge_read_bw = 90M/s"
    )
    found = settings(bare, ini=ini)
    assert found.mem == (Limit(512 << 20), Limit(256 << 20, above_base=True), None)
    assert found.timeout == 90.0
    assert found.json == bare.path / "out.json"
    assert found.only
    assert found.read_bw == 90 << 20
    found = settings(bare, "--edge-compare", "--edge-rounds=3-15", "--edge-precision=2.5%")
    assert (found.compare, found.rounds, found.precision) == ("newest", Rounds(3, 15), 0.025)


def test_file_options_are_reports(bare: pytest.Pytester) -> None:
    """Every option that names a file is a report of one format; --edge-export gives the format before the colon."""
    named = [f"--edge-{option}=out.{option}" for option in FILES]
    found = settings(bare, *named, "--edge-export=bmf:a.json,gab:b.json", "--edge-export=gab-bigger:c.json").files
    assert [(file.option, file.format, file.path.name) for file in found] == [
        *((option, name, f"out.{option}") for option, name in FILES.items()),
        ("export", "bmf", "a.json"),
        ("export", "gab", "b.json"),
        ("export", "gab-bigger", "c.json"),
    ]


def test_report_follows_links(bare: pytest.Pytester) -> None:
    """A report is written to the target of a link, and the link stays; a link to itself is replaced."""
    (bare.path / "link").symlink_to("later")
    (bare.path / "loop").symlink_to("loop")
    found = settings(bare, "--edge-json=link", "--edge-csv=loop")
    assert (found.json, found.csv) == (bare.path / "later", bare.path / "loop")


def test_baseline_path_expands_home(bare: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """The path of a baseline may begin with `~`."""
    monkeypatch.setenv("HOME", str(bare.path))
    assert settings(bare, "--edge-compare=~/old.json").compare == str(bare.path / "old.json")


def test_one_file_for_two_reports_is_refused(bare: pytest.Pytester) -> None:
    """Two reports in one file are refused."""
    with pytest.raises(
        UsageError, match="out: two reports would be written to this file; name another file for one of them"
    ):
        settings(bare, "--edge-csv=out", "--edge-export=bmf:./out")


def test_view_has_the_report_options(bare: pytest.Pytester) -> None:
    """The view has the columns, order, groups and names of the options."""
    options = ("--edge-columns=min,peak", "--edge-columns=outcome", "--edge-sort=peak", "--edge-group-by=limit,param:x")
    assert settings(bare, *options, "--edge-name=long").report_view == View(
        ("min", "peak", "outcome"), "peak", ("limit", "param:x"), "long"
    )


@pytest.mark.parametrize(
    ("variable", "options", "on"),
    [("true", (), True), ("", (), False), ("true", ("--edge-github=no",), False), ("", ("--edge-github",), True)],
)
def test_github_is_detected_unless_set(
    bare: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, variable: str, options: tuple[str, ...], on: object
) -> None:
    """GitHub is detected without the option, and the option overrules the detection."""
    monkeypatch.setenv("GITHUB_ACTIONS", variable)
    assert settings(bare, *options).github is on


def test_thresholds_imply_the_newest_baseline(bare: pytest.Pytester) -> None:
    """Thresholds compare with the newest baseline unless another one is given; all thresholds apply."""
    found = settings(bare, "--edge-compare-fail=makespan:10%,peak:64M", "--edge-compare-fail=swap_in:0")
    assert [threshold.text for threshold in found.compare_fail] == ["makespan:10%", "peak:64M", "swap_in:0"]
    assert found.compare == "newest"
    assert settings(bare, "--edge-compare-fail=makespan:10%", "--edge-compare=main").compare == "main"


def test_lists_are_joined_without_duplicates(bare: pytest.Pytester) -> None:
    """A list given twice is one list, in the order of the command line and without duplicates."""
    found = settings(bare, "--edge-mem=1G", "--edge-policy", "linear", "--edge-mem=512M,1G", "--edge-policy=bulk")
    assert found.mem == (Limit(1 << 30), Limit(512 << 20))
    assert found.policy == ("linear", "bulk")


def test_equal_limits_count_once(bare: pytest.Pytester) -> None:
    """The same limit in two spellings is one limit, because there is no second case to measure."""
    assert settings(bare, "--edge-mem=1G,1024M,1GiB").mem == (Limit(1 << 30),)


@pytest.mark.parametrize("disable", ["--edge-disable", "ini", "variable"])
def test_enable_overrules_disable(bare: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, disable: str) -> None:
    """--edge-enable overrules --edge-disable from any source."""
    if disable == "variable":
        monkeypatch.setenv("PYTEST_EDGE_DISABLE", "1")
    args = [disable] if disable.startswith("-") else []
    ini = "edge_disable = true" if disable == "ini" else ""
    assert settings(bare, *args, ini=ini).disable
    assert not settings(bare, *args, "--edge-enable", ini=ini).disable


def test_variable_overrules_a_switch(bare: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable with the value off overrules a switch of the ini file."""
    monkeypatch.setenv("PYTEST_EDGE_ONLY", "off")
    assert not settings(bare, ini="edge_only = true").only


WRONG = [
    ("mem", "5MB", "*write 5M, which is 1024"),
    ("mem", "1G,2GB", "*write 2G, which is 1024"),
    ("mem", "12X", "not a size; try 512M, 1G or base+256M"),
    ("mem", "512M!", "not a size; try *"),
    ("mem", "base", "not a size; try *"),
    ("mem", "-1G", "not a size; try *"),
    ("mem", "0", "a size is at least one byte*; try *"),
    ("mem", ",", "an empty list; give at least one name"),
    ("reader", "raed", "unknown; did you mean read[?]"),
    ("rounds", "0", "not a number of rounds; try 5, or 3-15 with --edge-precision=5%"),
    ("rounds", "1.5", "not a number of rounds; *"),
    ("rounds", "5-3", "the minimum 5 is above the maximum 3; try 3-5"),
    ("precision", "5", "not a percentage; try 5%"),
    ("precision", "0%", "not a percentage; *"),
    ("save", "a/b", "not a name for a baseline; *"),
    ("compare", ".", "not a baseline; if it is a test path, *"),
    ("compare-fail", "makespan:fast", "makespan is a time, but 'fast' is not; try 10% or 0.2s"),
    ("threads", "many", "not a count; *"),
    ("timeout", "soon", "not a duration; try 300s or 5m, and at most 10000h"),
    ("timeout", "0s", "not a duration; try *"),
    ("cap", "cgroup3", "not a cap; choose from auto, cgroup2, cgroup1, systemd, none"),
    ("swap", "much", "not a kind of swap; try auto, existing, off, zram:2G or a size such as 4G"),
    ("swap", "4GB", "not a kind of swap; *"),
    ("read-bw", "fast", "not a size; try 90M, which is 90 MiB a second"),
    ("read-bw", "90MB/s", "*write 90M, which is 1024"),
    ("read-bw", "90", "a rate is at least 1M a second; try 90M, *"),
    ("device", "rpi44-1g", "no such device; did you mean rpi4-1g[?]"),
    ("device", ",", "an empty list; give at least one name"),
    ("devices", "missing.toml", "no such file; name a file of devices *"),
    ("json", "..", "a folder; name a file, such as *"),
    ("json", "missing/out.json", "the folder */missing does not exist; create it first"),
    ("json", "/dev/full", "not a file that can be written here; name another one"),
    ("csv", "..", "a folder; name a file, such as *"),
    ("md", "missing/out.md", "the folder */missing does not exist; create it first"),
    ("export", "bmf", "not SERVICE:FILE; try bmf:out.json, the services are bmf, gab, gab-bigger"),
    ("export", "csv:out.csv", "not SERVICE:FILE; *"),
    ("export", "gab:", "gab: names no file; try gab:out.json"),
    ("export", "gab:..", "a folder; name a file, such as *"),
    ("github", "tests", "not yes, no or auto; *write --edge-github=yes before it"),
    ("columns", "makspan", "makspan is not a metric; did you mean makespan?"),
    ("sort", "outcom", "outcom is not a metric; did you mean outcome?"),
    ("group-by", "limits", "limits is not a coordinate of a case; did you mean limit?"),
    ("name", "normal", "not a kind of name; choose from short, long"),
    ("cache-dir", "a-file", "not a folder; name a folder, *"),
]
"""Options, wrong values, and the reason and hint of the message."""


@pytest.mark.parametrize(("name", "value", "sentence"), WRONG, ids=[f"{name}={value}" for name, value, _ in WRONG])
@pytest.mark.parametrize("source", SOURCES)
def test_wrong_value_is_one_sentence(
    bare: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, source: str, name: str, value: str, sentence: str
) -> None:
    """A wrong value is refused in one sentence: its source, the value, the reason and a hint."""
    bare.makefile("", **{"a-file": ""})
    place = {"command line": f"--edge-{name}", "environment": variable(name), "ini file": key(name)}[source]
    args = [flag(name, value)] if source == "command line" else []
    if source == "environment":
        monkeypatch.setenv(place, value)
    bare.makeini(f"[pytest]\n{place} = {value}" if source == "ini file" else "[pytest]")
    with pytest.raises(pytest.UsageError) as caught:
        bare.parseconfigure(*args)
    [line] = str(caught.value).splitlines()
    pytest.LineMatcher([line]).fnmatch_lines([f"{place}={value}: {sentence}"])


@pytest.mark.parametrize("source", SOURCES[1:])
@pytest.mark.parametrize("name", [name for name, option in OPTIONS.items() if option.is_switch])
def test_wrong_switch_shows_the_choices(
    bare: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, name: str, source: str
) -> None:
    """A wrong value of a switch in the environment or the ini file is refused with the possible values."""
    if source == "environment":
        monkeypatch.setenv(variable(name), "maybe")
    place = variable(name) if source == "environment" else key(name)
    bare.makeini(f"[pytest]\n{key(name)} = maybe" if source == "ini file" else "[pytest]")
    with pytest.raises(pytest.UsageError, match=f"^{place}=maybe: .*true.*false"):
        bare.parseconfigure()


@pytest.mark.parametrize(
    ("args", "ini", "line"),
    [
        (["--edge-mem=512MB"], "", "ERROR: --edge-mem=512MB: *write 512M*"),
        ([], "edge_timeout = soon", "ERROR: edge_timeout=soon: not a duration; *"),
        (["--edge-only", "--edge-skip"], "", "ERROR: --edge-only and --edge-skip: *; give only one of them"),
        (["--edge-skip"], "edge_only = true", "ERROR: edge_only and --edge-skip: *"),
    ],
    ids=["flag", "ini", "only and skip", "only in the ini file"],
)
def test_wrong_options_end_pytest_first(bare: pytest.Pytester, args: list[str], ini: str, line: str) -> None:
    """Wrong options end pytest before it collects anything, in a sentence, as a usage error."""
    bare.makeini(f"[pytest]\n{ini}")
    bare.makepyfile(test_it="print('collected')\ndef test_it(): pass")
    result = bare.runpytest_subprocess(*args)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([line])
    assert len([text for text in result.errlines if text]) == 1
    result.stdout.no_fnmatch_line("*collected*")


def test_idle_project_gets_errors_as_well(bare: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """A wrong value in the environment is refused even if nothing measures."""
    monkeypatch.setenv("PYTEST_EDGE_ROUNDS", "none")
    bare.makepyfile("def test_it(): pass")
    result = bare.runpytest_subprocess()
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: PYTEST_EDGE_ROUNDS=none: not a number of rounds; *"])


def test_misspelt_variable_is_a_warning(bare: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable that is named like ours and sets no option is named with the one that was meant."""
    monkeypatch.setenv("PYTEST_EDGE_MEMM", "1G")
    monkeypatch.setenv("PYTEST_EDGE_SOMETHING_ELSE", "1")
    monkeypatch.setenv("PYTEST_EDGE_ROUNDS", "2")
    bare.makepyfile("def test_it(): pass")
    result = bare.runpytest_subprocess()
    result.assert_outcomes(passed=1, warnings=2)
    result.stdout.fnmatch_lines([
        "*: PYTEST_EDGE_MEMM: no option of edgeload has this variable; did you mean PYTEST_EDGE_MEM?",
        "*: PYTEST_EDGE_SOMETHING_ELSE: no option of edgeload has this variable; unset it",
    ])  # fmt: skip
    refused = bare.runpytest_subprocess("-W", "error")
    assert refused.ret == pytest.ExitCode.USAGE_ERROR
    assert refused.stderr.lines == [
        "ERROR: PYTEST_EDGE_MEMM: no option of edgeload has this variable; did you mean PYTEST_EDGE_MEM?",
        "",
    ]


def test_help_shows_every_option(bare: pytest.Pytester) -> None:
    """--help shows every flag and every ini key with its meaning and its default."""
    said = bare.runpytest("--help").stdout.str()
    letters = "".join(said.split())  # a line may end after any space or hyphen
    for name, option in OPTIONS.items():
        assert f"--edge-{name}" in said
        assert f"{key(name)}(string):" in letters
        assert letters.count("".join(option.help.split())) >= 2, "once for the flag, once for the ini key"
        if option.default not in {"", "false"}:
            assert "Default: " in option.help


def test_cap_names_are_those_of_the_table() -> None:
    """The values of --edge-cap are auto and the names of the table of caps."""
    assert ("auto", *CAPS) == CAP_NAMES


def test_exports_are_formats() -> None:
    """The services of --edge-export are formats."""
    assert set(EXPORTS) <= FORMATS.keys()


@pytest.mark.parametrize(
    ("args", "environment", "ini", "expected"),
    [
        ((), "", "", ".edgeload"),
        (("--edge-storage=own",), "", "", "sub/own"),
        ((), "own", "", "sub/own"),
        ((), "", "edge_storage = own", "own"),
        ((), "", "addopts = --edge-storage=own", "own"),
        (("--edge-storage=own",), "", "addopts = --edge-storage=other", "sub/own"),
    ],
    ids=["default", "command line", "environment", "ini key", "addopts", "command line and addopts"],
)
def test_folder_of_baselines_does_not_depend_on_the_current_folder(
    bare: pytest.Pytester,
    monkeypatch: pytest.MonkeyPatch,
    args: tuple[str, ...],
    environment: str,
    ini: str,
    expected: str,
) -> None:
    """Below the rootdir, pytest finds the same baselines; only paths that were typed start at the current folder."""
    bare.makeini(f"[pytest]\n{ini}")
    monkeypatch.setenv("PYTEST_EDGE_STORAGE", environment)
    monkeypatch.chdir(bare.mkdir("sub"))
    made = bare.parseconfig(*args)
    assert parse(read(made), made.rootpath).storage == bare.path / expected


def test_every_path_of_the_ini_file_starts_at_the_ini_file(
    bare: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The paths of all options in the ini file start at its folder, wherever pytest is started."""
    (bare.path / "d.toml").touch()
    names = [name for name, option in OPTIONS.items() if option.is_path]
    values = {name: VALUES[name][0] for name in names} | {"compare": "old.json"}
    bare.makeini("[pytest]\n" + "\n".join(f"{key(name)} = {value}" for name, value in values.items()))
    monkeypatch.chdir(bare.mkdir("sub"))
    made = bare.parseconfig()
    found = parse(read(made), made.rootpath)
    assert found.hosts is not None
    paths = {name: found.values[name] for name in names} | {"export": found.export[0][1], "hosts": found.hosts.path}
    assert paths == {name: bare.path / value.partition(":")[2] for name, value in [("export", values["export"])]} | {
        name: str(bare.path / value) if name == "compare" else bare.path / value
        for name, value in values.items()
        if name != "export"
    }
