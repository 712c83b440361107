"""The results of a session of programs: report files, a baseline, the comparison with one, and the text to show."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from pytest_edgeload.base.errors import Refusal, Setting, Unsupported, UsageError
from pytest_edgeload.cli import arguments, terminal
from pytest_edgeload.report import files, session
from pytest_edgeload.report.view import View
from pytest_edgeload.results import baseline, comparison
from pytest_edgeload.results.comparison import NEWEST, BaselineComparison
from pytest_edgeload.results.document import Document, machine
from pytest_edgeload.results.finding import Judgement
from pytest_edgeload.results.gate import Gate


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments about files, baselines, the gate and the tables."""
    add = parser.add_argument
    add_export(parser)
    save = "save the records as a baseline with this name"
    add("--save", type=arguments.baseline_name, metavar="NAME", help=save)
    compare = "compare with a baseline, given by number, name or file; without a value, with the newest"
    add("--compare", nargs="?", const=NEWEST, metavar="BASELINE", help=compare)
    fail = "fail if a figure is worse than in the baseline by more than this: makespan:10%%, peak:64M; may be repeated"
    add("--compare-fail", type=arguments.thresholds, action="extend", default=[], metavar="EXPR", help=fail)
    strict = "also fail if a command cannot be judged, is new or is missing, or if a threshold judges nothing"
    add("--strict", action="store_true", help=strict)
    arguments.add_storage(parser)
    arguments.add_layout(parser)


def add_export(parser: argparse.ArgumentParser) -> None:
    """Add the argument about report files."""
    export = "also write a report to this file, in any format of edgeload report; repeat for more files"
    parser.add_argument(
        "--export", type=arguments.export, action="append", default=[], metavar="FORMAT=FILE", help=export
    )


@dataclass(frozen=True, slots=True)
class Outputs:
    """The files to write, the name of the baseline to save, and the comparison with an earlier one."""

    exports: tuple[tuple[str, Path], ...]
    save: str | None
    storage: Path
    comparison: BaselineComparison
    view: View

    @classmethod
    def of(cls, args: argparse.Namespace) -> Outputs:
        """Return the outputs that the arguments name. Raises UsageError."""
        view = View(args.columns, args.sort, args.group_by)
        return cls(_exports(args), args.save, args.storage, _comparison(args), view)

    @classmethod
    def of_exports(cls, args: argparse.Namespace) -> Outputs:
        """Return the outputs of a subcommand that only writes report files, by its figure. Raises UsageError."""
        view = View(sort="" if args.by is None else str(args.by))
        return cls(_exports(args), None, Path(), BaselineComparison(Gate()), view)

    def check(self, empty: Document) -> None:
        """Try the files, with a document without records. Raises Refusal."""
        for kind, path in self.exports:
            with _about(kind, path):
                files.check(kind, path, empty)
        if self.save is not None:
            with self._saving(self.save):
                baseline.check(self.storage)

    def judge(self, document: Document) -> Judgement:
        """Return the judgement of the gate on a whole session."""
        return self.comparison.gate.judge_all(document.records)

    def has_failed(self, judgement: Judgement) -> bool:
        """Return whether the gate fails."""
        gate = self.comparison.gate
        return any(map(gate.fails, judgement.findings)) or (gate.is_strict and bool(judgement.idle))

    def text(self, document: Document, judgement: Judgement) -> str:
        """Return the tables and verdicts for standard output."""
        view = replace(self.view, width=terminal.width(), colour=terminal.has_colour())
        return session.text(document, judgement, self.comparison, view, is_quiet=False)

    def write(self, document: Document, judgement: Judgement, *, is_whole: bool) -> str:
        """Write the files, and the baseline of a whole session; return lines about them. Raises Unsupported."""
        for kind, path in self.exports:
            with _about(kind, path):
                files.write(kind, path, document, judgement, self.view)
        saved = None
        if is_whole and self.save is not None:
            with self._saving(self.save):
                saved = baseline.save(self.storage, document, self.save)
        return "\n".join(files.written(saved, self.exports))

    @contextmanager
    def _saving(self, name: str) -> Iterator[None]:
        """Turn an OSError in this context into an error about the folder of baselines."""
        try:
            yield
        except OSError as error:
            reason, hint = f"{self.storage}: {error.strerror}", ("choose another ", Setting("storage"))
            raise Unsupported(Setting("save", name), reason, hint) from error


@contextmanager
def _about(kind: str, path: Path) -> Iterator[None]:
    """Turn an error in this context into one about the report in this file."""
    subject = Setting("export", f"{kind}={path}")
    try:
        yield
    except Refusal as error:
        raise error.within(subject) from error
    except OSError as error:
        raise Unsupported(subject, error.strerror or "cannot be written", "name a file elsewhere") from error


def _exports(args: argparse.Namespace) -> tuple[tuple[str, Path], ...]:
    """Return the report files that the arguments name, by format. Raises UsageError."""
    paths = [path for _, path in args.export]
    for kind, path in args.export:
        if paths.count(path) > 1:
            reason = "two reports would be written to this file"
            raise UsageError(Setting("export", f"{kind}={path}"), reason, "name another file")
    return tuple(args.export)


def _comparison(args: argparse.Namespace) -> BaselineComparison:
    """Return the comparison that the arguments ask for. Raises UsageError."""
    if args.strict and not args.compare_fail:
        hint = ("add one, such as ", Setting("compare-fail", "makespan:10%"))
        raise UsageError(Setting("strict"), "without a threshold nothing is judged", hint)
    if args.compare is None and not args.compare_fail:
        return BaselineComparison(Gate())
    try:
        return comparison.find(
            args.storage, args.compare or NEWEST, args.compare_fail, machine(), is_strict=args.strict
        )
    except UsageError as error:
        raise error.within(Setting("compare")) from None
