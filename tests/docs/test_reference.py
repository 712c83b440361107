"""The reference of the site is complete, and generated without torch."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

import pytest_edgeload
from docs._ext import reference
from pytest_edgeload import plugin
from pytest_edgeload.cli import SUBCOMMANDS
from pytest_edgeload.engine.readers import READERS
from pytest_edgeload.plugin import hookspecs, options
from pytest_edgeload.plugin.settings import OPTIONS
from pytest_edgeload.policies import POLICIES
from pytest_edgeload.report import FORMATS
from pytest_edgeload.results.case import Case
from pytest_edgeload.results.measurement import METRICS, Measurement
from pytest_edgeload.sandbox.caps import CAPS
from pytest_edgeload.workload.file import WorkloadDocument as WorkloadFile
from tests.docs.pages import PAGES, ROOT

PLACEHOLDERS = [
    name for page in PAGES for name in re.findall(r"^<!-- reference: (.*) -->$", page.read_text(), re.MULTILINE)
]
HOOKS = [name for name in vars(hookspecs) if name.startswith("pytest_edge_")]
EVERYTHING = [
    ("options", [options.flag(name) for name in OPTIONS]),
    ("options", [options.ini_key(name) for name in OPTIONS]),
    ("options", [options.variable(name) for name in OPTIONS]),
    ("fixtures", plugin.__all__),
    ("markers", ["edge_threshold"]),
    ("hooks", HOOKS),
    ("policies", POLICIES),
    ("readers", READERS),
    ("caps", CAPS),
    ("formats", FORMATS),
    ("metrics", METRICS),
    ("records", Case.__struct_fields__),
    ("records", Measurement.__struct_fields__),
    ("workloads", WorkloadFile.__struct_encode_fields__),
    ("commands", [f"edgeload {name}" for name in SUBCOMMANDS]),
    ("api", pytest_edgeload.__all__),
]


@pytest.mark.parametrize(("section", "names"), EVERYTHING, ids=[f"{s}-{i}" for i, (s, _) in enumerate(EVERYTHING)])
def test_every_name_is_in_the_reference(section: str, names: Iterable[str]) -> None:
    """Every name that a user writes or reads is in its section."""
    text = reference.SECTIONS[section]()
    assert [name for name in names if not re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", text)] == []


def test_every_section_is_on_one_page() -> None:
    """Each section is on exactly one page."""
    assert sorted(PLACEHOLDERS) == sorted(reference.SECTIONS)


def test_every_entry_has_a_description() -> None:
    """Every entry of a list has a description below its heading."""
    for name in ("fixtures", "markers", "hooks", "policies", "readers", "caps", "formats"):
        parts = re.split(r"^### .*\n", reference.SECTIONS[name](), flags=re.MULTILINE)[1:]
        assert [part for part in parts if len(part.split()) < 4] == []


def test_placeholder_becomes_its_section() -> None:
    """A placeholder is replaced by its section; the rest of the page stays unchanged."""
    page = reference.fill_page("# Metrics\n\n<!-- reference: metrics -->\n\nThe end.\n")
    assert page == f"# Metrics\n\n{reference.metric_table()}\n\nThe end.\n"


def test_an_unknown_section_is_an_error() -> None:
    """A placeholder for an unknown section raises KeyError."""
    with pytest.raises(KeyError, match="colours"):
        reference.fill_page("<!-- reference: colours -->")


@pytest.mark.parametrize(
    ("words", "expected"),
    [("swap < 1 and *all*", r"swap \< 1 and \*all\*"), ("`a_b` of a_b", r"`a_b` of a\_b"), ("plain.", "plain.")],
)
def test_docstrings_are_escaped(words: str, expected: str) -> None:
    """Docstrings in a table contain no markup; code in backticks stays unchanged."""
    assert reference._escaped(words) == expected


def test_reference_imports_no_torch() -> None:
    """Generating the reference imports no PyTorch, so the site builds in seconds."""
    code = "import sys, reference; [make() for make in reference.SECTIONS.values()]; sys.exit('torch' in sys.modules)"
    folder = Path(reference.__file__).parent
    process = subprocess.run([sys.executable, "-c", code], cwd=folder, check=False, capture_output=True, text=True)
    assert (process.returncode, process.stderr) == (0, "")


def test_policies_page_names_all_policies_and_readers() -> None:
    """docs/policies.md, written by hand, names every policy and every reader."""
    text = (ROOT / "docs/policies.md").read_text(encoding="utf-8")
    assert [name for name in [*POLICIES, *READERS] if f"`{name}`" not in text] == []


def test_caps_page_names_all_caps() -> None:
    """docs/caps.md, written by hand, names every cap."""
    text = (ROOT / "docs/caps.md").read_text(encoding="utf-8")
    assert [name for name in CAPS if f"| `{name}` |" not in text] == []
