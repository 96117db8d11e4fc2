"""
Plans of dicts and their kin: a JSON object where every key can be its name, else a list of pairs.

A dict that is restored stays the same object, with its keys in the saved order.
"""

from __future__ import annotations

from collections import Counter, OrderedDict, defaultdict
from collections.abc import Callable
from itertools import repeat
from typing import Any, TypeAlias, cast

from checkpoint._core.records import Tree
from checkpoint._core.state_memory import BLOCK, Slot, are_same, encode_blocks, encode_parts
from checkpoint._core.state_plan import Plan, Reading, Refusal, tag_of
from checkpoint._core.state_proof import Proof
from checkpoint._core.state_scalars import are_names, copy_scalars
from checkpoint._core.tags_leaves import READ_ERRORS, shorten
from checkpoint._core.tags_reading import FACTORIES
from checkpoint._core.tags_words import BadTree, NotTree
from checkpoint._core.tags_writing import key_step

Map: TypeAlias = dict[Any, object]

# The tags of maps in places whose annotation does not name them; a dict needs none.
MAP_TAGS: dict[type, str] = {OrderedDict: "$ordered_dict", Counter: "$counter", defaultdict: "$defaultdict"}

# Above this size it is worth looking at all keys, and at all values, in one go.
_SMALL = 32


class MapPlan(Plan):
    """
    Plan of `dict`, `OrderedDict`, `Counter` and `defaultdict`.

    Keys are names in the JSON object if they are text that does not begin with `$`, or if the annotation
    says a type that is written as text (a path, an enum, an int); else the plain form is `{"$dict": pairs}`.
    A defaultdict is plain only with the factory that its annotation names, as `list` of `list[str]`.
    """

    __slots__ = ("_factory", "_key", "_tag", "_to_text", "_value")

    def __init__(self, kind: type, key: Plan, value: Plan, untyped: Plan) -> None:
        inner = "" if key is untyped and value is untyped else f"[{key.name}, {value.name}]"
        super().__init__(f"{kind.__name__}{inner}", kind, frozenset({"dict"}), untyped)
        self._key = key
        self._value = value
        self._tag = MAP_TAGS.get(kind)
        self.own_tags = frozenset({"$dict"}) | ({self._tag} if self._tag is not None else set())
        self._factory = value.kind
        self._to_text: Callable[[object], str | None] | None = None
        if key.kind is int:
            self._to_text = _int_text
        elif key.kind is not str and key.shapes == {"str"}:
            self._to_text = self._key_text

    @property
    def has_plain_keys(self) -> bool:
        """Whether keys are names as they are, without being written by a plan of their own."""
        return self._to_text is None

    def plan_of(self, name: str) -> Plan | None:
        """Return the plan of the entry under a key."""
        return self._value

    def encode(self, value: object) -> Tree:
        if type(value) is not self.kind:
            return self.deviate(value)
        if type(value) is defaultdict and value.default_factory is not self._factory:
            return self.tagged(value)
        return self.plain(cast(Map, value))

    def encode_again(self, value: object, slot: Slot) -> Tree:
        if type(value) is not dict or self.kind is not dict or self._to_text is not None:
            slot.forget()
            return self.encode(value)
        # A copy that no other thread changes while it is walked.
        entries: Map = dict(value)
        if slot.plan is not self:
            slot.forget()
        tree = cast("dict[str, Tree] | None", slot.tree)
        if tree is not None and len(tree) == len(entries) and are_same(entries, tree):
            if slot.is_flat and are_same(entries.values(), tree.values()):
                return tree
        elif are_names([*entries]):
            tree = None
        else:
            slot.forget()
            return self.plain(entries)
        try:
            return self._encode_entries(entries, tree, slot)
        except NotTree:
            slot.forget()
            return self.plain(entries)

    def _encode_entries(self, entries: Map, tree: Tree, slot: Slot) -> Tree:
        """Return the tree of a dict whose keys can be names; `tree` is the last one if it had the same keys."""
        parts = [*entries.values()]
        trees = copy_scalars(parts, self._value.passes)
        if trees is not None:
            slot.keep(self, cast("dict[str, Tree]", entries), trees, is_flat=True)
            return slot.tree
        proofs: list[Proof | None] = []
        if len(parts) <= BLOCK:
            trees = encode_parts(entries, parts, repeat(self._value), slot)
        else:
            trees, proofs = encode_blocks(parts, self._value, slot)
        if tree is None or not slot.has(trees):
            tree = dict(zip(cast("dict[str, object]", entries), trees, strict=True))
            slot.keep(self, tree, trees, () if proofs else parts, proofs)
        return tree

    def tagged(self, value: Map) -> Tree:
        """Return the tree with this map's tag, for places whose annotation does not say all there is to say."""
        inner = self.plain(value)
        if type(value) is not defaultdict:
            return {cast(str, self._tag): inner}
        factory = cast("defaultdict[Any, object]", value).default_factory
        name = factory.__name__ if isinstance(factory, type) else ""
        if factory is not None and FACTORIES.get(name) is not factory:
            why = "is a defaultdict whose default_factory is not one of the builtin types"
            advice = "Use a builtin such as list or int, annotate the field as defaultdict[..., Class], or use a dict."
            raise Refusal(value, why, slug="state-factory", advice=advice)
        return {"$defaultdict": {"factory": name or None, "items": inner}}

    def plain(self, value: Map) -> Tree:
        """Return the tree of a map whose type was compared."""
        # A copy that no other thread changes while it is walked.
        entries = dict(value)
        if self._to_text is None and len(entries) <= _SMALL:
            tree = self._plain_small(entries)
            if tree is not None:
                return tree
        keys: list[Any] = [*entries] if self._to_text is None else [*map(self._to_text, entries)]
        if not are_names(keys):
            return {"$dict": self._pairs(entries)}
        copied = copy_scalars([*entries.values()], self._value.passes)
        if copied is not None:
            return cast("dict[str, Tree]", entries) if self._to_text is None else dict(zip(keys, copied, strict=True))
        encode = self._value.encode
        tree = {}
        try:
            for key, entry in zip(keys, entries.values(), strict=True):
                tree[key] = encode(entry)
        except NotTree as error:
            error.under(key_step([*entries][len(tree)]))
            raise
        return tree

    def _plain_small(self, entries: Map) -> dict[str, Tree] | None:
        """Return the tree if every key is its own name, or None; one pass is quickest for a few entries."""
        encode = self._value.encode
        tree: dict[str, Tree] = {}
        key: object = None
        try:
            for key, entry in entries.items():
                if type(key) is not str or key[:1] == "$" or not key.isascii():
                    return None
                tree[key] = encode(entry)
        except NotTree as error:
            error.under(key_step(key))
            raise
        return tree

    def _key_text(self, key: object) -> str | None:
        tree = self._key.encode(key)
        return tree if type(tree) is str else None

    def _pairs(self, entries: Map) -> list[Tree]:
        pairs: list[Tree] = []
        key: object = None
        try:
            for key, entry in entries.items():
                pairs.append([self._key.encode(key), self._value.encode(entry)])
        except NotTree as error:
            error.under(key_step(key))
            raise
        return pairs

    def decode(self, tree: Tree, reading: Reading) -> object:
        tag = tag_of(tree)
        if type(tree) is not dict or (tag is not None and tag not in self.own_tags):
            return self.accept(tree, reading)
        factory, inner = self._inner(tree)
        made = self._make(factory)
        for key, entry in self._read_keys(inner, reading):
            made[key] = self._read_entry(key, entry, reading)
        return made

    def _inner(self, tree: dict[str, Tree]) -> tuple[Any, Tree]:
        """Return the default factory, and the object or the list of pairs, of a tree in one of this map's forms."""
        tag = tag_of(tree)
        inner: Tree = tree
        factory: Any = self._factory
        if tag is not None and tag == self._tag:
            inner = tree[tag]
            if tag == "$defaultdict":
                name = inner.get("factory") if type(inner) is dict else 0
                if type(inner) is not dict or (name is not None and (type(name) is not str or name not in FACTORIES)):
                    raise BadTree(f"is {shorten(inner)}, which is not a defaultdict")
                factory, inner = FACTORIES[name] if name is not None else None, inner.get("items")
        if tag_of(inner) == "$dict":
            inner = cast("dict[str, Tree]", inner)["$dict"]
        return factory, inner

    def _make(self, factory: Any) -> Map:
        if self.kind is defaultdict:
            return defaultdict(factory)
        return cast("Callable[[], Map]", self.kind)()

    def _read_keys(self, inner: Tree, reading: Reading) -> list[tuple[Any, Tree]]:
        """Return the keys with the trees of their values; no key occurs twice."""
        if type(inner) is dict:
            if self._to_text is None:
                return [*inner.items()]
            pairs = [(self._read_name(text, reading), entry) for text, entry in inner.items()]
        elif type(inner) is list and all(type(pair) is list and len(pair) == 2 for pair in inner):
            pairs = [(self._key.decode(key, reading), entry) for key, entry in cast("list[list[Tree]]", inner)]
        else:
            raise BadTree(f"is {shorten(inner)}, which is neither an object nor a list of pairs")
        try:
            distinct = len(dict(pairs)) == len(pairs)
        except READ_ERRORS as error:
            raise BadTree(f"has a key that cannot be one ({error})") from error
        if not distinct:
            raise BadTree("has a key twice")
        return pairs

    def _read_name(self, text: str, reading: Reading) -> object:
        if self._key.kind is not int:
            try:
                return self._key.decode(text, reading)
            except BadTree as error:
                error.under(key_step(text))
                raise
        digits = text.removeprefix("-")
        if not (digits.isascii() and digits.isdigit()) or str(int(text)) != text:
            raise self.misfit(f"a dict with the key {text!r:.60}")
        return int(text)

    def _read_entry(self, key: object, tree: Tree, reading: Reading) -> object:
        try:
            return self._value.decode(tree, reading)
        except BadTree as error:
            error.under(key_step(key))
            raise

    def restore(self, value: object, tree: Tree, reading: Reading) -> object:
        tag = tag_of(tree)
        if type(value) is not self.kind or type(tree) is not dict or (tag is not None and tag not in self.own_tags):
            return self.decode(tree, reading)
        factory, inner = self._inner(tree)
        if type(value) is defaultdict and value.default_factory is not factory:
            return self.decode(tree, reading)
        target = cast(Map, value)
        self._refill(target, self._read_keys(inner, reading), reading)
        return target

    def _refill(self, target: Map, sought: list[tuple[Any, Tree]], reading: Reading) -> None:
        entries: Map = {}
        for key, tree in sought:
            if key in target:
                try:
                    entries[key] = self._value.restore(target[key], tree, reading)
                except BadTree as error:
                    error.under(key_step(key))
                    raise
            else:
                entries[key] = self._read_entry(key, tree, reading)
        # Equal keys are not always the same (1 and True), and their order counts.
        keys = [*target]
        if keys != [*entries] or [*map(type, keys)] != [*map(type, entries)]:
            target.clear()
        for key, entry in entries.items():
            target[key] = entry

    def admits(self, value: object) -> bool:
        if not isinstance(value, cast(type, self.kind)):
            return False
        entries = cast(Map, value).items()
        return all(self._key.admits(key) and self._value.admits(entry) for key, entry in entries)


def _int_text(key: object) -> str | None:
    return str(key) if type(key) is int and key.bit_length() <= 2048 else None
