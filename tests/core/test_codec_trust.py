"""Tests that nothing runs code before it was proved that this user wrote it."""

from __future__ import annotations

import base64
import dataclasses
import enum
import hashlib
import importlib
import json
import os
import pickle
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from checkpoint._core.codec import Codec
from checkpoint._core.codec_seal import seal
from checkpoint._core.records import Encoded
from checkpoint.errors import UnloadableError, UntrustedError

SECRET = b"k" * 32


class Bomb:
    """Loading one makes the directory it names."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.path),)


class Plain:
    array: Any
    text: str


def codec(secret: bytes = SECRET) -> Codec:
    return Codec(lambda: secret, "authenticated")


def decode(fields: dict[str, Any], *, fetch: Any = None, **changes: Any) -> Any:
    arguments: dict[str, Any] = {"call_key": "key", "call": "align('x')", "private": True} | changes
    reader = arguments.pop("codec", codec())
    return reader.decode(fields, fetch=fetch, **arguments)


def encode(value: object) -> tuple[Encoded, dict[str, Any]]:
    encoded = codec().encode(value, call_key="key", call="align('x')")
    return encoded, json.loads("{" + encoded.text + "}")


@pytest.fixture
def bomb(tmp_path: Path) -> tuple[Path, dict[str, Any]]:
    """Return a path that loading the sealed pickle would create, and the record."""
    path = tmp_path / "exploded"
    stream = pickle.dumps(Bomb(path), protocol=5)
    fields: dict[str, Any] = {
        "codec": "pickle",
        "data": base64.b64encode(stream).decode(),
        "size": len(stream),
        "python": f"3.{sys.version_info[1]}",
    }
    fields["hmac"] = seal(SECRET, "key", hashlib.sha256(stream).hexdigest(), fields)
    return path, fields


def test_the_bomb_works(bomb: tuple[Path, dict[str, Any]]) -> None:
    """The other tests prove something: sealed and private, the pickle is loaded, and runs."""
    path, fields = bomb
    decode(fields)
    assert path.exists()


def test_every_byte_of_the_seal_counts(bomb: tuple[Path, dict[str, Any]]) -> None:
    """No pickle is loaded when a digit of its seal is another."""
    path, fields = bomb
    for position, digit in enumerate(fields["hmac"]):
        other = "0" if digit != "0" else "1"
        forged = fields["hmac"][:position] + other + fields["hmac"][position + 1 :]
        with pytest.raises(UntrustedError):
            decode(fields | {"hmac": forged})
    assert not path.exists()


def test_every_byte_of_the_data_counts(bomb: tuple[Path, dict[str, Any]]) -> None:
    """No pickle is loaded when a byte of it is another."""
    path, fields = bomb
    stream = base64.b64decode(fields["data"])
    for position in range(len(stream)):
        forged = bytearray(stream)
        forged[position] ^= 1
        with pytest.raises(UntrustedError):
            decode(fields | {"data": base64.b64encode(forged).decode()})
    assert not path.exists()


@pytest.mark.parametrize(
    "change",
    [
        *({"hmac": None}, {"hmac": ""}, {"hmac": 5}, {"hmac": "é"}, {"hmac": "0" * 64}, {"codec": "cloudpickle"}),
        *({"python": "3.10"}, {"main": "evil"}, {"cloudpickle": "3.0"}, {"buffers": [["0" * 64, 1]]}),
    ],
    ids=str,
)
def test_every_member_is_sealed(bomb: tuple[Path, dict[str, Any]], change: dict[str, Any]) -> None:
    """Whatever decides how a pickle is read cannot be changed."""
    path, fields = bomb
    with pytest.raises(UntrustedError):
        decode(fields | change)
    assert not path.exists()


def test_a_pickle_of_another_call_is_not_accepted(bomb: tuple[Path, dict[str, Any]]) -> None:
    """A sealed value is bound to its call."""
    path, fields = bomb
    with pytest.raises(UntrustedError):
        decode(fields, call_key="other")
    assert not path.exists()


def test_a_pickle_under_another_secret_is_not_accepted(bomb: tuple[Path, dict[str, Any]]) -> None:
    """A run that was moved to another account is not unpickled there."""
    path, fields = bomb
    with pytest.raises(UntrustedError, match="machine and account that wrote it") as caught:
        decode(fields, codec=codec(b"x" * 32), location="/runs/7f3a")
    assert ["untrusted-value", "/runs/7f3a"] == [caught.value.slug, caught.value.path]
    assert not path.exists()


def test_a_pickle_in_a_place_of_others_is_not_loaded(bomb: tuple[Path, dict[str, Any]]) -> None:
    """A valid seal is not enough where others can write."""
    path, fields = bomb
    with pytest.raises(UntrustedError, match="others can write") as caught:
        decode(fields, private=False)
    assert "untrusted-place" == caught.value.slug
    assert not path.exists()


def test_a_payload_is_not_read_before_its_seal_is_verified() -> None:
    """An untrusted record does not cause its payloads to be fetched."""
    value = Plain()
    value.array, value.text = np.arange(10_000.0), "x" * 50_000
    encoded, fields = encode(value)

    def fetch(digest: str, size: int) -> bytearray:
        raise AssertionError("fetched")

    for change in ({"payload": "0" * 64}, {"buffers": []}, {"size": 5}):
        with pytest.raises(UntrustedError):
            decode(fields | change, fetch=fetch)
    back = decode(fields, fetch=lambda digest, size: bytearray(encoded.payloads[digest]))
    assert np.array_equal(value.array, back.array)


@pytest.fixture
def foreign(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Return a module of the user's whose import leaves a trace."""
    trace = tmp_path / "imported"
    source = (
        "import dataclasses, enum, pathlib\n"
        f"pathlib.Path({str(trace)!r}).touch()\n"
        "@dataclasses.dataclass\nclass Config:\n    rate: float\n"
        "class Mode(enum.Enum):\n    FAST = 1\n"
    )
    (tmp_path / "foreign_module.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    module = importlib.import_module("foreign_module")
    trace.unlink()
    module.trace = trace  # type: ignore[attr-defined]
    yield module  # type: ignore[misc]
    sys.modules.pop("foreign_module", None)


def values_of(module: Any) -> list[Any]:
    return [module.Config(1.0), module.Mode.FAST, [module.Config(float(number)) for number in range(2000)]]


def test_a_loaded_class_needs_no_seal(foreign: Any) -> None:
    """Data of a class that the program has imported is data: it is read wherever it comes from."""
    for value in values_of(foreign):
        encoded, fields = encode(value)
        fields.pop("hmac")
        assert value == decode(
            fields, private=False, fetch=lambda digest, size, e=encoded: bytearray(e.payloads[digest])
        )


def test_a_module_is_imported_for_a_sealed_value(foreign: Any) -> None:
    """What this user wrote may import the module of its class."""
    for value in values_of(foreign):
        encoded, fields = encode(value)
        sys.modules.pop("foreign_module", None)
        back = decode(fields, fetch=lambda digest, size, e=encoded: bytearray(e.payloads[digest]))
        assert repr(value) == repr(back)
    assert foreign.trace.exists()


@pytest.mark.parametrize(
    "change", [{"hmac": "0" * 64}, {"hmac": None}, {"private": False}, {"call_key": "other"}], ids=str
)
def test_no_module_is_imported_for_another_value(foreign: Any, change: dict[str, Any]) -> None:
    """Without proof nothing is imported, for a dataclass, an enum, and a list of them in a payload."""
    for value in values_of(foreign):
        encoded, fields = encode(value)
        sys.modules.pop("foreign_module", None)
        changed = fields | {name: item for name, item in change.items() if name == "hmac"}
        arguments = {name: item for name, item in change.items() if name != "hmac"}
        with pytest.raises(UntrustedError, match="import module foreign_module"):
            decode(changed, fetch=lambda digest, size, e=encoded: bytearray(e.payloads[digest]), **arguments)
        sys.modules["foreign_module"] = foreign
    assert not foreign.trace.exists()


def test_a_changed_tree_does_not_import(foreign: Any) -> None:
    """The seal of a tree covers every value in it."""
    _, fields = encode(foreign.Config(1.0))
    sys.modules.pop("foreign_module", None)
    fields["tagged"]["fields"]["rate"] = 2.0
    with pytest.raises(UntrustedError):
        decode(fields)
    assert not foreign.trace.exists()


def test_members_around_a_tree_do_not_matter(foreign: Any) -> None:
    """A record's own members are not part of the value's seal."""
    _, fields = encode(foreign.Mode.FAST)
    sys.modules.pop("foreign_module", None)
    assert "FAST" == decode(fields | {"size": 5, "main": "x", "python": "y"}).name


class Color(enum.Enum):
    RED = 1


@dataclasses.dataclass
class Trap:
    path: str

    def __post_init__(self) -> None:
        os.mkdir(self.path)


def test_a_tree_constructs_nothing(tmp_path: Path) -> None:
    """A tree cannot call a class's `__init__`, nor anything that is not a dataclass, named tuple or enum."""
    name = f"{__name__}:Trap"
    target = str(tmp_path / "x")
    assert target == decode({"tagged": {"$type": name, "fields": {"path": target}}}).path
    for forged in ("os:mkdir", "subprocess:Popen", f"{__name__}:Plain", f"{__name__}:Color", "builtins:type"):
        with pytest.raises(UnloadableError):
            decode({"tagged": {"$type": forged, "fields": {"path": target}}})
        with pytest.raises(UnloadableError):
            decode({"tagged": {"$enum": f"{forged}.{target}"}})
    assert not Path(target).exists()
