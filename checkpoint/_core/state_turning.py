"""
Turning a state from one known tree into another by editing only what differs: what undoing a small change costs.

Both trees are walked together; what they share is neither read nor written.  This module must never guess: where
value and tree do not correspond it says so, and what may sit in a second place of the state is to be checked.
"""

from __future__ import annotations

from itertools import compress
from operator import is_not
from sys import getrefcount
from typing import Any, cast

from checkpoint._core.changes import equal, shared_ends
from checkpoint._core.records import Tree
from checkpoint._core.state_families import TypedDictPlan
from checkpoint._core.state_maps import MapPlan
from checkpoint._core.state_objects import ObjectPlan
from checkpoint._core.state_plan import META, Plan, Reading, tag_of
from checkpoint._core.state_proof import prove_lasting
from checkpoint._core.state_sequences import SequencePlan


class DoubtError(Exception):
    """Value and tree do not correspond; what was not turned yet is as it was."""


class Turning:
    """
    One walk.

    Attributes:
        is_sure: Whether nothing that was edited can be in a second place, where it would have changed, too.
    """

    def __init__(self, reading: Reading) -> None:
        self.is_sure = True
        self._reading = reading
        # Measured every time: a tracing debugger holds one reference more.
        holder = [[None]]
        self._alone = self._count(None, holder[0], None, None)

    def turn_root(self, plan: Plan, value: object, was: Tree, tree: Tree) -> None:
        """
        Make `value`, which is written as `was`, what `tree` says.

        Raises:
            DoubtError: That cannot be done in place.
            BadTree: The tree does not fit the plan.
        """
        if was is not tree and not self._edit(plan, value, was, tree):
            raise DoubtError

    def _count(self, plan: object, value: object, was: object, tree: object) -> int:
        # Of the same form as `_turn`, so that the caller's references are the same.
        return getrefcount(value)

    def _turn(self, plan: Plan, value: object, was: Tree, tree: Tree) -> object:
        """Return what `tree` says: `value` itself where it can be edited."""
        if was is tree or equal(was, tree):
            return value
        is_lasting = prove_lasting((value,)) is not None
        if getrefcount(value) > self._alone and not is_lasting:
            self.is_sure = False
        if self._edit(plan.pick(value, tree), value, was, tree):
            return value
        if not is_lasting:
            # Restoring may edit anything inside.
            self.is_sure = False
        found = plan.restore(value, tree, self._reading)
        if not plan.encodes_to(found, tree):
            raise DoubtError
        return found

    def _edit(self, plan: Plan, value: object, was: Tree, tree: Tree) -> bool:
        """Edit `value` in place, or return False without having touched it."""
        if type(value) is not plan.kind:
            return False
        if type(plan) is SequencePlan and type(value) is list and type(was) is list and type(tree) is list:
            return self._edit_list(plan, cast("list[object]", value), was, tree)
        if type(was) is not dict or type(tree) is not dict or tag_of(was) is not None or tag_of(tree) is not None:
            return False
        if isinstance(plan, ObjectPlan):
            return self._edit_object(plan, value, was, tree)
        if type(value) is dict and (isinstance(plan, TypedDictPlan) or (type(plan) is MapPlan and plan.has_plain_keys)):
            return self._edit_dict(plan, cast("dict[str, object]", value), was, tree)
        return False

    def _edit_list(self, plan: SequencePlan, value: list[object], was: list[Tree], tree: list[Tree]) -> bool:
        if len(value) != len(was):
            raise DoubtError
        start, end = shared_ends(was, tree)
        old, new = len(was) - end, len(tree) - end
        if old - start == new - start == 1:
            entry = self._turn(plan.element, value[start], was[start], tree[start])
            if entry is not value[start]:
                value[start] = entry
        elif start == new:
            del value[start:old]
        elif start == old:
            value[start:start] = [plan.element.decode(part, self._reading) for part in tree[start:new]]
        else:
            # Entries may have moved: finding out is what restoring the whole list does.
            return False
        return True

    def _edit_dict(
        self, plan: MapPlan | TypedDictPlan, value: dict[str, object], was: dict[str, Tree], tree: dict[str, Tree]
    ) -> bool:
        if len(value) != len(was):
            raise DoubtError
        names, sought = [*was], [*tree]
        staying = sought[: len(names)]
        if names[: len(staying)] == staying:
            self._turn_entries(plan, value, was, tree, _differing(was, tree, staying))
            removed, added = names[len(staying) :], sought[len(names) :]
        else:
            both = [name for name in sought if name in was]
            self._turn_entries(plan, value, was, tree, [name for name in both if was[name] is not tree[name]])
            removed, added = names, sought
        if not all(map(value.__contains__, removed)):
            raise DoubtError
        entries = {name: value.pop(name) for name in removed}
        for name in added:
            value[name] = entries[name] if name in entries else _plan_of(plan, name).decode(tree[name], self._reading)
        return True

    def _turn_entries(
        self,
        plan: MapPlan | TypedDictPlan,
        value: dict[str, object],
        was: dict[str, Tree],
        tree: dict[str, Tree],
        names: list[str],
    ) -> None:
        for name in names:
            if name not in value:
                raise DoubtError
            part = self._turn(_plan_of(plan, name), value[name], was[name], tree[name])
            if part is not value[name]:
                value[name] = part

    def _edit_object(self, plan: ObjectPlan, value: Any, was: dict[str, Tree], tree: dict[str, Tree]) -> bool:
        if not plan.is_simple or [*was] != [*tree]:
            return False
        names = _differing(was, tree, [*tree])
        if any(name in META or name not in plan.fields for name in names):
            return False
        for name in names:
            if not hasattr(value, name):
                raise DoubtError
            part = self._turn(plan.fields[name][1], getattr(value, name), was[name], tree[name])
            if part is not getattr(value, name):
                plan.put(value, name, part)
        return True


def _plan_of(plan: MapPlan | TypedDictPlan, name: str) -> Plan:
    found = plan.plan_of(name)
    if found is None:
        raise DoubtError
    return found


def _differing(was: dict[str, Tree], tree: dict[str, Tree], names: list[str]) -> list[str]:
    """Return which of the first names, the same in both, have trees that are not one object."""
    return [*compress(names, map(is_not, was.values(), tree.values()))]
