"""Tests of `pickles`: what goes through pickle comes back as it was, and the rest is refused by the part's path."""

from __future__ import annotations

import functools
import io
import itertools
import os
import pathlib
import pickle
import socket
import sys
import threading
import tracemalloc
from typing import Any

import numpy as np
import pytest

from checkpoint._core import pickles
from checkpoint._core.pickles import BadPickle, NotPickle, check, dump, load
from checkpoint._core.pickles_culprit import find_unsavable


class Bag:
    def __init__(self, **parts: Any) -> None:
        vars(self).update(parts)


class Slotted:
    __slots__ = ("lock", "number")


class GoodError(Exception):
    def __init__(self, message: str, code: int) -> None:
        super().__init__(message, code)
        self.code = code


class LosingError(Exception):
    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


class ChangingError(Exception):
    def __init__(self, code: int) -> None:
        super().__init__(f"code {code}")
        self.code = code


class Explosive:
    def __reduce__(self) -> Any:
        raise RuntimeError("not this one")


class Unloadable:
    def __setstate__(self, state: Any) -> None:
        raise ValueError("nothing loads me")

    def __getstate__(self) -> Any:
        return {"a": 1}


def through(value: object) -> Any:
    pickled = dump(value)
    return load(pickled.stream, [bytearray(view) for view in pickled.buffers], pickled.main)


def test_a_class_of_a_module_goes_by_reference() -> None:
    """The instance is small and of the same class afterwards."""
    pickled = dump(Bag(a=1))
    assert ("pickle", True) == (pickled.codec, len(pickled.stream) < 100)
    assert type(through(Bag(a=1))) is Bag


def test_sharing_and_cycles_are_kept() -> None:
    """Two names for one list are two names for one list afterwards, and a cycle is a cycle."""
    part: list[Any] = []
    part.append(part)
    back = through([part, part])
    assert back[0] is back[1] is back[0][0]


def test_code_goes_by_value() -> None:
    """A lambda with what it closes over is saved by cloudpickle."""
    number = 5
    pickled = dump(lambda x: x + number)
    assert ("cloudpickle", 7) == (pickled.codec, through(lambda x: x + number)(2))


def test_a_module_goes_by_name() -> None:
    """A module beside other values is the same module afterwards."""
    assert through(Bag(module=socket)).module is socket


def test_a_large_array_is_not_copied() -> None:
    """The buffer that is handed out is the array's own memory, and the loaded array lives on the given one."""
    array = np.arange(1_000_000.0)
    holder = Bag(array=array)
    tracemalloc.start()
    pickled = dump(holder)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    memory = bytearray(pickled.buffers[0])
    back: Any = load(pickled.stream, [memory], None)

    assert peak < 100_000
    assert np.shares_memory(np.frombuffer(pickled.buffers[0], "u1"), array)
    assert np.shares_memory(np.frombuffer(memory, "u1"), back.array)
    assert back.array.flags.writeable
    assert np.array_equal(array, back.array)


def test_small_and_scattered_arrays_stay_in_the_stream() -> None:
    """Only large contiguous buffers are kept apart."""
    assert () == dump(Bag(small=np.arange(10), scattered=np.arange(100_000)[::2])).buffers


LOCK = threading.Lock()


def uses_lock() -> Any:
    inner = LOCK
    return lambda: inner


@pytest.mark.parametrize(
    ("value", "path", "why"),
    [
        (LOCK, "result", "is a _thread.lock"),
        ({"conn": LOCK}, "result['conn']", "is a _thread.lock (cannot pickle '_thread.lock' object)"),
        (Bag(session=Bag(lock=LOCK), rows=[1] * 1000), "result.session.lock", "_thread.lock"),
        ([{"a": 1}] * 500 + [{"a": (1, LOCK)}], "result[500]['a'][1]", "_thread.lock"),
        ({1: {"k": {5: LOCK}}}, "result[1]['k'][5]", "_thread.lock"),
        ({LOCK: 1}, "result.keys()[<lock>]", "_thread.lock"),
        ({LOCK}, "result{...}", "_thread.lock"),
        (functools.partial(print, LOCK), "result.args[0]", "_thread.lock"),
        (Bag(lock=LOCK).__init__, "result.__self__.lock", "_thread.lock"),  # type: ignore[misc]
        (uses_lock(), "result.__closure__['inner']", "_thread.lock"),
        (GoodError("x", LOCK), "result.args[1]", "_thread.lock"),  # type: ignore[arg-type]
        ((x for x in ()), "result", "is a generator, which can be read only once"),
        ({"k": [(x for x in ())]}, "result['k'][0]", "is a generator"),
        (iter([1]), "result", "is a list_iterator"),
        ([map(str, [1])], "result[0]", "is a map"),
        (Bag(a=itertools.count()), "result.a", "is an itertools.count"),
        ([sys.stdout], "result[0]", "open file"),
        (Bag(view=memoryview(b"x")), "result.view", "memoryview"),
        ([LosingError("x", 5)], "result[0]", "do not make again"),
        (ChangingError(5), "result", "do not make again"),
        ([Explosive()], "result[0]", "not this one"),
        ({"a": Unloadable()}, "result['a']", "nothing loads me"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_what_cannot_be_saved_is_named(value: Any, path: str, why: str) -> None:
    """The culprit is the innermost part, with its path and the reason."""
    with pytest.raises(NotPickle):
        check(dump(value), copy=True)
    culprit = find_unsavable(value, "result")
    assert path == culprit.path
    assert why in culprit.why


def test_slots_are_searched() -> None:
    """A culprit in a slot is found."""
    value = Slotted()
    value.lock, value.number = LOCK, 5
    assert "result.lock" == find_unsavable(value, "result").path


def test_a_coroutine_is_refused() -> None:
    """A coroutine was never awaited; it is not a result."""

    async def work() -> None: ...

    coroutine = work()
    with pytest.raises(NotPickle, match="never awaited"):
        dump([coroutine])
    coroutine.close()


def test_nesting_without_end_is_refused() -> None:
    """A value nested too deeply is an error of ours, not a RecursionError."""
    value: Any = None
    for _ in range(100_000):
        value = [value]
    with pytest.raises(NotPickle, match="too deeply"):
        dump(value)


def test_a_generator_is_not_consumed() -> None:
    """Refusing an iterator leaves it as it was."""
    numbers = iter([1, 2])
    with pytest.raises(NotPickle):
        dump([numbers])
    assert [1, 2] == list(numbers)


def test_an_open_file_is_refused_before_cloudpickle_reads_it(tmp_path: pathlib.Path) -> None:
    """A file beside a lambda is not turned into its text."""
    path = tmp_path / "x"
    path.write_text("secret")
    with path.open() as file, pytest.raises(NotPickle, match="open file"):
        dump([lambda: 1, file])


@pytest.mark.parametrize("value", [io.BytesIO(b"abc"), io.StringIO("abc")], ids=["bytes", "text"])
def test_files_in_memory_are_kept(value: Any) -> None:
    """A file in memory is data, with its position."""
    value.seek(1)
    back = through([value])[0]
    assert (value.read(), value.getvalue()) == (back.read(), back.getvalue())


@pytest.mark.parametrize(
    "value", [GoodError("x", 5), KeyError("k"), OSError(2, "no", "f"), ExceptionGroup("g", [KeyError()])]
)
def test_exceptions_that_agree_are_kept(value: Exception) -> None:
    """An exception whose arguments make it again comes back."""
    back = through(value)
    assert (type(value), repr(value.args)) == (type(back), repr(back.args))


@pytest.mark.parametrize(
    ("module", "name", "expected"),
    [
        ("pathlib._local", "PurePosixPath", pathlib.PurePosixPath),
        ("numpy.core.multiarray", "_reconstruct", np._core.multiarray._reconstruct),
        ("numpy._core.multiarray", "_reconstruct", np._core.multiarray._reconstruct),
    ],
)
def test_renamed_modules_are_found(module: str, name: str, expected: object) -> None:
    """What another version of Python or numpy wrote is found under its present name."""
    assert load(f"c{module}\n{name}\n.".encode(), [], None) is expected


def test_numpy_names_of_version_2_are_found_in_version_1(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that moves to an older numpy asks for the old name."""
    monkeypatch.setattr(np, "__version__", "1.26.4")
    assert "numpy.core.multiarray" == pickles._renamed("numpy._core.multiarray")


@pytest.mark.parametrize(
    "stream",
    [b"", b"\x80", b"\x80\x05.", b"cno_such_module\nX\n.", b"cos\nno_such_name\n.", b"c__main__\nNo_\n.", b"(lp0\n"],
)
def test_what_cannot_be_loaded_is_one_error(stream: bytes) -> None:
    """Whatever loading raises is a BadPickle with the reason."""
    with pytest.raises(BadPickle) as caught:
        load(stream, [], None)
    assert caught.value.reason


def test_the_check_does_not_write_to_the_user_s_memory() -> None:
    """The twin made at save time looks at write-protected memory."""
    array = np.arange(10_000.0)
    check(dump(Bag(array=array)), copy=False)
    assert np.array_equal(np.arange(10_000.0), array)


def test_protocol_5_is_written() -> None:
    """The stream says protocol 5, which every supported Python reads."""
    assert b"\x80\x05" == dump(Bag()).stream[:2]
    assert pickle.HIGHEST_PROTOCOL >= 5


class Scattered:
    """Pickles through a buffer that is not contiguous."""

    def __init__(self, data: Any) -> None:
        self.data = data

    def __reduce__(self) -> Any:
        return bytes, (pickle.PickleBuffer(self.data),)


def test_a_scattered_buffer_is_an_error_of_ours() -> None:
    """A buffer that cannot be written as it lies is refused, not raised as a BufferError."""
    with pytest.raises(NotPickle, match="contiguous"):
        dump(Scattered(memoryview(bytes(100_000))[::2]))


def test_the_environment_is_not_saved() -> None:
    """What may hold secrets and belongs to the process is refused, though cloudpickle would take it."""
    with pytest.raises(NotPickle, match=r"os\.environ"):
        dump([os.environ])


def test_deep_code_is_refused() -> None:
    """A lambda beneath too many levels is refused as nested too deeply, whichever pickler met it."""
    value: Any = []
    for _ in range(100_000):
        value = [value]
    with pytest.raises(NotPickle, match="too deeply"):
        dump([lambda: 1, value])


def test_a_class_of_the_script_beside_code_goes_by_reference(monkeypatch: pytest.MonkeyPatch) -> None:
    """cloudpickle would copy a class of `__main__`; it is named instead, and the instance is of the same class."""
    main = sys.modules["__main__"]
    script_class = type("ScriptClass", (), {"__module__": "__main__", "__qualname__": "ScriptClass"})
    monkeypatch.setattr(main, "ScriptClass", script_class, raising=False)
    back = through([lambda: 5, script_class()])
    assert (5, script_class) == (back[0](), type(back[1]))


def test_exceptions_with_a_way_of_their_own_are_left_to_it() -> None:
    """A class that says how it is made again is believed."""
    assert 5 == through(OwnWayError(5)).code


class OwnWayError(Exception):
    def __init__(self, code: int) -> None:
        super().__init__(f"code {code}")
        self.code = code

    def __reduce__(self) -> Any:
        return OwnWayError.again, (self.code,)

    @staticmethod
    def again(code: int) -> OwnWayError:
        return OwnWayError(code)


class PickyArgument:
    def __eq__(self, other: object) -> bool:
        raise ValueError("cannot compare")

    __hash__ = None  # type: ignore[assignment]


class CopyingError(Exception):
    def __init__(self, argument: Any) -> None:
        super().__init__(PickyArgument())


def test_arguments_that_cannot_be_compared_say_nothing() -> None:
    """An exception whose arguments refuse to be compared is saved."""
    assert type(through(CopyingError(PickyArgument()))) is CopyingError


def test_without_cloudpickle_there_is_no_version(monkeypatch: pytest.MonkeyPatch) -> None:
    """The version of what is not installed is None."""
    monkeypatch.setitem(sys.modules, "cloudpickle", None)
    assert pickles.cloudpickle_version() is None


def test_the_search_goes_through_every_kind_of_function() -> None:
    """Globals a lambda uses are searched, a cell that is still empty is passed over."""

    def outer() -> Any:
        def inner() -> Any:
            return LOCK, late

        result = inner
        if not result:
            late = 1
        return result

    assert find_unsavable(outer(), "result", lambda part: "bad" if LOCK is part or _holds(part) else None).path == (
        "result.__globals__['LOCK']"
    )


def _holds(part: object) -> bool:
    return callable(part) or (isinstance(part, list) and any(each is LOCK for each in part))
