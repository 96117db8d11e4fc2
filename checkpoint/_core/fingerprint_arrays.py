"""
Encoders of numpy arrays, scalars and dtypes, and of torch tensors, found by type name.

Equal contents, shape and dtype give equal text whatever the layout in memory.  Nothing here may import
numpy or torch, hash padding bytes, or copy a large array whole.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable
from typing import Any

from checkpoint._core.fingerprint_builtin import encode_dict, encode_elements, own_attributes
from checkpoint._core.fingerprint_names import class_name, tag
from checkpoint._core.fingerprint_table import Encoder, NoLastingValue, encode

# Copied as a whole up to here; beyond it through a view, or in pieces of this size.
_MOST_COPIED = 1 << 20

# Scalars whose `item()` is a Python value that says all; 16-byte floats and dates are not among them.
_PLAIN_SCALARS = "?bhilqpBHILQPefdFDUS"


def array_text(array: Any) -> str:
    """Return dtype, shape and contents of a plain array."""
    shape = ",".join(map(repr, array.shape))
    return f"{_dtype_text(array.dtype, in_order=False)},({shape}),{_contents(array)}"


def _dtype_text(dtype: Any, *, in_order: bool = True) -> str:
    # An array's byte order is how it lies in memory, and saving turns it; a dtype's own is its value.
    if dtype.names is not None:
        # An offset decides nothing about the values, only about the padding between them.
        fields = ",".join(f"{name!a}: {_dtype_text(dtype[name], in_order=in_order)}" for name in dtype.names)
        return f"dtype{{{fields}}}"
    if dtype.subdtype is not None:
        base, shape = dtype.subdtype
        return f"dtype({_dtype_text(base, in_order=in_order)},{shape!r})"
    if dtype.kind == "T":
        return "'T'"
    return f"{dtype.str!a}" if in_order else f"{dtype.newbyteorder('<').str!a}"


def _contents(array: Any) -> str:
    dtype = array.dtype
    if dtype.names is not None:
        return f"{{{','.join(_contents(array[name]) for name in dtype.names)}}}"
    if dtype.hasobject or dtype.kind == "T":
        return f"[{encode_elements(array.reshape(-1).tolist())}]"
    if dtype.char in "gG":
        # Ten bytes of value in sixteen of memory: the rest is whatever was there.
        return f"[{','.join(map(ascii, map(str, array.reshape(-1))))}]"
    hasher = hashlib.sha256()
    _update(hasher.update, array, turned=dtype.newbyteorder("<") if dtype.str[0] == ">" else None)
    return hasher.hexdigest()


def _update(update: Callable[[Any], object], array: Any, turned: Any) -> None:
    if array.nbytes <= _MOST_COPIED or array.ndim == 0:
        update((array if turned is None else array.astype(turned)).tobytes())
    elif array.flags.c_contiguous and turned is None:
        # As bytes, because dates and other kinds have no buffer of their own.
        update(memoryview(array.reshape(-1).view("u1")))
    else:
        rows = max(1, _MOST_COPIED * len(array) // array.nbytes)
        for start in range(0, len(array), rows):
            _update(update, array[start] if rows == 1 else array[start : start + rows], turned)


def _plain_view(array: Any) -> Any:
    # Past what a subclass makes of indexing and of `tobytes`.
    return array.view(sys.modules["numpy"].ndarray)


def _array(array: Any) -> str:
    return array_text(array)


def _masked_array(array: Any) -> str:
    # What lies under the mask is no value: two equal arrays may differ there.
    mask = sys.modules["numpy"].ma.getmaskarray(array)
    shown = _plain_view(array.filled(sys.modules["numpy"].zeros((), array.dtype)[()]))
    return f"{array_text(shown)},{array_text(mask)},{encode(array.fill_value)}"


def _scalar(value: Any) -> str:
    dtype = value.dtype
    if dtype.char in _PLAIN_SCALARS and dtype.names is None:
        return encode(value.item())
    return array_text(sys.modules["numpy"].asarray(value))


def _tensor(tensor: Any) -> str:
    torch: Any = sys.modules["torch"]
    if str(tensor.layout) != "torch.strided" or tensor.is_quantized:
        raise NoLastingValue(tensor, f"is a {class_name(type(tensor))} with layout {tensor.layout}")
    shape = ",".join(str(size) for size in tensor.shape)
    flat = tensor.detach().cpu().contiguous().reshape(-1)
    if flat.is_conj() or flat.is_neg():
        flat = flat.resolve_conj().resolve_neg()
    # As bytes, because numpy has no bfloat16.
    data = flat.view(torch.uint8).numpy()
    return f"{str(tensor.dtype)!a},({shape}),{hashlib.sha256(memoryview(data)).hexdigest()}"


_ENCODERS: dict[str, tuple[str, Encoder]] = {
    "numpy.ma.MaskedArray": ("numpy.ma.MaskedArray", _masked_array),
    "numpy.ma.core.MaskedArray": ("numpy.ma.MaskedArray", _masked_array),
    "numpy.ndarray": ("numpy.ndarray", _array),
    "numpy.dtype": ("numpy.dtype", _dtype_text),
    "numpy.ufunc": ("numpy.ufunc", lambda function: ascii(function.__name__)),
    "torch.Tensor": ("torch.Tensor", _tensor),
}


def array_rule(cls: type, _value: object) -> Encoder | None:
    """Give arrays, array scalars, dtypes and tensors, and classes derived from them, their encoder."""
    for base in cls.__mro__:
        base_name = class_name(base)
        if base_name == "numpy.generic":
            own_name = tag(cls)
            return lambda value: f"{own_name}({_dtype_text(value.dtype)},{_scalar(value)})"
        known = _ENCODERS.get(base_name)
        if known is not None:
            if base is cls or base_name == "numpy.dtype":
                return _named(*known)
            return _derived(cls, *known)
    return None


def _named(name: str, encode_value: Encoder) -> Encoder:
    return lambda value: f"{name}({encode_value(value)})"


def _derived(cls: type, name: str, encode_value: Encoder) -> Encoder:
    own_name = tag(cls)
    # A mapped file's attributes say where it lies; a library's own classes keep only caches.
    has_attributes = cls.__module__.split(".")[0] not in ("numpy", "torch")

    def encode_derived(value: Any) -> str:
        attributes = own_attributes(value) if has_attributes else {}
        plain = _plain_view(value) if name == "numpy.ndarray" else value
        return f"{own_name}({name}({encode_value(plain)}){encode_dict(attributes) if attributes else ''})"

    return encode_derived
