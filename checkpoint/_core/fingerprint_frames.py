"""
Encoders of pandas and polars tables and columns, found by type name.

A table is its columns with their names and types; nothing here may depend on how a library lays them out
in blocks or chunks, nor import the library.
"""

from __future__ import annotations

from typing import Any

from checkpoint._core.fingerprint_arrays import array_text
from checkpoint._core.fingerprint_builtin import encode_elements, encode_int
from checkpoint._core.fingerprint_names import class_name
from checkpoint._core.fingerprint_table import Encoder, NoLastingValue, encode


def _pandas_values(values: Any) -> str:
    # `values` is the array of a column or an index: numpy's own, or one of pandas' kinds.
    kind = class_name(type(values)).rpartition(".")[2]
    if kind == "Categorical":
        return f"{array_text(values.codes)},{encode(values.categories)},{values.ordered!r}"
    dtype = ascii(str(values.dtype))
    if hasattr(values, "asi8"):
        return f"{dtype},{array_text(values.asi8)}"
    if kind in ("NumpyExtensionArray", "PandasArray") or not hasattr(values, "_from_sequence"):
        return array_text(values.to_numpy() if hasattr(values, "to_numpy") else values)
    return f"{dtype},[{encode_elements(values.astype(object).tolist())}]"


def _pandas_series(series: Any) -> str:
    return f"{encode(series.name)},{_pandas_index(series.index)},{_pandas_values(series.array)}"


def _pandas_index(index: Any) -> str:
    if class_name(type(index)).rpartition(".")[2] == "MultiIndex":
        levels = [_pandas_values(index.get_level_values(level).array) for level in range(index.nlevels)]
        return f"{encode(list(index.names))},[{','.join(levels)}]"
    return f"{encode(index.name)},{_pandas_values(index.array)}"


def _pandas_frame(frame: Any) -> str:
    columns = [_pandas_values(frame.iloc[:, position].array) for position in range(frame.shape[1])]
    return f"{_pandas_index(frame.columns)};{_pandas_index(frame.index)};[{','.join(columns)}]"


def _pandas_timestamp(value: Any) -> str:
    if class_name(type(value)).rpartition(".")[2] == "NaTType":
        return "NaT"
    return f"{encode_int(value.value)},{value.fold},{encode(value.tzinfo)}"


def _pandas_duration(value: Any) -> str:
    return encode_int(value.value)


def _polars_series(series: Any) -> str:
    kind = ascii(str(series.dtype))
    # Numbers without gaps as one array; a list element by element otherwise.
    if series.dtype.is_numeric() and not series.dtype.is_decimal() and series.null_count() == 0:
        return f"{series.name!a},{kind},{array_text(series.to_numpy())}"
    return f"{series.name!a},{kind},[{encode_elements(series.to_list())}]"


def _polars_frame(frame: Any) -> str:
    columns = ",".join(f"({_polars_series(column)})" for column in frame.get_columns())
    return f"{frame.height},[{columns}]"


def _polars_query(value: Any) -> str:
    raise NoLastingValue(value, f"is a {class_name(type(value))}, a query that was not computed yet")


# By the top module and the class's name: the modules between them change from version to version.
_ENCODERS: dict[tuple[str, str], Encoder] = {
    ("pandas", "DataFrame"): _pandas_frame,
    ("pandas", "Series"): _pandas_series,
    ("pandas", "Index"): _pandas_index,
    ("pandas", "ExtensionArray"): _pandas_values,
    ("pandas", "Timestamp"): _pandas_timestamp,
    ("pandas", "NaTType"): _pandas_timestamp,
    ("pandas", "Timedelta"): _pandas_duration,
    ("polars", "DataFrame"): _polars_frame,
    ("polars", "Series"): _polars_series,
    ("polars", "LazyFrame"): _polars_query,
    ("polars", "Expr"): _polars_query,
}


def frame_rule(cls: type, _value: object) -> Encoder | None:
    """Give tables, columns and their scalars, and classes derived from them, their encoder."""
    for base in cls.__mro__:
        library = base.__module__.split(".")[0]
        encode_value = _ENCODERS.get((library, base.__name__))
        if encode_value is not None:
            # A private subclass for one kind of contents is told by the contents' type.
            name = f"{library}.{base.__name__}" if cls.__module__.split(".")[0] == library else class_name(cls)
            return lambda value: f"{name}({encode_value(value)})"
    return None
