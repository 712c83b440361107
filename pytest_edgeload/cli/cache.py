"""`edgeload cache`: the stored networks with their sizes and last uses, and the removal of old ones."""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence

from pytest_edgeload.base.errors import UsageError
from pytest_edgeload.base.units import format_size
from pytest_edgeload.cli import arguments
from pytest_edgeload.cli.subcommand import CommandResult, Subcommand
from pytest_edgeload.measuring.directories import living_sessions
from pytest_edgeload.measuring.speeds.store import stored_files
from pytest_edgeload.networks.usage import StoredFolder, beyond, remove, stored_folders, unused_since
from pytest_edgeload.report.stored import age, table


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--prune-unused", type=arguments.duration, metavar="TIME",
        help="remove the networks that were not used for this time, such as 30d or 12h")  # fmt: skip
    parser.add_argument("--prune-to", type=arguments.size_or_zero, metavar="SIZE",
        help="remove those that were used longest ago until the rest has at most this size; 0 removes all")  # fmt: skip
    arguments.add_cache(parser)


def _run(args: argparse.Namespace) -> CommandResult:
    root = args.cache_dir or arguments.cache()
    now_s = time.time()
    stored = stored_folders(root)
    if args.prune_unused is None and args.prune_to is None:
        speeds = [f"speeds of {file.stem}: {age(now_s - file.stat().st_mtime)}" for file in stored_files(root)]
        return CommandResult("\n".join([table(stored, root, now_s), *([""] if speeds else []), *speeds]))
    if running := living_sessions(root):
        hint = "prune when it has ended"
        raise UsageError(str(running[0]), "this session still runs, and may read what would be removed", hint)
    old = [] if args.prune_unused is None else unused_since(stored, now_s - args.prune_unused)
    rest = [one for one in stored if one not in old]
    removed = [*old, *([] if args.prune_to is None else beyond(rest, args.prune_to))]
    remove(root, removed)
    kept = [one for one in stored if one not in removed]
    return CommandResult(f"removed {_words(removed)}; {_words(kept)} left in {root}")


def _words(stored: Sequence[StoredFolder]) -> str:
    """Return `2 networks (30.1M)`."""
    plural = "" if len(stored) == 1 else "s"
    return f"{len(stored)} network{plural} ({format_size(sum(one.size_bytes for one in stored))})"


SUBCOMMAND = Subcommand(
    "list the stored networks, and remove old ones",
    "A network is stored once, and again when its code, its checkpoint or PyTorch changes. A removed one is made again "
    "when it is needed.",
    _add_arguments,
    _run,
)
