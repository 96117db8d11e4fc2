"""
Values as a record holds them: plain JSON first, then tagged JSON, and a sealed pickle for everything else.

The members of a record, one of:

    "value": JSON                                       exactly what it says
    "tagged": a tree of `tags` [, "hmac"]               sealed if it names classes of the user's
    "codec": "json" | "tagged", "payload", "size" [, "hmac"]      the same, when the text is large
    "codec": "pickle" | "cloudpickle", "data" (base64) or "payload", "size", "python", "hmac"
             [, "buffers": [[digest, size], ..]] [, "cloudpickle": its version] [, "main": what `__main__` was]

What was written is what is read: there is no falling back to another codec.  Nothing is unpickled, and no module
is imported for a value, before its seal was verified and its place is known to be private.
"""

from __future__ import annotations

import base64
import hashlib
import json
import weakref
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Literal

from checkpoint._core import codec_reading
from checkpoint._core.codec_plain import json_text, plain_text
from checkpoint._core.codec_seal import seal
from checkpoint._core.pickles import NotPickle, Pickled, check, cloudpickle_version, dump
from checkpoint._core.pickles_culprit import find_unsavable
from checkpoint._core.records import Encoded
from checkpoint._core.tags_words import NotTree
from checkpoint._core.tags_writing import TreeWriter
from checkpoint.errors import StoreError, UnsavableError

# Longer JSON goes into a payload, so that a journal stays a list of lines that a person can read.
INLINE_TEXT = 32 * 1024

# A longer pickle goes into a payload: in base64 it would be longer than INLINE_TEXT.
INLINE_STREAM = 24 * 1024

# Pickles up to this size are loaded once when they are saved; of larger ones the first of each type.
CHECK_ALWAYS = 1024 * 1024

# Beyond this, a second copy in memory could be what ends the program.
CHECK_NEVER = 64 * 1024 * 1024

_WAYS_OUT = "Return plain data instead, or save it yourself and return its path."


class Codec:
    """Encodes and decodes the values of one store; may be shared by threads."""

    def __init__(self, secret: Callable[[], bytes], pickling: Literal["authenticated", "never"]) -> None:
        """
        Make a codec.

        Args:
            secret: Returns the user's key; called when the first value is sealed or a seal is verified.
            pickling: Whether values may be pickled at all, in either direction.
        """
        self._secret = secret
        self._pickling = pickling
        self._checked: weakref.WeakSet[type] = weakref.WeakSet()

    def encode(self, value: object, *, call_key: str, call: str) -> Encoded:
        """
        Return `value` as it is to be stored; its large parts are views of the user's own memory.

        Args:
            value: What the step returned.
            call_key: Key of the call; a sealed value is bound to it.
            call: The call as a person would write it, for messages.

        Raises:
            UnsavableError: It would not come back; the value is its `value`.
        """
        text = plain_text(value)
        if text is not None:
            if len(text) <= INLINE_TEXT:
                return Encoded(f'"value":{text}')
            return self._encode_text("json", text, {}, None)
        payloads: dict[str, memoryview] = {}

        def attach(view: memoryview) -> str:
            digest = hashlib.sha256(view).hexdigest()
            payloads[digest] = view
            return digest

        writer = TreeWriter(attach)
        try:
            tree = writer.write(value, "result")
            text = json_text(tree)
            if "\\ud" in text and json.loads(text) != tree:
                raise NotTree(value, "holds text that JSON does not bring back", "result")
        except NotTree as refusal:
            return self._encode_pickle(value, refusal, call_key, call)
        return self._encode_text("tagged", text, payloads, call_key if writer.names_classes else None)

    def _encode_text(self, codec: str, text: str, payloads: dict[str, memoryview], sealed_for: str | None) -> Encoded:
        data = text.encode("ascii")
        members: dict[str, object] = {}
        if len(data) > INLINE_TEXT or sealed_for is not None:
            digest = hashlib.sha256(data).hexdigest()
            if len(data) > INLINE_TEXT:
                members = {"codec": codec, "payload": digest, "size": len(data)}
                payloads = {**payloads, digest: memoryview(data)}
            if sealed_for is not None:
                # Without a usable key the work is not thrown away: the seal is needed only to import a class's module.
                with suppress(StoreError):
                    members["hmac"] = seal(self._secret(), sealed_for, digest, members)
        parts = [] if "payload" in members else [f'"tagged":{text}']
        if members:
            parts.append(json_text(members)[1:-1])
        return Encoded(",".join(parts), payloads)

    def _encode_pickle(self, value: object, refusal: NotTree, call_key: str, call: str) -> Encoded:
        if self._pickling == "never":
            raise UnsavableError(
                f"{call} returned a value that cannot be saved as plain data: {refusal.path} {refusal.why}, and "
                f"this store does not pickle. {_WAYS_OUT}",
                slug="unsavable-without-pickle",
                call=call,
                path=refusal.path,
                value=value,
            )
        try:
            pickled = dump(value)
            self._check(value, pickled)
        except NotPickle as error:
            raise _unsavable(value, call) from (error.__cause__ or error)
        try:
            return self._seal_pickle(pickled, call_key)
        except StoreError as error:
            raise UnsavableError(
                f"{call} returned a value that has to be pickled, and pickles cannot be signed: {error}",
                slug="unsavable-without-key",
                call=call,
                path=refusal.path,
                value=value,
            ) from error

    def _check(self, value: object, pickled: Pickled) -> None:
        kind = type(value)
        if pickled.size <= CHECK_ALWAYS:
            check(pickled, copy=True)
        elif kind not in self._checked and len(pickled.stream) <= CHECK_NEVER:
            try:
                check(pickled, copy=False)
            except NotPickle:
                # It may only have wanted to write to its memory, which is the user's here.
                check(pickled, copy=True)
            self._checked.add(kind)

    def _seal_pickle(self, pickled: Pickled, call_key: str) -> Encoded:
        payloads: dict[str, memoryview] = {}
        digest = hashlib.sha256(pickled.stream).hexdigest()
        members: dict[str, object] = {"codec": pickled.codec}
        if len(pickled.stream) <= INLINE_STREAM:
            members["data"] = base64.b64encode(pickled.stream).decode("ascii")
        else:
            members["payload"] = digest
            payloads[digest] = memoryview(pickled.stream)
        members["size"] = len(pickled.stream)
        buffers: list[list[object]] = []
        for view in pickled.buffers:
            part = hashlib.sha256(view).hexdigest()
            payloads[part] = view
            buffers.append([part, view.nbytes])
        if buffers:
            members["buffers"] = buffers
        members["python"] = codec_reading.python_version()
        if pickled.codec == "cloudpickle":
            members["cloudpickle"] = cloudpickle_version()
        if pickled.main is not None:
            members["main"] = pickled.main
        members["hmac"] = seal(self._secret(), call_key, digest, members)
        return Encoded(json_text(members)[1:-1], payloads)

    def decode(
        self,
        fields: dict[str, Any],
        *,
        call_key: str,
        call: str,
        fetch: Callable[[str, int], bytearray],
        private: bool,
        location: str = "",
    ) -> object:
        """
        Return the value that a record holds, with the same types; plain values are the record's own objects.

        Args:
            fields: The record's members, as parsed from its line; they must not be used for anything else after.
            call_key: Key of the call; a sealed value of another call is not accepted.
            call: The call as a person would write it, for messages.
            fetch: Returns a payload, verified, by its SHA-256 and its size; the value may live on that memory.
            private: Whether nobody but this user can have written the record.
            location: Where the run is kept, for messages.

        Raises:
            UnloadableError: This program cannot load it.
            UntrustedError: Loading it would run code, and nothing proves that this user wrote it.
        """
        if "value" in fields:
            return fields["value"]
        reading = codec_reading.Reading(
            fields=fields,
            call_key=call_key,
            call=call,
            fetch=fetch,
            private=private,
            location=location,
            secret=self._secret,
        )
        return codec_reading.read(reading, pickling=self._pickling == "authenticated")


def _unsavable(value: object, call: str) -> UnsavableError:
    culprit = find_unsavable(value, "result")
    where = "it" if culprit.path == "result" else culprit.path
    return UnsavableError(
        f"{call} returned a value that cannot be saved: {where} {culprit.why}. {_WAYS_OUT}",
        slug="unsavable-result",
        call=call,
        path=culprit.path,
        value=value,
    )
