"""
A digest of the code changes with what runs, and with nothing else.
"""

from __future__ import annotations

import functools
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from checkpoint._core import code

REPOSITORY = Path(__file__).resolve().parent.parent.parent

BASE = "def step(x, y=1):\n    return x + y\n"


def made(source: str, name: str = "step") -> Callable[..., Any]:
    """Return the function that a source text defines."""
    namespace: dict[str, Any] = {"mark": lambda *args, **kwargs: lambda function: function}
    exec(compile(source, "module.py", "exec"), namespace)
    found: Callable[..., Any] = namespace[name]
    return found


def digest(source: str) -> str:
    """Return the digest of the function that a source text defines."""
    return code.digest(made(source))


SAME = {
    "lines shifted": "\n\n\n" + BASE,
    "comment": "def step(x, y=1):\n    # why\n\n    return x + y  # what\n",
    "docstring": 'def step(x, y=1):\n    """Add."""\n    return x + y\n',
    "annotations": "def step(x: int, y: int = 1) -> int:\n    return x + y\n",
    "annotated local": "from __future__ import annotations\ndef step(x, y=1) -> 'int':\n    return x + y\n",
    "decorator": "@mark(retries=3)\ndef step(x, y=1):\n    return x + y\n",
    "default": "def step(x, y=2):\n    return x + y\n",
}
NESTED = """
def step(x, y=1):
    def a():
        def b():
            return 1
        return b
    return a
"""
OTHER = {
    "operator": "def step(x, y=1):\n    return x - y\n",
    "constant": "def step(x, y=1):\n    return x + y + 1\n",
    "constant's type": "def step(x, y=1):\n    return x + y + True\n",
    "constant as float": "def step(x, y=1):\n    return x + y + 1.0\n",
    "text": "def step(x, y=1):\n    return x + y + 'a'\n",
    "tuple": "def step(x, y=1):\n    return x in (1, 2)\n",
    "set": "def step(x, y=1):\n    return x in {1, 2}\n",
    "other set": "def step(x, y=1):\n    return x in {1, 3}\n",
    "called function": "def step(x, y=1):\n    return len(x + y)\n",
    "other function": "def step(x, y=1):\n    return str(x + y)\n",
    "attribute": "def step(x, y=1):\n    return x.a + y\n",
    "swapped": "def step(x, y=1):\n    return y + x\n",
    "parameter": "def step(x, z=1):\n    return x + z\n",
    "keyword only": "def step(x, *, y=1):\n    return x + y\n",
    "positional only": "def step(x, y=1, /):\n    return x + y\n",
    "async": "async def step(x, y=1):\n    return x + y\n",
    "generator": "def step(x, y=1):\n    yield x + y\n",
    "lambda": "def step(x, y=1):\n    return (lambda: x + 1)\n",
    "other lambda": "def step(x, y=1):\n    return (lambda: x + 2)\n",
    "nested twice": NESTED,
    "nested otherwise": NESTED.replace("return 1", "return 2"),
    "handler": "def step(x, y=1):\n    try:\n        return x + y\n    except KeyError:\n        return 0\n",
    "other handler": "def step(x, y=1):\n    try:\n        return x + y\n    except IndexError:\n        return 0\n",
}


@pytest.mark.parametrize("source", SAME.values(), ids=SAME.keys())
def test_same_code(source: str) -> None:
    """What does not run does not count."""
    assert digest(BASE) == digest(source)


def test_other_code() -> None:
    """Every edit of what runs is noticed."""
    digests = {name: digest(source) for name, source in {"base": BASE, **OTHER}.items()}

    assert len(digests) == len(set(digests.values())), digests


def body(docstring: str = "", constants: int = 3) -> str:
    """Return a function that uses many constants and None, with or without a docstring."""
    lines = [f"    total += {number}.5" for number in range(constants)]
    return "\n".join(
        ["def step(total):", *([f"    {docstring!r}"] if docstring else []), *lines, "    return None, total"]
    )


@pytest.mark.parametrize("constants", [3, 200])
def test_docstring_moves_constants(constants: int) -> None:
    """A docstring that moves the other constants, as None is moved, changes nothing."""
    assert digest(body(constants=constants)) == digest(body("What it does.", constants=constants))


def test_many_constants_count() -> None:
    """A constant beyond the first 256 counts."""
    assert digest(body(constants=300)) != digest(body(constants=299) + "\n    total += 1000.5")


def test_nested_docstring() -> None:
    """A docstring of a nested function does not count either."""
    plain = "def step():\n    def inner():\n        return 1\n    return inner\n"

    assert digest(plain) == digest(plain.replace("        return 1", "        'What it does.'\n        return 1"))


def test_executing_changes_nothing() -> None:
    """A function that became hot has the digest it had."""
    function = made(BASE)
    before = code.digest(function)
    for number in range(5000):
        function(number, 1)

    assert before == code.digest(function)


def test_tracing_changes_nothing() -> None:
    """A debugger or a coverage tool changes nothing."""
    function = made(BASE)
    before = code.digest(function)
    previous = sys.gettrace()
    sys.settrace(lambda *args: None)
    try:
        function(1)
        during = code.digest(function)
    finally:
        sys.settrace(previous)

    assert before == during


def test_wrapped_code_counts() -> None:
    """An edit of a function inside its decorators is noticed."""

    def deco(inner: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(inner)
        def outer(*args: Any) -> Any:
            return inner(*args)

        return outer

    first, second = (deco(made(source)) for source in (BASE, OTHER["operator"]))

    assert code.digest(first) != code.digest(second)


@pytest.mark.parametrize("wrap", [staticmethod, classmethod, functools.partial])
def test_wrappers_have_the_functions_digest(wrap: Callable[[Any], object]) -> None:
    """Static methods, class methods and partials are their function."""
    function = made(BASE)

    assert code.digest(function) == code.digest(wrap(function))


def test_callables_without_code() -> None:
    """What has no Python code cannot be edited."""
    assert code.digest(len) == code.digest(max)


def test_form() -> None:
    """The tag says which digests may be compared."""
    tag, _, digits = code.digest(made(BASE)).rpartition(":")

    assert tag.startswith(str(sys.implementation.cache_tag))
    assert 8 == len(digits) and set(digits) <= set("0123456789abcdef")


def printed(*options: str, seed: str = "0") -> str:
    """Return the digest of a function with a set of texts, found by another process."""
    program = (
        "from checkpoint._core import code\n"
        "def step(x):\n    assert x\n    return x in {'a', 'b', 'c', 'd', 'e'}\n"
        "print(code.digest(step))"
    )
    done = subprocess.run(
        [sys.executable, *options, "-c", program],
        env={"PYTHONHASHSEED": seed, "PYTHONPATH": str(REPOSITORY), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


def test_hash_seed() -> None:
    """The order of a constant set does not matter."""
    assert 1 == len({printed(seed=seed) for seed in ("0", "1", "2")})


def test_optimised_code_is_not_compared() -> None:
    """Under -O asserts are gone: the tag says so."""
    plain, optimised = printed(), printed("-O")

    assert f"{plain.rpartition(':')[0]}.opt-1" == optimised.rpartition(":")[0]
