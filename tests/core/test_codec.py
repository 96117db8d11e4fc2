"""Tests of `codec`: the order of the ways, what a record holds, and the words of every refusal."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import enum
import hashlib
import json
import subprocess
import sys
import threading
import tracemalloc
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from checkpoint._core import codec_plain, codec_reading
from checkpoint._core.codec import Codec
from checkpoint._core.codec_plain import plain_text
from checkpoint._core.codec_seal import seal
from checkpoint._core.records import Encoded
from checkpoint.errors import DamagedRunError, UnloadableError, UnsavableError, UntrustedError

SECRET = b"k" * 32


class Level(enum.IntEnum):
    LOW = 1


class Word(enum.StrEnum):
    YES = "y"


@dataclasses.dataclass
class Config:
    rate: float


class Bag:
    pass


Pair = collections.namedtuple("Pair", ["left", "right"])


def codec(pickling: Any = "authenticated", secret: bytes = SECRET) -> Codec:
    return Codec(lambda: secret, pickling)


def encode(value: object, *, call_key: str = "key", pickling: Any = "authenticated") -> Encoded:
    return codec(pickling).encode(value, call_key=call_key, call="align('x')")


def members(encoded: Encoded) -> dict[str, Any]:
    assert encoded.text.isascii()
    assert "\n" not in encoded.text
    found: dict[str, Any] = json.loads("{" + encoded.text + "}")
    for digest, view in encoded.payloads.items():
        assert (digest, 1, "B", True) == (hashlib.sha256(view).hexdigest(), view.ndim, view.format, view.c_contiguous)
    return found


def decode(encoded: Encoded, fields: dict[str, Any] | None = None, **changes: Any) -> Any:
    def fetch(digest: str, size: int) -> bytearray:
        data = encoded.payloads.get(digest)
        if data is None or len(data) != size:
            raise DamagedRunError(f"payload {digest} is missing", path="", line=None, byte=None, reason="")
        return bytearray(data)

    arguments: dict[str, Any] = {"call_key": "key", "call": "align('x')", "fetch": fetch, "private": True} | changes
    reader = arguments.pop("codec", codec())
    return reader.decode(members(encoded) if fields is None else fields, **arguments)


def bag(**parts: Any) -> Bag:
    made = Bag()
    vars(made).update(parts)
    return made


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "null"),
        (True, "true"),
        (5, "5"),
        (-0.0, "-0.0"),
        (1e22, "1e+22"),
        ("é", '"\\u00e9"'),
        ([], "[]"),
        ({"b": [1, None], "a": {}}, '{"b":[1,null],"a":{}}'),
        ({"$set": [1]}, '{"$set":[1]}'),
        (10**100, str(10**100)),
    ],
)
def test_plain_values_are_plain_json(value: object, text: str) -> None:
    """What is exactly JSON stands in the record as it is."""
    assert f'"value":{text}' == encode(value).text
    assert repr(value) == repr(decode(encode(value)))


SHARED: list[Any] = []
NESTED: Any = []
for _ in range(150):
    NESTED = [NESTED]


@pytest.mark.parametrize(
    "value",
    [
        *(Level.LOW, Word.YES, np.float64(1.0), np.str_("x"), (1,), Pair(1, 2), collections.OrderedDict(a=1)),
        *(float("nan"), float("-inf"), 10**700, "\ud83d\ude00", [10**700], [float("nan")], ["\ud83d\ude00"]),
        *({1: 2}, {"a": {None: 1}}, {Word.YES: 1}, [Level.LOW], {"a": (1,)}, [[np.float64(1)]], {"\ud83d\ude00": 1}),
        *([SHARED, SHARED], {"a": [SHARED], "b": SHARED}, NESTED, bytearray(b"x"), b"", {1}, dict),
    ],
    ids=lambda value: type(value).__name__,
)
def test_nothing_else_is_taken_for_plain_json(value: object) -> None:
    """What JSON would change is not written as plain JSON, alone or inside."""
    assert plain_text(value) is None
    assert "value" not in members(encode(value))


def test_emoji_is_plain() -> None:
    """A character beyond the first plane is two escapes, and still plain."""
    assert '"value":["\\ud83d\\ude00"]' == encode(["\U0001f600"]).text


def test_tagged_values_are_readable() -> None:
    """A closed set of types is tagged JSON, without a seal."""
    assert '"tagged":{"a":{"$tuple":[1]}}' == encode({"a": (1,)}).text


def test_the_secret_is_asked_for_only_when_needed() -> None:
    """Plain and tagged values need no key; classes of the user's and pickles do."""

    def no_secret() -> bytes:
        raise AssertionError("asked")

    careful = Codec(no_secret, "authenticated")
    for value in (5, {1, 2}, "x" * 50_000, np.arange(3)):
        encoded = careful.encode(value, call_key="key", call="f()")
        decode(encoded, codec=careful)
    for value in (Config(1.0), bag()):
        with pytest.raises(AssertionError, match="asked"):
            careful.encode(value, call_key="key", call="f()")


@pytest.mark.parametrize(
    ("value", "codec_name"),
    [
        ("x" * 40_000, "json"),
        ([["x" * 100] * 1000], "json"),
        (tuple(range(20_000)), "tagged"),
        ([Config(1.0)], "tagged"),
    ],
    ids=["text", "list", "tuple", "classes"],
)
def test_long_texts_are_payloads(value: Any, codec_name: str) -> None:
    """JSON beyond 32 KiB goes into a payload under its codec."""
    value = value * 2000 if codec_name == "tagged" and isinstance(value, list) else value
    value = [dataclasses.replace(each) for each in value] if isinstance(value[0], Config) else value
    encoded = encode(value)
    found = members(encoded)
    assert [codec_name, 1] == [found["codec"], len(encoded.payloads)]
    assert value == decode(encoded)


def test_a_pickle_says_all_that_is_needed_to_read_it() -> None:
    """A small pickle stands in the record, in base64, with the Python that wrote it and a seal."""
    found = members(encode(bag(a=1)))
    assert {"codec", "data", "size", "python", "hmac"} == set(found)
    assert ["pickle", f"3.{sys.version_info[1]}", 64] == [found["codec"], found["python"], len(found["hmac"])]


def test_a_large_pickle_is_a_payload_with_its_buffers() -> None:
    """Stream and buffers are payloads of their own; what comes back can be written to."""
    value = bag(array=np.arange(10_000.0), text="x" * 30_000)
    encoded = encode(value)
    found = members(encoded)
    back = decode(encoded)
    assert [2, 1] == [len(encoded.payloads), len(found["buffers"])]
    assert np.array_equal(value.array, back.array)
    assert back.array.flags.writeable


def test_sharing_is_kept() -> None:
    """One list under two names is one list afterwards."""
    part: list[int] = [1]
    encoded = encode({"a": part, "b": part})
    back = decode(encoded)
    assert ["pickle", True] == [members(encoded)["codec"], back["a"] is back["b"]]


def test_a_hundred_megabytes_are_not_copied() -> None:
    """Encoding hands out the user's memory, decoding builds on the memory it is given."""
    array = np.zeros(12_500_000)
    tracemalloc.start()
    encoded = encode({"weights": array})
    peak = tracemalloc.get_traced_memory()[1]
    (view,) = encoded.payloads.values()
    memory = bytearray(view)
    tracemalloc.reset_peak()
    before = tracemalloc.get_traced_memory()[0]
    back = decode(encoded, fetch=lambda digest, size: memory)["weights"]
    growth = tracemalloc.get_traced_memory()[1] - before
    tracemalloc.stop()

    assert [True, True] == [peak < 1_000_000, growth < 1_000_000]
    assert np.shares_memory(np.frombuffer(view, "u1"), array)
    assert np.shares_memory(np.frombuffer(memory, "u1"), back)
    assert back.flags.writeable


LOCK = threading.Lock()


@pytest.mark.parametrize(
    ("value", "path", "words"),
    [
        (
            {"conn": LOCK},
            "result['conn']",
            "align('x') returned a value that cannot be saved: result['conn'] is a _thread.lock "
            "(cannot pickle '_thread.lock' object). "
            "Return plain data instead, or save it yourself and return its path.",
        ),
        ((x for x in ()), "result", "it is a generator, which can be read only once: return a list."),
    ],
    ids=["lock", "generator"],
)
def test_what_cannot_be_saved_is_refused_in_words(value: Any, path: str, words: str) -> None:
    """The error names the call, the part and the ways out, and carries the value."""
    with pytest.raises(UnsavableError) as caught:
        encode(value)
    assert words in str(caught.value)
    assert [path, True, "align('x')"] == [caught.value.path, caught.value.value is value, caught.value.call]


def test_without_pickling_only_data_is_saved() -> None:
    """A store that never pickles names the part that would need it."""
    with pytest.raises(
        UnsavableError, match=r"plain data: result\['a'\]\[0\] is a .*Bag, and this store does not"
    ) as it:
        encode({"a": [bag()]}, pickling="never")
    assert "unsavable-without-pickle" == it.value.slug
    assert Config(1.0) == decode(encode(Config(1.0), pickling="never"), codec=codec("never"))


def test_without_pickling_nothing_is_unpickled() -> None:
    """A pickle that another store wrote is not loaded, sealed or not."""
    with pytest.raises(UnloadableError, match="does not unpickle"):
        decode(encode(bag()), codec=codec("never"))


class Fragile:
    def __init__(self, size: int) -> None:
        self.data = "x" * size

    def __setstate__(self, state: Any) -> None:
        raise ValueError("fragile")


@pytest.mark.parametrize("size", [1, 2_000_000])
def test_what_cannot_be_loaded_is_found_when_it_is_saved(size: int) -> None:
    """A result is loaded once while the value is still there; a large one too, the first of its type."""
    with pytest.raises(UnsavableError, match="fragile"):
        encode(Fragile(size))


def test_the_first_large_value_of_a_type_is_checked_once() -> None:
    """Only the first large value of a type pays for the check."""
    loads = []

    Bag.__setstate__ = lambda self, state: (loads.append(1), vars(self).update(state))  # type: ignore[attr-defined]
    try:
        writer = codec()
        for _ in range(3):
            writer.encode(bag(data="x" * 2_000_000), call_key="key", call="f()")
    finally:
        del Bag.__setstate__  # type: ignore[attr-defined]
    assert [1] == loads


def test_code_of_another_python_is_refused_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    """A lambda saved under another minor version is never loaded: it could kill the interpreter."""
    encoded = encode(lambda: 1)
    monkeypatch.setattr(codec_reading, "python_version", lambda: "3.99")
    with pytest.raises(UnloadableError) as caught:
        decode(encoded)
    here = f"3.{sys.version_info[1]}"
    assert (
        "align('x') saved a value that contains code (a lambda or a class defined inside a function) under Python "
        f"{here}; it cannot be loaded under 3.99. Run it with {here}, "
        "or let the step run anew under another version, as in @checkpointed(version=2)."
    ) == str(caught.value)


def test_a_pickle_by_reference_is_loaded_by_another_python(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only code depends on the version."""
    encoded = encode(bag(a=5))
    monkeypatch.setattr(codec_reading, "python_version", lambda: "3.99")
    assert 5 == decode(encoded).a


def test_an_older_cloudpickle_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a newer cloudpickle wrote is not given to an older one."""
    encoded = encode(lambda: 1)
    monkeypatch.setattr(codec_reading, "cloudpickle_version", lambda: "2.2.1")
    with pytest.raises(UnloadableError, match=r"2\.2\.1 is installed"):
        decode(encoded)


@pytest.mark.parametrize(
    "fields",
    [
        *({}, {"codec": "yaml"}, {"codec": None}, {"codec": "json"}, {"codec": "json", "payload": "0" * 64}),
        *({"codec": "json", "payload": "x", "size": 1}, {"codec": "json", "payload": "0" * 64, "size": -1}),
        *({"codec": "json", "payload": "0" * 64, "size": True}, {"codec": "pickle"}, {"codec": "pickle", "data": 5}),
        *({"codec": "pickle", "data": "?", "size": 0}, {"codec": "pickle", "data": "AA==", "size": 5}),
        *({"codec": "pickle", "data": "", "size": 0, "buffers": 5}, {"tagged": {"$set": 5}}, {"tagged": {"$no": 1}}),
        {"codec": "pickle", "data": "", "size": 0, "buffers": [["0" * 64]]},
        {"codec": ["json"]},
    ],
    ids=lambda fields: json.dumps(fields)[:50],
)
def test_malformed_records_are_unloadable(fields: dict[str, Any]) -> None:
    """Whatever is missing or of the wrong type is an UnloadableError with the call."""
    with pytest.raises(UnloadableError) as caught:
        decode(encode(1), fields)
    assert "align('x')" == caught.value.call


DEEP: Any = 5
for _ in range(5_000):
    DEEP = [DEEP]


@pytest.mark.parametrize(
    "fields",
    [
        *({"tagged": DEEP}, {"tagged": {"$int": DEEP}}, {"tagged": {"$npy": {"dtype": DEEP}}}, {"codec": DEEP}),
        *({"codec": "json", "payload": DEEP, "size": 1}, {"codec": "json", "payload": "0" * 64, "size": DEEP}),
        *({"codec": "pickle", "data": "", "size": DEEP}, {"codec": "pickle", "data": "", "size": 0, "buffers": [DEEP]}),
        {"codec": "pickle", "data": "", "size": 0, "main": DEEP, "hmac": "0" * 64},
    ],
    ids=lambda fields: "-".join(fields),
)
def test_deep_records_are_unloadable(fields: dict[str, Any]) -> None:
    """A record with any member 5,000 levels deep ends in an UnloadableError too."""
    with pytest.raises(UnloadableError) as caught:
        decode(encode(1), fields)
    assert "align('x')" == caught.value.call


@pytest.mark.parametrize(
    "data", [b"", b"{", b"\xff", b"[" * 100_000, b"1" * 5000], ids=["empty", "torn", "bytes", "deep", "long"]
)
def test_a_malformed_payload_is_unloadable(data: bytes) -> None:
    """A payload that is not JSON is an UnloadableError."""
    fields = {"codec": "json", "payload": "0" * 64, "size": len(data)}
    with pytest.raises(UnloadableError):
        decode(encode(1), fields, fetch=lambda digest, size: bytearray(data))


def test_a_missing_payload_is_the_store_s_error() -> None:
    """What the store raises passes through."""
    encoded = encode("x" * 40_000)
    with pytest.raises(DamagedRunError):
        decode(Encoded(encoded.text, {}))


def test_a_class_that_is_gone_is_named() -> None:
    """A renamed class is an UnloadableError that names it, for tagged values and for pickles."""
    for value, name in ((Config(1.0), "Config"), (bag(), "Bag")):
        encoded = encode(value)
        saved = globals().pop(name)
        try:
            with pytest.raises(UnloadableError, match=name):
                decode(encoded)
        finally:
            globals()[name] = saved


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(codec=None)),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=4),
    max_leaves=15,
)
keys = st.none() | st.booleans() | st.integers() | st.text(max_size=3) | st.binary(max_size=3) | st.dates()
leaves = (
    plain
    | st.binary()
    | st.complex_numbers()
    | st.decimals()
    | st.fractions()
    | st.datetimes(timezones=st.none() | st.timezones())
    | st.times(timezones=st.none() | st.timezones())
    | st.timedeltas()
    | st.uuids()
    | st.sampled_from([Level.LOW, Word.YES])
    | st.builds(Config, st.floats())
)
values = st.recursive(
    leaves,
    lambda inner: (
        st.tuples(inner, inner)
        | st.lists(inner, max_size=3)
        | st.dictionaries(keys | st.tuples(keys), inner, max_size=3)
        | st.sets(keys, max_size=3)
        | st.frozensets(keys, max_size=3)
        | st.builds(Pair, inner, inner)
    ),
    max_leaves=10,
)


def canonical(value: Any) -> str:
    """Return a text that differs whenever type or value differ, also for NaN, -0.0 and the order of a dict."""
    if isinstance(value, dict):
        return f"{type(value)}{[(canonical(key), canonical(item)) for key, item in value.items()]}"
    if isinstance(value, (list, tuple)):
        return f"{type(value)}{[canonical(item) for item in value]}"
    if isinstance(value, (set, frozenset)):
        return f"{type(value)}{sorted(canonical(item) for item in value)}"
    if isinstance(value, Config):
        return f"{type(value)}{canonical(value.rate)}"
    return f"{type(value)}{value!a}"


@settings(max_examples=300, deadline=None, derandomize=True, database=None)
@given(values)
def test_any_value_comes_back_the_same(value: Any) -> None:
    """Type and value survive, whichever way was taken."""
    assert canonical(value) == canonical(decode(encode(value)))


@settings(max_examples=200, deadline=None, derandomize=True, database=None)
@given(values)
def test_writing_again_writes_the_same(value: Any) -> None:
    """What was loaded is written as it was, so that a rerun's files do not differ."""
    encoded = encode(value)
    if "codec" not in members(encoded):
        assert encoded.text == encode(decode(encoded)).text


junk = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["$tuple", "$set", "$dict", "$npy", "$type", "fields", "$enum", "$datetime", "$deque", "a", "dtype"]
            )
            | st.sampled_from(
                ["shape", "data", "$range", "$str", "$defaultdict", "factory", "items", "payload", "size"]
            ),
            inner,
            max_size=3,
        )
    ),
    max_leaves=10,
)


@settings(max_examples=500, deadline=None, derandomize=True, database=None)
@given(st.dictionaries(st.sampled_from(["tagged", "codec", "payload", "data", "size", "buffers", "hmac"]), junk))
def test_junk_is_a_value_or_an_error_of_ours(fields: dict[str, Any]) -> None:
    """No record, however malformed, ends in another error."""
    with contextlib.suppress(UnloadableError, UntrustedError, DamagedRunError):
        decode(encode(1), fields)


def test_numpy_is_not_imported_for_values_that_did_not_bring_it() -> None:
    """Plain, tagged and pickled values import neither numpy nor cloudpickle nor asyncio."""
    program = (
        "import sys, datetime; from checkpoint._core.codec import Codec\n"
        "codec = Codec(lambda: b'k' * 32, 'authenticated')\n"
        "for value in (1, [1], (1,), {1}, datetime.date(2024, 1, 1), slice(1), [[]] * 2):\n"
        "    codec.encode(value, call_key='k', call='f()')\n"
        "print(sys.modules.keys() & {'numpy', 'cloudpickle', 'asyncio', 'zoneinfo', 'uuid'})"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=Path(__file__).parents[2], capture_output=True, text=True, check=True
    )
    assert "set()" == done.stdout.strip()


class Normalising:
    """Writes to its own memory when it is loaded."""

    def __init__(self, array: Any) -> None:
        self.array = array

    def __setstate__(self, state: Any) -> None:
        self.array = state["array"]
        self.array += 1


def test_the_check_never_writes_to_the_user_s_memory() -> None:
    """A class that writes when it is loaded gets memory of its own for the check."""
    value = Normalising(np.zeros(200_000))
    encode(value)
    assert 0.0 == value.array.max()


def test_text_that_json_would_join_goes_another_way() -> None:
    """Two halves of a pair inside a path are not read as one character."""
    value = PurePosixPath("\ud83d\ude00")
    encoded = encode([value])
    assert ["codec", [value]] == [next(iter(members(encoded))), decode(encoded)]


def test_a_sealed_program_must_be_text() -> None:
    """Even under a valid seal a malformed member is an UnloadableError."""
    fields: dict[str, Any] = {"codec": "pickle", "data": "Ti4=", "size": 2, "main": 5}
    fields["hmac"] = seal(SECRET, "key", hashlib.sha256(b"N.").hexdigest(), fields)
    with pytest.raises(UnloadableError, match="program"):
        decode(encode(1), fields)


@dataclasses.dataclass
class Broken:
    a: int
    b: int = dataclasses.field(default_factory=lambda: 1 // 0)


def test_a_default_that_raises_is_named() -> None:
    """What a class of the user's raises while its instance is restored is an UnloadableError."""
    with pytest.raises(UnloadableError, match="ZeroDivisionError"):
        decode(encode(1), {"tagged": {"$type": f"{__name__}:Broken", "fields": {"a": 1}}})


def test_another_c_encoder_is_not_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the encoder written in C is made otherwise, the standard way gives the same text."""
    for other in (None, lambda: None):
        monkeypatch.setattr("json.encoder.c_make_encoder", other)
        assert '{"a":[1,"\\u00e9"]}' == "".join(codec_plain._make_encoder()({"a": [1, "\u00e9"]}, 0))
