"""
Reading a value back from a record: every check that must come before a class is found or a pickle is loaded.

Whatever is wrong with what was saved ends in UnloadableError or UntrustedError; a wrong value is never returned.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from checkpoint._core.codec_classes import ClassFinder
from checkpoint._core.codec_plain import json_text
from checkpoint._core.codec_seal import is_sealed
from checkpoint._core.pickles import BadPickle, cloudpickle_version, load
from checkpoint._core.records import Tree
from checkpoint._core.tags import decode as decode_tree
from checkpoint._core.tags_words import BadTree
from checkpoint.errors import CheckpointError, UnloadableError, UntrustedError

_DIGEST = re.compile("[0-9a-f]{64}")

# The way out that is always there: another version makes the call a new one.
_ANEW = "or let the step run anew under another version, as in @checkpointed(version=2)."


@dataclass(frozen=True, slots=True)
class Reading:
    """What is known of a value that is to be read; see `Codec.decode`."""

    fields: dict[str, Any]
    call_key: str
    call: str
    fetch: Callable[[str, int], bytearray]
    private: bool
    location: str
    secret: Callable[[], bytes]


def python_version() -> str:
    """Return the running Python's version as far as it matters to code in a pickle: `3.11`."""
    return f"{sys.version_info[0]}.{sys.version_info[1]}"


def read(reading: Reading, *, pickling: bool) -> object:
    """
    Return the value of a record that is not plain.

    Raises:
        UnloadableError: This program cannot load it.
        UntrustedError: Loading it would run code, and nothing proves that this user wrote it.
    """
    try:
        return _read(reading, pickling=pickling)
    except RecursionError as error:
        # Not of the value itself, but of a member where a number or a short text belongs.
        raise _malformed(reading, "it is nested too deeply") from error


def _read(reading: Reading, *, pickling: bool) -> object:
    fields = reading.fields
    if "tagged" in fields:
        return _read_tree(reading, fields["tagged"], None)
    codec = fields.get("codec")
    if codec in ("pickle", "cloudpickle"):
        if not pickling:
            raise _unloadable(
                reading,
                "it is pickled, and this store does not unpickle",
                f"Open the run with a store that does, {_ANEW}",
                slug="unloadable-without-pickle",
            )
        return _read_pickle(reading, by_value=codec == "cloudpickle")
    if codec not in ("json", "tagged"):
        raise _unloadable(
            reading,
            f"it was written with codec {codec!r}, which this version does not know",
            f"Upgrade this library, {_ANEW}",
            slug="unloadable-codec",
        )
    digest, size = _payload(reading, fields)
    try:
        tree = json.loads(reading.fetch(digest, size))
    except (ValueError, RecursionError) as error:
        raise _malformed(reading, f"its payload is not JSON ({error})") from error
    return tree if codec == "json" else _read_tree(reading, tree, digest)


def _read_tree(reading: Reading, tree: Tree, digest: str | None) -> object:
    def permit(module: str) -> None:
        _trust(reading, digest or _digest_of(reading, tree), f"import module {module}")

    try:
        return decode_tree(tree, reading.fetch, ClassFinder(permit))
    except BadTree as error:
        where = f" (at result{error.path})" if error.path else ""
        raise _unloadable(
            reading, f"{error.reason}{where}", f"Bring back what it needs, {_ANEW}", slug="unloadable-result"
        ) from error
    except CheckpointError:
        raise
    except Exception as error:
        # A default of a new field, or an enum's own rules, are the user's code.
        reason = f"{type(error).__name__}: {error}"
        raise _unloadable(reading, reason, f"Mend what raises this, {_ANEW}", slug="unloadable-result") from error


def _digest_of(reading: Reading, tree: Tree) -> str:
    try:
        return hashlib.sha256(json_text(tree).encode("ascii")).hexdigest()
    except (ValueError, RecursionError) as error:
        raise _malformed(reading, f"it is not JSON ({error})") from error


def _read_pickle(reading: Reading, *, by_value: bool) -> object:
    fields = reading.fields
    inline: bytes | None = None
    if "data" in fields:
        inline, size = _inline_stream(reading, fields["data"], fields.get("size")), 0
        digest = hashlib.sha256(inline).hexdigest()
    else:
        digest, size = _payload(reading, fields)
    buffers = _buffers(reading, fields.get("buffers", []))
    main = fields.get("main")
    _trust(reading, digest, "be unpickled")
    if main is not None and type(main) is not str:
        raise _malformed(reading, f"its program is {main!r}")
    if by_value:
        _check_versions(reading)
    stream = reading.fetch(digest, size) if inline is None else inline
    parts = [reading.fetch(part, length) for part, length in buffers]
    try:
        return load(stream, parts, main)
    except BadPickle as error:
        raise _unloadable(
            reading, error.reason, f"Bring back what it needs, {_ANEW}", slug="unloadable-result"
        ) from error


def _inline_stream(reading: Reading, data: object, size: object) -> bytes:
    try:
        stream = base64.b64decode(data, validate=True) if type(data) is str else b""
    except ValueError as error:
        raise _malformed(reading, f"its data is not base64 ({error})") from error
    if len(stream) != size:
        raise _malformed(reading, f"its data has {len(stream)} bytes instead of {size!r}")
    return stream


def _payload(reading: Reading, fields: dict[str, Any]) -> tuple[str, int]:
    return _part(reading, [fields.get("payload"), fields.get("size")])


def _buffers(reading: Reading, buffers: object) -> list[tuple[str, int]]:
    if type(buffers) is not list:
        raise _malformed(reading, f"its buffers are {buffers!r:.60}")
    return [_part(reading, part) for part in buffers]


def _part(reading: Reading, part: object) -> tuple[str, int]:
    if type(part) is list and len(part) == 2:
        digest, size = part
        if type(digest) is str and _DIGEST.fullmatch(digest) and type(size) is int and size >= 0:
            return digest, size
    raise _malformed(reading, f"{part!r:.60} is not a payload")


def _trust(reading: Reading, digest: str, deed: str) -> None:
    """Raise unless this user wrote the value: the place must be private and the seal valid."""
    what = f"The saved result of {reading.call} would have to {deed}"
    if not reading.private:
        raise UntrustedError(
            f"{what}, and others can write where it is kept{_at(reading)}. "
            f"Make that directory yours alone (chmod go-w) if nobody else has written there, {_ANEW}",
            slug="untrusted-place",
            path=reading.location,
            reason="others can write there",
            call=reading.call,
        )
    # The other members around inline JSON are the record's, not the value's.
    members = {"hmac": reading.fields.get("hmac")} if "tagged" in reading.fields else reading.fields
    if not is_sealed(reading.secret(), reading.call_key, digest, members):
        raise UntrustedError(
            f"{what}, and nothing proves that you wrote it{_at(reading)}. "
            f"Continue the run on the machine and account that wrote it, {_ANEW}",
            slug="untrusted-value",
            path=reading.location,
            reason="its HMAC is missing or not valid under this user's key",
            call=reading.call,
        )


def _at(reading: Reading) -> str:
    return f" ({reading.location})" if reading.location else ""


def _check_versions(reading: Reading) -> None:
    """Refuse code of another Python: loading it can kill the interpreter, which nothing could catch."""
    python, version = reading.fields.get("python"), reading.fields.get("cloudpickle")
    if python != python_version():
        raise UnloadableError(
            f"{reading.call} saved a value that contains code (a lambda or a class defined inside a function) "
            f"under Python {python}; it cannot be loaded under {python_version()}. "
            f"Run it with {python}, {_ANEW}",
            slug="unloadable-python",
            call=reading.call,
            reason=f"it contains code of Python {python}",
        )
    running = cloudpickle_version()
    if _major(running) < _major(version):
        raise _unloadable(
            reading,
            f"it was written by cloudpickle {version}, and {running or 'none'} is installed",
            f"Install cloudpickle {version}, {_ANEW}",
            slug="unloadable-cloudpickle",
        )


def _major(version: object) -> int:
    digits = str(version).partition(".")[0]
    return int(digits) if digits.isdecimal() else -1


def _malformed(reading: Reading, reason: str) -> UnloadableError:
    cure = f"Its record was not written by this library; restore the run's directory from a copy, {_ANEW}"
    return _unloadable(reading, reason, cure, slug="unloadable-malformed")


def _unloadable(reading: Reading, reason: str, cure: str, *, slug: str) -> UnloadableError:
    message = f"The saved result of {reading.call} cannot be loaded: {reason}. {cure}"
    return UnloadableError(message, slug=slug, call=reading.call, reason=reason)
