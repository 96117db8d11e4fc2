"""
What a journal says: which calls are kept, how often the others were tried, what the state is.

Pure: works on the verified lines of a journal.  Lines are indexed by their first bytes and parsed only when
their step is reached, so that a run of 100,000 steps opens at once.
"""

from __future__ import annotations

import json
import re
from collections.abc import Set
from dataclasses import dataclass, field
from typing import Any

from checkpoint._core import changes
from checkpoint._core.records import RUN_KEY, Tree
from checkpoint._core.stretches import Contained

# A line opens with these bytes, then the key; `","kind":"` follows the key.
_OPENING = b'{"key":"'
_KEY_AT = len(_OPENING)
_TO_KIND = len(b'","kind":"')

# Only what stands right after the record's number is the record's own: the same words deeper inside a line
# belong to some value of the user's.
_NUMBER = b'","n":'
_STRETCHES = b',"stretches":["'
_WHOLE_STATE = re.compile(
    rb'\{"key":"[^"]*","kind":"[a-z]+","n":\d+(?:,"stretches":\[[^\]]*\])?(?:,"partial":\[[^\]]*\])?,"state":\{"whole":'
)

_SAVES = re.compile(rb'\{"key":"[^"]*","kind":"[a-z]+","n":\d+,"(?:stretches|partial|state)":')


@dataclass(frozen=True, slots=True)
class SavedState:
    """
    The state as the journal has it.

    Attributes:
        tree: As last saved.
        base: What it was when the stretch began that the last save caught in the middle; else the same.
        partial: Names of the stretches caught in the middle.
        half: By name, stretches caught in the middle on top of which other changes came since, so that the state
            cannot go back: the fields that they had changed by then, or None for all.
    """

    tree: Tree
    base: Tree
    partial: frozenset[str]
    half: dict[str, frozenset[str] | None] = field(default_factory=dict)


def differing_fields(old: Tree, new: Tree) -> frozenset[str] | None:
    """Return the fields in which two trees of a state differ, or None if a state has no fields."""
    if not isinstance(old, dict) or not isinstance(new, dict):
        return None
    names = old.keys() | new.keys()
    return frozenset(
        name for name in names if name not in old or name not in new or not changes.equal(old[name], new[name])
    )


class Progress:
    """
    An index of a journal's lines.

    Attributes:
        completed: The line of each completed call, by key.
        tries: How often each call that is not completed was started, by key.
        run_records: The records that speak of the run itself, in order.
    """

    def __init__(self, lines: list[bytes]) -> None:
        self._lines = lines
        self.completed: dict[bytes, bytes] = {}
        self.tries: dict[bytes, int] = {}
        self.run_records: list[bytes] = []
        self._index()

    def _index(self) -> None:
        completed, tries = self.completed, self.tries
        run_key = RUN_KEY.encode()
        for line in self._lines:
            end = line.index(b'"', _KEY_AT)
            key = line[_KEY_AT:end]
            kind = line[end + _TO_KIND : end + _TO_KIND + 4]
            if key == run_key:
                self.run_records.append(line)
            elif kind == b"comp":
                completed[key] = line
                tries.pop(key, None)
            elif kind == b"star":
                tries[key] = tries.get(key, 0) + 1

    def contained(self) -> Contained:
        """Return the stretches that the saved state contains."""
        enders: dict[str, str] = {}
        for line in self._lines:
            start = line.find(_STRETCHES)
            # Sliced, not matched: every second line of a long journal comes through here.
            if start < 0 or not line[line.find(_NUMBER) + len(_NUMBER) : start].isdigit():
                continue
            ender = line[_KEY_AT : line.index(b'"', _KEY_AT)].decode("ascii")
            # Split, not parsed as JSON: names are made of letters and digits alone.
            for name in line[start + len(_STRETCHES) : line.index(b'"]', start)].decode("ascii").split('","'):
                enders[name] = ender
        # Equal calls are numbered from 0, so that those with equals are those of which there is a number 1.
        keys = (key for calls in (self.completed, self.tries) for key in calls)
        return Contained(enders, frozenset(key[:-2].decode("ascii") for key in keys if key.endswith(b".1")))

    def changed_fields(self, names: tuple[str, ...]) -> frozenset[str] | None:
        """Return the fields of the state that were changed in these stretches, or None if that is not known."""
        found: set[str] = set()
        quoted = [f'"{name}"'.encode("ascii") for name in names]
        for line in self._lines:
            if not any(name in line for name in quoted):
                continue
            if not _SAVES.match(line):
                continue
            record = json.loads(line)
            change = record.get("state", {})
            if not set(names).isdisjoint(record.get("stretches", ())):
                if "whole" in change or any(not path for _, path, *_ in change.get("changes", ())):
                    return None
                found.update(path[0] for _, path, *_ in change.get("changes", ()))
        return frozenset(found)

    def state(self) -> SavedState:
        """
        Rebuild the state: the last whole copy, then every change after it.

        Raises:
            ValueError: The records do not fit together.
        """
        tree: Tree = None
        base: Tree = None
        partial: frozenset[str] = frozenset()
        half: dict[str, frozenset[str] | None] = {}
        for line in self._lines[self._last_whole() :]:
            if not (b'"state":' in line or b'"partial":' in line or ((partial or half) and b'"stretches":' in line)):
                continue
            if not _SAVES.match(line):
                continue
            record = json.loads(line)
            change = record.get("state", {})
            caught = tree
            if "whole" in change:
                tree = change["whole"]
            elif "changes" in change:
                tree = changes.apply(tree, change["changes"])
            if "partial" in record:
                partial |= frozenset(record["partial"])
            else:
                # What changed the state since cannot be taken back with the partial stretch; what did not, can; and
                # what a failed step had saved of itself has been taken back.
                if change and partial and not changes.equal(base, tree):
                    half.update(dict.fromkeys(partial, differing_fields(base, caught)))
                partial = frozenset() if change else partial.difference(record.get("stretches", ()))
                base = base if partial else tree
                for name in record.get("stretches", ()):
                    half.pop(name, None)
        return SavedState(tree, base, partial, half)

    def _last_whole(self) -> int:
        for position in range(len(self._lines) - 1, -1, -1):
            line = self._lines[position]
            # The search is only a sieve, ten times as quick as the expression that decides.
            if b'"state":{"whole":' in line and _WHOLE_STATE.match(line):
                return position
        raise ValueError("no record holds the state")

    def started(self, keys: Set[bytes]) -> list[dict[str, Any]]:
        """Return the last `started` record of each of these calls."""
        found: dict[bytes, dict[str, Any]] = {}
        for line in self._lines if keys else ():
            end = line.index(b'"', _KEY_AT)
            key = line[_KEY_AT:end]
            if key in keys and line[end + _TO_KIND : end + _TO_KIND + 4] == b"star":
                found[key] = json.loads(line)
        return list(found.values())


class Claims:
    """
    Counts equal calls within one scope, in the order they are made.

    A call that raised gives its number back: to call again is another attempt at the same call, so that a
    loop which tries until it succeeds finds the success again in a rerun.
    """

    __slots__ = ("_freed", "_next")

    def __init__(self) -> None:
        self._next: dict[str, int] = {}
        self._freed: dict[str, list[int]] = {}

    def claim(self, digest: str) -> int:
        """Return the occurrence, from 0, of one more call with this digest."""
        freed = self._freed.get(digest)
        if freed:
            number = min(freed)
            freed.remove(number)
            return number
        number = self._next.get(digest, 0)
        self._next[digest] = number + 1
        return number

    def release(self, digest: str, number: int) -> None:
        """Give back the occurrence of a call that raised."""
        self._freed.setdefault(digest, []).append(number)
