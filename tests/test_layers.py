"""
Imports only go down: every import statement of the package is parsed and held against the table of layers.

A module that the table does not know fails the test: whoever adds one says where it belongs.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import NamedTuple

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
PACKAGE = REPOSITORY / "checkpoint"

# The first pattern that fits says the layer; names are relative to the package.
LAYERS: list[tuple[str, int]] = [
    ("errors", 0),
    ("_core.records", 0),
    ("_core", 1),
    ("_core.*", 1),
    ("stores", 2),
    ("stores.*", 2),
    ("_runtime", 2),
    ("_runtime.clock", 2),
    ("_runtime.paths", 2),
    ("_runtime.secret", 2),
    ("_runtime.signals", 2),
    ("_runtime._signals_*", 2),
    ("_runtime.reporter", 2),
    ("_runtime._reporter_*", 2),
    ("_runtime.*", 3),
    ("_tools", 5),
    ("_tools.*", 5),
    ("__main__", 5),
    ("testing", 5),
    ("testing.*", 5),
    ("pytest_plugin", 5),
    ("_decorator", 4),
    ("_map", 4),
    ("_run", 4),
    ("_state", 4),
    ("_step", 4),
    ("_block", 4),
    ("_workflow", 4),
    ("", 4),
]

# Packages that cost too much, or need not be there, for a module to import them while it is itself imported.
HEAVY = frozenset(
    {
        *("asyncio", "cloudpickle", "concurrent", "logging", "multiprocessing", "platformdirs", "unittest", "wrapt"),
        *("attr", "attrs", "distributed", "msgspec", "numpy", "opentelemetry", "pandas", "psycopg", "pydantic"),
        *("pytest", "ray", "rich"),
    }
)

# What may be imported at all: the declared dependencies, and what is there only if the user brought it.
FOREIGN = HEAVY - sys.stdlib_module_names

# The standard library of this Python and of later ones.
STANDARD = sys.stdlib_module_names | {"annotationlib"}

# What the pure core may import.  Everything else could touch a file, a clock, a thread, a random source or a log.
# io is for BytesIO and pathlib for values that are paths; calls by which either would reach a file are listed below.
# fmt: off
PURE = frozenset({
    "__future__", "abc", "annotationlib", "array", "ast", "base64", "binascii", "bisect", "collections", "contextlib",
    "copy", "copyreg", "dataclasses", "datetime", "decimal", "enum", "fractions", "functools", "hashlib",
    "hmac", "inspect", "io", "ipaddress", "itertools", "json", "keyword", "marshal", "math", "numbers",
    "opcode", "operator", "pathlib", "pickle", "re", "string", "struct", "sys", "textwrap", "types", "typing",
    "unicodedata", "uuid", "weakref", "zlib", "zoneinfo",
})
# fmt: on

# Calls that would make a pure module impure although its imports are fine.
IMPURE_CALLS = frozenset(
    {"open", "print", "input", "now", "utcnow", "today", "uuid1", "uuid4", "read_text", "write_text", "exists", "stat"}
)

# (module, imported name): why it may, against the rules above.
EXCUSED_HEAVY = {
    ("_step", "wrapt"): "a step is a wrapt class; the module itself is only imported by the first decoration",
    ("pytest_plugin", "pytest"): "only pytest imports the module",
}
EXCUSED_UPWARD = {
    ("_runtime.opening", "checkpoint"): "the version, a constant that stands there before anything else is loaded",
}
EXCUSED_IMPURE = {
    ("_core.codec_classes", "importlib"): "a class of the user's is found by the name it was saved under",
    ("_core.pickles", "importlib"): "cloudpickle and numpy, when a value needs them",
    ("_core.tags_arrays", "importlib"): "numpy, when an array is read",
    ("_core.tags_leaves", "importlib"): "decimal, uuid, zoneinfo and the like, when such a value is read",
}


class Import(NamedTuple):
    """One import: who imports what, where, and whether that happens while the importer itself is imported."""

    module: str
    target: str
    line: int
    is_eager: bool


def modules() -> dict[str, Path]:
    """Return the package's modules by their names relative to it."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def layer(module: str) -> int | None:
    """Return the layer of a module, or None if the table does not know it."""
    return next((number for pattern, number in LAYERS if fnmatchcase(module, pattern)), None)


def is_type_checking(node: ast.AST) -> bool:
    """Whether `node` is an `if TYPE_CHECKING:`, whose body never runs."""
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)


def statements(node: ast.AST, is_eager: bool = True) -> Iterator[tuple[ast.stmt, bool]]:
    """Yield every statement below `node`, and whether it runs when the module is imported."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.stmt):
            yield child, is_eager
        is_function = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        yield from statements(child, is_eager and not is_function and not is_type_checking(child))


def imports(module: str, path: Path) -> Iterator[Import]:
    """Yield every import of a module, with `from package import module` taken to its module."""
    known = modules()
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    for statement, is_eager in statements(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(statement, ast.Import):
            for alias in statement.names:
                yield Import(module, alias.name, statement.lineno, is_eager)
        elif isinstance(statement, ast.ImportFrom):
            base = statement.module or ""
            if statement.level:
                parts = ["checkpoint", *package.split(".")] if package else ["checkpoint"]
                base = ".".join([*parts[: len(parts) - statement.level + 1], *filter(None, [base])])
            for alias in statement.names:
                inner = f"{base}.{alias.name}".removeprefix("checkpoint.")
                is_module = base.split(".")[0] == "checkpoint" and inner in known
                yield Import(module, f"{base}.{alias.name}" if is_module else base, statement.lineno, is_eager)


ALL_MODULES = modules()
ALL_IMPORTS = [found for module, path in ALL_MODULES.items() for found in imports(module, path)]
OWN_IMPORTS = [found for found in ALL_IMPORTS if found.target.split(".")[0] == "checkpoint"]
OTHER_IMPORTS = [found for found in ALL_IMPORTS if found.target.split(".")[0] != "checkpoint"]


def described(found: list[Import]) -> list[str]:
    """Return the imports as a failure should show them."""
    return [f"{one.module}:{one.line} imports {one.target}" for one in found]


@pytest.mark.parametrize("module", ALL_MODULES)
def test_every_module_has_a_layer(module: str) -> None:
    """A new module says where it belongs."""
    assert layer(module) is not None


def test_imports_go_down() -> None:
    """A module imports its own layer or a lower one."""
    upward = []
    for found in OWN_IMPORTS:
        above, below = layer(found.module), layer(found.target.removeprefix("checkpoint").removeprefix("."))
        if (above is None or below is None or below > above) and (found.module, found.target) not in EXCUSED_UPWARD:
            upward.append(found)

    assert [] == described(upward)


def test_words_import_only_words() -> None:
    """Layer 0 imports nothing of the package but layer 0."""
    assert [] == described(
        [found for found in OWN_IMPORTS if layer(found.module) == 0 and found.target != "checkpoint"]
    )


def test_heavy_packages_are_imported_where_used() -> None:
    """A heavy or optional package is imported inside a function, so that importing us does not load it."""
    heavy = [found for found in OTHER_IMPORTS if found.is_eager and found.target.split(".")[0] in HEAVY]

    assert [] == described(
        [found for found in heavy if (found.module, found.target.split(".")[0]) not in EXCUSED_HEAVY]
    )


def test_no_undeclared_dependency() -> None:
    """Nothing outside the standard library is imported but what is declared or optional."""
    known = FOREIGN | STANDARD

    assert [] == described([found for found in OTHER_IMPORTS if found.target.split(".")[0] not in known])


def test_core_imports_only_what_is_pure() -> None:
    """The core imports nothing that could touch a file, a clock, a thread, a random source or a log."""
    impure = [
        found
        for found in OTHER_IMPORTS
        if found.module.startswith("_core")
        and found.target.split(".")[0] not in PURE
        and (found.module, found.target) not in EXCUSED_IMPURE
    ]

    assert [] == described(impure)


def test_core_makes_no_impure_call() -> None:
    """The core does not ask the time, make up an id, or open a file through a type it may import."""
    calls = []
    for module, path in ALL_MODULES.items():
        if not module.startswith("_core"):
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
                if name in IMPURE_CALLS and (module, name) not in EXCUSED_IMPURE:
                    calls.append(f"{module}:{node.lineno} calls {name}")

    assert [] == calls


def test_no_excuse_without_cause() -> None:
    """An excuse that is no longer needed is taken away."""
    used = {(found.module, name) for found in ALL_IMPORTS for name in (found.target, found.target.split(".")[0])}

    assert [] == [excuse for excuse in [*EXCUSED_HEAVY, *EXCUSED_UPWARD, *EXCUSED_IMPURE] if excuse not in used]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("import numpy", [("numpy", True)]),
        ("def f():\n    import numpy", [("numpy", False)]),
        ("if TYPE_CHECKING:\n    import numpy", [("numpy", False)]),
        ("try:\n    import numpy\nexcept ImportError:\n    pass", [("numpy", True)]),
        ("class A:\n    import numpy", [("numpy", True)]),
        ("from checkpoint import errors", [("checkpoint.errors", True)]),
        ("from checkpoint import workflow", [("checkpoint", True)]),
        ("from checkpoint._core.records import Line", [("checkpoint._core.records", True)]),
        ("from . import records", [("checkpoint._core.records", True)]),
        ("from .records import Line", [("checkpoint._core.records", True)]),
        ("from ..errors import StoreError", [("checkpoint.errors", True)]),
    ],
)
def test_imports_are_found(tmp_path: Path, source: str, expected: list[tuple[str, bool]]) -> None:
    """The parser of this test sees every form of import, and whether it runs at import time."""
    path = tmp_path / "example.py"
    path.write_text(source)

    assert expected == [(found.target, found.is_eager) for found in imports("_core.example", path)]
