"""The results of a session: its measurements, the verdicts of the gate, the report files and the baseline."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from pytest_edgeload.base.errors import Refusal, Setting, UsageError
from pytest_edgeload.base.files import noting
from pytest_edgeload.base.text import printable
from pytest_edgeload.peers import versions
from pytest_edgeload.plugin import files
from pytest_edgeload.plugin.comparison import find
from pytest_edgeload.plugin.gating import SessionGate
from pytest_edgeload.plugin.options import source, spell
from pytest_edgeload.plugin.settings import OPTIONS, File
from pytest_edgeload.plugin.setup import Setup
from pytest_edgeload.report import FORMATS, github, session
from pytest_edgeload.report import files as report_files
from pytest_edgeload.report.view import View
from pytest_edgeload.results import baseline, journal
from pytest_edgeload.results.case import Case
from pytest_edgeload.results.comparison import BaselineComparison
from pytest_edgeload.results.document import Document, Machine, document, machine
from pytest_edgeload.results.finding import Finding, Judgement
from pytest_edgeload.results.gate import Gate
from pytest_edgeload.results.merge import common_machine
from pytest_edgeload.results.record import Entry, Record
from pytest_edgeload.results.threshold import Ceiling


class Results:
    """The results of a session, for its owner. Knows no hook.

    Each measurement is on disk already, in the session's folder, so the files are written when the session ends,
    however it ends. `project` is pytest's rootdir, and `command` the command line of the session.
    """

    def __init__(self, setup: Setup, project: Path, command: str) -> None:
        self._setup = setup
        self._project = project
        self._command = command
        self._comparison = BaselineComparison()
        self._gate = SessionGate(Gate(is_strict=setup.settings.strict), setup.rounds.max, ())
        self._arrived: dict[str, Entry] = {}
        self._document: Document | None = None
        self._baseline: Path | None = None
        self._written: list[File] = []
        self.unwritten: list[str] = []
        self.not_kept: set[str] = set()
        """The hosts with measurements that could not be written here."""
        self.machines: Mapping[str, Machine] = {}
        self.is_shared = False
        self.judgement = Judgement()

    def open(self, measuring: Sequence[str]) -> None:
        """Find the baseline and try the files. `measuring` are the ids of the items that will measure.

        Raises UsageError.
        """
        setup = self._setup
        self._comparison = find(setup.settings, setup.given, self._machine, {} if self.is_shared else self.machines)
        empty = self._make_document(())
        setup.directories.make(setup.directories.runs)
        with noting(setup.directories.cache):
            journal.begin(setup.directories.folder, empty)
        self._gate = SessionGate(self._comparison.gate, setup.rounds.max, measuring)
        for file in setup.settings.files:
            try:
                report_files.check(file.format, file.path, empty)
            except (Refusal, OSError) as error:
                raise files.refusal(file, error, setup.given) from None
        if setup.settings.save or setup.settings.autosave:
            try:
                baseline.check(setup.settings.storage)
            except OSError as error:
                raise self._unsaved(error) from None

    def expect(self, measuring: Iterable[str]) -> None:
        """Expect further items with these ids."""
        self._gate.expect(measuring)

    def bring_home(self, entry: Entry) -> Entry:
        """Return an entry of a host with a file of this machine, and write it there if possible."""
        entry = journal.brought_home(self._setup.directories.runs, entry)
        if entry.file not in self._arrived:
            try:
                journal.write(entry)
            except OSError:  # without its file, the entry is in the reports all the same
                self.not_kept.add(entry.measurement.host)
        return entry

    @property
    def _machine(self) -> Machine:
        """The machine that measures; of several hosts, all that they have in common."""
        return common_machine([*self.machines.values()]) if self.machines else machine()

    @property
    def arrived(self) -> Mapping[str, Entry]:
        """The entries that came with reports, by file."""
        return self._arrived

    def take(self, nodeid: str, entries: Iterable[Entry], ceilings: Sequence[Ceiling]) -> list[Finding]:
        """Take the entries of an item's report. Return the findings that fail, of all cases that are complete now."""
        return self._gate.take(nodeid, self._new(entries), ceilings)

    def note(self, nodeid: str, entries: Iterable[Entry], ceilings: Sequence[Ceiling]) -> None:
        """Take the entries of the report of an attempt that does not count, because the test runs again."""
        self._gate.note(nodeid, self._new(entries), ceilings)

    def _new(self, entries: Iterable[Entry]) -> Collection[Entry]:
        new = {entry.file: entry for entry in entries if entry.file not in self._arrived}
        self._arrived |= new
        return new.values()

    def finish(self, records: tuple[Record, ...], *, is_whole: bool) -> list[Finding]:
        """Write the files. Return the findings that fail but are in no report.

        Only a whole session, which ran to its end, is judged and saved.
        """
        settings = self._setup.settings
        failing = self._gate.finish(records) if is_whole else []
        self.judgement = self._judgement(is_whole=is_whole)
        made = self._document = self._make_document(records)
        for file in settings.files:
            try:
                report_files.write(file.format, file.path, made, self.judgement, settings.report_view)
                self._written.append(file)
            except (Refusal, OSError) as error:
                runs = self._setup.directories.runs
                self.unwritten.append(str(files.refusal(file, error, self._setup.given, runs).spelled(spell)))
        if is_whole and records and (settings.save or settings.autosave):
            self._save(made)
        return failing

    def items_of(self, findings: Iterable[Finding]) -> set[str]:
        """Return the ids of all items that measured the cases of `findings`, or their references."""
        return self._gate.items_of(findings)

    @property
    def failing(self) -> list[Finding]:
        """All findings that fail the session."""
        return [finding for finding in self._gate.findings if self._gate.gate.fails(finding)]

    def text(self, view: View) -> str:
        """Return the tables and verdicts for the terminal, and the thresholds by which nothing was judged."""
        if self._document is None or not self._document.records:
            return "\n".join(self.judgement.idle)
        quiet = self._setup.settings.quiet
        return session.text(self._document, self.judgement, self._comparison, view, is_quiet=quiet)

    def notes(self, first: Sequence[str]) -> list[str]:
        """Return `first`, and a line for each file that was written; empty for a session without records."""
        if self._document is None or not self._document.records:
            return []
        return [*first, *report_files.written(self._baseline, [(file.format, file.path) for file in self._written])]

    def markdown(self) -> str:
        """Return the report for the summary of a job; empty for a session without records and idle thresholds."""
        if self._document is None or not (self._document.records or self.judgement.idle):
            return ""
        return FORMATS["markdown"](self._document, self.judgement, self._setup.settings.report_view)

    def annotations(self, source_of: Callable[[Case], github.SourceLine]) -> list[str]:
        """Return the commands for a job of GitHub Actions."""
        return github.commands(self.judgement, self._gate.gate, source_of)

    def skip_gate(self) -> None:
        """Note that no test measured, so that nothing was judged."""
        thresholds = self._setup.settings.compare_fail
        idle = (f"threshold {threshold.text} judged nothing: no test measures" for threshold in thresholds)
        self.judgement = Judgement(idle=tuple(idle))

    def _judgement(self, *, is_whole: bool) -> Judgement:
        """Return the judgement of the gate, and if strict, a sentence on a missing threshold.

        Thresholds are idle only in a whole session: in another one, their tests may not have run.
        """
        judgement = self._gate.judgement
        if not is_whole:
            return replace(judgement, idle=())
        if self._setup.settings.strict and not self._gate.has_limits:
            sentence = f"{spell(Setting('strict'))} judged nothing: no threshold is given, and no test has one"
            return replace(judgement, idle=(sentence,))
        return judgement

    def _save(self, made: Document) -> None:
        settings = self._setup.settings
        try:
            name = settings.save or baseline.default_name(made)
            self._baseline = baseline.save(settings.storage, made, name)
        except OSError as error:
            self.unwritten.append(str(self._unsaved(error).spelled(spell)))

    def _unsaved(self, error: OSError) -> UsageError:
        subject = f"{source('storage', self._setup.given)}={self._setup.settings.storage}"
        return UsageError(subject, error.strerror or "cannot be written", "name another folder")

    def _make_document(self, records: Sequence[Record]) -> Document:
        setup = self._setup
        texts = {name: option.default for name, option in OPTIONS.items()}
        texts |= {name: printable(given.text) for name, given in setup.given.items()}
        texts |= {"seed": str(setup.seed), "user": setup.user.name}
        used = versions(r.case.policy for r in records)
        return document(records, texts, self._project, self._command, used, self._machine, self.machines)
