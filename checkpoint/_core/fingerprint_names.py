"""
Names that outlive a process: modules, classes and functions under the name an import would give them.

Nothing here may write `__main__` for a script, nor accept a name that does not lead back to its object.
"""

from __future__ import annotations

import re
import sys
from pathlib import PurePath
from types import BuiltinFunctionType, FunctionType, GenericAlias, MethodType, ModuleType, UnionType
from typing import Any

from checkpoint._core.fingerprint_table import ENCODERS, Encoder, NoLastingValue, build_in, encode, unknown

# What may stand in canonical text without quotes: it cannot be taken for a number, a quote or a bracket.
_PLAIN_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.<>-]*:[A-Za-z_][A-Za-z0-9_.<>]*")

# Set by the interpreter on classes made by a `class` statement or by `type()`; static C types lack it.
_HEAP_TYPE = 1 << 9


def lasting_module(module_name: str) -> str:
    """
    Return the name under which a module is known to every process.

    `python align.py`, `python -m align`, `import align` and a spawned worker agree on `align`; a package
    run as a program is `package.__main__`.  A program without a file (`python -c`, a notebook) remains
    `__main__`.
    """
    if module_name not in ("__main__", "__mp_main__"):
        return module_name
    main = sys.modules.get(module_name) or sys.modules.get("__main__")
    spec_name: object = getattr(getattr(main, "__spec__", None), "name", None)
    if isinstance(spec_name, str) and spec_name not in ("__main__", "__mp_main__"):
        return spec_name
    file: object = getattr(main, "__file__", None)
    if not isinstance(file, str):
        return "__main__"
    path = PurePath(file)
    # A folder or an archive that is run as a program: the file is its `__main__.py`.
    return f"{path.parent.stem}.__main__" if path.stem == "__main__" and path.parent.stem else path.stem


def lasting_name(named: object) -> str:
    """
    Return `module:qualified name` of a function or class, the same in every process.

    The name need not be unique nor lead back to the object: a nested function has one with `<locals>`.
    """
    module: object = getattr(named, "__module__", None)
    name: object = getattr(named, "__qualname__", getattr(named, "__name__", None))
    if not isinstance(name, str):
        return lasting_name(type(named))
    return f"{lasting_module(module)}:{name}" if isinstance(module, str) else f"builtins:{name}"


def tag(cls: type) -> str:
    """Return a class's lasting name as it stands in canonical text, quoted where it could be misread."""
    return _quoted(lasting_name(cls))


def class_name(cls: type) -> str:
    """Return `module.Name` for a message, where a metaclass cannot interfere."""
    name: str = type.__dict__["__qualname__"].__get__(cls)
    module: object = type.__dict__["__module__"].__get__(cls)
    return name if module == "builtins" else f"{module}.{name}"


def a_or_an(noun: str) -> str:
    """Return the noun with its indefinite article."""
    return f"{'an' if noun[:1].lower() in tuple('aeiou') else 'a'} {noun}"


def encode_class(cls: type) -> str:
    """Return the canonical text of a class that is itself the value: its name, which must lead to it."""
    if not _is_heap_type(cls):
        return tag(cls)
    if "<locals>" in cls.__qualname__:
        raise NoLastingValue(cls, "is a class defined inside a function", "function-without-name")
    return _leading_name(cls, cls.__module__, cls.__qualname__, kind="class")


def encode_function(function: Any) -> str:
    """Return the canonical text of a function that is itself the value: its name, which must lead to it."""
    qualname: str = function.__qualname__
    if "<lambda>" in qualname:
        raise NoLastingValue(function, "is a lambda", "function-without-name")
    if "<locals>" in qualname:
        raise NoLastingValue(function, "is a function defined inside another function", "function-without-name")
    return _leading_name(function, function.__module__, qualname, kind="function")


def encode_method(method: MethodType) -> str:
    """Return the canonical text of a bound method: what it is bound to, and its name there."""
    function = method.__func__
    owner = method.__self__
    name: str = getattr(function, "__name__", "")
    for cls in (owner if isinstance(owner, type) else type(owner)).__mro__:
        if name in cls.__dict__:
            if _steps_to(function, cls.__dict__[name]) is None:
                break
            return f"method({ENCODERS.get(type(owner), unknown)(owner)},{name!a})"
    raise NoLastingValue(method, "is a method that its class does not have under its name", "function-without-name")


def encode_wrapped(value: Any) -> str:
    """Return the canonical text of a transparent proxy, such as a decorated function: that of what it wraps."""
    wrapped = value.__wrapped__
    if isinstance(wrapped, FunctionType) and "<locals>" not in wrapped.__qualname__:
        return _leading_name(value, wrapped.__module__, wrapped.__qualname__, kind="function")
    return ENCODERS.get(type(wrapped), unknown)(wrapped)


def encode_global(value: object, name: str) -> str:
    """Return the canonical text of an object that pickle would look up by `name`, as a cached function."""
    module: object = getattr(value, "__module__", None) or type(value).__module__
    return _leading_name(value, str(module), name, kind="object")


def class_rule(cls: type, _value: object) -> Encoder | None:
    """Give classes with a metaclass, and decorated functions, their encoder."""
    if issubclass(cls, type):
        return encode_class
    if class_name(cls) == "typing._UnionGenericAlias":
        return _union
    if cls.__module__ == "typing" and cls.__name__.endswith(("Alias", "SpecialForm")):
        return _typing
    for base in cls.__mro__:
        if base.__name__ in ("ObjectProxy", "BaseObjectProxy") and base.__module__.split(".")[0] in _PROXY_MODULES:
            return encode_wrapped
    return None


# Where wrapt's C and Python implementations say their proxies were defined, in its different versions.
_PROXY_MODULES = frozenset({"wrapt", "_wrappers", "builtins"})


def _is_heap_type(cls: type) -> bool:
    return bool(type.__dict__["__flags__"].__get__(cls) & _HEAP_TYPE)


def _quoted(name: str) -> str:
    return name if _PLAIN_NAME.fullmatch(name) else f"@{name!a}"


def _leading_name(value: object, module_name: str | None, qualname: str, *, kind: str) -> str:
    # Two objects may carry one name, as a decorated function and the one inside it: only the name's own
    # object may use it, and what it wraps is told apart.
    module = sys.modules.get(module_name or "builtins")
    found: object = module
    for part in qualname.split("."):
        inside = getattr(found, "__dict__", {})
        # A module may make its names only when they are asked for; a class must not be asked to compute.
        found = inside[part] if part in inside else getattr(found, part, None) if found is module else None
    steps = None if found is None else _steps_to(value, found)
    if steps is None:
        why = f"is a {kind} that its name {module_name}.{qualname} does not lead to"
        raise NoLastingValue(value, why, "function-without-name")
    return _quoted(f"{lasting_module(module_name or 'builtins')}:{qualname}") + ".__wrapped__" * steps


def _steps_to(wanted: object, found: object) -> int | None:
    # Not more than the decorators a person would stack; a proxy may answer to `__wrapped__` for ever.
    for steps in range(32):
        if found is wanted:
            return steps
        if isinstance(found, (staticmethod, classmethod)):
            if found.__func__ is wanted:
                return steps
            found = found.__func__
            continue
        found = getattr(found, "__wrapped__", None)
        if found is None:
            return None
    return None


def _builtin_function(function: Any) -> str:
    owner = function.__self__
    if owner is None or isinstance(owner, ModuleType):
        return _leading_name(function, function.__module__, function.__qualname__, kind="function")
    return f"method({ENCODERS.get(type(owner), unknown)(owner)},{function.__name__!a})"


def _descriptor(function: Any) -> str:
    return f"method({encode_class(function.__objclass__)},{function.__name__!a},unbound)"


def _module(module: ModuleType) -> str:
    name = module.__name__
    if sys.modules.get(name) is not module:
        raise NoLastingValue(module, f"is a module that its name {name} does not lead to", "function-without-name")
    return f"module({lasting_module(name)!a})"


def _union(union: Any) -> str:
    # Two unions are equal in any order of their parts.
    return f"union{{{','.join(sorted(map(encode, union.__args__)))}}}"


def _generic(alias: GenericAlias) -> str:
    return f"generic({encode(alias.__origin__)},[{','.join(map(encode, alias.__args__))}])"


def _typing(form: Any) -> str:
    # How these are made and pickled changes with nearly every Python version; what they are made of does not.
    arguments: tuple[object, ...] | None = getattr(form, "__args__", None)
    if arguments is None:
        return f"typing({form._name!a})"
    return f"typing({encode(form.__origin__)},{encode((*arguments, *getattr(form, '__metadata__', ())))})"


_NAMED: dict[Any, Encoder] = {
    UnionType: _union,
    GenericAlias: _generic,
    type: encode_class,
    FunctionType: encode_function,
    MethodType: encode_method,
    BuiltinFunctionType: _builtin_function,
    type("".__len__): _builtin_function,
    type(str.upper): _descriptor,
    type(int.__add__): _descriptor,
    type(dict.__dict__["fromkeys"]): _descriptor,
    ModuleType: _module,
}
build_in(_NAMED)
