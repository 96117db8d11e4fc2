"""
Random nested values against an independent model of equality: no two share a text, and no value has two.
"""

from __future__ import annotations

import copy
import datetime
import decimal
import json
import math
import struct
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from checkpoint._core.fingerprint import canonical

# Hypothesis describes a strategy, which is long for a nested one, although nobody reads it.
pytestmark = pytest.mark.filterwarnings("ignore:Generating overly large repr")

# Strings in which every sign of the canonical text appears, so that quoting is put to the test.
HOSTILE = st.text(st.sampled_from("a'\"\\,:;()[]{}<>@#=.~ \n\x00\xe9\ud800\U0001f600"), max_size=6)

LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 3),
    st.integers(),
    st.floats(),
    st.sampled_from([0.0, -0.0, 1.0, 1e300, 2.0**64]),
    HOSTILE,
    st.text(max_size=4),
    st.binary(max_size=3),
    st.decimals(allow_nan=False, places=2, min_value=-2, max_value=2),
    st.dates(min_value=datetime.date(2024, 1, 1), max_value=datetime.date(2024, 1, 4)),
)
HASHABLE = st.recursive(
    LEAVES, lambda inner: st.tuples(inner) | st.tuples(inner, inner) | st.frozensets(inner, max_size=3)
)
_VALUES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.tuples(inner, inner),
        st.dictionaries(HASHABLE, inner, max_size=3),
        st.sets(HASHABLE, max_size=3),
        st.frozensets(HASHABLE, max_size=3),
    ),
    max_leaves=8,
)


@st.composite
def values(draw: st.DrawFn) -> Any:
    """Return a random nested value; a strategy with a short name, for messages."""
    return draw(_VALUES)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=15,
)


def model(value: Any) -> object:
    """Return what a value is, as nested tuples that are equal if and only if the values are the same."""
    kind = type(value).__name__
    if isinstance(value, float):
        return (kind, "nan") if math.isnan(value) else (kind, struct.pack("d", value))
    if isinstance(value, decimal.Decimal):
        return kind, value.as_tuple()
    if isinstance(value, (list, tuple)):
        return kind, tuple(model(item) for item in value)
    if isinstance(value, dict):
        return kind, frozenset(counted((model(key), model(item)) for key, item in value.items()).items())
    if isinstance(value, (set, frozenset)):
        return kind, frozenset(counted(model(item) for item in value).items())
    return kind, value


def counted(items: Any) -> dict[object, int]:
    """Return how often each item is there: two NaNs are two elements of a set."""
    counts: dict[object, int] = {}
    for item in items:
        counts[item] = counts.get(item, 0) + 1
    return counts


def rebuilt(value: Any, draw: Any) -> Any:
    """Return an equal value that shares nothing with this one, its dicts and sets built in another order."""
    if isinstance(value, (list, tuple)):
        return type(value)(rebuilt(item, draw) for item in value)
    if isinstance(value, dict):
        entries = draw(st.permutations(list(value.items())))
        return {rebuilt(key, draw): rebuilt(item, draw) for key, item in entries}
    if isinstance(value, (set, frozenset)):
        return type(value)(rebuilt(item, draw) for item in draw(st.permutations(list(value))))
    return copy.deepcopy(value)


@settings(max_examples=150, deadline=None)
@given(st.lists(values(), min_size=2, max_size=8))
def test_no_collision_and_no_split(found: list[object]) -> None:
    """Two values share a text if and only if they are the same."""
    texts: dict[str, object] = {}
    for value in found:
        assert texts.setdefault(canonical(value), model(value)) == model(value)
    assert len(texts) == len({model(value) for value in found})


@settings(max_examples=100, deadline=None)
@given(values(), st.data())
def test_building_in_another_way(value: object, data: st.DataObject) -> None:
    """Order of insertion, sharing and identity do not matter."""
    assert canonical(value) == canonical(rebuilt(value, data.draw))


@settings(max_examples=100, deadline=None)
@given(JSON)
def test_replay_closure(value: object) -> None:
    """A result that was saved as JSON and loaded is still the same argument."""
    assert canonical(value) == canonical(json.loads(json.dumps(value)))


@settings(max_examples=100, deadline=None)
@given(values())
def test_text_is_printable_ascii(value: object) -> None:
    """The text can be shown to a person and written anywhere."""
    text = canonical(value)

    assert text.isascii() and text.isprintable()
