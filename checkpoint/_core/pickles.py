"""
Values that only pickle can save: to bytes and back, checked when they are saved.

By reference, with the C pickler, wherever the classes can be imported; by value, with cloudpickle, only where that
fails.  Loading a pickle runs code: whoever calls `load` must have proved first that this user wrote it.  What
cannot come back is refused before cloudpickle turns it into something else: files, iterators, memory views.
"""

from __future__ import annotations

import importlib
import io
import pickle
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from types import AsyncGeneratorType, CoroutineType, FunctionType, GeneratorType
from typing import Any, Literal, cast

from checkpoint._core.codec_classes import MAIN_NAMES, ClassFinder
from checkpoint._core.fingerprint import lasting_module
from checkpoint._core.tags_words import BadTree, describe

# Buffers beyond this many bytes are kept out of the stream, so that they are written without being copied.
BUFFER_BYTES = 32 * 1024

# What a pickler raises for a value it cannot save by reference; anything else came from the user's own methods.
_NOT_BY_REFERENCE = (pickle.PicklingError, AttributeError, TypeError)

# Iterators of these modules can be read once, and pickle would keep what is left of some of them.
_ITERATOR_HOMES = frozenset({"builtins", "itertools", "collections"})


class NotPickle(Exception):
    """
    A value cannot be pickled, or could not be loaded again; internal.

    Attributes:
        culprit: The part that was refused, or None if the pickler did not say which.
        why: What is the matter, to be read after the culprit's path.
    """

    def __init__(self, why: str, culprit: object = None) -> None:
        super().__init__(why)
        self.why = why
        self.culprit = culprit


class BadPickle(Exception):
    """
    A pickle cannot be loaded by this program; internal.

    Attributes:
        reason: Why not, as a clause without a full stop.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Pickled:
    """
    A pickled value.

    Attributes:
        codec: `pickle` by reference, `cloudpickle` by value.
        stream: The pickle itself.
        buffers: Large buffers that are not in it, in order: byte views of the user's own memory.
        main: The lasting name of the program, if the stream speaks of `__main__`, or None.
    """

    codec: Literal["pickle", "cloudpickle"]
    stream: bytes
    buffers: tuple[memoryview, ...]
    main: str | None

    @property
    def size(self) -> int:
        """Bytes in the stream and its buffers."""
        return len(self.stream) + sum(view.nbytes for view in self.buffers)


def dump(value: object) -> Pickled:
    """
    Pickle `value`, by reference if possible; large buffers are not copied.

    Raises:
        NotPickle: It cannot be pickled, or would come back as something else.
    """
    try:
        stream, buffers = _run(_ByReference, value)
        codec: Literal["pickle", "cloudpickle"] = "pickle"
    except _NOT_BY_REFERENCE:
        stream, buffers = _run(_by_value(), value, last=True)
        codec = "cloudpickle"
    speaks_of_main = b"__main__" in stream or b"__mp_main__" in stream
    return Pickled(codec, stream, tuple(buffers), lasting_module("__main__") if speaks_of_main else None)


def _run(pickler: Callable[..., Any], value: object, *, last: bool = False) -> tuple[bytes, list[memoryview]]:
    buffers: list[memoryview] = []

    def take(buffer: pickle.PickleBuffer) -> bool:
        try:
            view = buffer.raw()
        except BufferError:
            return True
        if view.nbytes <= BUFFER_BYTES:
            return True
        buffers.append(view)
        return False

    file = io.BytesIO()
    try:
        pickler(file, protocol=5, buffer_callback=take).dump(value)
    except NotPickle:
        raise
    except RecursionError as error:
        raise NotPickle("is nested too deeply", value) from error
    except Exception as error:
        if isinstance(error.__cause__, RecursionError):
            raise NotPickle("is nested too deeply", value) from error
        if isinstance(error, _NOT_BY_REFERENCE) and not last:
            raise
        raise NotPickle(f"({str(error) or type(error).__name__})") from error
    return file.getvalue(), buffers


class _Refusing(pickle.Pickler):
    """Refuses what comes back as something else; asked for every object that is not of a basic type."""

    def refuse(self, value: Any) -> None:
        kind = type(value)
        fine: set[type] = self.__dict__.setdefault("fine", set())
        if kind in fine:
            return
        if isinstance(value, BaseException):
            _check_exception(value)
            return
        why = why_passing(value)
        if why is not None:
            raise NotPickle(why, value)
        fine.add(kind)


class _ByReference(_Refusing):
    def reducer_override(self, value: Any) -> Any:
        self.refuse(value)
        return NotImplemented


@lru_cache(maxsize=1)
def _by_value() -> Callable[..., Any]:
    # Importing cloudpickle takes as long as this whole library: only those who need it pay.
    base: Any = importlib.import_module("cloudpickle").Pickler

    class ByValue(base, _Refusing):  # type: ignore[misc]  # the base is only known when it is needed
        def reducer_override(self, value: Any) -> Any:
            self.refuse(value)
            # cloudpickle would copy every class of the script: its instances would be of another class then.
            if isinstance(value, (type, FunctionType)) and value.__module__ in MAIN_NAMES and _is_in_main(value):
                return value.__qualname__
            return super().reducer_override(value)

    return ByValue


def cloudpickle_version() -> str | None:
    """Return the version of the installed cloudpickle, or None; imports it."""
    try:
        return str(importlib.import_module("cloudpickle").__version__)
    except ImportError:
        return None


def _is_in_main(value: type | FunctionType) -> bool:
    found: object = sys.modules.get(value.__module__)
    for part in value.__qualname__.split("."):
        found = getattr(found, part, None)
    return found is value


def why_passing(value: object) -> str | None:
    """Return why `value` itself would not last, as in `is a generator, which ...`, or None if it is fine."""
    kind = type(value)
    if isinstance(value, (GeneratorType, AsyncGeneratorType)):
        return f"is {describe(value)}, which can be read only once: return a list"
    if isinstance(value, CoroutineType):
        return "is a coroutine, which was never awaited"
    if isinstance(value, io.IOBase) and kind not in (io.BytesIO, io.StringIO):
        return f"is {describe(value)}, an open file: return its path or its contents"
    if kind is memoryview:
        return "is a memoryview, which belongs to other memory: return bytes"
    if value is getattr(sys.modules.get("os"), "environ", None):
        return "is os.environ, which belongs to this process: return the entries you need"
    if kind.__module__ in _ITERATOR_HOMES and hasattr(kind, "__next__"):
        return f"is {describe(value)}, which can be read only once: return a list"
    return None


def _check_exception(error: BaseException) -> None:
    """Refuse an exception that its own arguments do not make again: it could be saved, but never loaded."""
    reduced = error.__reduce_ex__(4)
    if type(reduced) is not tuple or len(reduced) < 2 or reduced[0] is not type(error):
        return
    wrong = f"is {describe(error)} that its own arguments do not make again"
    try:
        twin = type(error)(*cast("tuple[object, ...]", reduced[1]))
    except Exception as failure:
        raise NotPickle(f"{wrong} ({failure}): pass all of them on to super().__init__", error) from failure
    if not _same(twin.args, error.args):
        raise NotPickle(f"{wrong}: pass all of them on to super().__init__", error)


def _same(left: object, right: object) -> bool:
    try:
        return bool(left == right)
    except Exception:
        return True  # values that cannot be compared, such as arrays, say nothing


class _Unpickler(pickle.Unpickler):
    def __init__(self, stream: bytes | bytearray, buffers: Sequence[Any], main: str | None) -> None:
        super().__init__(io.BytesIO(stream), buffers=buffers)
        self._main = main
        self._finder = ClassFinder(lambda module: None, as_pickle=True)

    def find_class(self, module: str, name: str) -> Any:
        if module in MAIN_NAMES:
            return self._finder.find_object(self._main or module, name)
        module = _renamed(module)
        if module in sys.modules:
            return super().find_class(module, name)
        return self._finder.find_object(module, name)


def _renamed(module: str) -> str:
    if module == "pathlib._local":
        return "pathlib"
    old, new = "numpy.core", "numpy._core"
    if module.startswith((old, new)):
        # numpy 2 renamed it; both ways, because a run may move to an older numpy too.
        numpy: Any = importlib.import_module("numpy")
        wrong, right = (old, new) if int(numpy.__version__.partition(".")[0]) >= 2 else (new, old)
        if module == wrong or module.startswith(f"{wrong}."):
            return right + module[len(wrong) :]
    return module


def load(stream: bytes | bytearray, buffers: Sequence[bytearray | memoryview], main: str | None) -> object:
    """
    Return the pickled value; runs code, so the pickle must have been authenticated.

    Args:
        stream: The pickle itself.
        buffers: The buffers that are not in it; the value lives on their memory.
        main: What `Pickled.main` was.

    Raises:
        BadPickle: It cannot be loaded by this program.
    """
    try:
        return _Unpickler(stream, buffers, main).load()
    except BadTree as error:
        raise BadPickle(error.reason) from error
    except Exception as error:
        raise BadPickle(f"{type(error).__name__}: {error}") from error


def check(pickled: Pickled, *, copy: bool) -> None:
    """
    Load what was pickled once, so that what cannot be loaded is found while the value is still there.

    Args:
        pickled: What `dump` returned.
        copy: Give the twin its own buffers; otherwise it looks at the user's own memory, write-protected.

    Raises:
        NotPickle: It cannot be loaded.
    """
    buffers = [bytearray(view) if copy else view.toreadonly() for view in pickled.buffers]
    try:
        load(pickled.stream, buffers, pickled.main)
    except BadPickle as error:
        raise NotPickle(f"could be written but not loaded again ({error.reason})") from error
