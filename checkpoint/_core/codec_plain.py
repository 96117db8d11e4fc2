"""
The quick way: a value that is exactly JSON becomes its text at once, and anything else is left to the slower ways.

Types are compared exactly, all the way down: `json` itself would take an IntEnum, an OrderedDict or a named tuple
without a word and lose it.  Never call this text anything but exact: reading it gives the same value back.
"""

from __future__ import annotations

import json
import json.encoder
import math
from collections.abc import Callable, Iterable
from json.encoder import encode_basestring_ascii
from typing import Any, cast

from checkpoint._core.tags_words import MAX_DEPTH

_SCALARS = frozenset({type(None), bool, int, float, str})
_CONTAINERS = frozenset({list, dict})
_TEXT = frozenset({str})

# A run of so many digits may be an int that another process refuses to read (see `tags_leaves.DECIMAL_BITS`).
_LONG_NUMBER = b"0" * 617
_DIGITS = bytes(48 if chr(byte).isdigit() and byte < 128 else 32 for byte in range(256))

_ENCODER = json.JSONEncoder(check_circular=False, allow_nan=False, separators=(",", ":"))


def _make_encoder() -> Callable[[Any, Any], Iterable[str]]:
    """Return the encoder written in C: `JSONEncoder.encode` makes one anew for each value, which takes longer."""
    make: Callable[..., Any] | None = getattr(json.encoder, "c_make_encoder", None)
    try:
        made = make and make(None, _ENCODER.default, encode_basestring_ascii, None, ":", ",", False, False, False)
    except TypeError:
        made = None  # another Python may make it otherwise; its own way gives the same text
    return made or _ENCODER.iterencode


_chunks = _make_encoder()


def json_text(tree: object) -> str:
    """
    Return the JSON text of a tree: ASCII only, without spaces.

    Raises:
        ValueError: It holds a NaN, an infinity, or an int with more digits than this process converts.
    """
    return "".join(_chunks(tree, 0))


def plain_text(value: object) -> str | None:
    """Return the JSON text that brings `value` back exactly, or None if plain JSON does not."""
    kind = type(value)
    if kind is str:
        text = encode_basestring_ascii(cast("str", value))
        return text if "\\ud" not in text or json.loads(text) == value else None
    if kind is dict or kind is list:
        return _container_text(value)
    if kind is int:
        number = cast("int", value)
        return int.__repr__(number) if -(2**63) < number < 2**63 else _container_text(number)
    if kind is float:
        return float.__repr__(cast("float", value)) if math.isfinite(cast("float", value)) else None
    if value is None:
        return "null"
    if kind is bool:
        return "true" if value else "false"
    return None


def _container_text(value: object) -> str | None:
    try:
        if type(value) is not int and not _is_plain(cast("Any", value), set(), 0):
            return None
        text = json_text(value)
    except (ValueError, RuntimeError):
        return None  # a NaN, too many digits; a value that another thread changes, or too little stack
    if len(text) >= len(_LONG_NUMBER) and _LONG_NUMBER in text.encode("ascii").translate(_DIGITS):
        return None
    # Two lone halves of a surrogate pair would be read as one character.
    return text if "\\ud" not in text or json.loads(text) == value else None


def _is_plain(value: dict[Any, object] | list[object], seen: set[int], depth: int) -> bool:
    """Return whether a list or dict holds JSON only; no part of it may occur twice, for JSON would split it."""
    if id(value) in seen or depth > MAX_DEPTH:
        return False
    seen.add(id(value))
    if type(value) is dict:
        if not _TEXT.issuperset(map(type, value)):
            return False
        parts: Iterable[object] = value.values()
    else:
        parts = value
    if _SCALARS.issuperset(map(type, parts)):
        return True
    for part in parts:
        kind = type(part)
        if kind in _CONTAINERS:
            if not _is_plain(cast("Any", part), seen, depth + 1):
                return False
        elif kind not in _SCALARS:
            return False
    return True
