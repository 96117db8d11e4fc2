"""
The plan for places without an annotation, where every value says itself what it is.

Single values are written as `tags` writes them; lists, dicts and objects are walked here, so that the state's own
rules hold inside them: objects by their classes' annotations, restoring in place, paths in errors.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol, cast

from checkpoint._core import tags
from checkpoint._core.codec_classes import ClassFinder, class_name
from checkpoint._core.fingerprint_names import lasting_name
from checkpoint._core.records import Tree
from checkpoint._core.state_maps import MAP_TAGS, MapPlan
from checkpoint._core.state_memory import Slot
from checkpoint._core.state_plan import Misfit, Plan, Reading, Refusal, ScalarPlan, tag_leaf, tag_of
from checkpoint._core.state_scalars import is_writable
from checkpoint._core.state_sequences import SEQUENCE_TAGS, SequencePlan
from checkpoint._core.tags_arrays import INLINE_BYTES, is_array, is_scalar
from checkpoint._core.tags_classes import find_member, member_text
from checkpoint._core.tags_leaves import find_leaf, shorten
from checkpoint._core.tags_words import BadTree, NotTree, describe

# Classes whose whole purpose is to keep a value out of files like ours.
_SECRETS = frozenset({"Secret", "SecretStr", "SecretBytes"})

_SCALARS = (type(None), bool, int, float, str)


class ObjectPlan(Protocol):
    """What this module needs of the plan of a class with fields."""

    def plain(self, value: object) -> dict[str, Tree]: ...
    def decode(self, tree: Tree, reading: Reading) -> object: ...
    def restore(self, value: object, tree: Tree, reading: Reading) -> object: ...


class UntypedPlan(Plan):
    """
    Plan of `Any` and of missing annotations.

    Args:
        find_object_plan: Returns the plan of a class with fields, or None if it is not one.
        known: Classes that annotations named, by lasting name: those made inside a function are found only here.
    """

    __slots__ = ("_by_tag", "_encoders", "_find_object_plan", "_finder", "_known", "_maps", "_names", "_sequences")

    def __init__(self, find_object_plan: Callable[[type], ObjectPlan | None], known: dict[str, type]) -> None:
        super().__init__("Any", None, frozenset({"null", "bool", "int", "float", "str", "list", "dict"}), None)
        self.passes = frozenset(_SCALARS)
        self._find_object_plan = find_object_plan
        self._known = known
        self._finder = ClassFinder()
        self._names: dict[type, str] = {}
        self._sequences = {kind: SequencePlan(kind, self, self) for kind in (list, *SEQUENCE_TAGS)}
        self._maps = {kind: MapPlan(kind, self, self, self) for kind in (dict, *MAP_TAGS)}
        self._by_tag: dict[str, Plan] = {tag: self._sequences[kind] for kind, tag in SEQUENCE_TAGS.items()}
        self._by_tag |= {tag: self._maps[kind] for kind, tag in MAP_TAGS.items()}
        self._by_tag["$dict"] = self._maps[dict]
        self._encoders: dict[type, Callable[[Any], Tree]] = {
            type(None): _same,
            bool: _same,
            int: ScalarPlan(int, self).encode,
            float: ScalarPlan(float, self).encode,
            str: _encode_text,
            list: self._sequences[list].plain,
            dict: self._maps[dict].plain,
            **{kind: self._tagged(kind) for kind in SEQUENCE_TAGS},
            **{kind: self._maps[kind].tagged for kind in MAP_TAGS},
        }

    def encode(self, value: object) -> Tree:
        encode = self._encoders.get(type(value))
        return encode(value) if encode is not None else self._learn(type(value), value)(value)

    def encode_again(self, value: object, slot: Slot) -> Tree:
        kind = type(value)
        if kind is dict:
            return self._maps[dict].encode_again(value, slot)
        if kind is list:
            return self._sequences[list].encode_again(value, slot)
        return self.encode(value)

    def pick(self, value: object, tree: Tree) -> Plan:
        if type(value) is list and type(tree) is list:
            return self._sequences[list]
        return self._maps[dict] if type(value) is dict and tag_of(tree) is None else self

    def _tagged(self, kind: type) -> Callable[[Any], Tree]:
        plain = self._sequences[kind].plain
        tag = SEQUENCE_TAGS[kind]

        def encode(value: Any) -> Tree:
            tree = plain(value)
            # A deque of limited length has its tag already.
            return tree if type(tree) is dict else {tag: tree}

        return encode

    def _learn(self, kind: type, value: object) -> Callable[[Any], Tree]:
        """Return how values of a type that was not met before are written; raises NotTree if they are not."""
        encode = self._find_encoder(kind)
        if encode is None:
            raise _refuse(value, kind)
        self._encoders[kind] = encode
        return encode

    def _find_encoder(self, kind: type) -> Callable[[Any], Tree] | None:
        if find_leaf(kind) is not None:
            return partial(tag_leaf, kind)
        if issubclass(kind, enum.Enum):
            return self._encode_member
        if is_array(kind):
            return _encode_array
        if is_scalar(kind):
            return _encode_with_tags
        plan = self._find_object_plan(kind) if kind.__name__ not in _SECRETS else None
        return self._encode_object(kind, plan) if plan is not None else None

    def _encode_object(self, kind: type, plan: ObjectPlan) -> Callable[[Any], Tree]:
        def encode(value: Any) -> Tree:
            return {"$type": self._name(kind, value), "fields": plan.plain(value)}

        return encode

    def _encode_member(self, member: Any) -> Tree:
        return {"$enum": f"{self._name(type(member), member)}.{member_text(member)}"}

    def _name(self, kind: type, value: object) -> str:
        name = self._names.get(kind)
        if name is None:
            name = class_name(kind) or lasting_name(kind)
            if "<" in name and self._known.get(name) is not kind:
                why = f"is {describe(value)}, whose class was made inside a function and cannot be found again"
                advice = "Move the class to the top of its module, or name it in the annotation of the field."
                raise Refusal(value, why, slug="state-local-class", advice=advice)
            self._names[kind] = name
        return name

    def decode(self, tree: Tree, reading: Reading) -> object:
        kind = type(tree)
        if kind is list:
            return self._sequences[list].decode(tree, reading)
        if kind is not dict:
            return tree
        tag = tag_of(tree)
        if tag is None:
            return self._maps[dict].decode(tree, reading)
        members = cast("dict[str, Tree]", tree)
        if tag == "$any":
            return self.decode(members["$any"], reading)
        plan = self._by_tag.get(tag)
        if plan is not None:
            return plan.decode(tree, reading)
        if tag == "$type":
            return self._object_plan(members).decode(members.get("fields"), reading)
        if tag == "$enum":
            return self._decode_member(members["$enum"])
        return tags.decode(tree, None, self._finder)

    def restore(self, value: object, tree: Tree, reading: Reading) -> object:
        kind = type(tree)
        if kind is list:
            return self._sequences[list].restore(value, tree, reading)
        if kind is not dict:
            return tree
        tag = tag_of(tree)
        if tag is None:
            return self._maps[dict].restore(value, tree, reading)
        members = cast("dict[str, Tree]", tree)
        if tag == "$any":
            return self.restore(value, members["$any"], reading)
        plan = self._by_tag.get(tag)
        if plan is not None:
            return plan.restore(value, tree, reading)
        if tag == "$type":
            return self._object_plan(members).restore(value, members.get("fields"), reading)
        return super().restore(value, tree, reading)

    def admits(self, value: object) -> bool:
        return True

    def _object_plan(self, tree: dict[str, Tree]) -> ObjectPlan:
        kind = self._find_class(tree["$type"])
        plan = self._find_object_plan(kind)
        if plan is None:
            raise BadTree(f"is of class {kind.__qualname__}, which has no fields any more")
        return plan

    def _find_class(self, name: Tree) -> type:
        if type(name) is not str:
            raise BadTree(f"is of class {shorten(name)}, which is not a name")
        known = self._known.get(name)
        if known is not None:
            return known
        try:
            return self._finder.find(name)
        except BadTree as error:
            how = f"import {error.module} before the workflow begins" if error.module else "bring the class back"
            raise Misfit(
                f"is of class {name}, which cannot be found ({error.reason})",
                slug="state-class-missing",
                advice=f"{how[0].upper()}{how[1:]}, or begin a new run with fresh=True.",
            ) from error

    def _decode_member(self, tree: Tree) -> object:
        if type(tree) is not str:
            raise BadTree(f"is {shorten(tree)}, which is not the name of an enum's member")
        name, _, member = tree.rpartition(".")
        return find_member(self._find_class(name), member)


def _same(value: Any) -> Tree:
    return cast(Tree, value)


def _encode_text(text: str) -> Tree:
    return text if text.isascii() or is_writable(text) else tag_leaf(str, text)


def _encode_with_tags(value: Any) -> Tree:
    return tags.encode(value, "", None)


def _encode_array(array: Any) -> Tree:
    if array.nbytes > INLINE_BYTES:
        why = f"is an array of {array.nbytes:,} bytes, and the state is written again with every step"
        advice = "Return it from a step, which saves it once, and keep what is small in the state."
        raise Refusal(array, why, slug="state-large-array", advice=advice)
    return tags.encode(array, "", None)


def _refuse(value: object, kind: type) -> NotTree:
    if kind.__name__ in _SECRETS:
        why = f"is {describe(value)}, and the state is a file that people and programs read"
        advice = "Keep it outside the state; ask for it, or read it from the environment, when the program starts."
        return Refusal(value, why, slug="state-secret", advice=advice)
    why = f"is {describe(value)}, which cannot be kept in the state as readable JSON"
    return Refusal(value, why, slug="state-unsavable", advice="Give it fields, or keep it outside the state.")
