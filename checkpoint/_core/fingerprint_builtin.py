"""
Encoders of the built-in types and of classes derived from them.

Containers are read through their own type's methods, never through a subclass's; nothing here may depend
on insertion order of a dict, on the order of a set, or on parts being shared.
"""

from __future__ import annotations

import functools
import hashlib
from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable
from types import EllipsisType, MappingProxyType, NoneType, NotImplementedType, SimpleNamespace
from typing import Any

from checkpoint._core.fingerprint_names import tag
from checkpoint._core.fingerprint_table import ENCODERS, LEAVES, Encoder, NoLastingValue, build_in, encode, unknown

# Above this size the bytes' hash stands for them: four characters per byte are nothing to keep or to read.
MOST_SHOWN_BYTES = 1024

# From this length on it pays to ask first whether all elements are of one type.
_LONG_LIST = 64

_LEAST_DECIMAL, _MOST_DECIMAL = -(2**63), 2**64


def encode_int(value: int) -> str:
    """Return decimal digits, or hexadecimal ones beyond 64 bits, where decimal ones are limited per process."""
    return repr(value) if _LEAST_DECIMAL <= value < _MOST_DECIMAL else hex(value)


def encode_bytes(value: bytes) -> str:
    """Return the literal, or length and hash of more than a screenful."""
    if len(value) <= MOST_SHOWN_BYTES:
        return repr(value)
    return f"bytes({len(value)},{hashlib.sha256(value).hexdigest()})"


def encode_elements(values: list[Any] | tuple[Any, ...]) -> str:
    """Return the canonical texts of the elements, in order, separated by commas."""
    if len(values) >= _LONG_LIST:
        types = set(map(type, values))
        encoder = ENCODERS.get(types.pop(), unknown) if len(types) == 1 else unknown
        if encoder in LEAVES:
            return ",".join(map(encoder, values))
    get = ENCODERS.get
    return ",".join([get(type(value), unknown)(value) for value in values])


def encode_list(value: list[Any]) -> str:
    """Return the elements in square brackets."""
    return f"[{encode_elements(value)}]"


def encode_tuple(value: tuple[Any, ...]) -> str:
    """Return the elements in parentheses."""
    return f"({encode_elements(value)})"


def encode_dict(value: dict[Any, Any]) -> str:
    """Return the entries in braces, in an order that their insertion does not change."""
    get = ENCODERS.get
    # The blank tells an entry's colon from the one in a class's name.
    entries = [f"{get(type(key), unknown)(key)}: {get(type(item), unknown)(item)}" for key, item in value.items()]
    entries.sort()
    return f"{{{','.join(entries)}}}"


def encode_set(value: set[Any] | frozenset[Any]) -> str:
    """Return the elements of an exact `set` or `frozenset`, in an order that hashing does not change."""
    get = ENCODERS.get
    elements = [get(type(element), unknown)(element) for element in value]
    elements.sort()
    return f"{type(value).__name__}{{{','.join(elements)}}}"


def _complex(value: complex) -> str:
    return f"complex({value.real!r},{value.imag!r})"


def _bytearray(value: bytearray) -> str:
    return f"bytearray({encode_bytes(bytes(value))})"


def _memoryview(value: memoryview) -> str:
    try:
        return f"memoryview({value.format!a},{value.shape!r},{encode_bytes(value.tobytes())})"
    except ValueError as error:
        raise NoLastingValue(value, f"is a memoryview that cannot be read ({error})") from error


def _range(value: range) -> str:
    return f"range({encode_int(value.start)},{encode_int(value.stop)},{encode_int(value.step)})"


def _slice(value: slice) -> str:
    return f"slice({encode(value.start)},{encode(value.stop)},{encode(value.step)})"


def _ordered_dict(value: OrderedDict[Any, Any]) -> str:
    # Two of these are equal only in the same order, so here order is content.
    return f"OrderedDict{encode_list(list(OrderedDict.items(value)))}"


def _default_dict(value: defaultdict[Any, Any]) -> str:
    return f"defaultdict({encode(value.default_factory)},{encode_dict(dict(dict.items(value)))})"


def _deque(value: deque[Any]) -> str:
    return f"deque({encode_list(list(deque.__iter__(value)))},{encode(value.maxlen)})"


def _mapping_proxy(value: MappingProxyType[Any, Any]) -> str:
    return f"mappingproxy({encode(value.copy())})"


def _namespace(value: SimpleNamespace) -> str:
    return f"SimpleNamespace{encode_dict(value.__dict__)}"


build_in(
    {
        str: ascii,
        int: encode_int,
        float: repr,
        bool: repr,
        NoneType: repr,
        EllipsisType: repr,
        NotImplementedType: repr,
        complex: _complex,
        bytes: encode_bytes,
        bytearray: _bytearray,
        range: _range,
    },
    leaves=True,
)
build_in(
    {
        list: encode_list,
        tuple: encode_tuple,
        dict: encode_dict,
        set: encode_set,
        frozenset: encode_set,
        slice: _slice,
        memoryview: _memoryview,
        OrderedDict: _ordered_dict,
        defaultdict: _default_dict,
        deque: _deque,
        MappingProxyType: _mapping_proxy,
        SimpleNamespace: _namespace,
    }
)

# How to get the exact base value out of an instance of a subclass, past whatever the subclass overrides.
_EXACT: dict[type, Callable[[Any], Any]] = {
    str: str.__str__,
    int: int.__pos__,
    float: float.__pos__,
    complex: complex.__pos__,
    bytes: lambda value: bytes.__getitem__(value, slice(None)),
    bytearray: lambda value: bytearray.__getitem__(value, slice(None)),
    list: lambda value: list.__getitem__(value, slice(None)),
    tuple: lambda value: tuple.__getitem__(value, slice(None)),
    dict: lambda value: dict(dict.items(value)),
    set: lambda value: set(set.__iter__(value)),
    frozenset: lambda value: frozenset(frozenset.__iter__(value)),
    OrderedDict: lambda value: OrderedDict(OrderedDict.items(value)),
    # These encoders read through their own type's methods already.
    defaultdict: lambda value: value,
    deque: lambda value: value,
    SimpleNamespace: lambda value: value,
}


def exact(value: object) -> object:
    """Return the plain built-in value inside an instance of a subclass of one, or the value itself."""
    for base in type(value).__mro__:
        if base in _EXACT:
            return value if base is type(value) else _EXACT[base](value)
    return value


def subclass_rule(cls: type, _value: object) -> Encoder | None:
    """Encode an instance of a subclass of a built-in type as the base value and its own attributes."""
    base = next((base for base in cls.__mro__ if base in _EXACT), None)
    # `os.stat_result` and its like hide fields behind the tuple; what pickle stores has them all.
    if base is None or hasattr(cls, "n_sequence_fields"):
        return None
    name, encode_base, to_exact = tag(cls), ENCODERS[base], _EXACT[base]

    def encode_subclass(value: Any) -> str:
        attributes = own_attributes(value) if base is not SimpleNamespace else {}
        state = encode_dict(attributes) if attributes else ""
        return f"{name}({encode_base(to_exact(value))}{state})"

    return encode_subclass


def own_attributes(value: object, *, below: type = object) -> dict[str, object]:
    """
    Return what an instance keeps in its `__dict__` and slots, without cached properties.

    Args:
        value: The instance.
        below: Class whose slots, and those of its bases, are left out.
    """
    attributes: dict[str, object] = {}
    for cls in type(value).__mro__:
        if cls is below:
            break
        slots = cls.__dict__.get("__slots__", ())
        for slot in (slots,) if isinstance(slots, str) else slots:
            private = slot.startswith("__") and not slot.endswith("__")
            name = f"_{cls.__name__.lstrip('_')}{slot}" if private else slot
            if name not in ("__dict__", "__weakref__") and name not in attributes and hasattr(value, name):
                attributes[name] = getattr(value, name)
    attributes.update(getattr(value, "__dict__", {}))
    return without_cached(type(value), attributes)


def without_cached(cls: type, attributes: dict[str, object]) -> dict[str, object]:
    """
    Return the attributes but for those that are cached properties: they follow from the others.

    One that was set by hand looks the same and is left out too; what must count is an attribute of its own.
    """
    cached = cached_names(cls)
    return {name: item for name, item in attributes.items() if name not in cached} if cached else attributes


@functools.lru_cache(maxsize=1024)
def cached_names(cls: type) -> frozenset[str]:
    """Return the names of a class's cached properties, whichever library's."""
    return frozenset(
        name
        for base in cls.__mro__
        for name, member in base.__dict__.items()
        if type(member).__name__ in ("cached_property", "cached_property_with_ttl", "threaded_cached_property")
    )
