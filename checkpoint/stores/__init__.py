"""
Where runs are kept: in a directory of this machine, or in memory.

`open_store` turns what a user names into a store.  This module must never import what a store in use does not need.
"""

from __future__ import annotations

import os
import re
from typing import TypeAlias

from checkpoint.errors import UsageError
from checkpoint.stores._interface import Journal, Store
from checkpoint.stores.file import FileStore
from checkpoint.stores.memory import MemoryStore

__all__ = ["FileStore", "Journal", "MemoryStore", "Store", "open_store"]

# Two letters at least, so that `C:\\runs` is a path.
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:")

StoreSpec: TypeAlias = "str | os.PathLike[str] | Store | None"


def open_store(spec: StoreSpec = None) -> Store:
    """
    Return the store that `spec` names; nothing is made or read before it is used.

    Args:
        spec: None for this user's own directory (`CHECKPOINT_HOME` overrides it), a path, `file:///…`, `memory:`
            for one that is gone with the process, or a store, which is returned as it is.

    Raises:
        UsageError: It names no store.
        StoreError: There is no directory of this user's own.
    """
    if spec is None:
        return FileStore()
    if isinstance(spec, str | os.PathLike):
        return _named(os.fspath(spec), spec)
    if all(callable(getattr(spec, name, None)) for name in ("open", "runs", "read", "delete")):
        return spec
    raise _unknown(spec)


def _named(name: object, spec: object) -> Store:
    if not isinstance(name, str) or not name:
        raise _unknown(spec)
    if name == "memory:":
        return MemoryStore()
    if name.lower().startswith("file:"):
        # Imported here, because hardly any program needs it.
        from urllib.parse import unquote, urlsplit

        parts = urlsplit(name)
        if parts.netloc not in ("", "localhost") or not parts.path.startswith("/") or parts.query or parts.fragment:
            raise _unknown(spec)
        return FileStore(_local_path(unquote(parts.path)))
    if _SCHEME.match(name) and not os.path.exists(name):
        raise _unknown(spec)
    return FileStore(name)


def _local_path(path: str) -> str:
    """Return the path in a file URL; on Windows a slash stands before the drive's letter."""
    return path[1:] if os.name == "nt" and re.match(r"/[A-Za-z]:", path) else path


def _unknown(spec: object) -> UsageError:
    return UsageError(
        f"cannot keep runs in {spec!r}: this names no store. "
        "Give a directory, 'file:///…', 'memory:', or an object of checkpoint.stores.",
        slug="unknown-store",
        value=spec,
    )
