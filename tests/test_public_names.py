"""
What users may rely on: the public names with their signatures, and the slugs by which messages are looked up.

The names and signatures are compared with a gold file, which `python tests/test_public_names.py --refresh` writes anew;
its difference is then part of the change and can be reviewed.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import sys
import types
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
PACKAGE = REPOSITORY / "checkpoint"
GOLD = REPOSITORY / "tests" / "gold" / "public_names.txt"
MESSAGES = REPOSITORY / "docs" / "messages.md"

PUBLIC = ["CheckpointError", "Run", "Step", "checkpointed", "current_run", "errors", "stores", "workflow"]

# Dunders that are part of how an object is used.
USED_DUNDERS = ("__init__", "__call__", "__enter__", "__exit__", "__aenter__", "__aexit__", "__iter__", "__len__")


class Written(str):
    """An annotation as it stands in the source: postponed ones are texts, which `inspect` would put in quotes."""

    def __repr__(self) -> str:
        return str(self)


def signature(function: object) -> str:
    """Return a signature as it is written."""
    assert callable(function)
    found = inspect.signature(function)
    named = [one.replace(annotation=written(one.annotation)) for one in found.parameters.values()]
    return str(found.replace(parameters=named, return_annotation=written(found.return_annotation)))


def written(annotation: object) -> object:
    """Return an annotation so that `inspect` prints it as it was written."""
    return Written(annotation) if isinstance(annotation, str) else annotation


def class_lines(name: str, cls: type) -> Iterator[str]:
    """Yield a class, what it inherits from, and its own public members."""
    bases = ", ".join(base.__name__ for base in cls.__bases__ if base not in (object, Exception))
    yield f"class {name}({bases})" if bases else f"class {name}"
    for member, value in sorted(vars(cls).items()):
        if member.startswith("_") and (
            member not in USED_DUNDERS or (member == "__init__" and not is_made_by_users(cls))
        ):
            continue
        # A slot's descriptor, a constant and an annotation are named; their values are not promised.
        if isinstance(value, staticmethod | classmethod):
            yield f"    {member}{signature(value.__func__)}"
        elif isinstance(value, types.FunctionType):
            yield f"    {member}{signature(value)}"
        else:
            yield f"    {member}"
    for member in sorted(set(inspect.get_annotations(cls)) - set(vars(cls))):
        yield f"    {member}"


def is_made_by_users(cls: type) -> bool:
    """Whether users call the class; they are given runs and steps, and a protocol only says what others must have."""
    return cls.__name__ not in ("Run", "Step") and not getattr(cls, "_is_protocol", False)


def name_lines(name: str, value: object) -> Iterator[str]:
    """Yield the gold text of one public name."""
    if isinstance(value, types.ModuleType):
        yield f"module {name}"
        for member in public_members(value):
            for line in name_lines(f"{name}.{member}", getattr(value, member)):
                yield f"    {line}"
    elif isinstance(value, type):
        yield from class_lines(name, value)
    elif callable(value):
        yield f"{name}{signature(value)}"
    else:
        yield name


def public_members(module: types.ModuleType) -> list[str]:
    """Return `__all__`, or else the names without an underscore that the module itself defines."""
    if hasattr(module, "__all__"):
        return sorted(module.__all__)
    defined = vars(module).items()
    return sorted(name for name, value in defined if not name.startswith("_") and is_defined_in(module, value))


def is_defined_in(module: types.ModuleType, value: object) -> bool:
    """Whether `value` is a class or function that this module, and no other, defines."""
    return isinstance(value, type | types.FunctionType) and value.__module__ == module.__name__


def gold_text() -> str:
    """Return the public names with their signatures as the gold file has them."""
    import checkpoint

    lines = [line for name in sorted(checkpoint.__all__) for line in name_lines(name, getattr(checkpoint, name))]
    return "\n".join(lines) + "\n"


def used_slugs() -> dict[str, str]:
    """Return every slug the package uses, with a place where it is used."""
    found: dict[str, str] = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            for value in slug_values(node):
                for slug in slug_texts(value):
                    found.setdefault(slug, f"{path.relative_to(REPOSITORY).as_posix()}:{value.lineno}")
    return found


def slug_values(node: ast.AST) -> Iterator[ast.expr]:
    """Yield the expressions that a node gives to something called `slug`: a keyword, a variable, a parameter."""
    if isinstance(node, ast.keyword):
        given: list[tuple[str, ast.expr | None]] = [(node.arg or "", node.value)]
    elif isinstance(node, ast.Assign):
        given = [(getattr(target, "id", ""), node.value) for target in node.targets]
    elif isinstance(node, ast.AnnAssign):
        given = [(getattr(node.target, "id", ""), node.value)]
    elif isinstance(node, ast.arguments):
        named = [*node.posonlyargs, *node.args]
        given = list(zip((one.arg for one in named[len(named) - len(node.defaults) :]), node.defaults, strict=True))
        given += zip((one.arg for one in node.kwonlyargs), node.kw_defaults, strict=True)
    else:
        given = []
    yield from (value for name, value in given if name == "slug" and value is not None)


def slug_texts(value: ast.expr) -> Iterator[str]:
    """Yield the texts an expression can be; what is put together at run time is expanded by `COMPOSED`."""
    if isinstance(value, ast.Constant) and isinstance(value.value, str):
        yield value.value
    elif isinstance(value, ast.IfExp):
        yield from slug_texts(value.body)
        yield from slug_texts(value.orelse)
    elif isinstance(value, ast.JoinedStr):
        pattern = ast.unparse(value)
        assert pattern in COMPOSED, f"add the texts that {pattern} can be to COMPOSED"
        yield from COMPOSED[pattern]


# Slugs that are put together at run time, by the expression that does it.
COMPOSED = {
    "f'workflow-{argument}'": ("workflow-name", "workflow-key"),
}


def test_all_is_sorted_and_exact() -> None:
    """The public names are these and no others."""
    checkpoint = importlib.import_module("checkpoint")

    assert PUBLIC == checkpoint.__all__


def test_every_public_name_exists() -> None:
    """Each name that is promised can be had, and is listed by `dir`."""
    checkpoint = importlib.import_module("checkpoint")

    assert [] == [name for name in PUBLIC if not hasattr(checkpoint, name) or name not in dir(checkpoint)]


def test_unknown_name_is_an_attribute_error() -> None:
    """A name that does not exist gives the error that `hasattr` and autocompletion rely on."""
    assert not hasattr(importlib.import_module("checkpoint"), "no_such_name")


def test_public_things_have_docstrings() -> None:
    """Whatever a user may call or catch says what it does."""
    silent = []
    for name in PUBLIC:
        value = getattr(importlib.import_module("checkpoint"), name)
        members = public_members(value) if isinstance(value, types.ModuleType) else []
        things = [(name, value), *[(f"{name}.{member}", getattr(value, member)) for member in members]]
        silent += [name for name, thing in things if callable(thing) and not inspect.getdoc(thing)]

    assert [] == silent


def test_signatures() -> None:
    """A signature changes on purpose: run this file with --refresh and look at the difference."""
    assert GOLD.read_text(encoding="utf-8") == gold_text()


def test_version_is_that_of_the_distribution() -> None:
    """The installed version is the one that the package says of itself."""
    try:
        installed = metadata.version("checkpoint-resume")
    except metadata.PackageNotFoundError:
        pytest.skip("checkpoint-resume is not installed here, only found on the path")

    assert installed == importlib.import_module("checkpoint").__version__


def test_slugs_are_kebab_case() -> None:
    """A slug can stand in an address."""
    assert {} == {slug: place for slug, place in used_slugs().items() if not re.fullmatch(r"[a-z]+(-[a-z]+)*", slug)}


def test_every_slug_is_explained() -> None:
    """Each message's slug has a paragraph with its cause and its cure."""
    explained = set(re.findall(r"^## (\S+)$", MESSAGES.read_text(encoding="utf-8"), re.MULTILINE))

    assert {} == {slug: place for slug, place in used_slugs().items() if slug not in explained}


def test_no_message_without_slug() -> None:
    """A paragraph about a message that no longer exists is taken away."""
    explained = re.findall(r"^## (\S+)$", MESSAGES.read_text(encoding="utf-8"), re.MULTILINE)

    assert [] == [slug for slug in explained if slug not in used_slugs()]


if __name__ == "__main__":
    if sys.argv[1:] != ["--refresh"]:
        sys.exit("usage: python tests/test_public_names.py --refresh")
    sys.path.insert(0, str(REPOSITORY))
    GOLD.parent.mkdir(exist_ok=True)
    GOLD.write_text(gold_text(), encoding="utf-8")
    print(f"wrote {GOLD.relative_to(REPOSITORY)}")
