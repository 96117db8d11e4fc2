"""
The command line: parses, calls, prints; one place turns our errors into one line and an exit status.
"""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from checkpoint.errors import CheckpointError, UsageError

if TYPE_CHECKING:
    from checkpoint._tools.history import CallHistory

# Exit statuses, as in the documentation of signals and messages.
_FAILED = 1
_NOT_FOUND = 3

_MARKS = {"completed": "done", "failed": "failed", "interrupted": "cut short", "started": "not ended"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit status."""
    options = _parser().parse_args(arguments)
    try:
        return int(options.run(options))
    except UsageError as error:
        print(f"checkpoint: {error}", file=sys.stderr)
        return _NOT_FOUND
    except CheckpointError as error:
        print(f"checkpoint: {error}", file=sys.stderr)
        return _FAILED
    except BrokenPipeError:
        # The reader, `head` say, has enough; Python would complain again when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _FAILED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="checkpoint", description="Look at the runs that checkpoint keeps.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    ls = commands.add_parser("ls", help="list the runs, newest first")
    show = commands.add_parser("show", help="show the steps of a run")
    path = commands.add_parser("path", help="print the directory of a run, or of all runs")
    demo = commands.add_parser("demo", help="see a run interrupted, killed and continued, in a few seconds")
    meaning = "a workflow's name (its newest run), a run's id, or the end of one"
    show.add_argument("name", metavar="RUN", help=meaning)
    path.add_argument("name", metavar="RUN", nargs="?", help=meaning)
    for command in (ls, show, path):
        command.add_argument("--store", metavar="DIR", help="where the runs are kept; by default the user's own")
    for command, run in ((ls, _ls), (show, _show), (path, _path), (demo, _demo)):
        command.set_defaults(run=run)
    return parser


def _ls(options: argparse.Namespace) -> int:
    from checkpoint.stores import open_store

    rows = [(run.workflow, run.id, run.status, run.at or "", run.key or "") for run in open_store(options.store).runs()]
    table = [("NAME", "RUN", "STATE", "LAST", "KEY"), *rows]
    widths = [max(len(row[column]) for row in table) for column in range(5)]
    for row in table:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    return 0


def _show(options: argparse.Namespace) -> int:
    from checkpoint._tools.history import find_run, read_history
    from checkpoint.stores import open_store

    store = open_store(options.store)
    history = read_history(store, find_run(store, options.name))
    run = history.summary
    print(f"{run.workflow}: run {run.id}, {run.status}" + (f", key {run.key}" if run.key else ""))
    print(f"begun with: {shlex.join(history.command)}; worked on by {history.sessions} session(s)")
    for call in history.calls:
        print(_row(call))
    return 0


def _row(call: CallHistory) -> str:
    time = "" if call.seconds is None else f"{call.seconds:.1f}s"
    tries = f"  {call.attempts} tries" if call.attempts > 1 else ""
    return f"{'  ' * (call.depth + 1)}{_MARKS[call.status]:<10} {call.call}  {time}{tries}".rstrip()


def _path(options: argparse.Namespace) -> int:
    from checkpoint._tools.history import find_run
    from checkpoint.stores import open_store

    store = open_store(options.store)
    if options.name is None:
        print(store.location())
    else:
        run = find_run(store, options.name)
        print(store.location(run.workflow, run.id))
    return 0


def _demo(options: argparse.Namespace) -> int:
    from checkpoint._tools import demo

    return demo.main()
