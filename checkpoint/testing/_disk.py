"""
What a disk holds after the power went off: contents as far as they were flushed, names as their directory was.

Stricter than any file system: nothing is written back by itself.  Follows the file operations of the library and of
nothing else, so that what a step wrote itself is left alone.  The models are those of ALICE (Pillai and others,
"All File Systems Are Not Created Equal", OSDI 2014): appended data may be missing, partly there, or zeros.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Set
from typing import Literal, TypeAlias

# What is left of data that was written at the end of a file and not flushed: nothing, half of it, or as many zeros.
Remains: TypeAlias = Literal["nothing", "half", "zeros"]


class _Node:
    """
    One file or directory.

    Attributes:
        path: Where it is now.
        contents: Of a file: the bytes that were flushed.
        names: Of a directory: what was in it when it was flushed; None for an entry that is not followed.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.contents = b""
        self.names: dict[str, _Node | None] | None = None


class Disk:
    """Follows the file operations of one or more lives, and takes back what a power cut would lose."""

    def __init__(self) -> None:
        self._nodes: dict[str, _Node] = {}
        self._open: dict[int, _Node] = {}

    def before(self, name: str, arguments: tuple[object, ...]) -> None:
        """Look at what an operation is about to change, which is durable if it was never touched before."""
        if name in ("create", "make_directory", "remove", "remove_directory", "replace"):
            for path in arguments[:2] if name == "replace" else arguments[:1]:
                self._directory(os.path.dirname(str(path)))
                self._follow(str(path))
        if name == "flush_directory":
            self._directory(str(arguments[0]))

    def after(self, name: str, arguments: tuple[object, ...], result: object) -> None:
        """Note what an operation has done."""
        first = arguments[0] if arguments else None
        if name == "open" and isinstance(result, int):
            self._open[result] = self._file(str(first))
        elif name == "create" and isinstance(result, int):
            self._open[result] = self._nodes[str(first)] = _Node(str(first))
        elif name == "close" and isinstance(first, int):
            self._open.pop(first, None)
        elif name == "make_directory":
            self._nodes[str(first)] = node = _Node(str(first))
            node.names = {}
        elif name in ("remove", "remove_directory"):
            self._nodes.pop(str(first), None)
        elif name == "replace":
            self._move(str(first), str(arguments[1]))
        elif name == "flush" and isinstance(first, int):
            node = self._open[first]
            node.contents = _read(node.path)
        elif name == "flush_directory":
            directory = self._directory(str(first))
            directory.names = {entry: self._nodes.get(os.path.join(str(first), entry)) for entry in _names(str(first))}

    def cut(self, remains: Remains = "nothing") -> None:
        """Take back, in place, what was never flushed."""
        known = [node for node in self._nodes.values() if node.names is not None]
        tops = [node for node in known if os.path.dirname(node.path) not in self._nodes]
        written = {node: _read(path) if node.names is None else b"" for path, node in self._nodes.items()}
        paths = set(self._nodes)
        for node in tops:
            _restore(node.path, node, written, paths, remains)
        self._nodes.clear()
        self._open.clear()

    def _directory(self, path: str) -> _Node:
        node = self._nodes.get(path)
        if node is None:
            node = self._nodes[path] = _Node(path)
            node.names = {name: self._nodes.get(os.path.join(path, name)) for name in _names(path)}
            above = self._nodes.get(os.path.dirname(path))
            if above is not None and above.names is not None and above.names.get(os.path.basename(path), self) is None:
                above.names[os.path.basename(path)] = node  # it was there before, and nobody had looked into it
        return node

    def _follow(self, path: str) -> None:
        """Know what is there: it may have to be put back when it was removed or replaced."""
        if os.path.isdir(path) and not os.path.islink(path):
            for name in self._directory(path).names or ():
                self._follow(os.path.join(path, name))
        elif os.path.lexists(path):
            self._file(path)

    def _file(self, path: str) -> _Node:
        node = self._nodes.get(path)
        if node is None:
            node = self._nodes[path] = _Node(path)
            node.contents = _read(path)
            names = self._directory(os.path.dirname(path)).names
            if names is not None and names.get(os.path.basename(path)) is None:
                names[os.path.basename(path)] = node
        return node

    def _move(self, source: str, target: str) -> None:
        self._nodes.pop(target, None)
        for path in [path for path in self._nodes if path == source or path.startswith(source + os.sep)]:
            node = self._nodes.pop(path)
            node.path = target + path[len(source) :]
            self._nodes[node.path] = node


def _restore(path: str, node: _Node, written: dict[_Node, bytes], paths: Set[str], remains: Remains) -> None:
    assert node.names is not None
    os.makedirs(path, mode=0o700, exist_ok=True)
    for name in _names(path):
        below = os.path.join(path, name)
        if name not in node.names and below in paths:  # else the user's own program made it
            _remove(below)
    for name, child in node.names.items():
        if child is None:
            continue
        below = os.path.join(path, name)
        if child.names is not None:
            _restore(below, child, written, paths, remains)
            continue
        data = _left(child.contents, written.get(child, b""), remains)
        if not os.path.lexists(below) or _read(below) != data:
            with open(below, "wb", opener=lambda path, flags: os.open(path, flags, 0o600)) as file:
                file.write(data)


def _left(flushed: bytes, written: bytes, remains: Remains) -> bytes:
    """Return what is found of a file; only what was appended can be there by halves."""
    tail = written[len(flushed) :] if written.startswith(flushed) else b""
    if remains == "half":
        return flushed + tail[: len(tail) // 2]
    return flushed + bytes(len(tail)) if remains == "zeros" else flushed


def _names(path: str) -> list[str]:
    try:
        return os.listdir(path)
    except FileNotFoundError:
        return []


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:
        return b""


def _remove(path: str) -> None:
    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path)
    else:
        os.unlink(path)
