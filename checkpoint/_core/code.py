"""
A digest of a function's code, by which an edit is noticed; never part of what identifies a call.

Taken from the bytecode, which is what runs: the source file may have been edited since.  Docstrings,
comments, line numbers, annotations and decorators must not change it.
"""

from __future__ import annotations

import hashlib
import inspect
import opcode
import sys
from collections.abc import Iterator
from types import CodeType
from typing import Any

from checkpoint._core.fingerprint import canonical

# What a flag says of how a function runs; the others say how it was compiled.
_KIND_FLAGS = (
    inspect.CO_VARARGS
    | inspect.CO_VARKEYWORDS
    | inspect.CO_GENERATOR
    | inspect.CO_COROUTINE
    | inspect.CO_ITERABLE_COROUTINE
    | inspect.CO_ASYNC_GENERATOR
)

# Instructions whose argument is a place among the constants, where a docstring moves the others.
_CONSTANT_CODES = frozenset(opcode.hasconst)

# Functions may be wrapped by decorators; longer chains are a proxy that answers to anything.
_MOST_WRAPPERS = 32


def digest(function: object) -> str:
    """
    Return `<Python's tag>:<8 hexadecimal digits>` for the code of a function and of those it wraps.

    Digests are to be compared only where the tags are equal.  Code inside the function counts, what it calls
    or reads from its module does not.  All callables without Python code have the same digest.
    """
    hasher = hashlib.sha256()
    for code in _codes(function):
        hasher.update(_code_text(code).encode())
    return f"{_tag()}:{hasher.hexdigest()[:8]}"


def _tag() -> str:
    tag = sys.implementation.cache_tag or f"{sys.implementation.name}-{sys.version_info[0]}{sys.version_info[1]}"
    return f"{tag}.opt-{sys.flags.optimize}" if sys.flags.optimize else tag


def _codes(function: Any) -> Iterator[CodeType]:
    for _ in range(_MOST_WRAPPERS):
        code = getattr(function, "__code__", None)
        if isinstance(code, CodeType):
            yield code
        for inner in ("__wrapped__", "__func__", "func"):
            if hasattr(function, inner):
                function = getattr(function, inner)
                break
        else:
            return


def _code_text(code: CodeType) -> str:
    parameters = code.co_argcount + code.co_kwonlyargcount
    parameters += bool(code.co_flags & inspect.CO_VARARGS) + bool(code.co_flags & inspect.CO_VARKEYWORDS)
    facts = (
        code.co_name,
        code.co_posonlyargcount,
        code.co_argcount,
        code.co_kwonlyargcount,
        code.co_flags & _KIND_FLAGS,
        code.co_varnames[:parameters],
        code.co_names,
        len(code.co_freevars),
        getattr(code, "co_exceptiontable", b""),
    )
    return f"{canonical(facts)}{{{','.join(_instructions(code))}}}"


def _instructions(code: CodeType) -> Iterator[str]:
    compiled = code.co_code
    argument = 0
    for position in range(0, len(compiled), 2):
        operation = compiled[position]
        argument |= compiled[position + 1]
        if operation == opcode.EXTENDED_ARG:
            argument <<= 8
            continue
        text = _constant(code.co_consts[argument]) if operation in _CONSTANT_CODES else argument
        yield f"{operation} {text}"
        argument = 0


def _constant(value: object) -> str:
    return _code_text(value) if isinstance(value, CodeType) else canonical(value)
