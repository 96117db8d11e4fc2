"""
The seal of a value that would run code when it is loaded: proof that this user wrote it, for this call.

HMAC-SHA-256 under the user's secret, over what was written, how, and the key of the call it belongs to, so that
a value cannot be altered nor moved to another call.  It hides nothing.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Mapping

# First in what is sealed: a seal made for anything else, or by other rules, is never valid here.
_PURPOSE = "checkpoint value 1"

# The members of a record that say how its value is to be read.
_SEALED = ("codec", "size", "buffers", "python", "cloudpickle", "main")


def seal(secret: bytes, call_key: str, digest: str, members: Mapping[str, object]) -> str:
    """
    Return the seal: 64 hexadecimal digits.

    Args:
        secret: The user's own key.
        call_key: Key of the call that the value belongs to.
        digest: SHA-256 of the value's text or stream, in hexadecimal.
        members: The record's members; those that decide how the value is read are sealed with it.
    """
    sealed = [_PURPOSE, call_key, digest, [members.get(name) for name in _SEALED]]
    return hmac.digest(secret, json.dumps(sealed).encode("ascii"), "sha256").hex()


def is_sealed(secret: bytes, call_key: str, digest: str, members: Mapping[str, object]) -> bool:
    """Return whether `members` carry the seal that `seal` makes, compared in constant time."""
    found = members.get("hmac")
    if type(found) is not str or not found.isascii():
        return False
    return hmac.compare_digest(seal(secret, call_key, digest, members), found)
