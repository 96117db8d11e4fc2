#!/usr/bin/env python3
"""
Make a git repository to try `align_branches.py` on: several targets, many branches, planned trouble.

The same number of branches and the same seed always give the same commits.  Never writes into a directory
that is not empty.
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from git_plumbing import UserError, clean_environment, find_git

Kind: TypeAlias = Literal["plain", "conflict", "break", "aligned"]
Files: TypeAlias = Mapping[str, str]

# One branch in ten conflicts, one in twenty breaks, one in ten is aligned already; at least one of each.
SHARES: tuple[tuple[Kind, int], ...] = (("conflict", 10), ("break", 20), ("aligned", 10))
TOPICS = ("login", "search", "billing", "export", "report", "cache", "upload", "theme", "audit", "mail", "api")
PEOPLE = ("Ada", "Barbara", "Edsger", "Grace", "Ken", "Margaret")
# The first commit's time, in seconds since 1970; every commit is a minute after the one before.
BEGINNING = 1_700_000_000
MODULES = 8
LIMITS, OWNERS, PIPELINE = "config/limits.toml", "docs/owners.md", "src/pipeline.py"


@dataclass(frozen=True, slots=True)
class PlannedBranch:
    """
    A branch that is going to be made.

    Attributes:
        name: Without `refs/heads/`.
        kind: What is to happen to it: it aligns, conflicts, no longer compiles, or is aligned already.
        target: The target it is based on.
        base: Which of the target's early commits it starts from, from 0.
        commits: How many it has of its own.
        files: The files it conflicts in, or that no longer compile.
    """

    name: str
    kind: Kind
    target: str
    base: int
    commits: int
    files: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Point:
    """A commit that was written: its mark in the stream, and its files."""

    mark: int
    files: Files


class Stream:
    """The text `git fast-import` reads; it is given out whole at the end."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._commits = 0

    def commit(self, branch: str, parent: Point | None, message: str, changed: Files) -> Point:
        """Add a commit on `branch` that changes these files of its parent."""
        self._commits += 1
        person = PEOPLE[self._commits % len(PEOPLE)]
        who = f"{person} <{person.lower()}@example.org> {BEGINNING + 60 * self._commits} +0100"
        head = f"commit refs/heads/{branch}\nmark :{self._commits}\nauthor {who}\ncommitter {who}\n"
        self._parts += [head.encode(), self._data(message + "\n")]
        if parent is not None:
            self._parts.append(f"from :{parent.mark}\n".encode())
        for path, text in sorted(changed.items()):
            self._parts += [f"M 100644 inline {path}\n".encode(), self._data(text)]
        self._parts.append(b"\n")
        return Point(self._commits, {**(parent.files if parent else {}), **changed})

    def text(self) -> bytes:
        """Return all that was added."""
        return b"".join(self._parts) + b"done\n"

    @staticmethod
    def _data(text: str) -> bytes:
        raw = text.encode()
        return b"data %d\n%s\n" % (len(raw), raw)


def plan_branches(number: int, seed: int) -> list[PlannedBranch]:
    """Return the branches to make; nothing but the arguments decides."""
    chance = random.Random(f"{number} branches, seed {seed}")
    troubles: list[Kind] = [kind for kind, share in SHARES for _ in range(max(1, number // share))]
    plain: list[Kind] = ["plain"]
    kinds = troubles[:number] + plain * (number - len(troubles))
    chance.shuffle(kinds)
    planned: list[PlannedBranch] = []
    for index, kind in enumerate(kinds):
        files: tuple[str, ...] = ()
        if kind == "conflict":
            files = chance.choice([(LIMITS,), (LIMITS, OWNERS)])
        elif kind == "break":
            files = (PIPELINE,)
        target = chance.choices(("main", "scientific", "release"), (5, 3, 2))[0]
        name = f"{chance.choice(('feature', 'fix', 'idea'))}/{chance.choice(TOPICS)}-{index:04}"
        planned.append(PlannedBranch(name, kind, target, chance.randrange(3), chance.choice((1, 1, 1, 2, 2, 3)), files))
    return planned


def first_files() -> dict[str, str]:
    """Return the files of the first commit."""
    modules = {
        f"src/module_{number}.py": f'"""Module {number}."""\n\nLIMIT = 10\n\n\ndef scale(value):\n'
        "    return value * LIMIT\n\n\ndef shift(value):\n    return value + LIMIT\n"
        for number in range(MODULES)
    }
    arguments = "".join(f"    stage_{number}={number},\n" for number in range(8))
    return modules | {
        "README.md": "# An example\n",
        LIMITS: "[limits]\nrequests = 100\nseconds = 30\n",
        OWNERS: "# Owners\n\nconfig: Ada\nsource: Ken\n",
        PIPELINE: f'"""The pipeline."""\n\nPIPELINE = dict(\n{arguments})\n',
    }


def write_targets(stream: Stream) -> tuple[dict[str, list[Point]], dict[str, Point]]:
    """Write the targets; return where branches can start, and where each target ends after it has moved on."""
    trunk = [stream.commit("main", None, "Begin", first_files())]
    for number in range(5):
        trunk.append(stream.commit("main", trunk[-1], f"Note {number}", {f"docs/main-{number}.md": f"{number}\n"}))
    early: dict[str, list[Point]] = {}
    # The other targets leave the trunk before the first feature branch does: each branch has one nearest target.
    for target, point in (("scientific", trunk[1]), ("release", trunk[2])):
        early[target] = []
        for number in range(3):
            changed = {f"docs/{target}-{number}.md": f"{number}\n"}
            point = stream.commit(target, point, f"Prepare {target} {number}", changed)
            early[target].append(point)
    early["main"] = trunk[-3:]
    return early, {target: _move_on(stream, target, early[target][-1]) for target in early}


def _move_on(stream: Stream, target: str, point: Point) -> Point:
    """Add what collides with the branches: the lines they change too, and the argument they add too."""
    limit = 200 + len(target)
    changed = {path: text.replace("LIMIT = 10", f"LIMIT = {limit}") for path, text in point.files.items()}
    modules = {path: text for path, text in changed.items() if path.startswith("src/module_")}
    point = stream.commit(target, point, f"Raise the limits of {target}", modules)
    config = {
        LIMITS: point.files[LIMITS].replace("requests = 100", f"requests = {limit}"),
        OWNERS: point.files[OWNERS].replace("config: Ada", f"config: the {target} team"),
    }
    point = stream.commit(target, point, f"Hand over {target}", config)
    deeper = point.files[PIPELINE].replace("dict(\n", "dict(\n    depth=3,\n")
    return stream.commit(target, point, f"Set the depth of {target}", {PIPELINE: deeper})


def write_branch(stream: Stream, planned: PlannedBranch, start: Point, number: int) -> None:
    """Write one branch: trouble first, so that the commits after it have to wait for a human."""
    point = start
    for part in range(planned.commits):
        slug = planned.name.replace("/", "-")
        changed = {f"features/{slug}/part_{part}.py": f'"""Part {part} of {planned.name}."""\n\nNUMBER = {number}\n'}
        module = f"src/module_{(number + part) % MODULES}.py"
        changed[module] = point.files[module] + f"\n\ndef extra_{number}_{part}(value):\n    return value - {number}\n"
        if part == 0 and planned.kind == "conflict":
            texts = {
                LIMITS: point.files[LIMITS].replace("requests = 100", f"requests = {1000 + number}"),
                OWNERS: point.files[OWNERS].replace("config: Ada", f"config: {planned.name}"),
            }
            changed |= {path: texts[path] for path in planned.files}
        if part == 0 and planned.kind == "break":
            changed[PIPELINE] = point.files[PIPELINE].replace("\n)\n", f"\n    depth={number},\n)\n")
        point = stream.commit(planned.name, point, f"Do part {part} of {planned.name}", changed)


def make_repository(path: str, branches: int, *, seed: int = 0, bare: bool = False) -> list[PlannedBranch]:
    """
    Make the repository at `path`, which must not exist or be empty, and return what was planned.

    Raises:
        UserError: The directory is not empty, or git is missing or failed.
    """
    git = find_git()
    if os.path.exists(path) and (not os.path.isdir(path) or os.listdir(path)):
        raise UserError(f"{path!r} is not an empty directory: give the path of a new one")
    stream = Stream()
    early, late = write_targets(stream)
    planned = plan_branches(branches, seed)
    for number, one in enumerate(planned):
        start = late[one.target] if one.kind == "aligned" else early[one.target][one.base]
        write_branch(stream, one, start, number)
    # No template: hooks of the user's have no business here.  The format of ids is given because it can be configured.
    shape = ["--bare"] if bare else []
    _git(git, ["init", "--quiet", "--initial-branch=main", "--object-format=sha1", "--template=", *shape, "--", path])
    _git(git, ["-C", path, "fast-import", "--quiet", "--done"], stream.text())
    if not bare:
        _git(git, ["-C", path, "-c", "core.autocrlf=false", "reset", "--quiet", "--hard"])
    return planned


def _git(git: str, arguments: list[str], feed: bytes = b"") -> None:
    done = subprocess.run([git, *arguments], input=feed, capture_output=True, check=False, env=clean_environment())
    if done.returncode:
        said = done.stderr.decode("utf-8", "replace").strip()
        raise UserError(f"git could not make the repository: {said}")


def main(arguments: list[str] | None = None) -> int:
    """Run the program."""
    parser = argparse.ArgumentParser(description="Make a git repository to try align_branches.py on.")
    parser.add_argument("path", metavar="PATH", help="where; must not exist, or be an empty directory")
    parser.add_argument("--branches", type=int, default=40, metavar="N", help="how many feature branches (default: 40)")
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="another seed makes another repository")
    parser.add_argument("--bare", action="store_true", help="make a bare repository")
    options = parser.parse_args(arguments)
    try:
        planned = make_repository(options.path, options.branches, seed=options.seed, bare=options.bare)
    except UserError as error:
        print(f"make_repository: {error}", file=sys.stderr)
        return 2
    kinds = ", ".join(f"{number} {kind}" for kind, number in sorted(Counter(one.kind for one in planned).items()))
    print(f"Made {options.path} with {len(planned)} branches ({kinds}) on main, scientific and release.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
