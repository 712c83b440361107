"""What the owner of a session makes of its measurements: files, baselines, verdicts. Knows settings, but no hook."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from pytest_edgeload.errors import UsageError
from pytest_edgeload.plugin.gating import Gate, Rules
from pytest_edgeload.plugin.options import OPTIONS, Given, Settings, flag
from pytest_edgeload.report import comparison, terminal
from pytest_edgeload.results import baseline
from pytest_edgeload.results.document import Document, document, machine, render
from pytest_edgeload.results.gate import Finding
from pytest_edgeload.results.record import Entry, Record, collect
from pytest_edgeload.results.threshold import Ceiling


class Results:
    """Everything that was measured, as it comes in, and what becomes of it.

    `runs` is where each measurement is on disk already. Files are written anew with every one that arrives.
    """

    def __init__(self, settings: Settings, given: Mapping[str, Given], seed: int, project: Path, runs: Path) -> None:
        self._settings = settings
        self._given = given
        self._seed = seed
        self._project = project
        self._runs = runs
        self._arrived: dict[str, Entry] = {}
        self._compared = ""
        self._gate = Gate(Rules(), settings.rounds.most, ())
        self.records: tuple[Record, ...] = ()
        self.saved: Path | None = None
        self.unwritten = ""

    def open(self, measuring: Sequence[str]) -> None:
        """Find the baseline and try the files, before anything is measured by items of these ids. Raises UsageError."""
        settings = self._settings
        found: Document | None = None
        if settings.compare:
            place = self._place("compare" if "compare" in self._given else "compare-fail")
            wanted = "" if settings.compare == OPTIONS["compare"].bare else settings.compare
            try:
                path = baseline.find(settings.storage, wanted, machine())
                found = None if path is None else baseline.load(path)
            except UsageError as error:
                raise UsageError(f"{place}: {error}") from None
            if path is None and settings.strict:
                raise UsageError(
                    f"{place}: no baseline in {settings.storage}, and --edge-strict is given; save one first"
                )
            self._compared = (
                f"no baseline in {settings.storage}, so nothing is compared"
                if path is None
                else f"compared with {path}"
            )
        is_alike = found is None or found.machine.key == machine().key
        if not is_alike:
            self._compared += ", of another machine: only ratios, bytes and counts"
        rules = Rules(settings.compare_fail, found, is_alike, settings.strict)
        self._gate = Gate(rules, settings.rounds.most, measuring)
        self._write(())
        if self.unwritten:
            raise UsageError(self.unwritten)

    @property
    def arrived(self) -> Mapping[str, Entry]:
        """What came with reports, by file."""
        return self._arrived

    def take(self, nodeid: str, entries: Iterable[Entry], ceilings: Sequence[Ceiling]) -> list[Finding]:
        """Take in what came with an item's report; return what fails of all that can be judged now."""
        new = {entry.file: entry for entry in entries if entry.file not in self._arrived}
        self._arrived |= new
        records = collect(self._arrived.values())
        if new:
            self._write(records)  # whatever comes next, these are kept
        return self._gate.take(nodeid, [entry.case for entry in new.values()], ceilings, records)

    def finish(self, records: tuple[Record, ...], *, is_whole: bool) -> list[Finding]:
        """Write all of it; return what fails that no report has told. Only a session that ran to its end is saved."""
        self.records = records
        failing = self._gate.finish(records) if is_whole else []
        self._write(records)
        if is_whole and records and (self._settings.save or self._settings.autosave):
            self._save(records)
        return failing

    def items_of(self, findings: Iterable[Finding]) -> set[str]:
        """Return the ids of all items that measured the cases of `findings`, or their references."""
        return self._gate.items_of(findings)

    @property
    def failing(self) -> list[Finding]:
        """All findings that fail the session."""
        return [finding for finding in self._gate.findings if self._gate.rules.fails(finding)]

    def text(self) -> str:
        """Return the tables, and what came of the comparison."""
        parts = [terminal.render(self.records), self._compared]
        rules = self._gate.rules
        if rules.baseline is not None:
            parts.append(comparison.table(rules.baseline.records, self.records, is_alike=rules.is_alike))
        parts.append(comparison.judged(self._gate.findings))
        return "\n\n".join(part for part in parts if part)

    def _save(self, records: Sequence[Record]) -> None:
        made = self._document(records)
        try:
            name = self._settings.save or baseline.default_name(made)
            self.saved = baseline.save(self._settings.storage, made, name)
        except OSError as error:
            self.unwritten = f"{error.filename}: {error.strerror}; name another folder by --edge-storage"

    def _document(self, records: Sequence[Record]) -> Document:
        texts = {name: option.default for name, option in OPTIONS.items()}
        texts |= {name: given.text for name, given in self._given.items()}
        return document(records, texts | {"seed": str(self._seed)}, self._project)

    def _write(self, records: Sequence[Record]) -> None:
        path = self._settings.json
        if path is None:
            return
        part = path.with_name(f"{path.name}.{os.getpid()}.part")
        try:
            part.write_bytes(render(self._document(records)))
            part.replace(path)
            self.unwritten = ""
        except OSError as error:
            part.unlink(missing_ok=True)
            self.unwritten = (
                f"{self._place('json')}={path}: {error.strerror}; name a file elsewhere, "
                f"each measurement is also in {self._runs}"
            )

    def _place(self, option: str) -> str:
        return self._given[option].place if option in self._given else flag(option)
