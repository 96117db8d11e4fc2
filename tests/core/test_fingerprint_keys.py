"""
What the user says identifies a value comes before anything else.
"""

from __future__ import annotations

import threading
import unittest.mock
from collections.abc import Iterator

import pytest

from checkpoint._core import fingerprint_objects, fingerprint_table
from checkpoint._core.fingerprint import NoLastingValue, canonical, digest, register
from checkpoint.errors import UsageError


class Client:
    def __init__(self, url: str) -> None:
        self.url, self.lock = url, threading.Lock()


class FastClient(Client):
    pass


class OwnKey(Client):
    def __checkpoint_key__(self) -> object:
        return ("own", self.url)


class RecursiveKey:
    def __checkpoint_key__(self) -> object:
        return self


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    """Forget what a test registered."""
    yield
    fingerprint_objects.KEY_FUNCTIONS.clear()
    fingerprint_table.forget_learned()


def test_registered_key() -> None:
    """A registered function gives a class a lasting value."""
    register(Client, lambda client: client.url)

    assert canonical(Client("u")) == canonical(Client("u"))
    assert canonical(Client("u")) != canonical(Client("v"))


def test_registering_after_use() -> None:
    """A class that was looked at before it was registered is looked at anew."""
    with pytest.raises(NoLastingValue):
        canonical(Client("u"))
    register(Client, lambda client: client.url)

    assert canonical(Client("u")).endswith(":Client@'u'")


def test_registered_key_is_inherited() -> None:
    """A derived class uses its base's key, under its own name."""
    register(Client, lambda client: client.url)

    assert canonical(FastClient("u")).endswith(":FastClient@'u'")


def test_own_key_of_a_derived_class() -> None:
    """A derived class's own key comes before its base's registered one."""
    register(Client, lambda client: client.url)

    assert canonical(OwnKey("u")).endswith(":OwnKey@('own','u')")


def test_registering_again() -> None:
    """The last registered function counts."""
    register(Client, lambda client: client.url)
    canonical(Client("u"))
    register(Client, lambda client: len(client.url))

    assert canonical(Client("u")).endswith(":Client@1")


def test_key_that_is_no_value() -> None:
    """What a key function returns must have a lasting value itself."""
    register(Client, lambda client: client.lock)

    with pytest.raises(NoLastingValue):
        canonical(Client("u"))


def test_key_that_returns_itself() -> None:
    """A key that leads back to its object is refused as a cycle."""
    with pytest.raises(NoLastingValue, match="contains itself"):
        canonical(RecursiveKey())


def test_error_of_a_key_function_passes_through() -> None:
    """The user's own error reaches the user unchanged."""
    error = KeyError("mine")

    def fail(_client: Client) -> object:
        raise error

    register(Client, fail)

    with pytest.raises(KeyError) as caught:
        canonical(Client("u"))
    assert error is caught.value


def test_key_is_not_looked_up_on_instances() -> None:
    """A mock, which answers to `__checkpoint_key__` too, is not believed."""
    with pytest.raises(NoLastingValue, match="is a mock"):
        canonical(unittest.mock.MagicMock(__checkpoint_key__=lambda: "u"))


@pytest.mark.parametrize("cls", [object, str, dict, type, "Client", 3])
def test_register_needs_a_class_of_ones_own(cls: object) -> None:
    """Built-in types and what is no class cannot be registered."""
    with pytest.raises(UsageError) as caught:
        register(cls, lambda value: value)  # type: ignore[arg-type, type-var]  # that is what is tested
    assert "register-class" == caught.value.slug


def test_register_needs_a_function() -> None:
    """A key function that cannot be called is refused at once."""
    with pytest.raises(UsageError) as caught:
        register(Client, "url")  # type: ignore[arg-type]  # that is what is tested
    assert "register-key-function" == caught.value.slug


def test_digest() -> None:
    """A digest is 32 hexadecimal digits; another algorithm would orphan every saved run."""
    assert "ea1e1a6797d2a79c9260626c93fa0dee" == digest("x=1")
