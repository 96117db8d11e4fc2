"""
Sizes that keep the code readable: lines of a module and a function, parameters, public names.

Docstrings do not count for a function: a contract must not be cut to fit.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
PACKAGE = REPOSITORY / "checkpoint"

MODULE_LINES = 300
FUNCTION_LINES = 40
PARAMETERS = 8
PUBLIC_NAMES = 12

# `file:function`: why it may have more than eight parameters.  One signature may be excused, no more.
EXCUSED_PARAMETERS: dict[str, str] = {}

PATHS = sorted(PACKAGE.rglob("*.py"))
Function = ast.FunctionDef | ast.AsyncFunctionDef


def functions() -> Iterator[tuple[str, Function]]:
    """Yield every function of the package with its `file:qualified.name`."""

    def below(node: ast.AST, prefix: str) -> Iterator[tuple[str, Function]]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                name = f"{prefix}{child.name}"
                if not isinstance(child, ast.ClassDef):
                    yield name, child
                yield from below(child, f"{name}.")
            else:
                yield from below(child, prefix)

    for path in PATHS:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        yield from below(tree, f"{path.relative_to(PACKAGE).as_posix()}:")


def length(function: Function) -> int:
    """Return the lines of a function from its `def` to its end, without its docstring."""
    lines = (function.end_lineno or 0) - function.lineno + 1
    first = function.body[0]
    if ast.get_docstring(function, clean=False) is not None:
        lines -= (first.end_lineno or 0) - first.lineno + 1
    return lines


def parameters(function: Function) -> int:
    """Return how many parameters a caller has to know."""
    arguments = function.args
    named = [*arguments.posonlyargs, *arguments.args]
    is_bound = bool(named) and named[0].arg in ("self", "cls")
    stars = sum(star is not None for star in (arguments.vararg, arguments.kwarg))
    return len(named) - is_bound + len(arguments.kwonlyargs) + stars


def test_module_lines() -> None:
    """A module has one topic; what needs more lines has two."""
    lengths = {path.relative_to(PACKAGE).as_posix(): path.read_text(encoding="utf-8").count("\n") for path in PATHS}

    assert {} == {name: lines for name, lines in lengths.items() if lines > MODULE_LINES}


def test_function_lines() -> None:
    """A function can be seen whole."""
    assert {} == {name: length(function) for name, function in functions() if length(function) > FUNCTION_LINES}


def test_parameters() -> None:
    """A signature can be remembered."""
    long = {name: parameters(function) for name, function in functions() if parameters(function) > PARAMETERS}

    assert set(EXCUSED_PARAMETERS) == set(long), long


def test_one_signature_is_excused_at_most() -> None:
    """The exception stays one."""
    assert len(EXCUSED_PARAMETERS) <= 1


def test_public_names() -> None:
    """The whole library can be learned from one short list."""
    import checkpoint

    assert len(checkpoint.__all__) <= PUBLIC_NAMES


def test_module_docstrings() -> None:
    """Every module with code in it opens with its one job."""
    silent = [
        path.relative_to(PACKAGE).as_posix() for path in PATHS if path.stat().st_size and not opens_with_job(path)
    ]

    assert [] == silent


def opens_with_job(path: Path) -> bool:
    """Whether a module has a docstring."""
    return ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) is not None
