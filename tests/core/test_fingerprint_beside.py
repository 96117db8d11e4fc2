"""
What instances keep beside their declared fields: it counts, unless a library or a cache has put it there.
"""

from __future__ import annotations

import dataclasses
import functools
import typing

import pytest

from checkpoint._core.fingerprint import NoLastingValue, canonical

attrs = pytest.importorskip("attrs")
msgspec = pytest.importorskip("msgspec")


class Base:
    def __init__(self, url: str) -> None:
        self.url = url


class SlottedBase:
    __slots__ = ("url",)

    def __init__(self, url: str) -> None:
        self.url = url


class PrivateSlot(SlottedBase):
    __slots__ = ("__own",)

    def keep(self, own: object) -> PrivateSlot:
        self.__own = own
        return self


@dataclasses.dataclass(init=False)
class ByHand(Base):
    a: int

    def __init__(self, a: int, url: str) -> None:
        super().__init__(url)
        self.a = a


@dataclasses.dataclass(slots=True, init=False)
class BesideSlots(PrivateSlot):
    a: int

    def __init__(self, a: int, url: str) -> None:
        SlottedBase.__init__(self, url)
        self.a = a


@dataclasses.dataclass(eq=False)
class FromInitVar:
    a: int
    scale: dataclasses.InitVar[int]

    def __post_init__(self, scale: int) -> None:
        self.factor = scale


@attrs.define(slots=False)
class Extended:
    a: int

    def __attrs_post_init__(self) -> None:
        self.note: object = None


@attrs.define
class AttrsBesideSlots(SlottedBase):
    a: int = 0

    def __attrs_pre_init__(self) -> None:
        SlottedBase.__init__(self, "")


class WithDict(msgspec.Struct, dict=True):  # type: ignore[misc]  # untyped in some environments
    a: int


def noted(value: typing.Any, note: object) -> typing.Any:
    value.note = note
    return value


def at(value: typing.Any, url: str) -> typing.Any:
    value.url = url
    return value


@pytest.mark.parametrize(
    ("value", "other"),
    [
        (ByHand(1, "a"), ByHand(1, "b")),
        (BesideSlots(1, "a"), BesideSlots(1, "b")),
        (BesideSlots(1, "a").keep(1), BesideSlots(1, "a").keep(2)),
        (FromInitVar(1, 2), FromInitVar(1, 3)),
        (noted(Extended(1), 1), noted(Extended(1), 2)),
        (at(AttrsBesideSlots(1), "a"), at(AttrsBesideSlots(1), "b")),
        (noted(WithDict(1), 1), noted(WithDict(1), 2)),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_is_beside_the_fields_counts(value: object, other: object) -> None:
    """Two instances with equal fields and other attributes are other arguments."""
    assert canonical(value) != canonical(other)


@dataclasses.dataclass
class Box(typing.Generic[typing.TypeVar("T")]):  # type: ignore[misc]  # mypy wants a name for it
    a: int
    cache: object = dataclasses.field(default=None, compare=False)

    @functools.cached_property
    def double(self) -> int:
        return 2 * self.a


class DerivedBox(Box):  # type: ignore[type-arg]
    """Declares nothing itself."""


@attrs.frozen(cache_hash=True)
class Hashed:
    a: int


@attrs.define
class Lazy:
    a: int

    @functools.cached_property
    def double(self) -> int:
        return 2 * self.a


def test_nothing_is_added_without_extras() -> None:
    """An instance that is its fields has the text of its fields alone."""
    assert canonical(Box(1)).endswith("Box(a=1)")


@pytest.mark.parametrize("cls", [Box, DerivedBox])
def test_fields_that_do_not_compare_do_not_count(cls: typing.Any) -> None:
    """A field with `compare=False` is no attribute beside the fields either."""
    assert canonical(cls(1)) == canonical(cls(1, cache=[5]))


def test_a_type_argument_does_not_count() -> None:
    """`Box[int](1)` is `Box(1)`, though the instance keeps the alias."""
    assert canonical(Box(1)) == canonical(Box[int](1))


@pytest.mark.parametrize("cls", [Box, Lazy])
def test_cached_properties_do_not_count(cls: typing.Any) -> None:
    """A cached property changes nothing, asked for or not, in a dictionary or in a slot."""
    asked = cls(1)
    assert 2 == asked.double
    assert canonical(cls(1)) == canonical(asked)


def test_a_kept_hash_does_not_count() -> None:
    """The hash that attrs keeps differs from process to process."""
    asked = Hashed(1)
    hash(asked)
    assert canonical(Hashed(1)) == canonical(asked)


def test_an_extra_without_lasting_value_is_refused() -> None:
    """What could not be recognised is never left out in silence."""
    with pytest.raises(NoLastingValue, match="lambda"):
        canonical(noted(ByHand(1, "a"), lambda: 1))
