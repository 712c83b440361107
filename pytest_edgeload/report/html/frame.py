"""A page that opens without a network: a template in the common frame, with its style, its data and its scripts.

A content security policy (CSP) prevents the page from fetching anything and from running any script but its own.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable
from importlib.resources import files
from importlib.util import find_spec

import msgspec

from pytest_edgeload.base.errors import Unsupported
from pytest_edgeload.base.text import printable
from pytest_edgeload.report.html import about
from pytest_edgeload.results.document import Document

_NEEDED = ("jinja2", "plotly")


def page(template: str, script: str, document: Document, data: object, **parts: object) -> str:
    """Return the page of a template, which has `parts`; its script reads `data` and draws it with plotly.js.

    `document` describes the machine and the session. Raises Unsupported if jinja2 or plotly is not installed.
    """
    check()
    from jinja2 import Environment, FunctionLoader  # noqa: PLC0415  # optional, and not for every pytest start
    from plotly.offline import get_plotlyjs  # noqa: PLC0415

    scripts = [get_plotlyjs(), _text("charts.js"), _text(script)]
    environment = Environment(
        loader=FunctionLoader(_text), autoescape=True, finalize=_finalized, trim_blocks=True, lstrip_blocks=True
    )
    return environment.get_template(template).render(
        policy=_policy(scripts),
        style=_text("page.css"),
        about=about.about(document),
        settings=list(document.settings.items()),
        data=encoded(data),
        scripts=scripts,
        **parts,
    )


def check() -> None:
    """Raise Unsupported if a package that renders pages is not installed."""
    missing = [name for name in _NEEDED if find_spec(name) is None]
    if missing:
        reason = f"needs {' and '.join(missing)}"
        raise Unsupported("an HTML report", reason, "pip install 'pytest-edgeload[html]'")


def encoded(value: object) -> str:
    """Return JSON for a script element: it contains no tag that ends the element or begins another."""
    text = msgspec.json.encode(value).decode()
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _finalized(value: object) -> object:
    """Return the value for the template; control characters are removed from texts that others wrote."""
    return printable(value) if type(value) is str else value  # not from our own, which the template marks as safe


def _policy(scripts: Iterable[str]) -> str:
    """Return a content security policy that allows only these scripts and no fetching."""
    digests = (base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in scripts)
    allowed = " ".join(f"'sha256-{digest}'" for digest in digests)
    return f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; img-src data: blob:"


def _text(name: str) -> str:
    return files(__package__).joinpath(name).read_text(encoding="utf-8")
