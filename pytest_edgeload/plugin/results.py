"""What the owner of a session makes of its measurements: files, baselines, verdicts. Knows settings, but no hook."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from pytest_edgeload.base.errors import Refusal, UsageError
from pytest_edgeload.base.files import noting
from pytest_edgeload.base.text import printable
from pytest_edgeload.measuring.directories import SessionDirectories
from pytest_edgeload.plugin import files
from pytest_edgeload.plugin.gating import SessionGate
from pytest_edgeload.plugin.options import Given, source, spell
from pytest_edgeload.plugin.settings import OPTIONS, File, Settings
from pytest_edgeload.report import FORMATS, comparison, terminal
from pytest_edgeload.report.notes import failures
from pytest_edgeload.report.view import View
from pytest_edgeload.results import baseline, journal
from pytest_edgeload.results.document import Document, document, machine
from pytest_edgeload.results.finding import Finding
from pytest_edgeload.results.gate import Gate
from pytest_edgeload.results.record import Entry, Record
from pytest_edgeload.results.threshold import Ceiling


class Results:
    """Everything that was measured, as it comes in, and what becomes of it.

    Each measurement is on disk already, in the session's folder; so files are written when the session ends, however it
    does. `found` are settings that the session found for itself, in words.
    """

    def __init__(
        self,
        settings: Settings,
        given: Mapping[str, Given],
        found: Mapping[str, str],
        project: Path,
        directories: SessionDirectories,
    ) -> None:
        self._settings = settings
        self._given = given
        self._found = found
        self._project = project
        self._directories = directories
        self._arrived: dict[str, Entry] = {}
        self._compared = ""
        self._gate = SessionGate(Gate(), settings.rounds.max, ())
        self.document: Document | None = None
        self.saved: Path | None = None
        self.written: list[File] = []
        self.unwritten: list[str] = []

    def open(self, measuring: Sequence[str]) -> None:
        """Find the baseline and try the files, before anything is measured by items of these ids. Raises UsageError."""
        settings = self._settings
        found: Document | None = None
        if settings.compare:
            place = self._place("compare" if "compare" in self._given else "compare-fail")
            wanted = "" if settings.compare == Settings.compare.bare else settings.compare
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
                else printable(f"compared with {path}")
            )
        is_alike = found is None or found.machine.key == machine().key
        if not is_alike:
            self._compared += ", of another machine: only ratios, bytes and counts"
        nothing = self._document(())
        self._directories.make(self._directories.runs)
        with noting(self._directories.cache):
            journal.begin(self._directories.folder, nothing)
        gate = Gate(settings.compare_fail, found, is_alike, settings.strict)
        self._gate = SessionGate(gate, settings.rounds.max, measuring)
        self._check_files(nothing)

    @property
    def arrived(self) -> Mapping[str, Entry]:
        """What came with reports, by file."""
        return self._arrived

    def take(self, nodeid: str, entries: Iterable[Entry], ceilings: Sequence[Ceiling]) -> list[Finding]:
        """Take in what came with an item's report; return what fails of all that can be judged now."""
        new = {entry.file: entry for entry in entries if entry.file not in self._arrived}
        self._arrived |= new
        return self._gate.take(nodeid, new.values(), ceilings)

    def finish(self, records: tuple[Record, ...], *, is_whole: bool) -> list[Finding]:
        """Write all of it; return what fails that no report has told. Only a session that ran to its end is saved."""
        failing = self._gate.finish(records) if is_whole else []
        made = self.document = self._document(records)
        self._write_files(made)
        if is_whole and records and (self._settings.save or self._settings.autosave):
            self._save(made)
        return failing

    def items_of(self, findings: Iterable[Finding]) -> set[str]:
        """Return the ids of all items that measured the cases of `findings`, or their references."""
        return self._gate.items_of(findings)

    @property
    def failing(self) -> list[Finding]:
        """All findings that fail the session."""
        return [finding for finding in self._gate.findings if self._gate.gate.fails(finding)]

    @property
    def improved(self) -> list[Finding]:
        """All findings that became better than their threshold."""
        return [finding for finding in self._gate.findings if finding.verdict == "improved"]

    def text(self, view: View) -> str:
        """Return the tables, and what came of the comparison; of a quiet session only what did not go well."""
        if self.document is None or not self.document.records:
            return ""
        findings, gate, records = self._gate.findings, self._gate.gate, self.document.records
        told = terminal.verdicts(findings, view)
        if self._settings.quiet:
            is_well = all(finding.verdict == "ok" for finding in findings)
            parts = ["\n".join(failures(records)), self._compared, "" if is_well else told]
        else:
            then = () if gate.baseline is None else gate.baseline.records
            changes = comparison.table(then, records, is_alike=gate.is_alike, width=view.width)
            parts = [terminal.summary(self.document, findings, view), self._compared, changes, told]
        return "\n\n".join(part for part in parts if part)

    def notes(self, others: Sequence[str]) -> list[str]:
        """Return where the records are now, and `others` before; nothing of a session without records."""
        if self.document is None or not self.document.records:
            return []
        saved = [] if self.saved is None else [f"baseline saved as {self.saved}"]
        names = {"json": "records"}
        return [
            *others,
            *saved,
            *(f"{names.get(file.format, file.format)} written to {file.path}" for file in self.written),
        ]

    def markdown(self) -> str:
        """Return the report for the summary of a job; nothing of a session without records."""
        if self.document is None or not self.document.records:
            return ""
        return FORMATS["markdown"](self.document, self._gate.findings, self._settings.view)

    def _save(self, made: Document) -> None:
        try:
            name = self._settings.save or baseline.default_name(made)
            self.saved = baseline.save(self._settings.storage, made, name)
        except OSError as error:
            self.unwritten.append(f"{error.filename}: {error.strerror}; name another folder by --edge-storage")

    def _document(self, records: Sequence[Record]) -> Document:
        texts = {name: option.default for name, option in OPTIONS.items()}
        texts |= {name: printable(given.text) for name, given in self._given.items()}
        return document(records, {**texts, **self._found}, self._project)

    def _check_files(self, nothing: Document) -> None:
        """Raise UsageError for a file that could not be written later."""
        for file in self._settings.files:
            try:
                files.check(file, nothing)
            except (Refusal, OSError) as error:
                raise UsageError(self._sentence(file, error)) from None

    def _write_files(self, made: Document) -> None:
        for file in self._settings.files:
            try:
                files.write(file, made, self._gate.findings, self._settings.view)
                self.written.append(file)
            except (Refusal, OSError) as error:
                self.unwritten.append(self._sentence(file, error))

    def _sentence(self, file: File, error: Refusal | OSError) -> str:
        place = self._place(file.option)
        asked = f"{file.format}:{file.path}" if file.option == "export" else str(file.path)
        if isinstance(error, Refusal):
            return f"{place}={asked}: {error.spelled(spell)}"
        runs = self._directories.runs
        return f"{place}={asked}: {error.strerror}; name a file elsewhere, each measurement is also in {runs}"

    def _place(self, option: str) -> str:
        return source(option, self._given)
