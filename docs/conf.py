"""Sphinx configuration of the site that `make docs` builds."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest_edgeload

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

project = "pytest-edgeload"
author = "the authors of pytest-edgeload"
release = pytest_edgeload.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "reference"]
exclude_patterns = ["_ext"]
nitpicky = True
nitpick_ignore_regex = [
    ("py:.*", r"(?!pytest_edgeload\.).*")
]  # names of other projects, for which there is no inventory

myst_heading_anchors = 4

smartquotes = False  # `--edge-mem` has two dashes
add_module_names = False  # all names are in the package itself
autodoc_member_order = "bysource"
autodoc_typehints = "none"
default_role = "literal"  # docstrings use Markdown: `name`

html_theme = "furo"
html_title = f"pytest-edgeload {release}"
html_copy_source = False
html_show_copyright = False
html_show_sphinx = False
html_theme_options = {"navigation_with_keys": True}

linkcheck_timeout = 20
linkcheck_retries = 2
linkcheck_workers = 2
