"""`edgeload store`: networks as files that can be copied to another machine, and what such files contain."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from pytest_edgeload.base import files
from pytest_edgeload.base.errors import UsageError
from pytest_edgeload.base.units import format_size
from pytest_edgeload.cli import arguments, terminal
from pytest_edgeload.cli.project import Project, registered
from pytest_edgeload.cli.subcommand import CommandResult, Subcommand
from pytest_edgeload.networks.compressed import PLAIN, STORES, StoreForm, weights_share
from pytest_edgeload.networks.edgenet import SUFFIX, is_edgenet
from pytest_edgeload.networks.edgenet_writer import check_output, write_edgenet
from pytest_edgeload.networks.folder import verify_network
from pytest_edgeload.networks.layer import Network
from pytest_edgeload.networks.registry import Registry
from pytest_edgeload.networks.store import Store
from pytest_edgeload.report.stored import table_of_files


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("networks", metavar="NETWORK", nargs="+",
        help=f"a registered network, module:function, or a .pt2 file; with --show an {SUFFIX} file")  # fmt: skip
    add("-o", "--output", default=".", metavar="PATH",
        help=f"file to write, or a folder for NAME{SUFFIX}, such as models/ (default: the current folder)")  # fmt: skip
    add("--store", choices=STORES, default=PLAIN, help=f"form of the weights in the files (default: {PLAIN})")
    add("--force", action="store_true", help="replace files that exist already")
    add("--show", action="store_true", help="compare files with their digests, and list what they contain")
    arguments.add_cache(parser)


def _run(args: argparse.Namespace) -> CommandResult:
    if args.show:
        return CommandResult(table_of_files([_listed(name) for name in args.networks]))
    registry = Project(Path.cwd()).registry(Store(args.cache_dir or arguments.cache()))
    outputs = _outputs([registered(word, registry) for word in args.networks], args.output)
    for output in outputs.values():
        check_output(output, is_replaced=args.force)
    return CommandResult("\n".join(_store(name, output, args.store, registry) for name, output in outputs.items()))


def _listed(name: str) -> tuple[str, Network, float | None]:
    """Return a verified file as a row of the table. Raises DamagedNetwork."""
    path = _edgenet(name)
    return name, verify_network(path), weights_share(path)


def _edgenet(name: str) -> Path:
    if not name.endswith(SUFFIX):
        raise UsageError(name, f"not an {SUFFIX} file", "name a file that edgeload store has written")
    return Path(name)


def _outputs(names: Sequence[str], output: str) -> Mapping[str, Path]:
    """Return the file for each network; a folder that does not exist is created.

    Raises UsageError if several networks would become one file, or if the folder cannot be created.
    """
    path = Path(output)
    if not (output.endswith("/") or os.path.isdir(path)):  # noqa: PTH112  # it never raises
        if len(set(names)) == 1:
            return {names[0]: path}
        if is_edgenet(path):
            raise UsageError(output, "each network is a file of its own", "name a folder, such as models/")
    try:
        files.make_folder(path)
    except OSError as error:
        raise UsageError(output, error.strerror or "cannot be created", "name another folder") from error
    return {name: path / f"{name}{SUFFIX}" for name in names}


def _store(name: str, output: Path, form: StoreForm, registry: Registry) -> str:
    """Write one network to a file, and return a sentence about it."""
    stored, _ = registry.get(name, terminal.show_making)

    def show(done: int, total: int) -> None:
        terminal.show(f"edgeload: writing {output}: {done / total:.0%}")

    write_edgenet(output, stored, show, form)
    size = format_size(output.stat().st_size)
    share = weights_share(output)
    saved = "" if share is None else f", weights at {share:.0%} of their size"
    return f"stored {name} in {output} ({size}{saved})"


SUBCOMMAND = Subcommand(
    "store networks as files, for another machine or for the runtime",
    f"An {SUFFIX} file contains the layers, weights and samples of one network, and no code. It can be registered like "
    "a .pt2 file.",
    _add_arguments,
    _run,
)
