"""
What is remembered of the last time a state was written, so that only what changed is written again.

A place is where a value stands in the state: a field, a key of a dict, a position in a list.  Each place that holds a
container has a slot, which remembers its tree.  An unchanged value gets the very same tree again, and trees
are never changed, so that comparing two of them ends where they are one object.

Nothing is believed because an object is the same, unless it is one that cannot change: other values are looked at
every time.  Whatever is remembered, the tree is equal to one that was made without it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from itertools import repeat
from operator import is_
from typing import TYPE_CHECKING

from checkpoint._core.records import Tree

if TYPE_CHECKING:
    from checkpoint._core.state_plan import Plan
    from checkpoint._core.state_proof import Proof

# Containers of more entries are looked at in blocks of this size, shorter ones entry by entry.
BLOCK = 32

# Kept with the tree of a value of one of these types: being the same object means being the same value.
_CONSTANT: frozenset[type] = frozenset({type(None), bool, int, float, str, bytes})

_NOTHING: object = object()


class Slot:
    """
    The memory of one place, and of those inside it; a state's own is that of the whole state.

    Not locked: for one caller at a time.

    Attributes:
        plan: Who wrote it last, or None if nothing is remembered; what it wrote is of no use to another plan.
        tree: The tree of the place's value.
        trees: The trees of the parts, in order.
        parts: The parts, if they were looked at one by one; those that can change are not held.
        proofs: Of each block of parts, if they were looked at in blocks.
        is_flat: Whether every part is its own tree.
        inner: The slots of the containers inside, by name or position.
    """

    __slots__ = ("inner", "is_flat", "parts", "plan", "proofs", "tree", "trees")

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Remember nothing."""
        self.plan: Plan | None = None
        self.tree: Tree = None
        self.trees: Sequence[Tree] = ()
        self.parts: Sequence[object] = ()
        self.proofs: Sequence[Proof | None] = ()
        self.is_flat = False
        self.inner: dict[object, Slot] = {}

    def keep(
        self,
        plan: Plan,
        tree: Tree,
        trees: Sequence[Tree],
        parts: Sequence[object] = (),
        proofs: Sequence[Proof | None] = (),
        *,
        is_flat: bool = False,
    ) -> None:
        """Remember what `plan` wrote."""
        # First and last, so that a signal in between leaves a slot that remembers nothing.
        self.plan = None
        self.tree, self.trees, self.proofs, self.is_flat = tree, trees, proofs, is_flat
        # The user's containers are not held: `state_turning` counts their references to tell where they can be.
        self.parts = [part if type(part) in _CONSTANT else _NOTHING for part in parts]
        self.plan = plan

    def has(self, trees: Sequence[Tree]) -> bool:
        """Tell whether these very trees are remembered."""
        return self.plan is not None and len(trees) == len(self.trees) and are_same(trees, self.trees)


def encode_parts(names: Collection[object], parts: Sequence[object], plans: Iterable[Plan], slot: Slot) -> list[Tree]:
    """Return the trees of a few parts, each by its plan; those of unchanged parts are the ones remembered."""
    inner = slot.inner
    were: Iterable[object] = slot.parts
    known: Iterable[Tree] = slot.trees
    if len(slot.parts) != len(parts):
        were, known = repeat(_NOTHING), repeat(None)
    trees: list[Tree] = []
    for name, part, plan, was, tree in zip(names, parts, plans, were, known, strict=False):
        if type(part) in _CONSTANT:
            trees.append(tree if part is was else plan.encode(part))
            continue
        place = inner.get(name)
        if place is None:
            place = inner[name] = Slot()
        found = plan.encode_again(part, place)
        # Dates and paths are written as new text every time.
        trees.append(tree if type(found) is str and found == tree else found)
    if len(inner) > len(parts):
        keep = {*names}
        slot.inner = {name: place for name, place in inner.items() if name in keep}
    return trees


def encode_blocks(parts: list[object], plan: Plan, slot: Slot) -> tuple[list[Tree], list[Proof | None]]:
    """Return the trees of many parts of one plan, and the proofs of their blocks; unchanged blocks are not written."""
    trees: list[Tree] = []
    proofs: list[Proof | None] = []
    for number, start in enumerate(range(0, len(parts), BLOCK)):
        block = parts[start : start + BLOCK]
        proof = plan.prove(block)
        if proof is not None and number < len(slot.proofs) and is_same(proof, slot.proofs[number]):
            trees += slot.trees[start : start + BLOCK]
        else:
            trees += map(plan.encode, block)
            # Another thread may have changed the block since the proof was made.
            if proof is not None and not is_same(plan.prove(block), proof):
                proof = None
        proofs.append(proof)
    return trees, proofs


def are_same(values: Iterable[object], known: Iterable[object]) -> bool:
    """Tell whether the values are the very objects in `known`, as far as the shorter of the two goes."""
    return all(map(is_, values, known))


def is_same(proof: Proof | None, known: Proof | None) -> bool:
    """Tell whether two proofs are of the same values; see `state_proof`."""
    if type(proof) is bytes:
        return proof == known
    if type(proof) is not tuple or type(known) is not tuple or len(proof) != len(known):
        return False
    return are_same(proof, known)
