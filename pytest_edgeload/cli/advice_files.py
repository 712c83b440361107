"""The files of an advice: a page and JSON. They are tried before anything is predicted."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from pytest_edgeload.base import files
from pytest_edgeload.base.errors import Refusal, Setting
from pytest_edgeload.cli.recording import command_line
from pytest_edgeload.report.html import advice as html
from pytest_edgeload.report.html import frame
from pytest_edgeload.results.advice import Advice
from pytest_edgeload.results.document import document


def check(page: Path | None, json: Path | None) -> None:
    """Raise Refusal if one of the files cannot be written, or a page cannot be made here."""
    for option, path in (("html", page), ("json", json)):
        if path is not None:
            with files.named_by(Setting(option, str(path))):
                files.try_beside(path)
    if page is not None:
        try:
            frame.check()
        except Refusal as error:
            raise error.within(Setting("html", str(page))) from error


def write(page: Path | None, json: Path | None, advice: Advice, next_steps: Sequence[str]) -> str:
    """Write the files; return lines about them. Raises Unsupported."""
    lines = []
    if page is not None:
        text = html.render(advice, next_steps, document((), {}, Path.cwd(), command_line()))
        with files.named_by(Setting("html", str(page))):
            files.write(page, text.encode("utf-8", "backslashreplace"))
        lines.append(f"advice written to {page.absolute().as_uri()}")
    if json is not None:
        with files.named_by(Setting("json", str(json))):
            files.write(json, msgspec.json.format(msgspec.json.encode(advice)))
        lines.append(f"advice written to {json}")
    return "\n".join(lines)
