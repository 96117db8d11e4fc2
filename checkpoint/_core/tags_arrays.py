"""
numpy arrays and scalars: to `{"dtype", "shape", "data"}` with the raw bytes, and back, without a copy where possible.

numpy is never imported for a value that did not bring it.  Nothing that holds objects is accepted in either
direction, so that reading an array cannot run code.
"""

from __future__ import annotations

import base64
import importlib
import math
import sys
from collections.abc import Callable
from typing import Any

from checkpoint._core.records import Tree
from checkpoint._core.tags_leaves import READ_ERRORS, shorten
from checkpoint._core.tags_words import BadTree, NotTree

# Arrays of up to this many bytes are written into the record itself.
INLINE_BYTES = 32 * 1024

# Boolean, integers, floats, complex, dates, durations, text, bytes, raw and structured: plain memory, all of them.
_KINDS = frozenset("biufcmMSUV")


def is_array(kind: type) -> bool:
    """Return whether `kind` is exactly numpy's array class."""
    return kind.__name__ == "ndarray" and getattr(sys.modules.get("numpy"), "ndarray", None) is kind


def is_scalar(kind: type) -> bool:
    """Return whether `kind` is a class of numpy's scalars, such as `numpy.float64`."""
    generic = getattr(sys.modules.get("numpy"), "generic", None)
    return generic is not None and kind.__module__ == "numpy" and issubclass(kind, generic)


def write_array(array: Any, attach: Callable[[memoryview], str] | None) -> dict[str, Tree]:
    """
    Return the tree of a numpy array, without its tag; a large one's bytes are handed to `attach` uncopied.

    Fortran order is kept; other strides come back as C order. A copy is made only of those.

    Raises:
        NotTree: It holds objects, or its dtype is not one of numpy's own or says more than its description.
    """
    tree: dict[str, Tree] = {"dtype": _write_dtype(array, array.dtype), "shape": list(array.shape)}
    if array.dtype.itemsize == 0:
        raise NotTree(array, "is an array whose elements have no memory")
    if array.flags.f_contiguous and not array.flags.c_contiguous:
        tree["order"] = "F"
    view = _bytes_of(array)
    if attach is not None and view.nbytes > INLINE_BYTES:
        tree["payload"] = attach(view)
        tree["size"] = view.nbytes
    else:
        tree["data"] = base64.b64encode(view).decode("ascii")
    return tree


def write_scalar(scalar: Any) -> dict[str, Tree]:
    """
    Return the tree of a numpy scalar, without its tag: with a readable `value` where JSON has it exactly.

    Raises:
        NotTree: Its dtype would not bring back its class.
    """
    dtype = scalar.dtype
    tree: dict[str, Tree] = {"dtype": _write_dtype(scalar, dtype), "scalar": True}
    if dtype.kind != "V" and sys.modules["numpy"].dtype(dtype.str).type is not type(scalar):
        raise NotTree(scalar, f"is a numpy.{type(scalar).__name__}, which its dtype {dtype.str!r} does not bring back")
    if dtype.kind in "SU":
        # Past numpy, which cuts the NULs that end text: in an array's element, in `str()`, in its pickle.
        data = bytes(scalar) if dtype.kind == "S" else str.encode(scalar, "utf-8", "surrogatepass")
        tree["text"] = base64.b64encode(data).decode("ascii")
    elif dtype.itemsize == 0:
        raise NotTree(scalar, "is a numpy value without any memory")
    elif dtype.kind in "biu" or (dtype.kind == "f" and dtype.itemsize <= 8 and math.isfinite(scalar)):
        tree["value"] = scalar.item()
    else:
        tree["data"] = base64.b64encode(scalar.tobytes()).decode("ascii")
    return tree


def read_numpy(tree: Tree, fetch: Callable[[str, int], bytearray] | None) -> object:
    """
    Return the array or scalar that was written as `tree`; a large array lives on the memory that `fetch` returned.

    Raises:
        BadTree: It is malformed, or numpy is not installed.
    """
    if type(tree) is not dict:
        raise BadTree(f"{shorten(tree)} is not an array")
    try:
        numpy: Any = importlib.import_module("numpy")
    except ImportError as error:
        raise BadTree("the value is a numpy array, and numpy is not installed here") from error
    try:
        dtype = numpy.dtype(_read_dtype(tree.get("dtype")))
        if dtype.kind not in _KINDS or dtype.hasobject:
            raise BadTree(f"{dtype} is not a dtype of plain data")
        return (
            _read_scalar(numpy, dtype, tree) if tree.get("scalar") is True else _read_array(numpy, dtype, tree, fetch)
        )
    except READ_ERRORS as error:
        raise BadTree(f"{shorten(tree)} is not an array here ({error})") from error


def _read_scalar(numpy: Any, dtype: Any, tree: dict[str, Tree]) -> object:
    if "value" in tree:
        value = tree["value"]
        scalar = dtype.type(value)
        if type(scalar.item()) is not type(value) or scalar.item() != value:
            raise BadTree(f"{shorten(value)} is not a {dtype}")
        return scalar
    if "text" in tree:
        return _read_text(dtype, tree["text"])
    _check_size(dtype)
    data = _read_data(tree, dtype.itemsize, None)
    return numpy.ndarray((), dtype=dtype, buffer=data)[()]


def _read_text(dtype: Any, tree: Tree) -> object:
    if dtype.kind not in "SU" or type(tree) is not str:
        raise BadTree(f"{shorten(tree)} is not a {dtype}")
    data = base64.b64decode(tree, validate=True)
    return dtype.type(data if dtype.kind == "S" else data.decode("utf-8", "surrogatepass"))


def _check_size(dtype: Any) -> None:
    # Any number of elements would fit into no data at all.
    if dtype.itemsize == 0:
        raise BadTree(f"{dtype} has no memory")


def _read_array(numpy: Any, dtype: Any, tree: dict[str, Tree], fetch: Callable[[str, int], bytearray] | None) -> object:
    shape, order = tree.get("shape"), tree.get("order", "C")
    if (
        type(shape) is not list
        or any(type(length) is not int or length < 0 for length in shape)
        or order not in ("C", "F")
    ):
        raise BadTree(f"{shorten(shape)} is not the shape of an array")
    _check_size(dtype)
    size = dtype.itemsize
    for length in shape:
        size *= length
    data = _read_data(tree, size, fetch)
    return numpy.ndarray(tuple(shape), dtype=dtype, buffer=data if size else None, order=order)


def _read_data(tree: dict[str, Tree], size: int, fetch: Callable[[str, int], bytearray] | None) -> bytearray:
    if "payload" in tree:
        digest = tree["payload"]
        if fetch is None or type(digest) is not str or tree.get("size") != size:
            raise BadTree(f"an array of {size} bytes cannot be in payload {shorten(digest)}")
        data = fetch(digest, size)
    else:
        text = tree.get("data")
        if type(text) is not str or len(text) > 4 * size // 3 + 4:
            raise BadTree(f"{shorten(text)} is not the data of {size} bytes")
        data = bytearray(base64.b64decode(text, validate=True))
    if len(data) != size:
        raise BadTree(f"an array of {size} bytes has {len(data)} bytes of data")
    return data


def _bytes_of(array: Any) -> memoryview:
    if array.nbytes == 0:
        return memoryview(b"")
    # Dates and structures have no buffer of their own; every contiguous array can be seen as plain bytes.
    numpy: Any = sys.modules["numpy"]
    flags = array.flags
    if flags.f_contiguous and not flags.c_contiguous:
        flat = array.reshape(-1, order="F")
    else:
        flat = numpy.ascontiguousarray(array).reshape(-1)
    return memoryview(flat.view(numpy.uint8))


def _write_dtype(value: object, dtype: Any) -> Tree:
    if dtype.kind not in _KINDS or dtype.hasobject:
        raise NotTree(value, f"is a numpy value of dtype {dtype}, which is not plain data")
    tree = _dtype_tree(dtype)
    try:
        same = sys.modules["numpy"].dtype(_read_dtype(tree)) == dtype and not _says_more(dtype)
    except READ_ERRORS:
        same = False
    if not same:
        raise NotTree(value, f"is a numpy value of dtype {dtype}, which has no plain description")
    return tree


def _says_more(dtype: Any) -> bool:
    """Return whether a dtype has what comparing two of them ignores: metadata, or `align=True`."""
    if dtype.metadata is not None or dtype.isalignedstruct:
        return True
    inner = [dtype[name] for name in dtype.names or ()]
    if dtype.subdtype is not None:
        inner.append(dtype.subdtype[0])
    return any(map(_says_more, inner))


def _dtype_tree(dtype: Any) -> Tree:
    if dtype.names is None:
        return str(dtype.str)
    fields: list[Tree] = []
    for name in dtype.names:
        inner, shape = dtype[name].subdtype or (dtype[name], ())
        fields.append([name, _dtype_tree(inner), list(shape)])
    return fields


def _read_dtype(tree: Tree) -> Any:
    if type(tree) is str:
        # A comma would make it a structure, whose description is a list here.
        if "," in tree or "(" in tree:
            raise BadTree(f"{shorten(tree)} is not a dtype")
        return tree
    if type(tree) is not list or not tree:
        raise BadTree(f"{shorten(tree)} is not a dtype")
    fields: list[Any] = []
    for field in tree:
        if type(field) is not list or len(field) != 3 or type(field[0]) is not str or type(field[2]) is not list:
            raise BadTree(f"{shorten(field)} is not a field of a dtype")
        fields.append((field[0], _read_dtype(field[1]), tuple(field[2])))
    return fields
