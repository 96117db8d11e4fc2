"""
Finding again the classes that saved values name: from a class to its lasting name, and back to the very same class.

A script is `__main__` when it is run, `__mp_main__` in a spawned worker, and a module of its own name when it is
imported; a lasting name is the same in all of them.  Looking a class up reads `sys.modules` only: a module is
imported solely after `permit` agreed, because importing runs code that the saved value chose.
"""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Callable, Iterator
from functools import lru_cache
from types import ModuleType

from checkpoint._core.fingerprint import lasting_module
from checkpoint._core.tags_words import BadTree

# The names under which Python itself knows the program that is running.
MAIN_NAMES = frozenset({"__main__", "__mp_main__"})

# What may be imported; a script's name, by which only loaded modules are found, may be `my-script` too.
_IMPORTABLE = re.compile(r"[^\W\d]\w*(?:\.[^\W\d]\w*)*")


class ClassFinder:
    """
    Finds classes by the names that `class_name` gave them.

    One finder serves one value: `permit` knows which.
    """

    def __init__(self, permit: Callable[[str], None] | None = None, *, as_pickle: bool = False) -> None:
        """
        Make a finder.

        Args:
            permit: Called with the name of a module before it is imported; it raises if the value that names
                the module must not cause an import. Without it nothing is ever imported.
            as_pickle: Look names up as pickle does, which lets modules and classes answer with code of theirs.
        """
        self._permit = permit
        self._follow = _follow_attributes if as_pickle else _follow
        self._found: dict[str, type] = {}

    def find(self, name: str) -> type:
        """
        Return the class with the lasting name `name`, as in `"align:Config.Mode"`.

        Raises:
            BadTree: There is none in this program.
        """
        known = self._found.get(name)
        if known is not None:
            return known
        module, _, qualname = name.rpartition(":")
        found = self.find_object(module, qualname)
        if not isinstance(found, type):
            raise BadTree(f"{name} is not a class")
        self._found[name] = found
        return found

    def find_object(self, module: str, qualname: str) -> object:
        """
        Return what `qualname` is in the module with the lasting name `module`; see `find`.

        Raises:
            BadTree: There is no such module or name in this program.
        """
        if not module or not qualname:
            raise BadTree(f"{module[:60]!a}:{qualname[:60]!a} is not the name of a class")
        for loaded in _loaded_modules(module):
            found = self._follow(loaded, qualname)
            if found is not None:
                return found
        if module in MAIN_NAMES or module in sys.modules or not _IMPORTABLE.fullmatch(module):
            raise BadTree(f"there is no {qualname} in {module}")
        if self._permit is None:
            raise BadTree(f"module {module} is not imported", module=module)
        self._permit(module)
        return self._import_object(module, qualname)

    def _import_object(self, module: str, qualname: str) -> object:
        try:
            loaded = importlib.import_module(module)
        except ModuleNotFoundError as error:
            found = self._find_moved(module, qualname)
            if found is None:
                raise BadTree(f"module {module} cannot be imported ({error})") from error
            return found
        except Exception as error:
            raise BadTree(f"importing module {module} failed ({type(error).__name__}: {error})") from error
        found = self._follow(loaded, qualname)
        if found is None:
            raise BadTree(f"there is no {qualname} in {module}")
        return found

    def _find_moved(self, module: str, qualname: str) -> object:
        """
        Return what `qualname` is in the one loaded module whose name is the end of `module`, or the other way round.

        `python tools/align.py` saved it as `align`; now the program imports `tools.align`.  Only a single
        candidate counts, and only when no module of the very name exists: anything else would be a guess.
        """
        names = {name: loaded for name, loaded in list(sys.modules.items()) if name not in MAIN_NAMES}
        main = sys.modules.get("__main__")
        if main is not None:
            names.setdefault(_lasting_main(main), main)
        alike = [
            self._follow(loaded, qualname)
            for name, loaded in names.items()
            if f".{name}".endswith(f".{module}") or f".{module}".endswith(f".{name}")
        ]
        found = [candidate for candidate in alike if candidate is not None]
        return found[0] if len(found) == 1 else None


def class_name(cls: type) -> str | None:
    """
    Return the lasting name of `cls`, as in `"align:Config.Mode"`, or None if it could not be found by it again.

    That is so for a class made inside a function, and for one whose name now stands for something else.
    """
    qualname = cls.__qualname__
    if "<" in qualname or not isinstance(cls.__module__, str):
        return None
    main = sys.modules.get("__main__")
    if main is not None and cls.__module__ in MAIN_NAMES:
        module = _lasting_main(main)
    else:
        module = lasting_module(cls.__module__)
    try:
        found = _WITHOUT_IMPORT.find_object(module, qualname)
    except BadTree:
        return None
    return f"{module}:{qualname}" if found is cls else None


def _follow(module: ModuleType, qualname: str) -> object:
    found: object = module
    for part in qualname.split("."):
        # Only what is really there: a module's or a class's __getattr__ could run code, or answer to anything.
        if not isinstance(found, (ModuleType, type)) or part not in vars(found):
            return None
        found = vars(found)[part]
    return found


def _follow_attributes(module: ModuleType, qualname: str) -> object:
    found: object = module
    for part in qualname.split("."):
        found = getattr(found, part, None)
    return found


def _lasting_main(main: ModuleType) -> str:
    return _lasting_main_of(getattr(main, "__file__", None), getattr(getattr(main, "__spec__", None), "name", None))


# Working it out takes longer than writing a value, and it is asked for every class; it depends on these two.
@lru_cache(maxsize=8)
def _lasting_main_of(file: object, spec_name: object) -> str:
    return lasting_module("__main__")


def _loaded_modules(name: str) -> Iterator[ModuleType]:
    main = sys.modules.get("__main__")
    if main is not None and (name in MAIN_NAMES or name == _lasting_main(main) or _is_file_of(main, name)):
        yield main
    loaded = sys.modules.get(name)
    if loaded is not None and loaded is not main:
        yield loaded


def _is_file_of(main: ModuleType, name: str) -> bool:
    """Return whether the script that runs is the file which `name`, such as `tools.align`, would import."""
    file = getattr(main, "__file__", None)
    if "." not in name or not isinstance(file, str):
        return False
    stem = "/" + name.replace(".", "/")
    return file.replace("\\", "/").endswith((f"{stem}.py", f"{stem}/__main__.py"))


_WITHOUT_IMPORT = ClassFinder()
