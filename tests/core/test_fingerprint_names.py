"""
Names that outlive a process.
"""

from __future__ import annotations

import sys
import types

import pytest

from checkpoint._core.fingerprint import NoLastingValue, canonical, lasting_module, lasting_name


class Outer:
    class Inner:
        def method(self) -> None: ...


def module(**attributes: object) -> types.ModuleType:
    """Return a main module with these attributes."""
    made = types.ModuleType("__main__")
    made.__dict__.update(attributes)
    return made


SPEC = types.SimpleNamespace


@pytest.mark.parametrize(
    ("expected", "main"),
    [
        ("align", module(__file__="/home/a/align.py")),
        ("my-script (1)", module(__file__="my-script (1).py")),
        ("align", module(__file__="/x/align.py", __spec__=SPEC(name="align"))),
        ("pkg.train", module(__file__="/x/pkg/train.py", __spec__=SPEC(name="pkg.train"))),
        ("pkg.__main__", module(__file__="/x/pkg/__main__.py", __spec__=SPEC(name="pkg.__main__"))),
        ("pkg.__main__", module(__file__="/x/pkg/__main__.py", __spec__=SPEC(name="__main__"))),
        ("pkg.__main__", module(__file__="/x/pkg/__main__.py")),
        ("tool.__main__", module(__file__="/x/tool.pyz/__main__.py", __spec__=SPEC(name="__main__"))),
        ("__main__", module()),
        ("__main__", module(__file__=None)),
    ],
)
def test_main_module(expected: str, main: types.ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """The program that runs has the name under which it would be imported."""
    monkeypatch.setitem(sys.modules, "__main__", main)

    assert expected == lasting_module("__main__")


def test_worker_module(monkeypatch: pytest.MonkeyPatch) -> None:
    """A spawned worker's main module is the script."""
    monkeypatch.setitem(sys.modules, "__mp_main__", module(__file__="/home/a/align.py"))

    assert "align" == lasting_module("__mp_main__")


def test_other_modules() -> None:
    """Any other module keeps its full name."""
    assert "os.path" == lasting_module("os.path")


def test_name_of_nested() -> None:
    """A nested function or class has its qualified name."""
    assert f"{__name__}:Outer.Inner.method" == lasting_name(Outer.Inner.method)


def test_name_of_local() -> None:
    """A function inside a function has a name, although it leads nowhere."""

    def inner() -> None: ...

    assert f"{__name__}:test_name_of_local.<locals>.inner" == lasting_name(inner)


def test_name_that_could_be_misread(monkeypatch: pytest.MonkeyPatch) -> None:
    """A script's file name cannot forge another value's text."""
    monkeypatch.setitem(sys.modules, "__main__", module(__file__="a','b:C(1).py"))
    cls = type("D", (), {"__module__": "__main__"})

    assert """@"a','b:C(1):D"{}""" == canonical(cls())


def test_name_that_leads_elsewhere() -> None:
    """A class whose name leads to another one is refused."""
    impostor = type("Outer", (), {"__module__": __name__})

    with pytest.raises(NoLastingValue, match=r"does not lead to"):
        canonical(impostor)


def test_wrapt_proxy_is_what_it_wraps() -> None:
    """A transparent proxy has the text of the value inside."""
    wrapt = pytest.importorskip("wrapt")

    assert canonical([1, {"a": 2}]) == canonical(wrapt.ObjectProxy([1, {"a": 2}]))


def decorate(function: object) -> object:
    """Wrap a function as steps are."""
    wrapt = pytest.importorskip("wrapt")
    return wrapt.FunctionWrapper(function, lambda wrapped, instance, args, kwargs: wrapped(*args, **kwargs))


def test_decorated_function_has_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """A decorated function and the one inside it are told apart."""

    def step() -> None: ...

    step.__qualname__ = "decorated_step"
    decorated = decorate(step)
    monkeypatch.setattr(sys.modules[__name__], "decorated_step", decorated, raising=False)

    assert f"{__name__}:decorated_step" == canonical(decorated)
    assert f"{__name__}:decorated_step.__wrapped__" == canonical(step)


def test_decorated_method(monkeypatch: pytest.MonkeyPatch) -> None:
    """A decorated method taken from an instance is known by the instance and its name."""
    monkeypatch.setattr(Outer.Inner, "method", decorate(Outer.Inner.method))

    assert f"method({__name__}:Outer.Inner{{}},'method')" == canonical(Outer.Inner().method)
